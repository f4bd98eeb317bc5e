"""Several values of an input that is a list or a group: each is one of a batch's values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from core.workflows.declaration import Input
from web.forms.batch_drafts import Axis
from web.forms.labels import label_of
from web.forms.rows_field import has_fields
from web.forms.workflow_inputs import InputFields, Offered

_HELP: Final = "Each set is tried in turn. An empty one is none."


def has_sets(one: Input) -> bool:
    """Whether its values are shown as fields; those of others are written as JSON."""
    return one.type in ("list", "group") and has_fields(_sets(one))


def build_sets(
    inputs: InputFields, axis: Axis, one: Input, on_values: Callable[[list[Any]], None]
) -> None:
    """Build the fields of an input that ``has_sets``; ``on_values`` gets all of its values."""

    def changed(rows: Any) -> None:
        found = rows if isinstance(rows, list) else []
        on_values([_value(one, row) for row in found])

    inputs.build(_sets(one), [_row(one, value) for value in values_of(axis)], changed, one.name)


def values_of(axis: Axis) -> list[Any]:
    """Returns the values of a list or group; what is no JSON in an earlier form is left out."""
    if axis.chosen:
        return list(axis.chosen)
    found = []
    for line in axis.text.splitlines():
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return found


def within_sets(offered: Offered, inputs: Sequence[Input]) -> Offered:
    """Returns what fields can offer, as the fields of sets ask for it."""
    names = dict(offered.names)
    for one in inputs:
        for path, known in offered.names.items():
            root, _, rest = path.partition(".")
            if root == one.name and rest:
                inner = path if one.type == "list" else rest
                names[f"{root}.*.{inner}"] = known
    return Offered(names, offered.pick, offered.models)


def _sets(one: Input) -> Input:
    """Returns a list of such values. A list's list is in a group: rows are not of lists."""
    bare = one.model_copy(update={"required": False, "default": None, "help": None})
    items = bare
    if one.type == "list":
        items = Input(name="set", type="group", fields=(bare,))
    label = f"Sets of {label_of(one)}"
    return Input(name=one.name, type="list", label=label, help=_HELP, items=items)


def _row(one: Input, value: Any) -> Any:
    return {one.name: value} if one.type == "list" else value


def _value(one: Input, row: Any) -> Any:
    if one.type != "list":
        return row
    return (row.get(one.name) if isinstance(row, dict) else None) or []
