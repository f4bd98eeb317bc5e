"""The sampling itself, by the chain of nodes that the family wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy.families.family import Family
from comfy.graph import GraphBuilder, Handle, LatentHandle, ModelHandle
from comfy.workflows.building.loading import Loaded
from comfy.workflows.building.texts import Texts
from comfy.workflows.layout import Size


class SigmasHandle(Handle):
    """The noise of each step (``SIGMAS``)."""


@dataclass(frozen=True)
class Run:
    """One run of the sampler. ``size`` is that of the picture, in pixels."""

    latent: LatentHandle
    size: Size
    steps: int
    denoise: float


@dataclass(frozen=True)
class Refining:
    """Another model that draws the last steps, from ``switch_at`` (0…1) on."""

    model: ModelHandle
    texts: Texts
    switch_at: float


def sampled(
    graph: GraphBuilder,
    values: Mapping[str, Any],
    model: ModelHandle,
    texts: Texts,
    family: Family,
    run: Run,
) -> LatentHandle:
    """Add one run of the sampler."""
    if family.chain == "ksampler":
        return graph.ksampler(
            model,
            texts.positive,
            texts.negative,
            run.latent,
            seed=values["seed"],
            steps=run.steps,
            cfg=values["cfg"],
            sampler=values["sampler"],
            scheduler=values["scheduler"],
            denoise=run.denoise,
        )
    sigmas = _sigmas(graph, model, family, run)
    guider = graph.one(
        Handle,
        "CFGGuider",
        model=model,
        positive=texts.positive,
        negative=texts.negative,
        cfg=values["cfg"],
    )
    return graph.one(
        LatentHandle,
        "SamplerCustomAdvanced",
        noise=graph.one(Handle, "RandomNoise", noise_seed=values["seed"]),
        guider=guider,
        sampler=graph.one(Handle, "KSamplerSelect", sampler_name=values["sampler"]),
        sigmas=sigmas,
        latent_image=run.latent,
    )


def _sigmas(graph: GraphBuilder, model: ModelHandle, family: Family, run: Run) -> SigmasHandle:
    if family.chain == "sd_turbo":
        return graph.one(
            SigmasHandle, "SDTurboScheduler", model=model, steps=run.steps, denoise=run.denoise
        )
    sigmas = graph.one(
        SigmasHandle,
        "Flux2Scheduler",
        steps=run.steps,
        width=run.size.width,
        height=run.size.height,
    )
    if run.denoise >= 1:
        return sigmas
    # Less than a whole step would leave nothing to sample (ComfyUI's nodes_custom_sampler.py).
    denoise = max(run.denoise, 1 / run.steps)
    made = graph.add("SplitSigmasDenoise", outputs=2, sigmas=sigmas, denoise=denoise)
    return SigmasHandle(made[0].node_id, 1)


def refined(
    graph: GraphBuilder,
    values: Mapping[str, Any],
    model: ModelHandle,
    texts: Texts,
    refining: Refining,
    run: Run,
) -> LatentHandle:
    """Add two runs that share the steps: the first leaves its noise to the second."""
    first = run.steps - round(run.steps * run.denoise)
    switch = max(first, round(run.steps * refining.switch_at))
    shared = {
        "noise_seed": values["seed"],
        "steps": run.steps,
        "cfg": values["cfg"],
        "sampler_name": values["sampler"],
        "scheduler": values["scheduler"],
    }
    begun = graph.one(
        LatentHandle,
        "KSamplerAdvanced",
        model=model,
        positive=texts.positive,
        negative=texts.negative,
        latent_image=run.latent,
        add_noise="enable",
        start_at_step=first,
        end_at_step=switch,
        return_with_leftover_noise="enable",
        **shared,
    )
    return graph.one(
        LatentHandle,
        "KSamplerAdvanced",
        model=refining.model,
        positive=refining.texts.positive,
        negative=refining.texts.negative,
        latent_image=begun,
        add_noise="disable",
        start_at_step=switch,
        end_at_step=10_000,
        return_with_leftover_noise="disable",
        **shared,
    )


def patched_for_mask(graph: GraphBuilder, loaded: Loaded) -> ModelHandle:
    """Returns the model so that it heeds the soft edges of masks."""
    return graph.one(ModelHandle, "DifferentialDiffusion", model=loaded.model)
