"""What a graph draws: the encoded prompts, and the images that they speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from comfy.families.family import Family
from comfy.graph import ConditioningHandle, GraphBuilder, ImageHandle, LatentHandle
from comfy.workflows.building.loading import Loaded
from comfy.workflows.building.pictures import load_image, scaled
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size

_PLUS: Final = "TextEncodeQwenImageEditPlus"
_NO_TEXT: Final = ""


@dataclass(frozen=True)
class Texts:
    """What is wanted, and what is not."""

    positive: ConditioningHandle
    negative: ConditioningHandle


def encode(
    graph: GraphBuilder, values: Mapping[str, Any], loaded: Loaded, family: Family, recipe: Recipe
) -> Texts:
    """Add the encoded prompts, with the reference images and the guidance of the request."""
    images = _references(graph, values, family, recipe)
    if images and family.edit in ("qwen", "qwen_plus", "qwen_indexed"):
        texts = _qwen(graph, values, loaded, family, images)
    else:
        texts = _plain(graph, values, loaded, family)
        if images:
            texts = _referring(graph, texts, loaded, family, images)
    guidance = values.get("guidance")
    if guidance is None:
        return texts
    guided = graph.one(
        ConditioningHandle, "FluxGuidance", conditioning=texts.positive, guidance=guidance
    )
    return replace(texts, positive=guided)


def _plain(graph: GraphBuilder, values: Mapping[str, Any], loaded: Loaded, family: Family) -> Texts:
    positive = graph.clip_text_encode(loaded.clip, f"{family.preamble}{values['prompt']}")
    if not hears_negative(values):
        return Texts(positive, _nothing(graph, positive))
    return Texts(positive, graph.clip_text_encode(loaded.clip, values["negative_prompt"]))


def hears_negative(values: Mapping[str, Any]) -> bool:
    """Returns whether the negative prompt has an effect: without CFG it is not computed."""
    return bool(values["cfg"] != 1)


def _nothing(graph: GraphBuilder, positive: ConditioningHandle) -> ConditioningHandle:
    """What takes the place of a negative prompt that is not computed: samplers want one."""
    return graph.one(ConditioningHandle, "ConditioningZeroOut", conditioning=positive)


def _references(
    graph: GraphBuilder, values: Mapping[str, Any], family: Family, recipe: Recipe
) -> list[ImageHandle]:
    """Returns the reference images, scaled as the family wants them."""
    given = [load_image(graph, one) for one in values.get("reference_images") or ()]
    if family.edit == "kontext":
        return [_for_kontext(graph, given)] if given else []
    if family.edit != "reference":
        return given  # the encoder scales them itself
    sizes: Sequence[Size | None] = recipe.references or [None] * len(given)
    return [
        one if size is None else _to_size(graph, one, size)
        for one, size in zip(given, sizes, strict=True)
    ]


def _to_size(graph: GraphBuilder, image: ImageHandle, size: Size) -> ImageHandle:
    return scaled(graph, image, Size(0, 0), size)


def _for_kontext(graph: GraphBuilder, images: Sequence[ImageHandle]) -> ImageHandle:
    """Returns one image of all: the model was trained with one. Side by side, as its template."""
    whole = images[0]
    for one in images[1:]:
        whole = graph.one(
            ImageHandle,
            "ImageStitch",
            image1=whole,
            image2=one,
            direction="right",
            match_image_size=True,
            spacing_width=0,
            spacing_color="white",
        )
    return graph.one(ImageHandle, "FluxKontextImageScale", image=whole)


def _referring(
    graph: GraphBuilder,
    texts: Texts,
    loaded: Loaded,
    family: Family,
    images: Sequence[ImageHandle],
) -> Texts:
    positive, negative = texts.positive, texts.negative
    for image in images:
        latent = graph.one(LatentHandle, "VAEEncode", pixels=image, vae=loaded.vae)
        positive = _with_latent(graph, positive, latent)
        if family.edit == "reference":
            negative = _with_latent(graph, negative, latent)
    return Texts(positive, negative)


def _with_latent(
    graph: GraphBuilder, conditioning: ConditioningHandle, latent: LatentHandle
) -> ConditioningHandle:
    return graph.one(
        ConditioningHandle, "ReferenceLatent", conditioning=conditioning, latent=latent
    )


def _qwen(
    graph: GraphBuilder,
    values: Mapping[str, Any],
    loaded: Loaded,
    family: Family,
    images: Sequence[ImageHandle],
) -> Texts:
    if family.edit == "qwen":
        class_type, pictures = "TextEncodeQwenImageEdit", {"image": images[0]}
    else:
        numbered = enumerate(images, start=1)
        class_type, pictures = _PLUS, {f"image{number}": one for number, one in numbered}

    def encoded(text: str) -> ConditioningHandle:
        made = graph.one(
            ConditioningHandle,
            class_type,
            clip=loaded.clip,
            prompt=text,
            vae=loaded.vae,
            **pictures,
        )
        return _indexed(graph, made) if family.edit == "qwen_indexed" else made

    positive = encoded(values["prompt"])
    if not hears_negative(values):
        return Texts(positive, _nothing(graph, positive))
    return Texts(positive, encoded(values.get("negative_prompt") or _NO_TEXT))


def _indexed(graph: GraphBuilder, conditioning: ConditioningHandle) -> ConditioningHandle:
    return graph.one(
        ConditioningHandle,
        "FluxKontextMultiReferenceLatentMethod",
        conditioning=conditioning,
        reference_latents_method="index_timestep_zero",
    )
