"""What is wrong with the form of a batch or a schedule, by field, in words for people."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from api.errors import ProblemError
from core.batches.manifest import BATCH_NAME_MAX
from core.batches.request import COUNT_MAX, IN_FLIGHT_MAX
from core.invalid import problems_of
from core.problems import FieldProblem
from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Workflow
from web.forms.labels import labelled
from web.forms.wording import problem_at
from web.parts.wording import FIELD_RULES, sentence

_RULES: Final = {
    **{name: rule for name, rule in FIELD_RULES.items() if name != "batch_size"},
    "count": f"A whole number from 1 to {COUNT_MAX:,}.",
    "max_in_flight": f"A whole number from 1 to {IN_FLIGHT_MAX}, or nothing.",
    "stop_after_failures": "A whole number from 1, or nothing.",
    "stop_at_failure_share": "A number from 1 to 100, or nothing.",
    "not_after": "A time of day such as 07:00, or nothing.",
    "grid": "To pair up, all lists need the same number of values.",
}
"""What may stand in a field; the others' mistakes are told as they were found."""
_FORM_FIELD: Final = {"width": "size", "height": "size"}
"""Fields of a request that are one field of a form."""


def missing(field: str, text: str) -> ProblemError:
    """Returns the problem of a form's field that cannot be read."""
    return ProblemError(
        "invalid_request", text, errors=[FieldProblem((field,), "invalid_form", text)]
    )


def mistakes_of(error: ValidationError | ProblemError, workflow: Workflow) -> dict[str, str]:
    """Returns what is wrong with each field of a workflow's form; ``""`` is it as a whole."""
    if workflow.name != DEFAULT_WORKFLOW:
        return _mistakes_of_inputs(error, workflow)
    found: dict[str, str] = {}
    if isinstance(error, ProblemError):
        for one in error.problem.errors:
            _note(found, one.loc, one.code, one.message, workflow)
        return found or {"": labelled(sentence(error.problem.detail), workflow)}
    for loc, kind, message in problems_of(error):
        _note(found, loc, kind, message, workflow)
    return found


def _mistakes_of_inputs(
    error: ValidationError | ProblemError, workflow: Workflow
) -> dict[str, str]:
    """Returns what is wrong with each input as it was found: it may be named as a txt2img's."""
    own: list[tuple[tuple[str | int, ...], str, str]] = (
        [(one.loc, one.code, one.message) for one in error.problem.errors]
        if isinstance(error, ProblemError)
        else list(problems_of(error))
    )
    found: dict[str, str] = {}
    for loc, kind, message in own:
        name = _field(loc).removeprefix("inputs.")
        if name in ("inputs", "grid") and isinstance(loc[-1], str):
            name = loc[-1].removeprefix("inputs.")
        if name.partition(".")[0] in workflow.by_name:
            found.setdefault(name, problem_at(workflow, name, kind, message))
        else:
            _note(found, loc, kind, message, workflow)
    if not found and isinstance(error, ProblemError):
        return {"": labelled(sentence(error.problem.detail), workflow)}
    return found


def _note(
    found: dict[str, str],
    loc: tuple[str | int, ...],
    kind: str,
    message: str,
    workflow: Workflow,
) -> None:
    name = _field(loc)
    text = _name_rule(kind, message) if name == "name" else _RULES.get(name)
    if name == "grid" and loc[-1] != "grid":  # of one list, not of all
        name, text = next(part for part in reversed(loc) if isinstance(part, str)), None
    if kind == "invalid_form" or text is None:
        text = problem_at(workflow, name, kind, message)
    found.setdefault(_FORM_FIELD.get(name, name), text)


def _field(loc: tuple[str | int, ...]) -> str:
    """Returns the field that a place is in: ``batch.count`` and a row's ``count`` are one."""
    names = [part for part in loc if isinstance(part, str) and part not in ("batch", "row")]
    inner = [name for name in names if name not in ("defaults", "items")]
    return inner[0] if inner else ""


def _name_rule(kind: str, message: str) -> str:
    if kind == "string_too_long":
        return f"The name may have {BATCH_NAME_MAX} characters at most."
    return f"The name {message}."
