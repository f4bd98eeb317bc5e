"""One field for each input of a workflow, by its type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from nicegui import events, ui
from nicegui.elements.mixins.validation_element import ValidationElement

from core.workflows.declaration import Input
from web.forms.upload_field import UploadField
from web.parts.elements import Text, adorn, box
from web.parts.fields import Fields, choice, line, prompt_box, tick, typed_number

OnValue = Callable[[Any], None]
Names = Mapping[str, Sequence[Any]]
"""What inputs can choose from now, by their names; nothing where that is not known."""
FOLDERS: Final = {
    "checkpoints": "checkpoints",
    "loras": "loras",
    "vae": "vaes",
    "upscale_models": "upscalers",
}
"""ComfyUI's model folders, and what the catalogue calls the files in them."""


def label_of(one: Input) -> str:
    """Returns what an input is called in a form."""
    return one.label or one.name.replace("_", " ").capitalize()


def build_input(
    one: Input, value: Any, on_value: OnValue, fields: Fields, known: Names
) -> UploadField | None:
    """Build an input's field; an upload's is returned, the others are added to ``fields``.

    ``on_value`` gets what was entered, None for nothing.
    """
    label = label_of(one)
    shown = one.default if value is None else value
    if one.is_upload:
        return UploadField(one, label, value if isinstance(value, str) else None, on_value)
    if one.type == "boolean":
        tick(label, bool(shown), on_value)
        return None
    field = _field(one, label, shown, on_value, known)
    if one.help:
        adorn(field, hint=one.help[:200])
    fields.add(one.name, field)
    return None


def _field(
    one: Input, label: str, shown: Any, on_value: OnValue, known: Names
) -> ValidationElement[Any]:
    match one.type:
        case "longtext":
            return prompt_box(label, str(shown or ""), one.help or "", on_value)
        case "text":
            if one.role in ("prompt", "negative_prompt"):
                return prompt_box(label, str(shown or ""), "", on_value)
            return line(label, str(shown or ""), on_value)
        case "integer" | "number" | "seed":
            return _number(one, label, shown, on_value)
        case "choice" if one.choices is not None:
            return choice(label, list(one.choices), shown, on_value, searched=len(one.choices) > 12)
        case "choice" | "model":
            names = list(known.get(one.name, ()))
            if shown is not None and shown not in names:
                names = [shown, *names]
            return choice(label, names, shown, on_value, more=True)
        case _:
            return _json(label, shown, on_value)


def _number(one: Input, label: str, shown: Any, on_value: OnValue) -> ui.number:
    value = shown if isinstance(shown, int | float) else None
    step = one.multiple_of or (0.1 if one.type == "number" else 1)
    field = ui.number(label=label, value=value, step=step)
    field.props("outlined dense stack-label")
    placeholder = "random" if one.type == "seed" else _range(one)
    adorn(field, placeholder=placeholder, title=_range(one))

    def changed(event: events.ValueChangeEventArguments[Any]) -> None:
        typed = typed_number(event.value)
        on_value(None if one.type == "seed" and typed == -1 else typed)

    return field.on_value_change(changed)


def _range(one: Input) -> str | None:
    if one.minimum is None and one.maximum is None:
        return None
    if one.maximum is None:
        return f"from {one.minimum:,g}"
    return (
        f"{one.minimum:,g} to {one.maximum:,g}"
        if one.minimum is not None
        else f"to {one.maximum:,g}"
    )


def _json(label: str, shown: Any, on_value: OnValue) -> ui.textarea:
    """Rows and groups, written as JSON."""
    text = "" if shown is None else json.dumps(shown, ensure_ascii=False, indent=1)
    field = ui.textarea(label=f"{label} (JSON)", value=text)
    field.props('outlined dense stack-label autogrow input-class="code"')

    def changed(event: events.ValueChangeEventArguments[Any]) -> None:
        typed = str(event.value or "").strip()
        try:
            value = json.loads(typed) if typed else None
        except (ValueError, RecursionError):
            field.error = "This is not JSON yet."
            return
        field.error = None
        on_value(value)

    return field.on_value_change(changed)


def build_group(label: str) -> ui.element:
    """Build the heading of inputs that belong together."""
    made = box("field input-group", role="group", aria_label=label)
    with made:
        Text(label, "label")
    return made
