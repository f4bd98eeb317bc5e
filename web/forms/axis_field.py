"""A list of values of one input, as a batch combines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.workflows.declaration import Input
from web.forms.batch_drafts import Axis
from web.forms.labels import label_of
from web.forms.sets_field import build_sets, has_sets
from web.forms.upload_field import UploadsField
from web.forms.workflow_inputs import InputFields
from web.parts.elements import adorn
from web.parts.fields import choice, enter_chooses, line, prompt_box

OnAxis = Callable[[Axis], None]
_YES: Final = {True: "Yes", False: "No"}


def build_axis(inputs: InputFields, axis: Axis, one: Input, on_axis: OnAxis) -> None:
    """Build the field of a list by its input's type; ``on_axis`` gets the list as it is now."""

    def typed(text: Any) -> None:
        on_axis(Axis(field=one.name, text=str(text)))

    def chosen(values: Any) -> None:
        on_axis(Axis(field=one.name, chosen=list(values)))

    label = label_of(one)
    if one.is_upload:
        made = UploadsField(one, label, [str(each) for each in axis.chosen], chosen, inputs.pick)
        inputs.keep_upload(one.name, made)
        return
    match one.type:
        case "integer" | "number" | "seed":
            field = line(label, axis.text, typed, autocomplete="off")
            inputs.fields.add(one.name, adorn(field, placeholder="values with commas"))
        case "boolean":
            picker = choice(label, dict(_YES), axis.chosen, chosen, several=True)
            inputs.fields.add(one.name, picker)
        case "choice" | "model":
            _build_choice(inputs, axis, one, chosen)
        case _ if has_sets(one):
            build_sets(inputs, axis, one, chosen)
        case _:
            said = "one JSON value per line" if one.type in ("list", "group") else "one per line"
            inputs.fields.add(one.name, prompt_box(label, axis.text, said, typed))


def _build_choice(
    inputs: InputFields, axis: Axis, one: Input, chosen: Callable[[Any], None]
) -> None:
    label = label_of(one)
    known = list(one.choices or inputs.names_of(one.name))
    values = list(dict.fromkeys([*known, *axis.chosen]))
    free = one.choices is None
    picker = choice(
        label, values, list(axis.chosen), chosen, several=True, searched=True, more=free
    )
    inputs.fields.add(one.name, picker if free else enter_chooses(picker))
