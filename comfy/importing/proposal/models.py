"""Model files that a graph names, and the folder of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from comfy.importing.checking.folders import folder_of as known_folder
from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.uploads import kind_of
from comfy.importing.proposal.wiring import ANY_TYPES, Wiring
from comfy.nodes import COMBO
from core.workflows.declaration import Role

_FILE: Final = re.compile(
    r"\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx|engine|task|model)$", re.IGNORECASE
)
_FOLDERS: Final[tuple[tuple[str, str, str], ...]] = (
    # of the class, of the field, the folder
    (r"CLIPVision", r"clip_name|^clip_vision", "clip_vision"),
    (r"LatentUpscale", r"model_name", "latent_upscale_models"),
    (r"Upscale|ESRGAN", r"model_name|upscale_model", "upscale_models"),
    (r"ModelPatch", r"name", "model_patches"),
    (r"FrameInterpolation|OpticalFlow", r"model_name", "frame_interpolation"),
    (r"BackgroundRemoval", r"name", "background_removal"),
    (r"MoGe|DA3|Depth", r"model_name", "geometry_estimation"),
    (r"VAE", r"model_name|^vae", "vae"),
    (r"T5|TextEncoder", r"model_name|^model$", "text_encoders"),
    (r"WanVideo|HyVideo|Unet|UNET|DiffusionModel|GGUF", r"^model$|model_name", "diffusion_models"),
    (r"", r"^ckpt|ckpt_name|checkpoint", "checkpoints"),
    (r"", r"unet_name|diffusion_model", "diffusion_models"),
    (r"", r"lora", "loras"),
    (r"", r"control_?net", "controlnet"),
    (r"", r"style_model", "style_models"),
    (r"", r"gligen", "gligen"),
    (r"", r"hypernetwork", "hypernetworks"),
    (r"", r"photomaker", "photomaker"),
    (r"", r"audio_encoder", "audio_encoders"),
    (r"", r"ipadapter", "ipadapter"),
    (r"", r"vae", "vae"),
    (r"", r"clip_name|text_encoder|^t5|^clip\d?$|llm", "text_encoders"),
)
_ROLES: Final[dict[str, Role]] = {
    "checkpoints": "model",
    "diffusion_models": "model",
    "loras": "lora",
    "vae": "vae",
    "text_encoders": "text_encoder",
}
_NAMES: Final = {
    "checkpoints": "model",
    "diffusion_models": "model",
    "loras": "lora",
    "vae": "vae",
    "upscale_models": "upscale_model",
    "latent_upscale_models": "upscale_model",
    "clip_vision": "clip_vision",
}
_NOT_MODELS: Final = re.compile(r"sampler|scheduler|class_name|font|config|workflow|folder_name")


def models(wiring: Wiring) -> Iterator[Candidate]:
    """One candidate for each model file; equal names of one folder are one."""
    groups: dict[tuple[str, object], list[Place]] = {}
    for place in wiring.all_places():
        if is_model(wiring, place):
            folder = folder_of(wiring.class_type(place.node_id), place.input)
            groups.setdefault((folder or place.input, wiring.value(place)), []).append(place)
    for (folder, _), places in groups.items():
        yield Candidate(
            tuple(places),
            role=_ROLES.get(folder),
            name=_NAMES.get(folder) or places[0].input.removesuffix("_name"),
            group="Models",
            type="model",
            advanced=True,
        )


def is_model(wiring: Wiring, place: Place) -> bool:
    """Whether a field names a file of one of ComfyUI's model folders."""
    value = wiring.value(place)
    if wiring.link(place) or not isinstance(value, str) or kind_of(wiring, place):
        return False
    if _NOT_MODELS.search(place.input.lower()):
        return False
    spec, found = wiring.spec(place), wiring.node_class(place.node_id)
    if spec is None or spec.type in ANY_TYPES:
        return bool(_FILE.search(value)) and not _is_shown(value)
    if spec.type != COMBO or (found is not None and found.api_node):
        return False
    return names_models(wiring, place, value)


def names_models(wiring: Wiring, place: Place, value: str) -> bool:
    """Whether a value, or what may be chosen in its place, is the name of a model's file."""
    spec = wiring.spec(place)
    return bool(_FILE.search(value)) or any(
        isinstance(choice, str) and _FILE.search(choice)
        for choice in (spec.choices if spec else ())
    )


def _is_shown(value: str) -> bool:
    return "\n" in value or len(value) > 300


def folder_of(class_type: str, name: str) -> str | None:
    """ComfyUI's folder of the models that a field names, None if it is not known.

    Classes that nobody knows are judged by the words in their names.
    """
    known = known_folder(class_type, name)
    if known:
        return known
    for of_class, of_field, folder in _FOLDERS:
        if re.search(of_class, class_type) and re.search(of_field, name, re.IGNORECASE):
            return folder
    return None
