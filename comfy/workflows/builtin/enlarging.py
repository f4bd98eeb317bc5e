"""The values of ``upscale``: by an upscale model alone, or drawn once more for details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from comfy.catalogue import Catalogue
from comfy.families.family import Family
from comfy.families.table import FAMILIES
from comfy.workflows.builtin.files import files_of
from comfy.workflows.builtin.ignored import (
    few_steps,
    foreign,
    half_heeded,
    hears_embeddings,
    ignored,
)
from comfy.workflows.builtin.laying_out import LARGEST_SIDE, UnusablePictureError, size_of
from comfy.workflows.builtin.models import Chosen, UnusableModelError, choose
from comfy.workflows.builtin.naming import unknown_names, unknown_upscaler
from comfy.workflows.builtin.prompt_loras import heard_loras, read_loras
from comfy.workflows.builtin.prompts import unknown_embeddings
from comfy.workflows.builtin.recipe import Layout, Recipe
from comfy.workflows.builtin.resolving import Resolved, defaults
from comfy.workflows.known import Known
from comfy.workflows.layout import Box, Size
from core.fields import draw_seed
from core.notices import Notice
from core.problems import FieldProblem
from core.workflows.declaration import Workflow
from core.workflows.limits import PIXELS_MAX

SCALE: Final = 2.0
_OF_DETAIL: Final = frozenset({
    "prompt", "detail_model", "steps", "cfg", "guidance", "sampler", "scheduler", "seed", "loras",
    "vae", "text_encoders",
})  # fmt: skip
"""What means nothing where nothing is drawn."""
_NO_UPSCALER: Final = (
    "ComfyUI has no upscale model, so the image is only scaled: put one into its folder "
    "models/upscale_models"
)
_LORAS_IGNORED: Final = Notice(
    code="loras_ignored",
    loc=("loras",),
    message="without detail no model is used: give `detail` to use LoRAs",
)


def resolved_upscale(
    workflow: Workflow, given: Mapping[str, Any], known: Known, *, suggest: bool = True
) -> Resolved:
    """Returns the values of a request of ``upscale``.

    Notices are ``no_upscale_model``, ``loras_ignored`` where nothing is drawn, and of what draws
    the details those of ``ignored``, ``models`` and ``prompt_loras``. Problems have the codes of
    those, and ``too_many_pixels``.
    """
    problems = unknown_upscaler(given.get("model"), known.catalogue, suggest=suggest)
    model, notices = _upscaler(given, known.catalogue)
    upscaler = {} if model is None else {"model": model}
    values = {"scale": SCALE, "detail": 0.0, **given, **upscaler}
    try:
        layout = _layout(values, known)
    except UnusablePictureError as error:
        return Resolved(given, problems=(*problems, error.problem))
    is_drawn = values["detail"] > 0
    found = _drawn(values, layout, known, suggest=suggest) if is_drawn else _scaled(values, layout)
    if model is not None:
        found = replace(found, models={**found.models, "upscale_models": (model,)})
    return replace(
        found,
        values={name: found.values[name] for name in workflow.by_name if name in found.values},
        notices=(*notices, *found.notices),
        problems=(*problems, *found.problems),
    )


def _scaled(values: Mapping[str, Any], layout: Layout) -> Resolved:
    """Returns what is used where nothing is drawn."""
    used = {name: value for name, value in values.items() if name not in _OF_DETAIL}
    told = (_LORAS_IGNORED,) if values.get("loras") else ()
    return Resolved(used, Recipe(layout=layout), values.get("model"), notices=told)


def _drawn(values: Mapping[str, Any], layout: Layout, known: Known, *, suggest: bool) -> Resolved:
    """Returns what is used where details are drawn."""
    problems = unknown_names(values, known.catalogue, suggest=suggest)
    words = read_loras(values, known.catalogue, suggest=suggest)
    problems += words.problems
    try:
        chosen = choose(values, known, "detail_model", suggest=suggest)
    except UnusableModelError as error:
        return Resolved(values, problems=(*problems, *error.problems))
    family, file = chosen.family, chosen.file
    told = {**values, **words.values}
    problems += _unable(chosen)
    if hears_embeddings(family):
        problems += unknown_embeddings(told, known.catalogue, suggest=suggest)
    if problems:
        return Resolved(values, problems=tuple(problems))
    used = {**told, **_of_detail(told, chosen, known.catalogue or Catalogue())}
    _leave_out(used, family)
    reduced, reductions = few_steps(used, family)
    parts = {name: value for name, value in used.items() if name != "model"}
    return Resolved(
        used | reduced,
        Recipe(family=family.name, folder=file.folder, traits=file.traits, layout=layout),
        file.name,
        files_of(parts, (file.folder, file.name), {}),
        (
            *chosen.notices,
            *words.notices,
            *_unheeded(told, used["cfg"], family, known),
            *reductions,
        ),
    )


def _unheeded(
    told: Mapping[str, Any], cfg: float, family: Family, known: Known
) -> Iterator[Notice]:
    loras = told.get("loras") or ()
    yield from ignored(told, cfg, family)
    yield from foreign(loras, (), family, known)
    yield from half_heeded(loras, (), family)


def _upscaler(
    given: Mapping[str, Any], catalogue: Catalogue | None
) -> tuple[str | None, list[Notice]]:
    """Returns the upscale model: the one named, else the one that the ComfyUI has for it."""
    if given.get("model") is not None or catalogue is None:
        return given.get("model"), []
    if catalogue.upscaler is not None:
        return catalogue.upscaler, []
    return None, [Notice(code="no_upscale_model", loc=("model",), message=_NO_UPSCALER)]


def _layout(values: Mapping[str, Any], known: Known) -> Layout:
    source = size_of(values["init_image"], FAMILIES["sdxl"], known.pictures)
    scale = values["scale"]
    work = Size(round(source.width * scale), round(source.height * scale))
    if max(work) > LARGEST_SIDE or work.pixels > PIXELS_MAX:
        said = (
            f"the image would have {work.width} × {work.height} pixels; at most {PIXELS_MAX} "
            f"pixels, and {LARGEST_SIDE} at a side, are possible: ask for a smaller scale"
        )
        raise UnusablePictureError(("scale",), "too_many_pixels", said)
    return Layout(source=source, padded=source, crop=Box.of(source), work=work)


def _unable(chosen: Chosen) -> Iterator[FieldProblem]:
    if chosen.family.inpaints_by_conditioning:
        said = f"{chosen.file.name} is {chosen.family.title}, which fills in masks: name another"
        yield FieldProblem(("detail_model",), "excluded", said)


def _of_detail(values: Mapping[str, Any], chosen: Chosen, catalogue: Catalogue) -> dict[str, Any]:
    """Returns every value of what draws the details."""
    told = {name: values[name] for name in _OF_DETAIL if values.get(name) is not None}
    found = {"prompt": "", **defaults(chosen.family, catalogue), **told}
    found["detail_model"] = chosen.file.name
    found["cfg"] = float(found["cfg"])
    if found.get("seed") is None:
        found["seed"] = draw_seed()
    if chosen.text_encoders is not None:
        found["text_encoders"] = list(chosen.text_encoders)
    if chosen.vae is not None:
        found["vae"] = chosen.vae
    if "loras" in found:
        found["loras"] = heard_loras(found["loras"], chosen.family)
    return found


def _leave_out(used: dict[str, Any], family: Family) -> None:
    """Takes out what has no meaning in this request: the result says what is used."""
    if family.defaults.guidance is None:
        used.pop("guidance", None)
    if not used.get("loras"):
        used.pop("loras", None)
