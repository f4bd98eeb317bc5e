"""What the maker of a file wrote into it: its architecture, its words, how it predicts.

Sources: sd-scripts (library/sai_model_spec.py, train_network.py), musubi-tuner, ai-toolkit,
OneTrainer, ComfyUI's nodes that save models, and SwarmUI, which reads them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from comfy.families.models import Trait

_ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stable-diffusion-v1": "sd15",
        "stable-diffusion-v1-5": "sd15",
        "stable-diffusion-v1-inpainting": "sd15",
        "stable-diffusion-v2": "sd2",
        "stable-diffusion-v2-512": "sd2",
        "stable-diffusion-v2-768-v": "sd2",
        "stable-diffusion-v2-inpainting": "sd2",
        "stable-diffusion-xl-v1-base": "sdxl",
        "stable-diffusion-xl-v0_9-base": "sdxl",
        "stable-diffusion-xl-turbo-v1": "sdxl-turbo",
        "stable-diffusion-xl-v1-refiner": "sdxl",
        "stable-diffusion-xl-v0_9-refiner": "sdxl",
        # ComfyUI writes this for every SD3: a header knows better.
        "stable-diffusion-v3-medium": "sd3-medium",
        "stable-diffusion-3-medium": "sd3-medium",
        "stable-diffusion-3": "sd3-medium",
        "stable-diffusion-v3.5-large": "sd35-large",
        "stable-diffusion-v3.5-large-turbo": "sd35-large-turbo",
        "stable-diffusion-3-5-large": "sd35-large",
        "stable-diffusion-3-3-5-large": "sd35-large",
        "stable-diffusion-v3.5-medium": "sd35-medium",
        "stable-diffusion-3-5-medium": "sd35-medium",
        "stable-diffusion-3-3-5-medium": "sd35-medium",
        "flux-1-dev": "flux1-dev",
        "flux.1-dev": "flux1-dev",
        "flux-dev": "flux1-dev",
        "flux-1": "flux1-dev",
        "flux-1-schnell": "flux1-schnell",
        "flux.1-schnell": "flux1-schnell",
        "flux.1-dev/kontext": "flux1-kontext",
        "flux.1-dev/inpaint": "flux1-fill",
        "flux.1-fill-dev": "flux1-fill",
        "flux.2-dev": "flux2-dev",
        "flux.2-klein-4b": "flux2-klein-4b",
        "flux.2-klein-9b": "flux2-klein-9b",
        "chroma": "chroma",
        "chroma1": "chroma",
        "chroma-radiance": "chroma-radiance",
        "lumina-2": "lumina2",
        "z-image": "z-image",
        "qwen-image": "qwen-image",
        "qwen-image-edit": "qwen-image-edit",
        "qwen-image-edit-plus": "qwen-image-edit-2509",
        "qwen-image-edit-2511": "qwen-image-edit-2511",
        "krea-2": "krea2",
        "anima": "anima",
        "anima-preview": "anima",
        "anima-unknown": "anima",
        "hidream-i1": "hidream-full",
        "auraflow-v1": "auraflow",
        "ernie-image": "ernie-image",
        "ernie": "ernie-image",
        "hunyuan-image-2.1": "hunyuan-image",
        "hunyuan-image-2_1": "hunyuan-image",
        "hunyuan-image": "hunyuan-image",
        "nvidia-cosmos-predict2-t2i-2b": "cosmos-predict2",
        "nvidia-cosmos-predict2-t2i-14b": "cosmos-predict2",
    }
)
"""``modelspec.architecture``, in lower case, and the family that it says."""
_VERSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sd_v1": "sd15", "sd_v1_v": "sd15", "sd_1.5": "sd15",
        "sd_v2": "sd2", "sd_v2_v": "sd2", "sd_2.1": "sd2",
        "sdxl_base_v1-0": "sdxl", "sdxl_base_v0-9": "sdxl", "sdxl_1.0": "sdxl",
        "medium": "sd3-medium", "5-medium": "sd35-medium", "5-large": "sd35-large",
        "sd_3": "sd3-medium",
        "flux1": "flux1-dev", "flux.1": "flux1-dev",
        "flux_kontext": "flux1-kontext", "flux.1_kontext": "flux1-kontext",
        "flux_2_dev": "flux2-dev", "flux2": "flux2-dev",
        "flux_2_klein_4b": "flux2-klein-4b", "flux2_klein_4b": "flux2-klein-4b",
        "flux_2_klein_9b": "flux2-klein-9b", "flux2_klein_9b": "flux2-klein-9b",
        "chroma": "chroma", "chroma_radiance": "chroma-radiance",
        "lumina2": "lumina2",
        "hunyuan-image-2.1": "hunyuan-image",
        "anima": "anima",
        # Trainers write these for the edit models as well.
        "qwen_image": "qwen-image", "qwen_image_edit": "qwen-image-edit",
        "z_image": "z-image", "zimage": "z-image",
        "krea2": "krea2",
        "auraflow": "auraflow",
        "ernie_image": "ernie-image",
        "hidream_i1": "hidream-full",
    }
)  # fmt: skip
"""``ss_base_model_version``, in lower case, and the family that it says."""
_MODULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "networks.lora_flux": "flux1-dev",
        "networks.lora_lumina": "lumina2",
        "networks.lora_anima": "anima",
        "networks.lora_hunyuan_image": "hunyuan-image",
        "networks.lora_qwen_image": "qwen-image",
        "networks.lora_zimage": "z-image",
        "networks.lora_krea2": "krea2",
    }
)
"""``ss_network_module`` of trainers that know one family, and that family."""
_FOREIGN: Final = re.compile(
    "wan|hunyuan-?video|framepack|ltx|cosmos|kandinsky|minimax|mochi|hidream[-_]o1|omnigen|ideogram"
    "|mage|lens|ovis|longcat|boogu|pid$|pixeldit|pixart|sana|zeta|stable-video|stable-cascade"
    "|segmind|layered|unclip|depth|canny|control-?net|lllite|prx|f-lite"
)
"""Words of architectures that are known, but none of Easel's families."""
_TAILS: Final = (
    "/lora", "/textual-inversion", "/controlnet", "/control-lora", "/control-diffpatch", "/vae",
    "/tensorrt", "/lycoris",
)  # fmt: skip
_VALUE_MAX: Final = 200


@dataclass(frozen=True)
class Told:
    """What metadata tells. ``family`` is a row's name; ``detail`` says which words told it."""

    family: str | None = None
    detail: str = ""
    traits: frozenset[Trait] = frozenset()


def told_by(metadata: Mapping[str, str]) -> Told:
    """Returns what the metadata of a file tells about its model, or that of a LoRA."""
    traits = _traits(metadata)
    for key, table in _SOURCES:
        value = metadata.get(key, "").strip().lower()
        if 0 < len(value) <= _VALUE_MAX:
            family = _family(value, table)
            if family is not None:
                return Told(_chroma(family, metadata), f"{key} {_shown(value)}", traits)
            if _FOREIGN.search(value):
                return Told(None, f"{_shown(value)}, by {key}", traits)
    return Told(traits=traits)


_SOURCES: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("modelspec.architecture", _ARCHITECTURES),
    ("ss_base_model_version", _VERSIONS),
    ("architecture", _ARCHITECTURES),
    ("ss_network_module", _MODULES),
)
"""Where the family is written, the best first; both tables hold for the first two."""


def _family(value: str, table: Mapping[str, str]) -> str | None:
    for tail in _TAILS:
        value = value.removesuffix(tail)
    if table is _MODULES:
        return table.get(value)
    return table.get(value) or _ARCHITECTURES.get(value) or _VERSIONS.get(value)


def _chroma(family: str, metadata: Mapping[str, str]) -> str:
    """Chroma is trained with Flux's trainer, which says so elsewhere."""
    if metadata.get("ss_model_type", "").lower() == "chroma":
        return _VERSIONS["chroma"]
    return family


def _traits(metadata: Mapping[str, str]) -> frozenset[Trait]:
    found: set[Trait] = set()
    predicts = {
        metadata.get(key, "").lower()
        for key in ("modelspec.prediction_type", "modelspec.predict_key")
    }
    version = metadata.get("ss_base_model_version", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    if predicts & {"v", "v_prediction"} or version in {"sd_v1_v", "sd_v2_v"}:
        found.add("v_prediction")
    if metadata.get("ss_zero_terminal_snr", "").lower() == "true":
        found.add("zero_terminal_snr")
    if "refiner" in architecture:
        found.add("refiner")
    if "inpaint" in architecture:
        found.add("inpaint")
    return frozenset(found)


def _shown(value: str) -> str:
    return "".join(letter for letter in value[:60] if letter.isprintable())
