"""Names of files and choices, compared with those that a ComfyUI has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.workflows.builtin.beside import PIXEL_SPACE
from core.problems import FieldProblem
from core.wording import nearest

_Loc = tuple[str | int, ...]
_WORDS: Final[Mapping[str, str]] = {
    "loras": "LoRA",
    "vae": "VAE",
    "text_encoders": "text encoder",
    "controls": "ControlNet",
    "upscale_models": "upscale model",
}
_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("checkpoints", "diffusion_models"),
    "LoRA": ("loras",),
    "VAE": ("vae",),
    "text encoder": ("text_encoders",),
    "ControlNet": ("controlnet", "model_patches"),
    "upscale model": ("upscale_models",),
}


@dataclass(frozen=True)
class _Named:
    """A name in a request: where, of what, and what there is."""

    loc: _Loc
    what: str
    name: str
    there: Sequence[str]


def unknown_names(
    given: Mapping[str, Any], catalogue: Catalogue | None, *, suggest: bool
) -> list[FieldProblem]:
    """Returns the names that a request says and the ComfyUI does not have, but for its model.

    Codes: ``unknown_model`` for every model file, ``unknown_sampler``, ``unknown_scheduler``.
    Without a catalogue none is unknown.
    """
    if catalogue is None:
        return []
    return [
        unknown(one.loc, one.what, one.name, one.there, suggest=suggest)
        for one in _names(given, catalogue)
        if one.name not in one.there
    ]


def _names(given: Mapping[str, Any], catalogue: Catalogue) -> Iterator[_Named]:
    if (name := given.get("sampler")) is not None:
        yield _Named(("sampler",), "sampler", name, catalogue.samplers)
    if (name := given.get("scheduler")) is not None:
        yield _Named(("scheduler",), "scheduler", name, catalogue.schedulers)
    if (name := given.get("vae")) is not None and name != PIXEL_SPACE:
        yield _Named(("vae",), _WORDS["vae"], name, catalogue.vaes)
    for at, name in enumerate(given.get("text_encoders") or ()):
        what = _WORDS["text_encoders"]
        yield _Named(("text_encoders", at), what, name, catalogue.text_encoders)
    for at, lora in enumerate(given.get("loras") or ()):
        yield _Named(("loras", at, "name"), _WORDS["loras"], lora["name"], catalogue.loras)
    if controls := given.get("controls"):
        nets = (*catalogue.controlnets, *catalogue.model_patches)
        for at, control in enumerate(controls):
            loc = ("controls", at, "model")
            yield _Named(loc, _WORDS["controls"], control["model"], nets)
    if (name := (given.get("hires") or {}).get("model")) is not None:
        yield _Named(("hires", "model"), _WORDS["upscale_models"], name, catalogue.upscalers)
    if (name := (given.get("refiner") or {}).get("model")) is not None:
        yield _Named(("refiner", "model"), "model", name, catalogue.checkpoints)


def unknown_upscaler(
    name: str | None, catalogue: Catalogue | None, *, suggest: bool
) -> list[FieldProblem]:
    """Returns the problem of an upscale model at the input ``model`` that there is not."""
    if name is None or catalogue is None or name in catalogue.upscalers:
        return []
    what = _WORDS["upscale_models"]
    return [unknown(("model",), what, name, catalogue.upscalers, suggest=suggest)]


def unknown(
    loc: _Loc, what: str, name: str, there: Sequence[str], *, suggest: bool
) -> FieldProblem:
    """Returns the problem of a name that there is not; ``suggest``: with what is like it.

    It says where the file would be; its name is what stands at the place that it tells.
    """
    code = f"unknown_{what}" if what in ("sampler", "scheduler") else "unknown_model"
    folders = " or ".join(f"models/{one}" for one in _FOLDERS.get(what, ()))
    said = f"ComfyUI has no such {what}" + (f" in {folders}" if folders else "")
    if suggest:
        said = f"{said}; {near(name, tuple(there), f'{what}s')}"
    return FieldProblem(loc, code, said)


@lru_cache(maxsize=128)
def near(name: str, there: tuple[str, ...], what: str) -> str:
    """Returns the names nearest to it. Kept: a misspelt one is likely to be in every row."""
    return nearest(name, there, what)
