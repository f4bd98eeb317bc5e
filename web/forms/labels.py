"""What a form calls the inputs of a workflow, in its fields and in what it says of them."""

from __future__ import annotations

import re
from typing import Final

from core.workflows.declaration import Input, Workflow

_NAMED: Final = re.compile("`([^`]*)`")


def label_of(one: Input) -> str:
    """Returns what an input is called in a form."""
    return one.label or one.name.replace("_", " ").capitalize()


def input_at(workflow: Workflow, path: str) -> Input | None:
    """Returns the input that a path means: ``loras.0.name``; None where there is none."""
    inputs: tuple[Input, ...] = workflow.inputs
    found: Input | None = None
    for part in path.split("."):
        if part.isdigit() or part == "*":
            found = found.items if found is not None else None
        else:
            found = next((one for one in inputs if one.name == part), None)
        if found is None:
            return None
        inputs = found.fields or ()
    return found


def labelled(message: str, workflow: Workflow) -> str:
    """Returns a problem's text with the form's labels in place of the inputs' names."""

    def label(found: re.Match[str]) -> str:
        one = input_at(workflow, found[1])
        return found[1] if one is None else f"“{label_of(one)}”"

    return _NAMED.sub(label, message)
