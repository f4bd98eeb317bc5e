"""Templates: named workflows with inputs, from a request to a graph, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from comfy.graph import Graph
from comfy.workflows import txt2img
from comfy.workflows.families import SD15, SDXL, Family, family_of
from comfy.workflows.resolve import UnresolvableError, resolve
from core.ids import filename_prefix
from core.requests import ResolvedRequest, WorkflowName

__all__ = [
    "SD15",
    "SDXL",
    "TEMPLATES",
    "Family",
    "UnresolvableError",
    "build_graph",
    "family_of",
    "resolve",
]


TEMPLATES: Final[Mapping[WorkflowName, Callable[[ResolvedRequest, str], Graph]]] = MappingProxyType(
    {"txt2img": txt2img.build}
)
"""Builds the graph of each named workflow from a request and a filename prefix."""


def build_graph(request: ResolvedRequest, prompt_id: str) -> Graph:
    """Returns the graph of a request, saving under the prompt's own unique file names."""
    return TEMPLATES[request.workflow](request, filename_prefix(prompt_id))
