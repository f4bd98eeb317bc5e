"""The sampling itself, by the chain of nodes that the family wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from comfy.graph import Handle, LatentHandle, ModelHandle
from comfy.workflows.building.job import Job
from comfy.workflows.building.texts import Texts
from comfy.workflows.layout import Size

_TURBO_STEPS: Final = 10
"""All that SDTurboScheduler has."""
_ALL_STEPS: Final = 10_000


class SigmasHandle(Handle):
    """The noise of each step (``SIGMAS``)."""


class GuiderHandle(Handle):
    """What a sampler follows (``GUIDER``)."""


class NoiseHandle(Handle):
    """What a sampler starts with (``NOISE``)."""


class SamplerHandle(Handle):
    """How a sampler steps (``SAMPLER``)."""


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


def sampled(job: Job, model: ModelHandle, texts: Texts, run: Run) -> LatentHandle:
    """Add one run of the sampler; at denoise 0 there is nothing to sample."""
    if run.denoise <= 0:
        return run.latent
    values = job.values
    if job.family.chain == "ksampler":
        return job.graph.ksampler(
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
    guider = job.graph.shared(
        GuiderHandle,
        "CFGGuider",
        model=model,
        positive=texts.positive,
        negative=texts.negative,
        cfg=values["cfg"],
    )
    return job.graph.one(
        LatentHandle,
        "SamplerCustomAdvanced",
        noise=job.graph.shared(NoiseHandle, "RandomNoise", noise_seed=values["seed"]),
        guider=guider,
        sampler=job.graph.shared(SamplerHandle, "KSamplerSelect", sampler_name=values["sampler"]),
        sigmas=_sigmas(job, model, run),
        latent_image=run.latent,
    )


def _sigmas(job: Job, model: ModelHandle, run: Run) -> SigmasHandle:
    # Less than a whole step would leave nothing to sample (ComfyUI's nodes_custom_sampler.py).
    if job.family.chain == "sd_turbo":
        return job.graph.one(
            SigmasHandle,
            "SDTurboScheduler",
            model=model,
            steps=min(run.steps, _TURBO_STEPS),
            denoise=max(run.denoise, 1 / _TURBO_STEPS),
        )
    width, height = run.size
    sigmas = job.graph.one(
        SigmasHandle, "Flux2Scheduler", steps=run.steps, width=width, height=height
    )
    if run.denoise >= 1:
        return sigmas
    made = job.graph.add(
        "SplitSigmasDenoise",
        outputs=2,
        sigmas=sigmas,
        denoise=max(run.denoise, 1 / run.steps),
    )
    return SigmasHandle(made[0].node_id, 1)


def refined(
    job: Job, model: ModelHandle, texts: Texts, refining: Refining, run: Run
) -> LatentHandle:
    """Add two runs that share the steps: the first leaves its noise to the second.

    Where one of them would have no step, the other one has all.
    """
    first = run.steps - round(run.steps * run.denoise)
    switch = round(run.steps * refining.switch_at)
    if switch >= run.steps:
        return sampled(job, model, texts, run)
    if switch <= first:
        return sampled(job, refining.model, refining.texts, run)
    begun = _partly(
        job, model, texts, run,
        latent_image=run.latent, add_noise="enable", start_at_step=first, end_at_step=switch,
        return_with_leftover_noise="enable",
    )  # fmt: skip
    return _partly(
        job, refining.model, refining.texts, run,
        latent_image=begun, add_noise="disable", start_at_step=switch, end_at_step=_ALL_STEPS,
        return_with_leftover_noise="disable",
    )  # fmt: skip


def _partly(job: Job, model: ModelHandle, texts: Texts, run: Run, **part: Any) -> LatentHandle:
    return job.graph.one(
        LatentHandle,
        "KSamplerAdvanced",
        model=model,
        positive=texts.positive,
        negative=texts.negative,
        noise_seed=job.values["seed"],
        steps=run.steps,
        cfg=job.values["cfg"],
        sampler_name=job.values["sampler"],
        scheduler=job.values["scheduler"],
        **part,
    )


def heeding_mask(job: Job, model: ModelHandle) -> ModelHandle:
    """Returns the model so that it heeds the soft edges of masks."""
    return job.graph.shared(ModelHandle, "DifferentialDiffusion", model=model)
