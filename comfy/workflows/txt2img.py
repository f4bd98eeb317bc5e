"""Text to image: one checkpoint, one sampler, one saved batch."""

from __future__ import annotations

from comfy.graph import Graph, GraphBuilder
from core.requests import ResolvedRequest


def build(request: ResolvedRequest, filename_prefix: str) -> Graph:
    """Returns the workflow of a request. Pure: the same request gives the same graph."""
    graph = GraphBuilder()
    model, clip, vae = graph.checkpoint_loader(request.model)
    positive = graph.clip_text_encode(clip, request.prompt)
    negative = graph.clip_text_encode(clip, request.negative_prompt)
    empty = graph.empty_latent(request.width, request.height, request.batch_size)
    drawn = graph.ksampler(
        model,
        positive,
        negative,
        empty,
        seed=request.seed,
        steps=request.steps,
        cfg=request.cfg,
        sampler=request.sampler,
        scheduler=request.scheduler,
    )
    graph.save_image(graph.vae_decode(drawn, vae), filename_prefix)
    return graph.build(expected_outputs=request.batch_size, pixels=request.width * request.height)
