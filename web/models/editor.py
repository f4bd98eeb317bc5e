"""What the owner says of a model file: its family, and what is loaded beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nicegui import ui

from api.errors import ProblemError
from api.models.beside import Beside
from api.models.choices import BASE_FOLDERS, families_for
from api.models.documents import ENCODERS_MAX, ModelFileDocument, ModelSetting
from web.models.wording import family_words, how_known
from web.parts.elements import Text, adorn
from web.parts.fields import Fields, choice, enter_chooses
from web.parts.wording import field_errors, sentence

_FOUND: Final = ""
"""What a field has while the owner says nothing: what Easel finds counts."""
_AS_FAMILY: Final = "As its family needs"


class ModelEditor:
    """The fields for one file. ``encoders`` and ``vaes`` are the files that there are."""

    def __init__(
        self, one: ModelFileDocument, beside: Beside, encoders: Sequence[str], vaes: Sequence[str]
    ) -> None:
        said = one.setting
        self._family = (said.family if said else None) or _FOUND
        self._encoders = list((said.text_encoders if said else None) or ())
        self._vae = (said.vae if said else None) or _FOUND
        self._fields = Fields("model-")
        self.heading = adorn(Text(one.name, "workflow-heading", "h2"), dir="auto", tabindex=-1)
        self._alert = adorn(Text("", "note is-bad is-away", "p"), role="alert")
        known = family_words(one)
        Text(f"{known}. {how_known(one)}", "muted", "p")
        if one.trigger_words:
            adorn(Text(f"Trigger words: {', '.join(one.trigger_words)}", "", "p"), dir="auto")
        for lack in beside.lacks:
            Text(lack, "note", "p")
        self._build_family(one)
        if one.folder not in BASE_FOLDERS:
            self._build_parts(encoders, vaes)

    def wanted(self) -> ModelSetting:
        """Returns what the owner says now. Raises pydantic's ValidationError."""
        return ModelSetting(
            family=self._family or None,
            text_encoders=self._encoders or None,
            vae=self._vae or None,
        )

    def refuse(self, error: ProblemError) -> None:
        """Show what is wrong at its field; what has none, above."""
        problems = error.problem.errors
        mistakes = {str(one.loc[0]): sentence(one.message) for one in problems if one.loc}
        rest = self._fields.refuse(mistakes or field_errors(error))
        self._alert.text = " ".join(rest.values())
        self._alert.classes(add="" if rest else "is-away", remove="is-away" if rest else "")

    def _build_family(self, one: ModelFileDocument) -> None:
        is_base = one.folder in BASE_FOLDERS
        label = "Fits" if is_base else "Family"
        options = {_FOUND: "As Easel finds out", **families_for(one.folder)}
        field = choice(label, options, self._family, self._set_family, searched=True)
        self._fields.add("family", enter_chooses(field))
        self._say(
            "The models that it was trained for."
            if is_base
            else "How the model is loaded, sampled and prompted."
        )

    def _build_parts(self, encoders: Sequence[str], vaes: Sequence[str]) -> None:
        # What was said stays a choice though its file is gone: saving says so.
        known = list(dict.fromkeys((*encoders, *self._encoders)))
        field = choice(
            "Text encoders", known, self._encoders, self._set_encoders, several=True, searched=True
        )
        field.props(f"max-values={ENCODERS_MAX}")
        self._encoders_field = field
        self._set_encoders(self._encoders)
        self._fields.add("text_encoders", enter_chooses(field))
        self._say("Loaded in place of those that its family needs.")
        names = dict.fromkeys((*vaes, *((self._vae,) if self._vae else ())))
        options = {_FOUND: _AS_FAMILY, **{name: name for name in names}}
        made = choice("VAE", options, self._vae, self._set_vae, searched=True)
        self._fields.add("vae", enter_chooses(made))

    def _say(self, text: str) -> ui.element:
        return Text(text, "muted small model-hint", "p")

    def _set_family(self, value: str | None) -> None:
        self._family = value or _FOUND

    def _set_encoders(self, value: list[str]) -> None:
        self._encoders = list(value)
        adorn(self._encoders_field, placeholder=None if value else _AS_FAMILY)

    def _set_vae(self, value: str | None) -> None:
        self._vae = value or _FOUND
