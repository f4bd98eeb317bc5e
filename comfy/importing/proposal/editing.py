"""Changes to a proposed declaration: an input more, under another name, in another order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from comfy.errors import DeclarationError
from comfy.importing.findings import Findings
from comfy.importing.imported import ImportedGraph, Source
from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.fields import declared
from comfy.importing.proposal.naming import Names
from comfy.importing.proposal.placeholders import role_of_name
from comfy.importing.proposal.proposal import guesses
from comfy.importing.proposal.wiring import Wiring
from comfy.nodes import NodeCatalogue
from core.wording import nearest, written
from core.workflows.declaration import (
    INPUT_PATTERN,
    ROLE_TYPES,
    SHARED_ROLES,
    Input,
    Role,
    Workflow,
)


def with_input(workflow: Workflow, catalogue: NodeCatalogue, address: str, name: str) -> Workflow:
    """The workflow with an input of that name for one field; ``address`` is "6.text".

    A field has one input: another that had it loses it, or takes the new name if it had no
    other. Another input that had the name gets a number behind its own. A name that is a role's
    gives the role. Raises DeclarationError if there is no such field, or the name cannot be one.
    """
    _check_name(name)
    wiring = _wiring(workflow, catalogue)
    place = _place(wiring, address)
    made, index = _made(wiring, workflow, place, name)
    rest = [_without(one, place) for one in workflow.inputs]
    kept = [
        one for one, before in zip(rest, workflow.inputs, strict=True)
        if one.targets or not before.targets
    ]  # fmt: skip
    index = min(index, len(kept))
    inputs = [*kept[:index], made, *kept[index:]]
    return _changed(workflow, _unique(inputs, made))


def arranged(workflow: Workflow, names: Mapping[str, str]) -> Workflow:
    """The workflow with these of its inputs in this order, each under its new name.

    Inputs that are not named are dropped: the graph keeps their values. Raises DeclarationError
    for an input that is not there, and for two of one name.
    """
    known = workflow.by_name
    for old, new in names.items():
        if old not in known:
            near = nearest(old, list(known), "inputs")
            raise DeclarationError("unknown_input", f"there is no input {written(old)}; {near}")
        _check_name(new)
    if len(set(names.values())) < len(names):
        raise DeclarationError("duplicate_input", "two inputs would have one name")
    inputs = [known[old].model_copy(update={"name": new}) for old, new in names.items()]
    return _changed(workflow, inputs)


def without_inputs(workflow: Workflow, names: Iterable[str]) -> Workflow:
    """The workflow without inputs of these names. Raises DeclarationError if one is not there."""
    gone = list(names)
    arranged(workflow, {name: name for name in gone})
    kept = {one.name: one.name for one in workflow.inputs if one.name not in gone}
    return arranged(workflow, kept)


def _made(wiring: Wiring, workflow: Workflow, place: Place, name: str) -> tuple[Input, int]:
    """The input for a place, and where it stands."""
    for index, one in enumerate(workflow.inputs):
        if [(target.node, target.field) for target in one.targets] == [
            (place.node_id, place.input)
        ]:
            role = one.role or _role(one, name)
            return one.model_copy(update={"name": name, "role": role}), index
    guess = next((one for one in guesses(wiring) if place in one.targets), Candidate((place,)))
    own = Candidate((place,), name=name, is_named=True, type=guess.type, specs=guess.specs)
    made = declared(wiring, own, name)
    role = _role(made, name) or guess.role
    return made.model_copy(update={"role": role}), len(workflow.inputs)


def _role(one: Input, name: str) -> Role | None:
    role = role_of_name(name)
    return role if role is not None and one.type in ROLE_TYPES.get(role, (one.type,)) else None


def _unique(inputs: list[Input], made: Input) -> list[Input]:
    """Names and roles once: what was added comes first."""
    names = Names()
    names.take(made.name)
    result = []
    for one in inputs:
        if one is made:
            result.append(one)
            continue
        lost = one.role == made.role and one.role not in SHARED_ROLES
        role = None if lost else one.role
        result.append(one.model_copy(update={"name": names.take(one.name), "role": role}))
    return result


def _without(one: Input, place: Place) -> Input:
    kept = tuple(
        target
        for target in one.targets
        if (target.node, target.field) != (place.node_id, place.input)
    )
    return one if kept == one.targets else one.model_copy(update={"targets": kept})


def _place(wiring: Wiring, address: str) -> Place:
    nodes = [one for one in wiring.nodes if address.startswith(f"{one}.")]
    if not nodes:
        node = address.partition(".")[0]
        near = nearest(node, list(wiring.nodes), "nodes")
        said = f"{written(address)}: there is no node {written(node)}; {near}"
        raise DeclarationError("unknown_node", said)
    node_id = max(nodes, key=len)
    place = Place(node_id, address[len(node_id) + 1 :])
    known = [one.input for one in wiring.places(node_id) if wiring.is_literal(one)]
    if wiring.link(place) is not None:
        said = f"{written(address)} is linked to another node"
        raise DeclarationError("linked_field", f"{said}; the value to set is there")
    if place.input not in known and wiring.spec(place) is None:
        near = nearest(place.input, known, "fields")
        said = f"{written(address)}: {wiring.class_type(node_id)} has no such field; {near}"
        raise DeclarationError("unknown_field", said)
    return place


def _check_name(name: str) -> None:
    if not re.fullmatch(INPUT_PATTERN, name):
        raise DeclarationError(
            "invalid_name",
            f"{written(name)}: a name of an input has small letters, digits and underscores, and "
            "starts with a letter",
        )


def _wiring(workflow: Workflow, catalogue: NodeCatalogue) -> Wiring:
    graph: Mapping[str, Any] = workflow.graph or {}
    source = Source("api", "json")
    return Wiring(ImportedGraph(graph, source, workflow.title, (), Findings()), catalogue)


def _changed(workflow: Workflow, inputs: Iterable[Input]) -> Workflow:
    """A new value, checked as a whole; what the old one has computed does not come along."""
    told = {name: getattr(workflow, name) for name in type(workflow).model_fields}
    return Workflow(**{**told, "inputs": tuple(inputs)})
