"""Every way in which ComfyUI can fail, and an example of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comfy.errors import (
    ComfyError,
    ExecutionFailedError,
    PaidNodesError,
    WorkflowRejectedError,
)
from core.problems import FieldProblem


def _kinds(of: type[ComfyError]) -> Iterator[type[ComfyError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


ALL: Final = sorted(set(_kinds(ComfyError)), key=lambda kind: kind.__name__)


def an_example(kind: type[ComfyError]) -> ComfyError:
    if issubclass(kind, ExecutionFailedError):
        return kind("5", "KSampler", "tensor sizes differ\nTraceback …", "RuntimeError")
    if issubclass(kind, WorkflowRejectedError):
        node = FieldProblem.of_node(
            "4", "CheckpointLoaderSimple", "ckpt_name", "value_not_in_list", "gone"
        )
        return kind("rejected", (node,))
    if issubclass(kind, PaidNodesError):
        return kind(("PaidImage",))
    return kind("what happened")
