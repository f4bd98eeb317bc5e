"""What a stored workflow does not declare, though its graph has it."""

from __future__ import annotations

from comfy.importing.cutting import cut
from comfy.importing.findings import Findings
from comfy.importing.imported import ImportedGraph, Source
from comfy.importing.proposal.fitting import fitted
from comfy.importing.proposal.naming import Names
from comfy.importing.proposal.proposal import propose
from comfy.nodes import NodeCatalogue
from core.workflows.declaration import SHARED_ROLES, Input, Output, Target, Workflow, leaves


def left_out(
    workflow: Workflow, catalogue: NodeCatalogue
) -> tuple[tuple[Input, ...], tuple[Output, ...]]:
    """Returns the inputs and outputs that could be declared too, as they would be proposed.

    Each can be added to the workflow as it is: no field of the graph, no name and no role is in
    two of them.
    """
    graph = workflow.graph or {}
    found = cut(graph, catalogue).outputs
    imported = ImportedGraph(graph, Source("api", "json"), workflow.title, found, Findings())
    proposed, _ = fitted(propose(imported, catalogue, workflow.name))
    return _inputs(workflow, proposed), _outputs(workflow, proposed)


def _inputs(workflow: Workflow, proposed: Workflow) -> tuple[Input, ...]:
    taken = {target for _, one in leaves(workflow.inputs) for target in one.targets}
    roles = {one.role for one in workflow.inputs} - SHARED_ROLES
    names = Names()
    for one in workflow.inputs:
        names.take(one.name)
    found = []
    for one in proposed.inputs:
        free = _without(one, taken)
        if free is not None:
            role = None if free.role in roles else free.role
            told = {"name": names.take(free.name), "role": role, "required": False}
            found.append(free.model_copy(update=told))
    return tuple(found)


def _without(one: Input, taken: set[Target]) -> Input | None:
    """Returns the input for those of its fields that are free, None if there are none."""
    if one.items is not None or one.fields is not None:
        inside = {target for _, leaf in leaves((one,)) for target in leaf.targets}
        return None if inside & taken else one
    free = tuple(target for target in one.targets if target not in taken)
    return one.model_copy(update={"targets": free}) if free else None


def _outputs(workflow: Workflow, proposed: Workflow) -> tuple[Output, ...]:
    nodes = {one.node for one in workflow.outputs}
    names = Names()
    for one in workflow.outputs:
        names.take(one.name, one.kind)
    return tuple(
        one.model_copy(update={"name": names.take(one.name, one.kind), "primary": False})
        for one in proposed.outputs
        if one.node not in nodes
    )
