"""One field for each input of a workflow, by its type."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nicegui import events, ui
from nicegui.elements.mixins.validation_element import ValidationElement

from api.errors import ProblemError
from core.problems import FieldProblem
from core.wording import figure
from core.workflows.declaration import Input
from web.forms.rows_field import build_rows, is_flat
from web.forms.upload_field import Pick, UploadField, UploadsField
from web.parts.elements import Text, adorn, box
from web.parts.fields import Fields, choice, line, prompt_box, tick, typed_number

OnValue = Callable[[Any], None]
Names = Mapping[str, Sequence[Any]]
"""What inputs can choose from now, by their paths; nothing where that is not known."""
FOLDERS: Final = {
    "checkpoints": "checkpoints",
    "loras": "loras",
    "vae": "vaes",
    "upscale_models": "upscalers",
}
"""ComfyUI's model folders, and what the catalogue calls the files in them."""

_NO_JSON: Final = "This is not JSON yet."


@dataclass(frozen=True)
class Offered:
    """What fields can offer besides their declarations: names, and earlier artefacts."""

    names: Names = field(default_factory=dict)
    pick: Pick | None = None


def label_of(one: Input) -> str:
    """Returns what an input is called in a form."""
    return one.label or one.name.replace("_", " ").capitalize()


class InputFields:
    """Builds the fields of inputs, each by its path, and tells mistakes at them."""

    def __init__(self, fields: Fields, offered: Offered) -> None:
        self.fields = fields
        self._offered = offered
        self._uploads: dict[str, UploadField | UploadsField] = {}

    @property
    def pick(self) -> Pick | None:
        """Lets the visitor choose an earlier artefact."""
        return self._offered.pick

    def keep_upload(self, path: str, field: UploadField | UploadsField) -> None:
        """Tell mistakes about this input at its field."""
        self._uploads[path] = field

    def refuse(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        left = self.fields.refuse(errors)
        for path in [path for path in left if path in self._uploads]:
            self._uploads[path].refuse(left.pop(path))
        return left

    def check(self, without: Collection[str] = ()) -> None:
        """Raises ProblemError when what is in a field cannot be read; not of inputs ``without``."""
        unread = self.fields.unread.items()
        found = [
            FieldProblem((path,), "invalid_form", text)
            for path, text in unread
            if path.partition(".")[0] not in without
        ]
        if found:
            raise ProblemError("invalid_request", found[0].message, errors=found)

    def forget(self, path: str) -> None:
        """Forget the fields of an input that are built anew."""
        self.fields.drop_all(path)
        self._uploads = {
            known: field
            for known, field in self._uploads.items()
            if known != path and not known.startswith(f"{path}.")
        }

    def build(self, one: Input, value: Any, on_value: OnValue, path: str | None = None) -> None:
        """Build an input's field; ``on_value`` gets what was entered, None for nothing."""
        path = path or one.name
        label = label_of(one)
        shown = one.default if value is None else value
        if one.is_upload:
            reference = value if isinstance(value, str) else None
            made = UploadField(one, label, reference, on_value, self.pick)
            self.keep_upload(path, made)
            return
        if one.type == "boolean":
            tick(label, bool(shown), on_value)
            return
        if is_flat(one):
            build_rows(self, one, label, shown, on_value, path)
            return
        field = self._field(one, label, shown, on_value, path)
        if one.help:
            adorn(field, hint=one.help[:200])
        self.fields.add(path, field)

    def _field(
        self, one: Input, label: str, shown: Any, on_value: OnValue, path: str
    ) -> ValidationElement[Any]:
        match one.type:
            case "longtext":
                return prompt_box(label, str(shown or ""), one.help or "", on_value)
            case "text":
                if one.role in ("prompt", "negative_prompt"):
                    return prompt_box(label, str(shown or ""), "", on_value)
                return line(label, str(shown or ""), on_value)
            case "integer" | "number" | "seed":
                return build_number(one, label, shown, on_value)
            case "choice" if one.choices is not None:
                known = list(one.choices)
                return choice(label, known, shown, on_value, searched=len(known) > 12)
            case "choice" | "model":
                names = self.names_of(path)
                if shown is not None and shown not in names:
                    names = [shown, *names]
                return choice(label, names, shown, on_value, more=True)
            case _:
                return _json(
                    label, shown, on_value, lambda text: self.fields.cannot_read(path, text)
                )

    def names_of(self, path: str) -> list[Any]:
        """Returns what an input can choose from now; entries of a list are all alike."""
        anywhere = ".".join("*" if part.isdigit() else part for part in path.split("."))
        return list(self._offered.names.get(anywhere, ()))


def build_number(one: Input, label: str, shown: Any, on_value: OnValue) -> ui.number:
    """Build a number's field; None is passed on for a seed that is drawn."""
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
        return f"from {figure(one.minimum or 0)}"
    if one.minimum is None:
        return f"to {figure(one.maximum)}"
    return f"{figure(one.minimum)} to {figure(one.maximum)}"


def _json(
    label: str, shown: Any, on_value: OnValue, cannot_read: Callable[[str], None]
) -> ui.textarea:
    """What has lists or groups inside of its entries, written as JSON."""
    text = "" if shown is None else json.dumps(shown, ensure_ascii=False, indent=1)
    field = ui.textarea(label=f"{label} (JSON)", value=text)
    field.props('outlined dense stack-label autogrow input-class="code"')

    def changed(event: events.ValueChangeEventArguments[Any]) -> None:
        typed = str(event.value or "").strip()
        try:
            value = json.loads(typed) if typed else None
        except (ValueError, RecursionError):
            field.error = _NO_JSON
            cannot_read("This is not JSON: correct it first.")
            return
        field.error = None
        cannot_read("")
        on_value(value)

    return field.on_value_change(changed)


def build_group(label: str) -> ui.element:
    """Build the heading of inputs that belong together."""
    made = box("field input-group", role="group", aria_label=label)
    with made:
        Text(label, "label")
    return made
