"""Requests of built-in workflows, and a ComfyUI that has everything for each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from comfy import Catalogue, UnresolvableError, build_graph, resolve
from comfy.families.models import ModelFile, Models
from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.workflows import BUILT_IN
from comfy.workflows.known import Known, Mask
from comfy.workflows.layout import Box, Size
from core.requests import GenerationRequest, ResolvedRequest, read_request_of

PROMPT_ID: Final = "5639d90e-28a5-4d05-a345-87b00e8a3451"
IMAGE: Final = f"upload:{'a' * 64}"
MASK: Final = f"upload:{'b' * 64}"
OTHER: Final = f"upload:{'c' * 64}"
NORMALISED: Final = f"upload:{'d' * 64}"
"""What the mask becomes when it is turned."""

ENCODERS: Final = (
    "byt5_small_glyphxl_fp16.safetensors",
    "clip_g.safetensors",
    "clip_g_hidream.safetensors",
    "clip_l.safetensors",
    "clip_l_hidream.safetensors",
    "gemma_2_2b_fp16.safetensors",
    "llama_3.1_8b_instruct_fp8_scaled.safetensors",
    "ministral-3-3b.safetensors",
    "mistral_3_small_flux2_fp8.safetensors",
    "oldt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "qwen3vl_4b_fp8_scaled.safetensors",
    "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "qwen_3_06b_base.safetensors",
    "qwen_3_4b.safetensors",
    "qwen_3_8b_fp8mixed.safetensors",
    "t5xxl_fp8_e4m3fn_scaled.safetensors",
)
VAES: Final = (
    "ae.safetensors",
    "flux2-vae.safetensors",
    "hunyuan_image_2.1_vae_fp16.safetensors",
    "qwen_image_vae.safetensors",
    "sd3_vae.safetensors",
    "sdxl_vae.safetensors",
    "vae-ft-mse-840000-ema-pruned.safetensors",
    "wan_2.1_vae.safetensors",
)


def model(family: str) -> str:
    return f"{family}.safetensors"


def folder(family: str) -> str:
    return "checkpoints" if FAMILIES[family].parts is None else "diffusion_models"


def of_family(family: str) -> ModelFile:
    return ModelFile(folder(family), model(family), family, "header")


_SD: Final = tuple(
    ModelFile("checkpoints", f"whole-{name}.safetensors", name, "header")
    for name in FAMILIES
    if FAMILIES[name].base in ("sd15", "sdxl")
)
_BASES: Final = tuple(dict.fromkeys(one.base for one in FAMILIES.values()))
MODELS: Final = (
    *map(of_family, FAMILIES),
    *_SD,
    *(ModelFile("loras", f"lora-{base}.safetensors", base, "header") for base in _BASES),
    *(ModelFile("controlnet", f"net-{base}.safetensors", base, "header") for base in _BASES),
    *(ModelFile("model_patches", f"patch-{base}.safetensors", base, "header") for base in _BASES),
)
CATALOGUE: Final = Catalogue(
    checkpoints=tuple(one.name for one in MODELS if one.folder == "checkpoints"),
    diffusion_models=tuple(one.name for one in MODELS if one.folder == "diffusion_models"),
    text_encoders=ENCODERS,
    vaes=VAES,
    loras=tuple(one.name for one in MODELS if one.folder == "loras"),
    controlnets=tuple(one.name for one in MODELS if one.folder == "controlnet"),
    model_patches=tuple(one.name for one in MODELS if one.folder == "model_patches"),
    upscalers=("2x.safetensors", "4x.pth"),
    embeddings=("easynegative", "styles/noir"),
    samplers=(
        "dpmpp_2m",
        "dpmpp_sde",
        "euler",
        "euler_ancestral",
        "lcm",
        "res_multistep",
        "uni_pc",
    ),
    schedulers=("beta", "karras", "normal", "sgm_uniform", "simple"),
    version="0.33.0",
)


WHITE: Final = Box(100, 120, 80, 40)


@dataclass(frozen=True)
class Album:
    """Pictures whose sizes are known; ``box`` is what is white of every mask."""

    sizes: Mapping[str, Size] = field(
        default_factory=lambda: {
            IMAGE: Size(640, 480),
            MASK: Size(640, 480),
            NORMALISED: Size(640, 480),
            OTHER: Size(1200, 600),
        }
    )
    box: Box | None = WHITE

    def size(self, reference: str) -> Size | None:
        return self.sizes.get(reference)

    def mask(self, reference: str, *, invert: bool) -> Mask | None:
        size = self.sizes.get(reference)
        if size is None:
            return None
        return Mask(NORMALISED if invert else reference, size, self.box)


KNOWN: Final = Known(CATALOGUE, models=Models.of(MODELS), pictures=Album())


def known(*files: ModelFile, **changes: Any) -> Known:
    """What is known of a ComfyUI that has these files besides all others, with changes."""
    told = replace(KNOWN, models=Models.of((*files, *MODELS)))
    there: dict[str, Any] = {}
    for one in files:
        name = {"controlnet": "controlnets"}.get(one.folder, one.folder)
        there[name] = (*there.get(name, getattr(CATALOGUE, name)), one.name)
    return replace(told, catalogue=replace(CATALOGUE, **there), **changes)


def asked(workflow: str = "txt2img", **inputs: Any) -> GenerationRequest:
    if workflow != "upscale":
        inputs = {"prompt": "a red fox", **inputs}
    fields = {"workflow": workflow, **inputs}
    return read_request_of(GenerationRequest, fields, BUILT_IN[workflow])


def resolved(workflow: str = "txt2img", known: Known = KNOWN, **inputs: Any) -> ResolvedRequest:
    return resolve(asked(workflow, **inputs), BUILT_IN[workflow], known)


def again(request: ResolvedRequest, known: Known = KNOWN) -> ResolvedRequest:
    """The values that a request was given, asked for."""
    fields = {"workflow": request.workflow, **request.inputs}
    workflow = BUILT_IN[request.workflow]
    return resolve(read_request_of(GenerationRequest, fields, workflow), workflow, known)


def graph(request: ResolvedRequest) -> Graph:
    return build_graph(request, PROMPT_ID)


def notices(request: ResolvedRequest) -> dict[str, tuple[str | int, ...]]:
    """Where each notice is, by its code."""
    return {one.code: one.loc for one in request.plan.notices}


def said(request: ResolvedRequest, code: str) -> str:
    [message] = [one.message for one in request.plan.notices if one.code == code]
    return message


def problems(
    workflow: str = "txt2img", known: Known = KNOWN, **inputs: Any
) -> dict[tuple[str | int, ...], tuple[str, str]]:
    """The code and the message of each problem, by its place."""
    with pytest.raises(UnresolvableError) as caught:
        resolved(workflow, known, **inputs)
    return {one.loc: (one.code, one.message) for one in caught.value.problems}
