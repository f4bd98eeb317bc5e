"""The settings of a picture as AUTOMATIC1111 writes them into files: many programs read that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

KEYWORD: Final = "parameters"
"""Under which it stands in a PNG."""
_SAMPLERS: Final = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "lms": "LMS",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "ddim": "DDIM",
    "uni_pc": "UniPC",
    "lcm": "LCM",
}
"""ComfyUI's names of samplers; those that are not here are the same in both, or in one only."""
_SCHEDULERS: Final = {
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
}


def infotext(values: Mapping[str, Any]) -> str | None:
    """Returns the text for a request's values by their names; None without a prompt.

    Values that are not there, or are of another type than these names mean, are left out.
    """
    prompt, negative = values.get("prompt"), values.get("negative_prompt")
    if not isinstance(prompt, str) or not prompt:
        return None
    lines = [" ".join([prompt, *_loras(values.get("loras"))])]
    if isinstance(negative, str) and negative:
        lines.append(f"Negative prompt: {negative}")
    settings = ", ".join(f"{name}: {_quoted(text)}" for name, text in _settings(values).items())
    return "\n".join([*lines, settings] if settings else lines)


def _settings(values: Mapping[str, Any]) -> dict[str, str]:
    sampler, scheduler = values.get("sampler"), values.get("scheduler")
    width, height = values.get("width"), values.get("height")
    model = values.get("model")
    found = {
        "Steps": _number(values.get("steps")),
        "Sampler": _SAMPLERS.get(sampler, sampler) if isinstance(sampler, str) else None,
        "Schedule type": (
            _SCHEDULERS.get(scheduler, scheduler) if isinstance(scheduler, str) else None
        ),
        "CFG scale": _number(values.get("cfg")),
        "Seed": _number(values.get("seed")),
        "Size": f"{width}x{height}" if _number(width) and _number(height) else None,
        "Model": _stem(model) if isinstance(model, str) else None,
        "Denoising strength": _number(values.get("denoise")),
        "Clip skip": _number(values.get("clip_skip")),
        "Distilled CFG Scale": _number(values.get("guidance")),
        **_hires(values.get("hires")),
    }
    return {name: text for name, text in found.items() if text}


def _hires(hires: Any) -> dict[str, str | None]:
    """Returns what is told of a second pass, whose denoise is the only one where it is given."""
    if not isinstance(hires, Mapping):
        return {}
    model = hires.get("model")
    found = {
        "Denoising strength": _number(hires.get("denoise")),
        "Hires upscale": _number(hires.get("scale")),
        "Hires steps": _number(hires.get("steps")),
        "Hires upscaler": _stem(model) if isinstance(model, str) else "Latent",
    }
    return {name: text for name, text in found.items() if text}


def _loras(loras: Any) -> Iterator[str]:
    """Yields each LoRA as it is written into prompts; a text encoder's strength comes first."""
    for one in loras if isinstance(loras, list) else ():
        name = one.get("name") if isinstance(one, Mapping) else None
        if not isinstance(name, str):
            continue
        strengths = (_number(one.get("strength_clip")), _number(one.get("strength")))
        told = [text for text in strengths if text]
        yield f"<lora:{':'.join([_stem(name), *told])}>"


def _number(value: Any) -> str | None:
    return f"{value:.10g}" if isinstance(value, float) else str(value) if _is_whole(value) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _stem(model: str) -> str:
    return PurePosixPath(model.replace("\\", "/")).stem


def _quoted(text: str) -> str:
    """Returns a value as AUTOMATIC1111 quotes it: what would end it is in a JSON string."""
    return json.dumps(text, ensure_ascii=False) if {",", ":", "\n"} & set(text) else text
