"""Workflows: what Easel brings, and what users bring; from a request to a graph, without I/O."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from comfy.errors import WorkflowRejectedError
from comfy.families.table import FAMILIES
from comfy.graph import Graph
from comfy.nodes import NodeCatalogue
from comfy.workflows.building import built
from comfy.workflows.building.fitting import fitted
from comfy.workflows.builtin.declarations import BUILT_IN, TXT2IMG, missing_value
from comfy.workflows.builtin.recipe import Recipe
from comfy.workflows.counting import saver_of
from comfy.workflows.imported import file_places, filled
from comfy.workflows.known import Known
from comfy.workflows.readiness import Judge, Readiness
from comfy.workflows.resolve import UnresolvableError, resolve
from core.ids import filename_prefix
from core.requests import ResolvedRequest
from core.stored import reason_of
from core.workflows.declaration import Workflow

__all__ = [
    "BUILT_IN",
    "TXT2IMG",
    "Judge",
    "Known",
    "Readiness",
    "UnresolvableError",
    "build_graph",
    "missing_value",
    "pixels_of",
    "resolve",
]


def build_graph(
    request: ResolvedRequest,
    prompt_id: str,
    workflow: Workflow | None = None,
    nodes: NodeCatalogue | None = None,
) -> Graph:
    """Returns the graph of a request, saving under the prompt's own unique file names.

    ``workflow`` is the imported one that the request names; a built-in one is known by its name.
    Its graph is fitted to ``nodes``, the classes of the ComfyUI that gets it, None where they are
    not known. A request of an earlier version of Easel has no recipe: it is built as it was then.
    Raises WorkflowRejectedError for a recipe that only another version understands.
    """
    prefix = filename_prefix(prompt_id)
    if workflow is None or workflow.graph is None:
        recipe = _recipe(request)
        return fitted(built(request.workflow, request.inputs, recipe, prefix), nodes)
    graph = filled(workflow, request.inputs, prefix)
    return Graph.from_json(graph, saver_of(graph), file_places(workflow))


def pixels_of(request: ResolvedRequest) -> int | None:
    """Returns how many pixels each picture of a request has, None where only ComfyUI knows it.

    It is known of built-in workflows, as they were planned; the size of their values may be that of
    what is sampled.
    """
    if request.workflow not in BUILT_IN or request.plan.outputs is None:
        return None
    try:
        recipe = Recipe.read(request.plan.recipe)
    except ValidationError:
        return None
    size = request.size
    if recipe.layout is not None and (recipe.layout.pastes or size is None):
        return (recipe.layout.padded if recipe.layout.pastes else recipe.layout.work).pixels
    if recipe.hires is not None:
        return recipe.hires.pixels
    return None if size is None else size[0] * size[1]


def _recipe(request: ResolvedRequest) -> Recipe:
    """Returns how a request was planned."""
    try:
        recipe = Recipe.read(request.plan.recipe)
    except ValidationError as error:
        raise WorkflowRejectedError(f"{_ANOTHER}: {reason_of(error)}") from error
    if recipe.family not in FAMILIES:
        raise WorkflowRejectedError(f"{_ANOTHER}: it does not know the family {recipe.family}")
    return recipe


_ANOTHER: Final = "another version of Easel planned the request, which this one cannot build"
