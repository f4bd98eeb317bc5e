"""The field of an input that takes the model that draws, by its family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import events, ui

from core.workflows.declaration import Input
from web.forms.known_models import KnownModels, folders_of
from web.forms.model_select import ModelSelect
from web.forms.situation import Situation
from web.forms.wording import SAY_FAMILY, UNKNOWN_FAMILY, known_by
from web.parts.elements import Text, adorn, box, show_if

if TYPE_CHECKING:
    from web.forms.workflow_inputs import InputFields

MODELS_PAGE = "/models"


class FamilyNote:
    """What is said beneath a picker of models: what the chosen one is; the way on if unknown."""

    def __init__(self, field: ui.select) -> None:
        self._field = field
        with box("field-note is-away family-note", "p") as self._root:
            Text(UNKNOWN_FAMILY)
            with box("link", "a", href=MODELS_PAGE):
                Text(SAY_FAMILY)
        adorn(self._root, role="status")

    def show(self, models: KnownModels | None, name: str | None, folders: tuple[str, ...]) -> None:
        """Say what this file is; nothing while nothing is known of any."""
        file = models.find(name, folders) if models is not None and name is not None else None
        is_unknown = file is not None and file.family is None
        show_if(self._root, is_unknown)
        adorn(self._field, hint=known_by(file) if file is not None and not is_unknown else None)


def build_model(
    inputs: InputFields,
    one: Input,
    label: str,
    value: Any,
    on_value: Callable[[Any], None],
    path: str,
) -> ui.select:
    """Build a picker of models; the one that a request gets which names none counts as none."""
    folders = folders_of(one)
    field = ModelSelect(label)
    note = FamilyNote(field)
    shown = KnownModels()

    def default() -> str | None:
        return shown.default if one.role == "model" and not one.required else None

    def chosen(event: events.ValueChangeEventArguments[Any]) -> None:
        note.show(shown, event.value, folders)
        on_value(None if event.value == default() else event.value)

    def follow(form: Situation) -> None:
        """Offer the files again when more is known of them; what was chosen stays."""
        nonlocal shown
        if form.models is None or form.models is shown:
            return
        shown = form.models
        field.offer(shown.within(folders), field.value or (str(value) if value else default()))
        note.show(shown, field.value, folders)

    inputs.when_suited(path, follow)
    return field.on_value_change(chosen)
