"""What one ComfyUI offers: models, samplers, schedulers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

_Names = tuple[str, ...]

CATALOGUE_CLASSES: Final = (
    "CheckpointLoaderSimple",
    "LoraLoader",
    "VAELoader",
    "UpscaleModelLoader",
    "KSampler",
)
"""The node classes whose inputs' choices make up a catalogue."""


@dataclass(frozen=True)
class Catalogue:
    """The names that ComfyUI accepts, in its own order. Files in subfolders are ``folder/name``."""

    checkpoints: _Names = ()
    loras: _Names = ()
    vaes: _Names = ()
    upscalers: _Names = ()
    samplers: _Names = ()
    schedulers: _Names = ()

    @classmethod
    def from_object_info(cls, info: Mapping[str, Any]) -> Self:
        """Read ``GET /object_info``; what a ComfyUI does not have is empty."""
        return cls(
            checkpoints=_choices(info, "CheckpointLoaderSimple", "ckpt_name"),
            loras=_choices(info, "LoraLoader", "lora_name"),
            vaes=_choices(info, "VAELoader", "vae_name"),
            upscalers=_choices(info, "UpscaleModelLoader", "model_name"),
            samplers=_choices(info, "KSampler", "sampler_name"),
            schedulers=_choices(info, "KSampler", "scheduler"),
        )

    def to_json(self) -> dict[str, list[str]]:
        """Returns a plain object, for a database column."""
        return {name: list(names) for name, names in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of ``to_json``; unknown keys are ignored, missing ones are empty."""
        return cls(**{field.name: _texts(data.get(field.name, ())) for field in fields(cls)})


def _choices(info: Mapping[str, Any], class_type: str, name: str) -> _Names:
    """The choices of one input.

    ComfyUI writes them in two ways: ``[[choices], {options}]``, and for nodes of its "V3"
    style ``["COMBO", {"options": [choices]}]``.
    """
    try:
        spec = info[class_type]["input"]["required"][name]
        kind = spec[0]
        return _texts(spec[1]["options"] if kind == "COMBO" else kind)
    except (KeyError, IndexError, TypeError):
        return ()


def _texts(values: object) -> _Names:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        return ()
    return tuple(value for value in values if isinstance(value, str))
