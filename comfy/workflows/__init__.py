"""Templates: named workflows with inputs, from a request to a graph, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from comfy.graph import Workflow
from comfy.workflows import txt2img
from comfy.workflows.families import SD15, SDXL, Family, family_of
from comfy.workflows.resolve import FieldProblemTuple, UnresolvableError, resolve
from core.ids import filename_prefix
from core.requests import ResolvedRequest, WorkflowName

__all__ = [
    "SD15",
    "SDXL",
    "TEMPLATES",
    "Family",
    "FieldProblemTuple",
    "Template",
    "UnresolvableError",
    "build_workflow",
    "family_of",
    "resolve",
]


@dataclass(frozen=True)
class Template:
    """A named workflow; ``build`` makes its graph from a request and a filename prefix."""

    name: WorkflowName
    title: str
    build: Callable[[ResolvedRequest, str], Workflow]


TEMPLATES: Final[Mapping[WorkflowName, Template]] = MappingProxyType(
    {"txt2img": Template("txt2img", "Text to image", txt2img.build)}
)


def build_workflow(request: ResolvedRequest, prompt_id: str) -> Workflow:
    """The graph of a request, saving under the prompt's own unique file names."""
    return TEMPLATES[request.workflow].build(request, filename_prefix(prompt_id))
