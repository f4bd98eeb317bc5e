"""The events of a tracked prompt while it waits and executes."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.messages import OutputFile


@dataclass(frozen=True)
class Queued:
    """The prompt waits in ComfyUI's queue; ``position`` prompts are done before it.

    Of these, ``strangers`` were not submitted by this session.
    """

    position: int
    strangers: int = 0


@dataclass(frozen=True)
class Started:
    """The prompt executes."""


@dataclass(frozen=True)
class Progress:
    """How far the prompt is.

    ``percent`` (0 to 100) never decreases within one track; it weighs sampler steps most.
    ``step`` of ``steps`` is set while a node that counts steps executes.
    """

    percent: float
    step: int | None
    steps: int | None
    node: str | None
    node_class: str | None
    nodes_done: int
    nodes_total: int


@dataclass(frozen=True)
class Preview:
    """A picture of the work so far, encoded as ``content_type``."""

    data: bytes
    content_type: str


@dataclass(frozen=True)
class OutputReady:
    """One finished file can be fetched."""

    file: OutputFile


@dataclass(frozen=True)
class ComfyAway:
    """ComfyUI does not answer; tracking continues when it does."""

    detail: str


@dataclass(frozen=True)
class ComfyBack:
    """ComfyUI answers again."""


TrackEvent = Queued | Started | Progress | Preview | OutputReady | ComfyAway | ComfyBack
