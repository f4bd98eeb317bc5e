"""Which file of a ComfyUI's list is a given text encoder or VAE.

The names are those of ComfyUI's official templates, of krita-ai-diffusion's and SwarmUI's
downloads, and of the usual GGUF conversions. They match whole words only: lists have files whose
names contain another's ("umt5_xxl", "clip_l_hidream", "…vae" in which "ae" is).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from comfy.families.family import Encoder, Vae

_GGUF: Final = ".gguf"
"""Files that need the node pack ComfyUI-GGUF."""
_ENCODER_FILES: Final = (".safetensors", ".sft", _GGUF)
_VAE_FILES: Final = (".safetensors", ".sft", ".ckpt", ".pt", ".pth")
_NEVER_ENCODERS: Final = re.compile("mmproj|prompt-?enhancer|embedding|reranker|unchained")
"""The vision part of a GGUF, which its loader finds by itself; what rewrites prompts or ranks; a T5
with words that ComfyUI does not have."""
_NOT_HIDREAM: Final = "(?!-hi-?dream)"
_NOT_OLD: Final = "(?<!old-)(?<!flan-)"
_SUFFIX: Final = "(-(bf16|fp16|fp32))?"

_ENCODERS: Final[Mapping[Encoder, tuple[str, ...]]] = MappingProxyType(
    {
        "clip_l": (f"(?<!long-)clip-l{_NOT_HIDREAM}", "vit-l-14-text"),
        "clip_g": (f"(?<!long-)clip-g{_NOT_HIDREAM}",),
        "t5xxl": (
            f"{_NOT_OLD}t5-?xxl-fp16",
            f"{_NOT_OLD}t5-?xxl-fp8-e4m3fn",
            f"{_NOT_OLD}t5-v1-1-xxl",
            f"{_NOT_OLD}t5-?xxl",
        ),
        "old_t5xxl": ("old-?t5-?xxl",),
        "clip_l_hidream": ("(long-)?clip-l-hi-?dream",),
        "clip_g_hidream": ("(long-)?clip-g-hi-?dream",),
        "llama_3.1_8b": ("llama-?3-1-8b",),
        "mistral_3_small": ("mistral-3-small-flux-?2", "mistral-3-small", "mistral-small-3"),
        "ministral_3_3b": ("ministral-3-3b", "ministral-?3b"),
        "qwen_2.5_vl_7b": ("qwen-?2-5-?vl-7b",),
        "byt5_glyph": ("byt5-small-glyphxl", "byt5-glyph(xl)?"),
        "qwen_3_0.6b": ("qwen-?3-06b", "qwen-?3-0-6b", "qwen-?3-600m"),
        "qwen_3_4b": ("qwen-?3-4b",),
        "qwen_3_8b": ("qwen-?3-8b",),
        "qwen_3_vl_4b": ("qwen-?3-?vl-4b",),
        "gemma_2_2b": ("gemma-?2-2b",),
    }
)
_VAES: Final[Mapping[Vae, tuple[str, ...]]] = MappingProxyType(
    {
        "sd15": ("vae-ft-mse-840000-ema", "vae-ft-mse", "vae-ft-ema"),
        "sdxl": ("sdxl-vae",),
        "sd3": ("sd-?3-vae", "sd-?3-?5(-(large|medium))?-vae"),
        "flux1": (
            f"(.*/)?ae{_SUFFIX}",
            "flux-?1?-(vae|ae)",
            "flux-?1-(dev|schnell)-(vae|ae)",
            "flux-?1?(-(dev|schnell))?/(vae|diffusion-pytorch-model)",
            "z-?image(-turbo)?-(vae|ae)",
        ),
        "flux2": (
            "flux-?2-(vae|ae)(?!-small)",
            "full-encoder-small-decoder",
            "flux-?2(-dev)?/(vae|ae|diffusion-pytorch-model)",
        ),
        "qwen_image": ("qwen-image-vae", "qwen-vae"),
        "wan_2.1": ("wan-?2-1-vae",),
        "hunyuan_image": ("hunyuan-?image-2-1-vae", "hunyuan-?image-vae"),
        "pixel_space": (),
    }
)
_PIXEL_SPACE: Final = "pixel_space"
"""What ComfyUI itself lists among its VAEs: no file."""
_WHOLE: Final = frozenset({f"(.*/)?ae{_SUFFIX}"})
"""Patterns that are the whole name, not words of it."""

_USUAL: Final[Mapping[Encoder | Vae, str]] = MappingProxyType(
    {
        "clip_l": "clip_l.safetensors",
        "clip_g": "clip_g.safetensors",
        "t5xxl": "t5xxl_fp8_e4m3fn_scaled.safetensors",
        "old_t5xxl": "oldt5_xxl_fp8_e4m3fn_scaled.safetensors",
        "clip_l_hidream": "clip_l_hidream.safetensors",
        "clip_g_hidream": "clip_g_hidream.safetensors",
        "llama_3.1_8b": "llama_3.1_8b_instruct_fp8_scaled.safetensors",
        "mistral_3_small": "mistral_3_small_flux2_fp8.safetensors",
        "ministral_3_3b": "ministral-3-3b.safetensors",
        "qwen_2.5_vl_7b": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "byt5_glyph": "byt5_small_glyphxl_fp16.safetensors",
        "qwen_3_0.6b": "qwen_3_06b_base.safetensors",
        "qwen_3_4b": "qwen_3_4b.safetensors",
        "qwen_3_8b": "qwen_3_8b_fp8mixed.safetensors",
        "qwen_3_vl_4b": "qwen3vl_4b_fp8_scaled.safetensors",
        "gemma_2_2b": "gemma_2_2b_fp16.safetensors",
        "sd15": "vae-ft-mse-840000-ema-pruned.safetensors",
        "sdxl": "sdxl_vae.safetensors",
        "sd3": "sd3_vae.safetensors",
        "flux1": "ae.safetensors",
        "flux2": "flux2-vae.safetensors",
        "qwen_image": "qwen_image_vae.safetensors",
        "wan_2.1": "wan_2.1_vae.safetensors",
        "hunyuan_image": "hunyuan_image_2.1_vae_fp16.safetensors",
    }
)


def find_encoder(kind: Encoder, names: Iterable[str]) -> str | None:
    """Returns which of ``names`` is that text encoder, None if none is.

    ``names`` are those that ComfyUI lists for its text encoder loaders, GGUF's too. Of several
    the most usual one counts; of those with the same words what ComfyUI itself can load, then the
    shortest.
    """
    fitting = (name for name in names if not _NEVER_ENCODERS.search(_words(name)))
    return _best(_ENCODERS[kind], _ENCODER_FILES, fitting)


def find_vae(kind: Vae, names: Iterable[str]) -> str | None:
    """Returns which of ``names``, as VAELoader lists them, is that VAE; None if none is."""
    if kind == _PIXEL_SPACE:
        return next((name for name in names if name == _PIXEL_SPACE), None)
    return _best(_VAES[kind], _VAE_FILES, names)


def missing_part(kind: Encoder | Vae) -> str:
    """Returns what is missing and where it belongs, for people: a usual file and its folder."""
    if kind == _PIXEL_SPACE:
        return "the VAE pixel_space, which ComfyUI 0.3.60 and later bring along"
    if kind in _ENCODERS:
        return f"a text encoder such as models/text_encoders/{_USUAL[kind]} in ComfyUI's folder"
    return f"a VAE such as models/vae/{_USUAL[kind]} in ComfyUI's folder"


def _best(patterns: tuple[str, ...], endings: tuple[str, ...], names: Iterable[str]) -> str | None:
    found = [
        (rank, name.lower().endswith(_GGUF), len(name), name)
        for name in names
        if name.lower().endswith(endings)
        if (rank := _rank(patterns, _words(name))) is not None
    ]
    return min(found)[3] if found else None


def _rank(patterns: tuple[str, ...], words: str) -> int | None:
    for rank, pattern in enumerate(patterns):
        if pattern in _WHOLE:
            matches = re.fullmatch(pattern, words) is not None
        else:
            matches = re.search(f"(?<![a-z0-9]){pattern}(?![a-z0-9])", words) is not None
        if matches:
            return rank
    return None


def _words(name: str) -> str:
    """Returns a name without its ending: lower case, folders by ``/``, all else by ``-``."""
    stem, dot, _ = name.lower().replace("\\", "/").rpartition(".")
    return re.sub("[^a-z0-9/]+", "-", stem if dot else name)
