"""What one ComfyUI offers: models, samplers, schedulers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Self

from comfy.versions import parts
from core.text import is_readable, readable

_Names = tuple[str, ...]

NAME_MAX: Final = 255
"""The most characters of a name, as requests take it."""
_LEFT_OUT_MAX: Final = 20
_VERSION_MAX: Final = 40
_NO_FILES: Final = ("pixel_space",)
"""VAEs of ComfyUI's that are no file."""
CATALOGUE_CLASSES: Final = (
    "CheckpointLoaderSimple",
    "LoraLoader",
    "VAELoader",
    "UpscaleModelLoader",
    "KSampler",
    "UNETLoader",
    "UnetLoaderGGUF",
    "CLIPLoader",
    "CLIPLoaderGGUF",
    "ControlNetLoader",
    "ModelPatchLoader",
)
"""The node classes whose inputs' choices make up a catalogue."""

FOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "checkpoints": "checkpoints",
        "diffusion_models": "diffusion_models",
        "text_encoders": "text_encoders",
        "vae": "vaes",
        "loras": "loras",
        "controlnet": "controlnets",
        "model_patches": "model_patches",
        "upscale_models": "upscalers",
        "embeddings": "embeddings",
    }
)
"""What a catalogue calls the files of ComfyUI's model folders."""


@dataclass(frozen=True)
class Catalogue:
    """The names that ComfyUI accepts, in its own order. Files in subfolders are ``folder/name``.

    ``diffusion_models`` and ``text_encoders`` have GGUF files too, where the ComfyUI can load them.
    ``left_out`` are some of the names that no request can say, as they can be shown: mostly of
    files whose names are not UTF-8. ``version`` is ComfyUI's own, as it writes it; empty where it
    is not known.
    """

    checkpoints: _Names = ()
    loras: _Names = ()
    vaes: _Names = ()
    upscalers: _Names = ()
    embeddings: _Names = ()
    samplers: _Names = ()
    schedulers: _Names = ()
    diffusion_models: _Names = ()
    text_encoders: _Names = ()
    controlnets: _Names = ()
    model_patches: _Names = ()
    left_out: _Names = ()
    version: str = ""

    @classmethod
    def from_object_info(
        cls, info: Mapping[str, Any], embeddings: object = (), version: str = ""
    ) -> Self:
        """Read ``GET /object_info`` and ``GET /embeddings``; what is not there is empty."""
        vaes = _choices(info, "VAELoader", "vae_name")
        found = cls(
            checkpoints=_choices(info, "CheckpointLoaderSimple", "ckpt_name"),
            loras=_choices(info, "LoraLoader", "lora_name"),
            vaes=tuple(name for name in vaes if name not in _NO_FILES),
            upscalers=_choices(info, "UpscaleModelLoader", "model_name"),
            embeddings=_texts(embeddings),
            samplers=_choices(info, "KSampler", "sampler_name"),
            schedulers=_choices(info, "KSampler", "scheduler"),
            diffusion_models=(
                *_choices(info, "UNETLoader", "unet_name"),
                *_choices(info, "UnetLoaderGGUF", "unet_name"),
            ),
            text_encoders=_once(
                *_choices(info, "CLIPLoader", "clip_name"),
                *_choices(info, "CLIPLoaderGGUF", "clip_name"),
            ),
            controlnets=_choices(info, "ControlNetLoader", "control_net_name"),
            model_patches=_choices(info, "ModelPatchLoader", "name"),
        )
        known = {name: getattr(found, name) for name in _lists()}
        left_out = {name: None for names in known.values() for name in names if not is_usable(name)}
        usable = {kind: tuple(filter(is_usable, names)) for kind, names in known.items()}
        shown = tuple(readable(name, NAME_MAX) for name in left_out)
        usable["left_out"] = shown[:_LEFT_OUT_MAX]
        return cls(version=version[:_VERSION_MAX], **usable)

    @classmethod
    def union(cls, catalogues: Iterable[Catalogue]) -> Catalogue | None:
        """Returns what any of several ComfyUIs offers, that of the first one first; None of none.

        Its version is the newest of theirs.
        """
        every = list(catalogues)
        if len(every) < 2:
            return every[0] if every else None
        names = {
            name: _once(*(one for it in every for one in getattr(it, name))) for name in _lists()
        }
        newest = max((one.version for one in every), key=parts)
        return cls(version=newest, **{**names, "left_out": names["left_out"][:_LEFT_OUT_MAX]})

    def in_folder(self, folder: str) -> _Names:
        """Returns the files of one of ComfyUI's model folders, as far as they are read here."""
        found = FOLDERS.get(folder)
        return getattr(self, found) if found is not None else ()

    @property
    def upscaler(self) -> str | None:
        """The upscale model of requests that name none, None if the ComfyUI has none."""
        return next(iter(self.upscalers), None)

    @property
    def why_left_out(self) -> str:
        """Which files are not offered, and why, as a sentence; empty when all are."""
        if not self.left_out:
            return ""
        names, more = ", ".join(self.left_out[:3]), len(self.left_out) - 3
        shown = f"{names} and {more} more" if more > 0 else names
        return f"Left out, because no request can name them as they are: {shown}."

    def to_json(self) -> dict[str, list[str] | str]:
        """Returns a plain object, for a database column."""
        return {**{name: list(getattr(self, name)) for name in _lists()}, "version": self.version}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The reverse of ``to_json``; unknown keys are ignored, missing ones are empty.

        Returns None when nothing is left: another version stored it, for every ComfyUI has samplers
        at least.
        """
        known = data if isinstance(data, Mapping) else {}
        version = known.get("version")
        found = cls(
            **{name: _texts(known.get(name, ())) for name in _lists()},
            version=version[:_VERSION_MAX] if isinstance(version, str) else "",
        )
        return None if found == cls(version=found.version) else found


def _lists() -> tuple[str, ...]:
    """The fields of a catalogue that are lists of names."""
    return tuple(field.name for field in fields(Catalogue) if field.name != "version")


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


def _once(*names: str) -> _Names:
    return tuple(dict.fromkeys(names))


def is_usable(name: str) -> bool:
    """Whether a request can say the name of a file as it is."""
    return bool(name) and "\n" not in name and is_readable(name, NAME_MAX)


def _texts(values: object) -> _Names:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        return ()
    return tuple(value for value in values if isinstance(value, str))
