"""Form fields in one style: lines, numbers, choices, and collapsed sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from nicegui import events, ui
from nicegui.elements.mixins.validation_element import ValidationElement
from nicegui.elements.mixins.value_element import ValueElement

from web.parts.elements import Text, adorn, box, hear_fold, icon

OnValue = Callable[[Any], Any]
OFFERED: Final = 200
"""Number of names of a picker that the browser gets at once."""
_FieldT = TypeVar("_FieldT", bound=ValueElement[Any])
_ValidatedT = TypeVar("_ValidatedT", bound=ValidationElement[Any])
CHEVRON: Final = (
    "M6 9l6 6 6-6@@fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;"
    "stroke-linejoin:round|0 0 24 24"
)
CLEAR: Final = (
    "M6 6l12 12M18 6L6 18@@fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round"
    "|0 0 24 24"
)


class Fields:
    """The fields of a form, by what they set: mistakes are told at them.

    ``kept_as`` distinguishes the fields of several such parts of one form.
    """

    def __init__(self, kept_as: str = "") -> None:
        self._kept_as = kept_as
        self._made: dict[str, ValidationElement[Any]] = {}
        self._told: dict[str, str] = {}
        self._unread: dict[str, str] = {}

    @property
    def unread(self) -> dict[str, str]:
        """Why what is in a field cannot be read, by the field: its value is an earlier one."""
        return dict(self._unread)

    def cannot_read(self, name: str, text: str) -> None:
        """Note that what is in a field cannot be read; an empty text: that it can."""
        self._unread.pop(name, None)
        if text:
            self._unread[name] = text

    def add(self, name: str, field: _ValidatedT) -> _ValidatedT:
        """Add a field. A change of it takes its mistake away; typed text survives an outage."""
        self._made[name] = field

        def changed() -> None:
            if self._told.pop(name, None) == field.error:
                field.error = None

        field.on_value_change(changed)
        return (
            field if isinstance(field, ui.select) else adorn(field, data_kept=self._kept_as + name)
        )

    def made(self, name: str) -> ValidationElement[Any] | None:
        """Returns a field; None if there is none of that name."""
        return self._made.get(name)

    def first(self, path: str) -> ValidationElement[Any] | None:
        """Returns the first field of an input, or inside of it; None if there is none."""
        inside = f"{path}."
        return next((it for name, it in self._made.items() if f"{name}.".startswith(inside)), None)

    def drop(self, name: str) -> None:
        """Forget a field that is gone."""
        self._made.pop(name, None)
        self._unread.pop(name, None)

    def drop_all(self, path: str) -> None:
        """Forget an input's field and those inside of it: ``loras``, ``loras.0.name``."""
        for name in [name for name in self._made if f"{name}.".startswith(f"{path}.")]:
            self.drop(name)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        shown = {name: text for name, text in mistakes.items() if name in self._made}
        for name, text in shown.items():
            self._made[name].error = self._told[name] = text
        if shown:
            self._made[next(iter(shown))].run_method("focus")
        return {name: text for name, text in mistakes.items() if name not in shown}


class Fold:
    """A collapsed section under a label. Use as a context manager to fill it."""

    def __init__(self, label: str, is_open: bool, on_fold: Callable[[bool], None]) -> None:
        self.root = box("fold", "details", open=is_open)
        hear_fold(self.root, on_fold)
        with self.root, box("fold-head", "summary") as self._head:
            icon("chevron")
            Text(label)

    def name(self, name: str) -> None:
        """Call it so where it is read out: others have the same label."""
        adorn(self._head, aria_label=name)

    def __enter__(self) -> ui.element:
        self._body = box("fold-body")
        self._body.move(self.root)
        self._body.__enter__()
        return self.root

    def __exit__(self, *exc_info: object) -> None:
        self._body.__exit__(None, None, None)


def folded(
    label: str, is_open: bool = False, on_fold: Callable[[bool], None] | None = None
) -> Fold:
    """A part of a form that most people leave closed."""
    return Fold(label, is_open, on_fold or (lambda _is_open: None))


def line(label: str, value: str, on_value: OnValue, **attributes: Any) -> ui.input:
    """One line of text."""
    field = ui.input(label=label, value=value)
    field.props("outlined dense stack-label")
    adorn(field, **attributes)
    return _telling(field, on_value, empty="")


def prompt_box(label: str, value: str, placeholder: str, on_value: OnValue) -> ui.textarea:
    """A text of several lines, in any script."""
    field = ui.textarea(label=label, value=value, placeholder=placeholder)
    field.props('outlined stack-label autogrow input-class="prompt"')
    adorn(field, dir="auto")
    return _telling(field.classes("bulk-prompt"), on_value, empty="")


def number(
    label: str, value: float | None, on_value: OnValue, low: float, high: float, **attributes: Any
) -> ui.number:
    """A whole number, or none. One out of bounds is refused at the field, never changed."""
    field = ui.number(label=label, value=value, step=1)
    field.props("outlined dense stack-label")
    adorn(field, **attributes)

    def changed(event: events.ValueChangeEventArguments[Any]) -> None:
        typed = typed_number(event.value)
        wrong = typed is not None and (not isinstance(typed, int) or not low <= typed <= high)
        field.error = f"A whole number from {low:,} to {high:,}" if wrong else None
        on_value(typed)

    return field.on_value_change(changed)


def typed_number(value: float | None) -> int | float | None:
    """Returns a number as it was typed: whole, with decimals, or none."""
    return int(value) if value is not None and float(value).is_integer() else value


def choice(
    label: str,
    options: list[Any] | dict[Any, str],
    value: Any,
    on_value: OnValue,
    *,
    several: bool = False,
    searched: bool = False,
    more: bool = False,
) -> ui.select:
    """One or ``several`` of many; ``searched`` by typing; ``more`` than those can be typed in."""
    field = ui.select(
        options,
        label=label,
        value=[one for one in value if one in options] if several else _known(value, options),
        multiple=several,
        with_input=searched or more,
        new_value_mode="add-unique" if more else None,
    )
    field.props("outlined dense stack-label options-dense behavior=menu")
    field.props["dropdown-icon"] = CHEVRON
    if several:
        field.props("use-chips")
    return _telling(field, on_value, empty=[] if several else None)


_ENTER: Final = """(e) => {
  const text = e.target.value?.trim();
  if (text && !document.querySelector('.q-menu .q-manual-focusable--focused')) emit(text);
}"""
"""Enter that chooses a highlighted row is Quasar's own."""


def enter_chooses(
    field: ui.select,
    names: Callable[[], Mapping[Any, str]] | None = None,
    choose: OnValue | None = None,
) -> ui.select:
    """Let Enter choose what was typed: the name that is it, begins with it, or has it in it.

    ``names`` and ``choose`` are for fields that offer a part of their names only.
    """

    def entered(event: events.GenericEventArguments) -> None:
        known = names() if names is not None else _offered(field)
        found = _meant(str(event.args), known)
        if found is None:
            return
        value = [*field.value, found] if field.multiple else found
        if not field.multiple or found not in field.value:
            (choose or field.set_value)(value)
        if not field.multiple:
            field.run_method("hidePopup")
        field.run_method("updateInputValue", "" if field.multiple else known[found], True)

    return field.on("keydown.enter", entered, js_handler=_ENTER)


def _meant(text: str, names: Mapping[Any, str]) -> Any:
    needle = text.casefold()
    folded_names = {value: label.casefold() for value, label in names.items()}
    for fits in (str.__eq__, str.startswith, str.__contains__):
        for value, label in folded_names.items():
            if fits(label, needle):
                return value
    return None


def _offered(field: ui.select) -> dict[Any, str]:
    options = field.options
    return dict(options) if isinstance(options, dict) else {one: str(one) for one in options}


class Picker:
    """A searched choice of any number of names: the browser gets some, and finds all by typing."""

    def __init__(self, field: ui.select) -> None:
        self.field = field
        self._names: dict[str, str] = {}
        field.on(
            "input-value",
            lambda event: self._search(str(event.args or "")),
            throttle=0.15,
            leading_events=False,
        )
        enter_chooses(field, lambda: self._names, lambda value: self._show("", value))

    def offer(self, names: dict[str, str], value: Any) -> None:
        """Offer these names, each with what is shown for it, with this value chosen."""
        self._names = names
        self._show("", value)

    def _search(self, text: str) -> None:
        if len(self._names) > OFFERED:
            self._show(text, self.field.value)

    def _show(self, text: str, value: Any) -> None:
        chosen = value if isinstance(value, list) else [value]
        needle, left = text.casefold(), OFFERED
        found: dict[str, str] = {}
        for name, label in self._names.items():
            if name in chosen:
                found[name] = label
            elif left and needle in label.casefold():
                found[name] = label
                left -= 1
        self.field.set_options(found, value=value)


def _known(value: Any, options: list[Any] | dict[Any, str]) -> Any:
    return value if value in options else None


def tick(label: str, value: bool, on_value: OnValue) -> ui.element:
    """A box to tick."""
    with box("tick", "label") as made:
        ticked = box("tick-box", "input", type="checkbox", checked=value)
        ticked.on(
            "change",
            lambda event: on_value(bool(event.args)),
            js_handler="(e) => emit(e.target.checked)",
        )
        Text(label)
    return made


class Segments:
    """A few choices side by side, one of them selected."""

    def __init__(self, label: str, options: dict[str, str], value: str, on_value: OnValue) -> None:
        self._on_value = on_value
        self.root = box("segments", role="group", aria_label=label)
        with self.root:
            self._made = {name: self._build(name, text) for name, text in options.items()}
        self.show(value)

    def show(self, value: str) -> None:
        """Select one."""
        for name, made in self._made.items():
            adorn(made, aria_pressed=str(name == value).lower())

    def _build(self, name: str, text: str) -> ui.element:
        made = box("segment", "button", type="button")
        with made:
            Text(text)

        async def pressed() -> None:
            self.show(name)
            await _settle(self._on_value(name))

        return made.on("click", pressed, args=[])


async def _settle(result: Any) -> None:
    if result is not None:
        await result


def _telling(field: _FieldT, on_value: OnValue, *, empty: Any) -> _FieldT:
    def changed(event: events.ValueChangeEventArguments[Any]) -> Any:
        return on_value(empty if event.value is None else event.value)

    return field.on_value_change(changed)
