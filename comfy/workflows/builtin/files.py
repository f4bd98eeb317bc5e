"""The model files that a request loads, by ComfyUI's folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfy.workflows.builtin.beside import PIXEL_SPACE

_Files = Mapping[str, tuple[str, ...]]


def files_of(values: Mapping[str, Any], model: tuple[str, str], controls: _Files) -> _Files:
    """Returns the files, each once, the model first.

    ``model`` is its folder and its name; ``controls`` are the files of the controls.
    """
    found: dict[str, dict[str, None]] = {}
    for folder, name in (model, *_named(values)):
        found.setdefault(folder, {})[name] = None
    for folder, names in controls.items():
        found.setdefault(folder, {}).update(dict.fromkeys(names))
    return {folder: tuple(names) for folder, names in found.items()}


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in values.get("text_encoders") or ():
        yield "text_encoders", name
    vae = values.get("vae")
    if vae is not None and vae != PIXEL_SPACE:
        yield "vae", vae
    for lora in values.get("loras") or ():
        yield "loras", lora["name"]
    if (refiner := values.get("refiner")) is not None:
        yield "checkpoints", refiner["model"]
    if (upscaler := (values.get("hires") or {}).get("model")) is not None:
        yield "upscale_models", upscaler
