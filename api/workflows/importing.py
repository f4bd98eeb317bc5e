"""From a file to a workflow: the one place that knows which files are taken."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from api.body import PROBLEMS_SHOWN, field_problems, parse, summary
from api.errors import ProblemError
from api.workflows.documents import FORMAT, FORMAT_VERSION
from comfy import BUILT_IN
from core.problems import FieldProblem
from core.workflows.checks import declaration_problems
from core.workflows.declaration import Workflow

RESERVED = frozenset({*BUILT_IN, "sources", "comfyui"})
"""Names that no imported workflow takes: those of the built-in ones, of another path of the API,
and of the built-in ones' deployment."""


def read_workflow(data: bytes, name: str | None) -> Workflow:
    """Returns the workflow of a file that Easel exported, by another name if one is given.

    Takes seconds for a large file: call it in a thread. Raises ProblemError.
    """
    document = parse(data)
    if not isinstance(document, dict) or FORMAT not in document:
        raise ProblemError("invalid_workflow", "this is no workflow that Easel exported")
    if document[FORMAT] != FORMAT_VERSION:
        raise ProblemError(
            "invalid_workflow", "another version of Easel exported it: export it again from there"
        )
    declared = {key: value for key, value in document.items() if key != FORMAT}
    return checked({**declared, "name": name} if name is not None else declared)


def checked(declared: dict[str, Any]) -> Workflow:
    """Returns a workflow that can be stored. Raises ProblemError with everything wrong in it."""
    try:
        workflow = Workflow.model_validate(declared)
    except ValidationError as error:
        found = field_problems(error, declared, known=Workflow.model_fields)
        raise _invalid(found, error.error_count()) from error
    if workflow.name in RESERVED:
        raise ProblemError("workflow_exists", "Easel has one of this name itself; choose another")
    if workflow.graph is None:
        raise _invalid([FieldProblem(("graph",), "missing", "is missing")], 1)
    problems = declaration_problems(workflow)
    if problems:
        raise _invalid(problems[:PROBLEMS_SHOWN], len(problems))
    return workflow


def _invalid(found: list[FieldProblem], total: int) -> ProblemError:
    return ProblemError("invalid_workflow", summary(found, total), errors=found)
