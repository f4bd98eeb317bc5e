"""Loads a family's models: from one file or from parts, with LoRAs and what the family changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.families.family import Family, Patch
from comfy.graph import ClipHandle, GraphBuilder, ModelHandle, VaeHandle
from comfy.workflows.building.job import Job

_GGUF: Final = ".gguf"
_LOADERS: Final = {
    1: "CLIPLoader",
    2: "DualCLIPLoader",
    3: "TripleCLIPLoader",
    4: "QuadrupleCLIPLoader",
}
_TYPED_MAX: Final = 2
"""The loaders of more text encoders have no ``type``."""
_UNTYPED: Final[Mapping[str, str]] = {
    "sd3": "sd3",
    "sd35-large": "sd3",
    "sd35-medium": "sd3",
    "hidream": "hidream",
    "auraflow": "chroma",
}
"""``type`` by the base of families that need none with all their encoders, or bring them along."""
_DISCRETE: Final = "ModelSamplingDiscrete"


@dataclass(frozen=True)
class Loaded:
    """A model, its text encoder and its VAE."""

    model: ModelHandle
    clip: ClipHandle
    vae: VaeHandle


def load(job: Job) -> Loaded:
    """Add the loaders, the LoRAs in their order, clip skip, and what the family changes.

    ``text_encoders`` and ``vae`` replace what a checkpoint has inside.
    """
    loaded = _with_loras(job, _files(job))
    skip = job.values.get("clip_skip") or 1
    if job.family.has_clip_skip and skip > 1:
        clip = job.graph.one(
            ClipHandle, "CLIPSetLastLayer", clip=loaded.clip, stop_at_clip_layer=-skip
        )
        loaded = replace(loaded, clip=clip)
    for patch in (*_predicting(job), *job.family.patches):
        loaded = _patched(job.graph, loaded, patch)
    return loaded


def _files(job: Job) -> Loaded:
    graph, name = job.graph, job.values["model"]
    encoders, vae = job.values.get("text_encoders"), job.values.get("vae")
    if job.recipe.folder == "checkpoints":
        model, clip, own_vae = graph.checkpoint_loader(name)
        return Loaded(
            model,
            _encoder(graph, encoders, job.family) if encoders else clip,
            _vae(graph, vae) if vae else own_vae,
        )
    if _is_gguf(name):
        model = graph.one(ModelHandle, "UnetLoaderGGUF", unet_name=name)
    else:
        model = graph.one(ModelHandle, "UNETLoader", unet_name=name, weight_dtype="default")
    return Loaded(
        model,
        _encoder(graph, job.values["text_encoders"], job.family),
        _vae(graph, job.values["vae"]),
    )


def _encoder(graph: GraphBuilder, names: Sequence[str], family: Family) -> ClipHandle:
    """Add the loader of one to four text encoders; GGUF's own where one of them is such a file."""
    is_gguf = any(map(_is_gguf, names))
    several = len(names) > 1
    files = {
        f"clip_name{number}" if several else "clip_name": name
        for number, name in enumerate(names, start=1)
    }
    more: dict[str, str] = {}
    if len(names) <= _TYPED_MAX:
        more["type"] = _clip_type(family)
        if not is_gguf:
            more["device"] = "default"
    return graph.one(ClipHandle, _LOADERS[len(names)] + "GGUF" * is_gguf, **files, **more)


def _clip_type(family: Family) -> str:
    own = family.parts.clip_type if family.parts is not None else None
    return own or _UNTYPED.get(family.base, "stable_diffusion")


def _vae(graph: GraphBuilder, name: str) -> VaeHandle:
    return graph.one(VaeHandle, "VAELoader", vae_name=name)


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(_GGUF)


def _with_loras(job: Job, loaded: Loaded) -> Loaded:
    for lora in job.values.get("loras") or ():
        reaches = job.family.lora_reaches_encoder
        loaded = (_both if reaches else _model_only)(job.graph, loaded, lora)
    return loaded


def _both(graph: GraphBuilder, loaded: Loaded, lora: Mapping[str, Any]) -> Loaded:
    of_clip = lora.get("strength_clip")
    made = graph.add(
        "LoraLoader",
        outputs=2,
        model=loaded.model,
        clip=loaded.clip,
        lora_name=lora["name"],
        strength_model=lora["strength"],
        strength_clip=lora["strength"] if of_clip is None else of_clip,
    )
    node = made[0].node_id
    return replace(loaded, model=ModelHandle(node, 0), clip=ClipHandle(node, 1))


def _model_only(graph: GraphBuilder, loaded: Loaded, lora: Mapping[str, Any]) -> Loaded:
    model = graph.one(
        ModelHandle,
        "LoraLoaderModelOnly",
        model=loaded.model,
        lora_name=lora["name"],
        strength_model=lora["strength"],
    )
    return replace(loaded, model=model)


def _predicting(job: Job) -> tuple[Patch, ...]:
    """Returns what makes a file of v-prediction one for ComfyUI, where its family does not."""
    traits = job.recipe.traits
    is_patched = any(patch.class_type == _DISCRETE for patch in job.family.patches)
    if "v_prediction" not in traits or is_patched:
        return ()
    zsnr = "zero_terminal_snr" in traits
    return (Patch(_DISCRETE, (("sampling", "v_prediction"), ("zsnr", zsnr))),)


def _patched(graph: GraphBuilder, loaded: Loaded, patch: Patch) -> Loaded:
    values = dict(patch.values)
    if patch.is_of_encoder:
        clip = graph.one(ClipHandle, patch.class_type, clip=loaded.clip, **values)
        return replace(loaded, clip=clip)
    return replace(
        loaded, model=graph.one(ModelHandle, patch.class_type, model=loaded.model, **values)
    )
