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
from core.workflows.declaration import Input, Workflow
from web.forms.fitting_field import build_fitting
from web.forms.known_models import KnownModels, draws, folders_of, goes_with_a_model
from web.forms.labels import label_of
from web.forms.mask_field import MaskField
from web.forms.model_field import build_model
from web.forms.rows_field import build_group, build_rows, has_fields
from web.forms.situation import Situation
from web.forms.upload_field import Pick, UploadField, UploadsField
from web.forms.wording import CHOICES, HELP
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

_SHORT: Final = 12
"""Choices that are no longer than this are read in half of a form's width."""
_NO_JSON: Final = "This is not JSON yet."


@dataclass(frozen=True)
class Offered:
    """What fields can offer besides their declarations: names, files, and earlier artefacts.

    ``models`` is None for workflows whose graph is not made for the model's family.
    """

    names: Names = field(default_factory=dict)
    pick: Pick | None = None
    models: KnownModels | None = None


class InputFields:
    """Builds the fields of inputs, each by its path, and tells mistakes at them.

    ``say`` puts a word into the prompt, None where there is no prompt.
    """

    def __init__(
        self,
        fields: Fields,
        offered: Offered,
        situation: Situation | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.fields = fields
        self.situation = situation or Situation(_NOTHING)
        self.say = say
        self._offered = offered
        self._told: dict[str, Callable[[str], None]] = {}
        self._suited: dict[str, list[Callable[[Situation], None]]] = {}

    @property
    def pick(self) -> Pick | None:
        """Lets the visitor choose an earlier artefact."""
        return self._offered.pick

    def keep_upload(self, path: str, field: UploadField | UploadsField) -> None:
        """Tell mistakes about this input at its field."""
        self.tell_at(path, field.refuse)

    def tell_at(self, path: str, refuse: Callable[[str], None]) -> None:
        """Tell mistakes about this input, or about what is inside of it, by this function."""
        self._told[path] = refuse

    def suit(self, situation: Situation) -> None:
        """Let the fields follow what was changed elsewhere in the form."""
        self.situation = situation
        for follow in [one for of_path in self._suited.values() for one in of_path]:
            follow(situation)

    def when_suited(self, path: str, follow: Callable[[Situation], None]) -> None:
        """Call this now, and whenever something else in the form has changed."""
        self._suited.setdefault(path, []).append(follow)
        follow(self.situation)

    def refuse(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        for take_back in self._told.values():
            take_back("")
        left = self.fields.refuse(errors)
        for path in list(left):
            place = path
            while place not in self._told and "." in place:
                place = place.rpartition(".")[0]
            if place in self._told:
                self._told[place](left.pop(path))
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

    def focus(self, path: str) -> None:
        """Put the caret into the first field of an input, if that is none for a file."""
        made = self.fields.first(path)
        if made is not None:
            made.client.run_javascript(f"easel.refocus('{made.html_id}')")

    def forget(self, path: str) -> None:
        """Forget the fields of an input that are built anew."""
        self.forget_inside(path)
        self.fields.drop(path)
        self._told.pop(path, None)
        self._suited.pop(path, None)

    def forget_inside(self, path: str) -> None:
        """Forget the fields within an input, not what tells of the input as a whole."""
        inside = f"{path}."
        self.fields.drop_all(path)
        for name in [name for name in self._told if name.startswith(inside)]:
            del self._told[name]
        for name in [name for name in self._suited if name.startswith(inside)]:
            del self._suited[name]

    def build(self, one: Input, value: Any, on_value: OnValue, path: str | None = None) -> None:
        """Build an input's field; ``on_value`` gets what was entered, None for nothing."""
        path = path or one.name
        label = label_of(one)
        shown = one.default if value is None else value
        if one.is_upload:
            self._build_upload(one, label, value, on_value, path)
        elif one.type == "boolean":
            self._build_tick(one, label, bool(shown), on_value, path)
        elif one.items is not None and one.items.is_upload:
            every = shown if isinstance(shown, list) else []
            known = [each for each in every if isinstance(each, str)]
            most = one.max_length
            many = UploadsField(one.items, label, known, on_value, self.pick, most, one.help)
            self.keep_upload(path, many)
            self.when_suited(path, lambda form: many.explain(form.unheard(path)))
        elif one.fields is not None and has_fields(one):
            build_group(self, one, label, shown, on_value, path)
        elif has_fields(one):
            build_rows(self, one, label, shown, on_value, path)
        else:
            field = self._field(one, label, shown, on_value, path)
            self.fields.add(path, field)
            self.when_suited(path, lambda form: self._explain(field, one, path, form))

    def _build_upload(
        self, one: Input, label: str, value: Any, on_value: OnValue, path: str
    ) -> None:
        reference = value if isinstance(value, str) else None
        kind = MaskField if one.type == "mask" else UploadField
        made = kind(one, label, reference, on_value, self.pick)
        self.keep_upload(path, made)
        if isinstance(made, MaskField):
            self.when_suited(path, made.suit)

    def _build_tick(
        self, one: Input, label: str, shown: bool, on_value: OnValue, path: str
    ) -> None:
        with box("tick-help"):
            tick(label, shown, on_value)
            if said := self.help_of(one, path):
                Text(said, "muted small")

    def help_of(self, one: Input, path: str) -> str:
        """Returns what is said beneath an input's field."""
        said = one.help or ""
        if self.situation.models is not None:
            said = HELP.get(_anywhere(path), said)
        return said.replace("`", "")[:200]

    def _explain(
        self, field: ValidationElement[Any], one: Input, path: str, form: Situation
    ) -> None:
        """Say what is used if nothing is entered, and why what is entered is not."""
        why = form.unheard(path)
        field.classes(add="is-unheard" if why else "", remove="" if why else "is-unheard")
        said = "" if one.type == "longtext" else self.help_of(one, path)
        if not draws(one) or why:
            adorn(field, hint=why or said or None)
        if one.type in ("integer", "number", "seed"):
            own = form.left_open(path)
            adorn(field, placeholder=own or _placeholder(one), title=_range(one))
        elif isinstance(field, ui.select) and not draws(one):
            adorn(field, placeholder=form.left_open(path))

    def _field(
        self, one: Input, label: str, shown: Any, on_value: OnValue, path: str
    ) -> ValidationElement[Any]:
        match one.type:
            case "longtext":
                made_text = prompt_box(label, str(shown or ""), one.help or "", on_value)
                if one.role == "negative_prompt":
                    made_text.props('dense rows="1"').classes("negative-field")
                return made_text
            case "text":
                if one.role in ("prompt", "negative_prompt"):
                    return prompt_box(label, str(shown or ""), "", on_value)
                return line(label, str(shown or ""), on_value)
            case "integer" | "number" | "seed":
                return build_number(one, label, shown, on_value)
            case "choice" if one.choices is not None:
                said, known = self._said(path), one.choices
                named = {each: said.get(str(each), str(each)) for each in known}
                offered = named if said else list(known)
                made = choice(label, offered, shown, on_value, searched=len(known) > 12)
                is_short = all(len(str(each)) <= _SHORT for each in named.values())
                return made.classes("is-half") if is_short else made
            case "model" if self._knows(one):
                if draws(one):
                    return build_model(self, one, label, shown, on_value, path)
                return build_fitting(self, one, label, shown, on_value, path)
            case "choice" | "model":
                return self._build_names(label, shown, on_value, path)
            case _:
                return _json(
                    label, shown, on_value, lambda text: self.fields.cannot_read(path, text)
                )

    def _build_names(self, label: str, shown: Any, on_value: OnValue, path: str) -> ui.select:
        """Build a choice among the names that ComfyUI has now; others can be typed in."""
        names = self.names_of(path)
        own = self.situation.default_of(path)
        shown = own if shown is None else shown
        if shown is not None and shown not in names:
            names = [shown, *names]
        made = choice(label, names, shown, lambda value: on_value(entered(value)), more=True)

        def entered(value: Any) -> Any:
            return None if value == self.situation.default_of(path) else value

        def follow(form: Situation) -> None:
            """Show the default of a model that is chosen now, while nothing else was chosen."""
            nonlocal own
            new, before = form.default_of(path), own
            own = new
            if new == before or made.value not in (before, None):
                return
            if new is not None and new not in made.options:
                made.set_options([new, *made.options], value=new)
            else:
                made.value = new

        self.when_suited(path, follow)
        return made

    def _knows(self, one: Input) -> bool:
        """Whether its files are shown by what is known of them."""
        models = self.situation.models
        if models is None or not (draws(one) or goes_with_a_model(one)):
            return False
        return bool(models.within(folders_of(one)))

    def _said(self, path: str) -> Mapping[str, str]:
        """Returns what the choices are called: of Easel's own workflows."""
        return {} if self.situation.models is None else CHOICES.get(_anywhere(path), {})

    def names_of(self, path: str) -> list[Any]:
        """Returns what an input can choose from now; entries of a list are all alike."""
        return list(self._offered.names.get(_anywhere(path), ()))


_NOTHING: Final = Workflow(name="nothing", title="Nothing")


def _anywhere(path: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in path.split("."))


def build_number(one: Input, label: str, shown: Any, on_value: OnValue) -> ui.number:
    """Build a number's field; None is passed on for a seed that is drawn."""
    value = shown if isinstance(shown, int | float) else None
    step = one.multiple_of or (0.1 if one.type == "number" else 1)
    field = ui.number(label=label, value=value, step=step)
    field.props("outlined dense stack-label").classes("is-half")
    adorn(field, placeholder=_placeholder(one), title=_range(one))

    def changed(event: events.ValueChangeEventArguments[Any]) -> None:
        typed = typed_number(event.value)
        on_value(None if one.type == "seed" and typed == -1 else typed)

    return field.on_value_change(changed)


def _placeholder(one: Input) -> str | None:
    return "random" if one.type == "seed" else _range(one)


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


def build_heading(label: str) -> ui.element:
    """Build the heading of inputs that belong together."""
    made = box("field input-group", role="group", aria_label=label)
    with made:
        Text(label, "label")
    return made
