"""Loads a family's models: from one file or from parts, with LoRAs and what the family changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comfy.families.family import Family
from comfy.graph import ClipHandle, GraphBuilder, ModelHandle, VaeHandle
from comfy.workflows.builtin.recipe import Recipe

_GGUF = ".gguf"
_LOADERS = {2: "DualCLIPLoader", 3: "TripleCLIPLoader", 4: "QuadrupleCLIPLoader"}


@dataclass(frozen=True)
class Loaded:
    """A model, its text encoder and its VAE."""

    model: ModelHandle
    clip: ClipHandle
    vae: VaeHandle


def load(graph: GraphBuilder, values: Mapping[str, Any], family: Family, recipe: Recipe) -> Loaded:
    """Add the loaders, the LoRAs in their order, clip skip, and the family's patches."""
    loaded = _files(graph, values, family, recipe)
    loaded = _with_loras(graph, loaded, values.get("loras") or (), family)
    skip = values.get("clip_skip") or 1
    if skip > 1:
        clip = graph.one(ClipHandle, "CLIPSetLastLayer", clip=loaded.clip, stop_at_clip_layer=-skip)
        loaded = replace(loaded, clip=clip)
    return _patched(graph, loaded, family)


def _files(
    graph: GraphBuilder, values: Mapping[str, Any], family: Family, recipe: Recipe
) -> Loaded:
    name, encoders, vae = values["model"], values.get("text_encoders"), values.get("vae")
    if recipe.folder == "checkpoints":
        model, clip, own_vae = graph.checkpoint_loader(name)
        return Loaded(
            model,
            encoder(graph, encoders, _clip_type(family)) if encoders else clip,
            vae_loader(graph, vae) if vae else own_vae,
        )
    if name.lower().endswith(_GGUF):
        model = graph.one(ModelHandle, "UnetLoaderGGUF", unet_name=name)
    else:
        model = graph.one(ModelHandle, "UNETLoader", unet_name=name, weight_dtype="default")
    return Loaded(model, encoder(graph, encoders or (), _clip_type(family)), vae_loader(graph, vae))


def _clip_type(family: Family) -> str | None:
    return family.parts.clip_type if family.parts is not None else None


def encoder(graph: GraphBuilder, names: Sequence[str], clip_type: str | None) -> ClipHandle:
    """Add the loader of one to four text encoders; GGUF's own where one of them is such a file."""
    suffix = "GGUF" if any(name.lower().endswith(_GGUF) for name in names) else ""
    typed: dict[str, Any] = {} if clip_type is None else {"type": clip_type}
    device: dict[str, Any] = {} if suffix else {"device": "default"}
    if len(names) == 1:
        found = {"clip_name": names[0], **typed, **device}
        return graph.one(ClipHandle, f"CLIPLoader{suffix}", **found)
    numbered: dict[str, Any] = {
        f"clip_name{number}": name for number, name in enumerate(names, start=1)
    }
    if len(names) == 2:
        numbered |= {**typed, **device}
    return graph.one(ClipHandle, f"{_LOADERS[len(names)]}{suffix}", **numbered)


def vae_loader(graph: GraphBuilder, name: str | None) -> VaeHandle:
    """Add the loader of a VAE."""
    return graph.one(VaeHandle, "VAELoader", vae_name=name or "")


def _with_loras(
    graph: GraphBuilder, loaded: Loaded, loras: Sequence[Mapping[str, Any]], family: Family
) -> Loaded:
    for lora in loras:
        strength = lora["strength"]
        if family.lora_reaches_encoder:
            of_clip = lora.get("strength_clip")
            node = graph.add(
                "LoraLoader",
                outputs=2,
                model=loaded.model,
                clip=loaded.clip,
                lora_name=lora["name"],
                strength_model=strength,
                strength_clip=strength if of_clip is None else of_clip,
            )
            model, clip = ModelHandle(node[0].node_id, 0), ClipHandle(node[0].node_id, 1)
            loaded = replace(loaded, model=model, clip=clip)
        else:
            model = graph.one(
                ModelHandle,
                "LoraLoaderModelOnly",
                model=loaded.model,
                lora_name=lora["name"],
                strength_model=strength,
            )
            loaded = replace(loaded, model=model)
    return loaded


def _patched(graph: GraphBuilder, loaded: Loaded, family: Family) -> Loaded:
    for patch in family.patches:
        values = dict(patch.values)
        if patch.is_of_encoder:
            clip = graph.one(ClipHandle, patch.class_type, clip=loaded.clip, **values)
            loaded = replace(loaded, clip=clip)
        else:
            model = graph.one(ModelHandle, patch.class_type, model=loaded.model, **values)
            loaded = replace(loaded, model=model)
    return loaded
