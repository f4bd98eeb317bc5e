"""Inputs that are lists or groups: rows that are added, removed and moved, one field per value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui

from core.workflows.declaration import INPUTS_MAX, Input
from web.forms.situation import Situation
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import tick

if TYPE_CHECKING:
    from web.forms.workflow_inputs import InputFields

OnValue = Callable[[Any], None]


_DEPTH_MAX = 4
"""How deep lists and groups are shown as fields; what is deeper is written as JSON."""


def has_fields(one: Input, depth: int = _DEPTH_MAX) -> bool:
    """Whether it is shown as rows and fields: a list or group; not a list of lists."""
    if one.fields is not None:
        return all(
            _is_leaf(each) or (depth > 1 and has_fields(each, depth - 1)) for each in one.fields
        )
    if one.items is None or one.items.items is not None:
        return False
    return _is_leaf(one.items) or (depth > 1 and has_fields(one.items, depth - 1))


def build_rows(
    inputs: InputFields, one: Input, label: str, shown: Any, on_value: OnValue, path: str
) -> None:
    """Build the fields of a list that ``has_fields``."""
    Rows(inputs, one, label, shown, on_value, path)


def build_group(
    inputs: InputFields, one: Input, label: str, shown: Any, on_value: OnValue, path: str
) -> None:
    """Build the fields of a group that ``has_fields``."""
    Group(inputs, one, label, shown, on_value, path)


class Group:
    """A group's fields. One that may be left out is ticked first; its fields show then.

    What is entered is passed on whole, None while it is not ticked.
    """

    def __init__(
        self, inputs: InputFields, one: Input, label: str, shown: Any, on_value: OnValue, path: str
    ) -> None:
        self._inputs = inputs
        self._one = one
        self._path = path
        self._on_value = on_value
        self._values: dict[str, Any] = dict(shown) if isinstance(shown, dict) else {}
        is_optional = not one.required and one.default is None
        is_on = not is_optional or isinstance(shown, dict)
        with box("field input-group", role="group", aria_label=label) as self._root:
            if is_optional:
                tick(label, is_on, self._turn)
            else:
                Text(label, "label")
            if said := inputs.help_of(one, path):
                Text(said, "muted small", "p")
            self._why = Text("", "why is-away", "p")
            self._body = box("group-fields")
            self._error = ErrorNote()
        inputs.tell_at(path, self._error.say)
        inputs.when_suited(path, self._explain)
        if is_on:
            self._build()

    def _turn(self, is_on: bool) -> None:
        self._error.say("")
        if is_on:
            self._values = self._values or first_value(self._one)
            self._build()
            self._on_value(dict(self._values))
            return
        self._inputs.forget_inside(self._path)
        self._body.clear()
        self._on_value(None)

    def _build(self) -> None:
        with self._body:
            _build_fields(self._inputs, self._one, self._values, self._changed, self._path)

    def _changed(self, values: dict[str, Any]) -> None:
        self._values = values
        self._error.say("")
        self._on_value(dict(values))

    def _explain(self, form: Situation) -> None:
        explain(self._root, self._why, form.unheard(self._path))


def explain(root: ui.element, said: Text, why: str) -> None:
    """Grey out what changes nothing as the form stands, and say why."""
    root.classes(add="is-unheard" if why else "", remove="" if why else "is-unheard")
    said.text = why
    show_if(said, why)


class ErrorNote:
    """What is wrong with an input as a whole, beneath its fields."""

    def __init__(self) -> None:
        self._text = adorn(Text("", "field-note is-bad is-away", "p"), role="alert")

    def say(self, text: str) -> None:
        """Say it; an empty text says nothing."""
        self._text.text = text
        show_if(self._text, text)


class Rows:
    """A list's rows. What is entered is passed on whole, None when it is the default again."""

    def __init__(
        self, inputs: InputFields, one: Input, label: str, shown: Any, on_value: OnValue, path: str
    ) -> None:
        assert one.items is not None  # checked by the caller
        self._inputs = inputs
        self._items = one.items
        self._label = label
        self._path = path
        self._most = one.max_length or INPUTS_MAX
        self._on_value = on_value
        self._values: list[Any] = list(shown) if isinstance(shown, list) else []
        with box("field input-rows", role="group", aria_label=label) as self._root:
            Text(label, "label")
            if said := inputs.help_of(one, path):
                Text(said, "muted small", "p")
            self._why = Text("", "why is-away", "p")
            self._body = box("rows", "ol")
            self._add = button(f"Add to {label}", self._append, icon_name="plus")
            self._add.classes("btn-small rows-add")
            self._error = ErrorNote()
        inputs.tell_at(path, self._error.say)
        inputs.when_suited(path, self._explain)
        self._build()

    def _explain(self, form: Situation) -> None:
        explain(self._root, self._why, form.unheard(self._path))

    def _build(self) -> None:
        self._inputs.forget_inside(self._path)
        self._error.say("")
        self._body.clear()
        self._movers: list[tuple[ui.element, ui.element]] = []
        with self._body:
            for place in range(len(self._values)):
                self._build_row(place)
        adorn(self._add, disabled=len(self._values) >= self._most)

    def _build_row(self, place: int) -> None:
        last = len(self._values) - 1
        named = f"{place + 1} of {self._label}"
        path = f"{self._path}.{place}"
        with box("row-of", "li"):
            with box("row-fields group-fields", role="group", aria_label=named):
                self._build_value(place, path)
            with box("row-tools"):
                up = _tool("Move up", named, "up", lambda: self._move(place, -1), off=place == 0)
                down = _tool(
                    "Move down", named, "down", lambda: self._move(place, 1), off=place == last
                )
                self._movers.append((up, down))
                _tool("Remove", named, "close", lambda: self._remove(place))

    def _build_value(self, place: int, path: str) -> None:
        def changed(value: Any) -> None:
            self._values[place] = value
            self._tell()

        value = self._values[place]
        if self._items.fields is not None:
            known = value if isinstance(value, dict) else {}
            _build_fields(self._inputs, self._items, known, changed, path)
            return
        one = self._items.model_copy(update={"label": self._items.label or self._label})
        self._inputs.build(one, value, changed, path)

    def _append(self) -> None:
        """Add a row. A second click adds no other one while the last still lacks what it needs."""
        new = first_value(self._items)
        if not (self._values and self._values[-1] == new and _lacks(self._items)):
            self._values.append(new)
            self._tell()
            self._build()
        self._inputs.focus(f"{self._path}.{len(self._values) - 1}")

    def _remove(self, place: int) -> None:
        del self._values[place]
        self._tell()
        self._build()

    def _move(self, place: int, by: int) -> None:
        other = place + by
        if not 0 <= other < len(self._values):
            return
        values = self._values
        values[place], values[other] = values[other], values[place]
        self._tell()
        self._build()
        up, down = self._movers[other]
        moved = up if by < 0 else down
        # By the page: the button that was pressed is gone.
        moved.client.run_javascript(f"easel.refocus('{moved.html_id}')")

    def _tell(self) -> None:
        self._on_value(list(self._values))


def first_value(one: Input) -> Any:
    """Returns what an added row begins with."""
    if one.fields is not None:
        known = {field.name: field.default for field in one.fields}
        return {name: value for name, value in known.items() if value is not None}
    return one.default


def _lacks(one: Input) -> bool:
    """Whether a row that was just added lacks what it must have."""
    return any(each.required and each.default is None for each in one.fields or (one,))


def _build_fields(
    inputs: InputFields, one: Input, known: dict[str, Any], on_value: OnValue, path: str
) -> None:
    values = dict(known)

    def setter(name: str) -> OnValue:
        def changed(value: Any) -> None:
            values[name] = value
            on_value({key: each for key, each in values.items() if each is not None})

        return changed

    for field in one.fields or ():
        inputs.build(field, values.get(field.name), setter(field.name), f"{path}.{field.name}")


def _is_leaf(one: Input) -> bool:
    return one.items is None and one.fields is None


def _tool(
    verb: str, named: str, icon: str, on_press: Callable[[], None], *, off: bool = False
) -> ui.element:
    """Build a tool of a row. It may keep the focus where it cannot do anything."""
    made = button(f"{verb} {named}", on_press, icon_name=icon, bare=True, classes="btn-quiet")
    return adorn(made, aria_disabled="true" if off else None)
