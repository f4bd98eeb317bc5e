"""The rows of a batch of any workflow but txt2img: prompts, lists over inputs, single values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from core.requests import ENVELOPE
from core.workflows.declaration import Input, Workflow
from web.forms.batch_drafts import Axis, PromptDraft
from web.forms.labels import label_of
from web.forms.mistakes import missing

_READERS: Final[dict[str, Callable[[str], int | float]]] = {
    "integer": int,
    "seed": int,
    "number": float,
}
CHOSEN: Final = frozenset(
    {"choice", "model", "boolean", "image", "mask", "video", "audio", "model3d", "file"}
)
"""Inputs whose lists are chosen, not typed."""


def rows_of(
    draft: PromptDraft,
    workflow: Workflow,
    values: Mapping[str, Any],
    axes: Sequence[Axis] = (),
) -> dict[str, Any]:
    """Returns ``defaults`` and ``grid`` of the batch. ProblemError for what cannot be read."""
    lists = _said(workflow, lists_of(draft, workflow, axes))
    given = {name: value for name, value in values.items() if name in workflow.by_name}
    defaults = {**given, **{name: one[0] for name, one in lists.items() if len(one) == 1}}
    grid = {name: one for name, one in lists.items() if len(one) > 1}
    left = {name: value for name, value in defaults.items() if name not in grid}
    rows: dict[str, Any] = {"workflow": workflow.name, "defaults": _placed(left)}
    return {**rows, "grid": _placed_lists(grid)} if grid else rows


def lists_of(draft: PromptDraft, workflow: Workflow, axes: Sequence[Axis]) -> dict[str, list[Any]]:
    """Returns each list by its input's name. ProblemError when one cannot be parsed."""
    found: dict[str, list[Any]] = {}
    prompt = workflow.of_role("prompt")
    if prompt is not None and (prompts := draft.prompts()):
        found[prompt.name] = list(prompts)
    for axis in axes:
        one = workflow.by_name.get(axis.field)
        if one is not None and one is not prompt:
            found[one.name] = _values(axis, one)
    return found


def _said(workflow: Workflow, lists: dict[str, list[Any]]) -> dict[str, list[Any]]:
    prompt = workflow.of_role("prompt")
    if prompt is not None and prompt.required and prompt.name not in lists:
        raise missing(prompt.name, f"{label_of(prompt)}: write something first.")
    for name, values in lists.items():
        if not values:
            label = label_of(workflow.by_name[name])
            raise missing(name, f"{label}: add a value, or remove the list.")
    return lists


def _values(axis: Axis, one: Input) -> list[Any]:
    if one.type in CHOSEN or (one.type in ("list", "group") and axis.chosen):
        return list(axis.chosen)
    read = _READERS.get(one.type)
    if read is not None:
        words = axis.text.replace(",", " ").split()
        return [_number(one, read, word) for word in words]
    lines = [line.strip() for line in axis.text.splitlines() if line.strip()]
    return [_json(one, line) for line in lines] if one.type in ("list", "group") else list(lines)


def _number(one: Input, read: Callable[[str], int | float], word: str) -> int | float:
    try:
        return read(word)
    except ValueError as error:
        kind = "a number" if read is float else "a whole number"
        text = f"{label_of(one)}: “{word[:40]}” is not {kind}."
        raise missing(one.name, text) from error


def _json(one: Input, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        text = f"{label_of(one)}: each line must be JSON; “{line[:40]}” is not."
        raise missing(one.name, text) from error


def axis_of(one: Input, values: Sequence[Any]) -> Axis | None:
    """Returns the list that gives these values; None when the form cannot say them."""
    if one.type in CHOSEN:
        return Axis(field=one.name, chosen=list(values))
    if one.type in _READERS:
        return Axis(field=one.name, text=", ".join(f"{value}" for value in values))
    if one.type in ("list", "group"):
        return Axis(field=one.name, chosen=list(values))
    lines = [str(value) for value in values]
    if any(not line.strip() or line != line.strip() or "\n" in line for line in lines):
        return None
    return Axis(field=one.name, text="\n".join(lines))


def _placed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values as a row has them: apart where a field of every request has the name."""
    beside = {name: value for name, value in values.items() if name not in _RESERVED}
    inside = {name: value for name, value in values.items() if name in _RESERVED}
    return {**beside, **({"inputs": inside} if inside else {})}


def _placed_lists(lists: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        f"inputs.{name}" if name in _RESERVED else name: values for name, values in lists.items()
    }


_RESERVED: Final = frozenset({*ENVELOPE, "inputs", "count"})
