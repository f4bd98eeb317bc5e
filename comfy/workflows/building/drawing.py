"""The graph of every operation that draws: from a text, from an image, within a mask, as edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfy.graph import ConditioningHandle, Graph, ImageHandle, LatentHandle
from comfy.workflows.building.controls import with_controls
from comfy.workflows.building.enlarging import enlarged, enlarged_latent, has_eighths
from comfy.workflows.building.job import Job
from comfy.workflows.building.loading import Loaded, load
from comfy.workflows.building.sampling import Refining, Run, heeding_mask, refined, sampled
from comfy.workflows.building.starting import Start, pasted, start_of
from comfy.workflows.building.texts import Texts, encode, plain
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.layout import Size


def draw(values: Mapping[str, Any], recipe: Recipe, filename_prefix: str) -> Graph:
    """Returns the graph of a request of ``txt2img`` and its kind."""
    job = Job(values, recipe)
    loaded = load(job)
    start = start_of(job)
    texts = encode(job, loaded, start)
    if job.is_masked:
        loaded = replace(loaded, model=heeding_mask(job, loaded.model))
    made, size = _first(job, loaded, texts, start), job.size
    if recipe.hires is not None:
        made, size = _second(job, loaded, texts, start, made, recipe.hires), recipe.hires
    image = job.graph.vae_decode(made, loaded.vae)
    if start is not None:
        image = pasted(job, start, image, size)
    job.graph.save_image(image, filename_prefix)
    return job.graph.build(expected_outputs=job.many, pixels=_saved(job, size).pixels)


def _saved(job: Job, size: Size) -> Size:
    layout = job.recipe.layout
    return layout.padded if layout is not None and layout.pastes else size


# --- the first pass


def _first(job: Job, loaded: Loaded, texts: Texts, start: Start | None) -> LatentHandle:
    loaded, texts = with_controls(job, loaded, texts, start, job.size)
    if start is None:
        latent = _empty(job)
    else:
        texts, latent = _begun(job, loaded, texts, start, start.image)
        latent = _repeated(job, latent)
    run = Run(latent, job.size, job.values["steps"], _denoise(job))
    refining = _refining(job)
    if refining is None:
        return sampled(job, loaded.model, texts, run)
    return refined(job, loaded.model, texts, refining, run)


def _denoise(job: Job) -> float:
    denoise = job.values.get("denoise")
    return 1.0 if denoise is None or job.recipe.layout is None else denoise


def _empty(job: Job) -> LatentHandle:
    width, height = job.size
    return job.graph.one(
        LatentHandle, job.family.latent, width=width, height=height, batch_size=job.many
    )


def _begun(
    job: Job, loaded: Loaded, texts: Texts, start: Start | None, image: ImageHandle
) -> tuple[Texts, LatentHandle]:
    """Returns the latent of an image; an inpaint model sees the mask beside the texts."""
    if start is not None and start.mask is not None and job.inpaints_by_conditioning:
        return _conditioned(job, loaded, texts, start, image)
    latent = job.graph.shared(LatentHandle, "VAEEncode", pixels=image, vae=loaded.vae)
    return texts, _masked(job, latent, start)


def _masked(job: Job, latent: LatentHandle, start: Start | None) -> LatentHandle:
    if start is None or start.mask is None:
        return latent
    return job.graph.one(LatentHandle, "SetLatentNoiseMask", samples=latent, mask=start.mask)


def _conditioned(
    job: Job, loaded: Loaded, texts: Texts, start: Start, image: ImageHandle
) -> tuple[Texts, LatentHandle]:
    assert start.mask is not None  # the caller has seen it
    made = job.graph.add(
        "InpaintModelConditioning",
        outputs=3,
        positive=texts.positive,
        negative=texts.negative,
        vae=loaded.vae,
        pixels=image,
        mask=start.mask,
        noise_mask=True,
    )
    node = made[0].node_id
    seen = Texts(ConditioningHandle(node, 0), ConditioningHandle(node, 1))
    return seen, LatentHandle(node, 2)


def _repeated(job: Job, latent: LatentHandle) -> LatentHandle:
    if job.many == 1:
        return latent
    return job.graph.one(LatentHandle, "RepeatLatentBatch", samples=latent, amount=job.many)


def _refining(job: Job) -> Refining | None:
    refiner = job.values.get("refiner")
    if refiner is None:
        return None
    model, clip, _ = job.graph.checkpoint_loader(refiner["model"])
    if job.is_masked:
        model = heeding_mask(job, model)
    return Refining(model, plain(job, clip), refiner["switch_at"])


# --- the second pass


def _second(
    job: Job, loaded: Loaded, texts: Texts, start: Start | None, made: LatentHandle, size: Size
) -> LatentHandle:
    """Add what was made, enlarged, and drawn once more with all that it was drawn with."""
    hires = job.values["hires"]
    loaded, texts = with_controls(job, loaded, texts, start, size)
    by_conditioning = job.is_masked and job.inpaints_by_conditioning
    if hires["method"] == "latent" and has_eighths(job) and not by_conditioning:
        latent = _masked(job, enlarged_latent(job, made, size), start)
    else:
        image = job.graph.vae_decode(made, loaded.vae)
        larger = enlarged(job.graph, image, hires.get("model"), size)
        texts, latent = _begun(job, loaded, texts, start, larger)
    run = Run(latent, size, hires["steps"], hires["denoise"])
    return sampled(job, loaded.model, texts, run)
