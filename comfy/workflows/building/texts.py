"""What a graph draws: the encoded prompts, and the images that they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from comfy.graph import ClipHandle, ConditioningHandle, GraphBuilder, ImageHandle, LatentHandle
from comfy.workflows.building.job import Job
from comfy.workflows.building.loading import Loaded
from comfy.workflows.building.pictures import scaled
from comfy.workflows.building.starting import Start

_QWEN: Final = ("qwen", "qwen_plus", "qwen_indexed")


@dataclass(frozen=True)
class Texts:
    """What is wanted, and what is not."""

    positive: ConditioningHandle
    negative: ConditioningHandle


def encode(job: Job, loaded: Loaded, start: Start | None) -> Texts:
    """Add the encoded prompts, with the images that the model is to look at, and the guidance."""
    images = _references(job, start)
    if images and job.family.edit in _QWEN:
        texts = _with_pictures(job, loaded, images)
    else:
        texts = _referring(job, plain(job, loaded.clip), loaded, images)
    guidance = job.values.get("guidance")
    if guidance is None or job.family.defaults.guidance is None:
        return texts
    guided = job.graph.one(
        ConditioningHandle, "FluxGuidance", conditioning=texts.positive, guidance=guidance
    )
    return replace(texts, positive=guided)


def plain(job: Job, clip: ClipHandle) -> Texts:
    """Add the prompts, encoded by themselves."""
    positive = job.graph.clip_text_encode(clip, f"{job.family.preamble}{job.values['prompt']}")
    if not job.hears_negative:
        return Texts(positive, _nothing(job.graph, positive))
    return Texts(positive, job.graph.clip_text_encode(clip, _negative(job)))


def _negative(job: Job) -> str:
    return job.values.get("negative_prompt") or ""


def _nothing(graph: GraphBuilder, positive: ConditioningHandle) -> ConditioningHandle:
    """What takes the place of a negative prompt that is not computed: samplers want one."""
    return graph.one(ConditioningHandle, "ConditioningZeroOut", conditioning=positive)


# --- reference images


def _references(job: Job, start: Start | None) -> tuple[ImageHandle, ...]:
    """Returns the images that the model looks at, scaled as its family wants them.

    A start image comes first where the model changes it within a mask, or makes nothing without an
    image.
    """
    family = job.family
    if family.edit is None:
        return ()
    given = tuple(job.graph.load_image(one) for one in job.values.get("reference_images") or ())
    is_looked_at = job.is_masked or (family.needs_reference and not given)
    own = (start.image,) if start is not None and is_looked_at else ()
    if family.edit == "kontext":
        return (*own, *_for_kontext(job.graph, given))
    if family.edit == "reference":
        return (*own, *_sized(job, given))
    return (*own, *given)  # the encoder scales them itself


def _sized(job: Job, images: Sequence[ImageHandle]) -> tuple[ImageHandle, ...]:
    sizes = job.recipe.references
    if len(sizes) != len(images):  # of images that could not be looked at
        return tuple(images)
    return tuple(scaled(job.graph, one, size) for one, size in zip(images, sizes, strict=True))


def _for_kontext(graph: GraphBuilder, images: Sequence[ImageHandle]) -> tuple[ImageHandle, ...]:
    """Returns one image of all: the model was trained with one. Side by side, as its template."""
    if not images:
        return ()
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
    return (graph.one(ImageHandle, "FluxKontextImageScale", image=whole),)


def _referring(job: Job, texts: Texts, loaded: Loaded, images: Sequence[ImageHandle]) -> Texts:
    """Add the images to the texts. Kontext's negative has none, as in its template."""
    for image in images:
        latent = job.graph.shared(LatentHandle, "VAEEncode", pixels=image, vae=loaded.vae)
        texts = replace(texts, positive=_with_latent(job.graph, texts.positive, latent))
        if job.family.edit == "reference":
            texts = replace(texts, negative=_with_latent(job.graph, texts.negative, latent))
    return texts


def _with_latent(
    graph: GraphBuilder, conditioning: ConditioningHandle, latent: LatentHandle
) -> ConditioningHandle:
    return graph.one(
        ConditioningHandle, "ReferenceLatent", conditioning=conditioning, latent=latent
    )


def _with_pictures(job: Job, loaded: Loaded, images: Sequence[ImageHandle]) -> Texts:
    """Add the prompts, encoded with the images by an encoder that sees."""
    if job.family.edit == "qwen":
        class_type, pictures = "TextEncodeQwenImageEdit", {"image": images[0]}
    else:
        numbered = enumerate(images, start=1)
        class_type = "TextEncodeQwenImageEditPlus"
        pictures = {f"image{number}": one for number, one in numbered}

    def encoded(text: str) -> ConditioningHandle:
        made = job.graph.one(
            ConditioningHandle,
            class_type,
            clip=loaded.clip,
            prompt=text,
            vae=loaded.vae,
            **pictures,
        )
        return _indexed(job.graph, made) if job.family.edit == "qwen_indexed" else made

    positive = encoded(job.values["prompt"])
    if not job.hears_negative:
        return Texts(positive, _nothing(job.graph, positive))
    return Texts(positive, encoded(_negative(job)))


def _indexed(graph: GraphBuilder, conditioning: ConditioningHandle) -> ConditioningHandle:
    return graph.one(
        ConditioningHandle,
        "FluxKontextMultiReferenceLatentMethod",
        conditioning=conditioning,
        reference_latents_method="index_timestep_zero",
    )
