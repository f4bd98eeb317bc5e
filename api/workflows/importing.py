"""From a file to a workflow: what Easel exported, or anything that carries one of ComfyUI."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from api.body import PROBLEMS_SHOWN, field_problems, parse, summary
from api.errors import ProblemError
from api.workflows.documents import (
    FORMAT,
    FORMAT_VERSION,
    DroppedNode,
    MissingDocument,
    missing_document,
)
from comfy import BUILT_IN, WorkflowFileError
from comfy.errors import DeclarationError, not_allowed
from comfy.importing import ImportedGraph, Notice
from comfy.importing.files import WorkflowFile, read_file
from comfy.importing.proposal import propose, with_input
from comfy.importing.proposal.fitting import fitted
from comfy.importing.proposal.naming import slug
from comfy.importing.reading import read_found
from comfy.nodes import NodeCatalogue
from comfy.shipped import Shipped, declared, shipped_of, switched
from comfy.workflows.readiness import paid_classes, readiness, renamed
from comfy.workflows.secrets import without_secrets
from core.problems import FieldProblem
from core.workflows.checks import declaration_problems, new_problems
from core.workflows.declaration import Origin, Workflow

RESERVED = frozenset({*BUILT_IN, "sources", "comfyui"})
"""Names that no imported workflow takes: those of the built-in ones, of another path of the API,
and of the built-in ones' deployment."""
_TITLE_MAX: Final = 200
_NAME_MAX: Final = 50
_WARNINGS_MAX: Final = 100


@dataclass(frozen=True)
class Wish:
    """What is wanted of a file. ``file`` is its name, ``inputs`` are as ``6.text=prompt``.

    ``source_title`` is the title that the source has for it. ``any_name``: a name that is in use
    gives way to a free one, whoever gave it.
    """

    name: str | None = None
    title: str | None = None
    file: str = ""
    source: str | None = None
    source_title: str = ""
    inputs: tuple[str, ...] = ()
    any_name: bool = False


@dataclass(frozen=True)
class Imported:
    """A workflow that can be stored, and what became of its file."""

    workflow: Workflow
    is_named: bool = True
    """Whether its name was given, and not made from the file's."""
    dropped: tuple[DroppedNode, ...] = ()
    missing: MissingDocument = field(default_factory=MissingDocument)
    warnings: tuple[str, ...] = ()


def read_workflow(
    data: bytes, wish: Wish, catalogue: NodeCatalogue | None, *, paid_nodes: bool
) -> Imported:
    """Returns the workflow of a file. Nothing of it is executed or fetched.

    Takes seconds for a large file: call it in a thread. Raises ProblemError.
    """
    found = _without_secrets(_exported(data, wish, catalogue) or _of_comfyui(data, wish, catalogue))
    _check_paid(found.workflow, catalogue, paid_nodes)
    return found if catalogue is None else _judged(found, catalogue)


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns the name, with a number behind it if it is taken."""
    free, number = name, 2
    while free in taken or free in RESERVED:
        free, number = f"{name}-{number}", number + 1
    return free


def with_changes(workflow: Workflow, catalogue: NodeCatalogue | None, **changes: Any) -> Workflow:
    """Returns a new value, checked as a whole. Raises ProblemError."""
    told = {name: getattr(workflow, name) for name in Workflow.model_fields}
    return _checked(Workflow(**{**told, **changes}), catalogue)


def checked(
    declared: dict[str, Any], catalogue: NodeCatalogue | None, before: Workflow | None = None
) -> Workflow:
    """Returns a workflow that can be stored. Raises ProblemError with everything wrong in it.

    What was wrong ``before`` already, in the version that it is made of, may stay so.
    """
    try:
        workflow = Workflow.model_validate(declared)
    except ValidationError as error:
        found = field_problems(error, declared, known=Workflow.model_fields)
        raise _invalid(found, error.error_count()) from error
    return _checked(workflow, catalogue, before)


def _checked(
    workflow: Workflow, catalogue: NodeCatalogue | None, before: Workflow | None = None
) -> Workflow:
    # A user's own that had its name before Easel brought one can be changed.
    if workflow.name in RESERVED and (before is None or before.name != workflow.name):
        raise ProblemError("workflow_exists", "Easel has one of this name itself; choose another")
    if workflow.graph is None:
        raise _invalid([FieldProblem(("graph",), "missing", "is missing")], 1)

    def has_field(node_class: str, field: str) -> bool | None:
        if catalogue is None or node_class not in catalogue.classes:
            return None
        return catalogue.input(node_class, field) is not None

    problems = declaration_problems(workflow, has_field)
    if problems and before is not None:
        problems = new_problems(problems, workflow, before, has_field)
    if problems:
        raise _invalid(problems[:PROBLEMS_SHOWN], len(problems))
    return workflow


def _exported(data: bytes, wish: Wish, catalogue: NodeCatalogue | None) -> Imported | None:
    """Returns what Easel exported itself; None for any other file."""
    if data.lstrip()[:1] != b"{" or f'"{FORMAT}"'.encode() not in data:
        return None
    document = parse(data)
    if FORMAT not in document:
        return None
    if document[FORMAT] != FORMAT_VERSION:
        raise ProblemError(
            "invalid_workflow", "another version of Easel exported it: export it again from there"
        )
    given = {"name": wish.name, "title": wish.title}
    declared = {key: value for key, value in document.items() if key != FORMAT}
    return Imported(
        checked(
            {**declared, **{key: told for key, told in given.items() if told is not None}},
            catalogue,
        )
    )


def _of_comfyui(data: bytes, wish: Wish, catalogue: NodeCatalogue | None) -> Imported:
    try:
        file = read_file(data)
        if catalogue is None:
            raise no_nodes_known()
        return _proposed(file, data, wish, catalogue)
    except WorkflowFileError as error:
        place = (error.place,) if error.place else ()
        found = [FieldProblem(place, error.code, error.message)]
        raise ProblemError("invalid_workflow", str(error), errors=found) from error
    except DeclarationError as error:
        found = [FieldProblem((), error.code, error.message)]
        raise ProblemError("invalid_workflow", error.message, errors=found) from error


def _proposed(file: WorkflowFile, data: bytes, wish: Wish, catalogue: NodeCatalogue) -> Imported:
    entry = shipped_of(wish.source)
    found = switched(file.found, entry) if entry else file.found
    graph = read_found(found, file.container, wish.file or "workflow", catalogue)
    proposed, told = _declared(graph, wish, entry, catalogue)
    workflow, without = fitted(_with_inputs(proposed, wish.inputs, catalogue))
    unfit = (f"the default of {one} does not fit: the graph's own is used" for one in without)
    origin = Origin(
        kind=workflow.origin.kind if workflow.origin else "api",
        file=wish.file[:_TITLE_MAX] or None,
        sha256=hashlib.sha256(data).hexdigest(),
        source=wish.source and wish.source[:_TITLE_MAX],
    )
    return Imported(
        with_changes(workflow, catalogue, origin=origin),
        is_named=wish.name is not None,
        dropped=tuple(
            DroppedNode(node=one.node_id, node_class=one.class_type, reason=one.reason)
            for one in graph.dropped
        ),
        warnings=(*told, *_warnings(graph.notices), *unfit),
    )


def _declared(
    graph: ImportedGraph, wish: Wish, entry: Shipped | None, catalogue: NodeCatalogue
) -> tuple[Workflow, tuple[str, ...]]:
    """Returns what is proposed, or declared by what Easel ships, and what is to be told of it."""
    title = (wish.title or graph.title or wish.file or "workflow")[:_TITLE_MAX]
    own = entry.name if entry else slug(title, "workflow").replace("_", "-")[:_NAME_MAX]
    workflow = propose(graph, catalogue, wish.name or free_name(own, ()))
    if entry is None:
        return with_changes(workflow, catalogue, title=wish.title or wish.source_title or title), ()
    lacking = bool(graph.findings.missing_classes)
    workflow, told = declared(workflow, catalogue, entry, lacks_classes=lacking)
    return with_changes(workflow, catalogue, title=wish.title or entry.title), told


def _with_inputs(workflow: Workflow, wanted: tuple[str, ...], catalogue: NodeCatalogue) -> Workflow:
    for one in wanted:
        address, _, name = one.rpartition("=")
        try:
            workflow = with_input(workflow, catalogue, address, name)
        except DeclarationError as error:
            found = [FieldProblem(("input",), error.code, error.message)]
            raise ProblemError("invalid_request", error.message, errors=found) from error
    return workflow


def _warnings(notices: tuple[Notice, ...]) -> Iterator[str]:
    for one in notices:
        yield f"node {one.node_id}: {one.message}" if one.node_id else one.message


def _without_secrets(found: Imported) -> Imported:
    workflow, told = without_secrets(found.workflow)
    return replace(found, workflow=workflow, warnings=(*found.warnings, *told)) if told else found


def _check_paid(workflow: Workflow, catalogue: NodeCatalogue | None, allowed: bool) -> None:
    paid = paid_classes(workflow, catalogue.paid if catalogue is not None else ())
    if paid and not allowed:
        raise ProblemError("paid_nodes", not_allowed(paid))


def _judged(found: Imported, catalogue: NodeCatalogue) -> Imported:
    """Returns it with what the ComfyUIs lack; models that are there elsewhere are mapped."""
    workflow = found.workflow
    now = readiness(workflow, catalogue)
    mapping = renamed(now)
    if mapping:
        workflow = with_changes(workflow, catalogue, mapping={**workflow.mapping, **mapping})
        now = readiness(workflow, catalogue)
    return Imported(
        workflow,
        found.is_named,
        found.dropped,
        missing_document(now),
        (*found.warnings, *map(str, now.problems))[:_WARNINGS_MAX],
    )


def no_nodes_known() -> ProblemError:
    """Returns the problem of an import while no ComfyUI was ever reached."""
    return ProblemError(
        "no_catalogue",
        "ComfyUI has not been reached yet, so nothing is known of its nodes. Start ComfyUI.",
        headers={"Retry-After": "5"},
    )


def _invalid(found: list[FieldProblem], total: int) -> ProblemError:
    return ProblemError("invalid_workflow", summary(found, total), errors=found)
