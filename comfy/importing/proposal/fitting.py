"""Defaults that a request could not say: made to fit, or left to the graph."""

from __future__ import annotations

from typing import Final

from core.workflows.checks import has_wrong_default, has_wrong_role
from core.workflows.declaration import Input, Workflow
from core.workflows.schema import TEXT_MAX

_LONGEST: Final = 100_000
"""The most characters of a text that has a long one as its default."""


def fitted(workflow: Workflow) -> tuple[Workflow, tuple[str, ...]]:
    """Returns the workflow with defaults that its own inputs take, and the names of the others.

    A long text may be as long as it is; any other default that does not fit is left out, so that
    the graph keeps its value. A role that its type cannot have is left out too.
    """
    inputs, without = [], []
    for one in workflow.inputs:
        fits = _with_room(one)
        if fits.role is not None and has_wrong_role(fits):
            fits = fits.model_copy(update={"role": None})
        if has_wrong_default(fits):
            fits = fits.model_copy(update={"default": None})
            without.append(one.name)
        inputs.append(fits)
    told = {name: getattr(workflow, name) for name in type(workflow).model_fields}
    return Workflow(**{**told, "inputs": tuple(inputs)}), tuple(without)


def _with_room(one: Input) -> Input:
    is_text = one.type in ("text", "longtext") and isinstance(one.default, str)
    if not is_text or not TEXT_MAX < len(str(one.default)) <= _LONGEST:
        return one
    return one.model_copy(update={"max_length": _LONGEST})
