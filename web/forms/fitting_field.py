"""The field of a LoRA or a ControlNet: those that fit the chosen model, the others on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nicegui import events, ui

from api.models.documents import ModelFileDocument
from api.models.families import Family
from core.workflows.declaration import Input
from web.forms.known_models import KnownModels, fits, folders_of
from web.forms.model_select import ModelSelect
from web.forms.situation import Situation
from web.forms.wording import of_another_family, shows_all, shows_fitting
from web.parts.elements import Text, adorn, box, button, show_if

if TYPE_CHECKING:
    from web.forms.workflow_inputs import InputFields

WORDS_SHOWN: Final = 12
"""The most trigger words that are offered: some LoRAs list hundreds."""


class FittingField:
    """A picker, a warning where the file is for another family, and its trigger words."""

    def __init__(
        self,
        inputs: InputFields,
        one: Input,
        label: str,
        value: Any,
        on_value: Callable[[Any], None],
    ) -> None:
        self._folders = folders_of(one)
        self._inputs = inputs
        self._on_value = on_value
        self._shows_all = False
        self._value: str | None = str(value) if value else None
        self._family: Family | None = None
        self._models = KnownModels()
        with box("fitting"):
            self.field = ModelSelect(label)
            self.field.on_value_change(self._chosen)
            self._warning = adorn(Text("", "field-note is-away", "p"), role="status")
            self._words = box("chips trigger-words is-away", role="group")
            adorn(self._words, aria_label="Trigger words")
            self._more = button("", self._toggle, classes="btn-small btn-quiet fitting-more")

    def suit(self, form: Situation) -> None:
        """Offer what fits the form's model; nothing changes while that stays the same."""
        models = form.models or KnownModels()
        if models is self._models and form.family == self._family and self._models.files:
            return
        self._models, self._family = models, form.family
        self._offer()

    @property
    def _title(self) -> str:
        return self._family.title if self._family is not None else ""

    def _offer(self) -> None:
        every = self._models.within(self._folders)
        fitting = [one for one in every if fits(one, self._family) is not False]
        hidden = len(every) - len(fitting)
        chosen = [one for one in every if one.name == self._value and one not in fitting]
        self.field.offer(every if self._shows_all else [*fitting, *chosen], self._value)
        show_if(self._more, hidden)
        said = shows_fitting(self._title) if self._shows_all else shows_all(hidden, self._title)
        self._more.default_slot.children[0].text = said  # type: ignore[attr-defined]
        self._show()

    def _toggle(self) -> None:
        self._shows_all = not self._shows_all
        self._offer()

    def _chosen(self, event: events.ValueChangeEventArguments[Any]) -> None:
        if event.value == self._value:
            return
        self._value = event.value
        self._on_value(event.value)
        self._show()

    def _show(self) -> None:
        file = self._models.find(self._value, self._folders) if self._value else None
        is_other = file is not None and fits(file, self._family) is False
        said = of_another_family(file, self._title) if file is not None and is_other else ""
        self._warning.text = said
        show_if(self._warning, said)
        self._show_words(file)

    def _show_words(self, file: ModelFileDocument | None) -> None:
        words = list(file.trigger_words[:WORDS_SHOWN]) if file is not None else []
        show_if(self._words, words)
        self._words.clear()
        say = self._inputs.say
        with self._words:
            for word in words:
                if say is None:
                    adorn(Text(word, "chip-plain"), dir="auto")
                else:
                    button(word, partial(say, word), icon_name="plus", classes="btn-small")


def build_fitting(
    inputs: InputFields,
    one: Input,
    label: str,
    value: Any,
    on_value: Callable[[Any], None],
    path: str,
) -> ui.select:
    """Build the field of an input that ``goes_with_a_model``."""
    made = FittingField(inputs, one, label, value, on_value)
    inputs.when_suited(path, made.suit)
    return made.field
