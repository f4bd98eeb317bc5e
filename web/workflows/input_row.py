"""One input in the editor of a workflow: taken or left, its label, its default, its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from core.workflows.declaration import Input, leaves
from web.forms.labels import label_of
from web.forms.workflow_inputs import InputFields, Offered
from web.parts.elements import Text, adorn, box, button, icon, show_if
from web.parts.fields import Fields, folded, line, prompt_box, tick
from web.workflows.wording import TYPE_WORDS, default_words, role_words

_DRAGGED: Final = "application/x-easel-row"
_TARGETS_SHOWN: Final = 6
_INSIDE: Final = frozenset({"list", "group"})


@dataclass(frozen=True)
class RowActions:
    """What a row asks the list for: to move by some places, or to the place of another row."""

    move: Callable[[InputRow, int], None]
    drop: Callable[[InputRow, str], None]


class InputRow:
    """``one`` is the input as it stands in the editor, ``taken`` whether it is to be declared.

    ``kept_as`` distinguishes the field of its default from those of other workflows and inputs.
    """

    def __init__(self, one: Input, taken: bool, actions: RowActions, kept_as: str) -> None:
        self.one = one
        self._fields: InputFields | None = None
        self._kept_as = kept_as
        self.taken = taken
        self._actions = actions
        self._is_built = False
        self.root = box("input-row", "li")
        with self.root:
            with box("input-row-head"):
                self._build_grip()
                self._tick = self._build_tick()
                self._label = line(
                    "Label",
                    one.label or "",
                    lambda text: self._change(label=text.strip() or None),
                    aria_label=f"Label of {one.name}",
                    placeholder=label_of(one.model_copy(update={"label": None})),
                    maxlength=200,
                    dir="auto",
                ).classes("input-row-label")
                self.up = self._build_mover("up", -1)
                self.down = self._build_mover("down", 1)
            with box("input-row-facts"):
                if one.role is not None:
                    Text(role_words(one.role), "chip-plain is-role")
                Text(TYPE_WORDS[one.type], "chip-plain")
                Text("Default:", "muted small")
                self._default = adorn(
                    Text(default_words(one), "small input-row-default"), dir="auto"
                )
            self._details = folded("Details", on_fold=self._unfolded)
            self._details.name(f"Details of {one.name}")
            with self._details:
                self._place = box("input-row-details")
            self._error = adorn(Text("", "field-note is-bad is-away", "p"), role="alert")
        self._show_taken()

    @property
    def said(self) -> str:
        """What it is called."""
        return label_of(self.one)

    @property
    def unread(self) -> str | None:
        """Why what is in the field of its default cannot be read, None if it can."""
        unread = {} if self._fields is None else self._fields.fields.unread
        return next(iter(unread.values()), None)

    def refuse(self, text: str, *, opened: bool = False) -> None:
        """Show what is wrong with it; an empty text says nothing."""
        self._error.text = text
        show_if(self._error, text)
        if opened:
            self._unfolded(True)
            adorn(self._details.root, open=True)

    def show_place(self, is_first: bool, is_last: bool) -> None:
        """Mark which way it cannot be moved. The buttons keep the focus, so they stay enabled."""
        adorn(self.up, aria_disabled="true" if is_first else None)
        adorn(self.down, aria_disabled="true" if is_last else None)

    def _build_grip(self) -> None:
        grip = box("grip", "span", draggable="true", aria_hidden="true", title="Drag")
        grip.on(
            "dragstart",
            js_handler=f"(e) => {{ e.dataTransfer.setData('{_DRAGGED}', '{self.root.html_id}'); "
            f"e.dataTransfer.setDragImage(e.target.closest('li'), 0, 0); }}",
        )
        with grip:
            icon("grip")
        self.root.on(
            "dragover",
            js_handler=f"(e) => {{ if (e.dataTransfer.types.includes('{_DRAGGED}')) "
            "e.preventDefault(); }",
        )
        self.root.on(
            "drop",
            lambda event: self._actions.drop(self, str(event.args)),
            js_handler=f"(e) => {{ const row = e.dataTransfer.getData('{_DRAGGED}'); "
            "if (row) { e.preventDefault(); emit(row); } }",
        )

    def _build_tick(self) -> Any:
        ticked = box("tick-box", "input", type="checkbox", checked=self.taken)
        adorn(ticked, aria_label=f"Take {self.one.name}")
        ticked.on(
            "change",
            lambda event: self._take(bool(event.args)),
            js_handler="(e) => emit(e.target.checked)",
        )
        return ticked

    def _build_mover(self, way: str, by: int) -> Any:
        return button(
            f"Move {self.one.name} {way}",
            lambda: self._actions.move(self, by),
            icon_name=way,
            bare=True,
            classes="btn-quiet",
        )

    def _take(self, taken: bool) -> None:
        self.taken = taken
        adorn(self._tick, checked=taken)
        self.refuse("")
        self._show_taken()

    def _show_taken(self) -> None:
        self.root.classes(add="" if self.taken else "is-out", remove="is-out" if self.taken else "")

    def _change(self, **values: Any) -> None:
        self.one = self.one.model_copy(update=values)
        self.refuse("")
        self._default.text = default_words(self.one)

    def _unfolded(self, is_open: bool) -> None:
        """Build what most people never open when it is opened."""
        if not is_open or self._is_built:
            return
        self._is_built = True
        with self._place:
            self._build_details()

    def _build_details(self) -> None:
        one = self.one
        helped = prompt_box(
            "Help",
            one.help or "",
            "Said beneath the field",
            lambda text: self._change(help=text.strip() or None),
        )
        adorn(helped.props("dense"), maxlength=2000, aria_label=f"Help of {one.name}")
        if not one.is_upload:
            is_field = one.type not in (*_INSIDE, "boolean")
            label = "Default" if is_field else f"Default of {one.name}"
            bare = one.model_copy(update={"label": label, "help": None})
            self._fields = fields = InputFields(Fields(self._kept_as), Offered())
            fields.build(bare, None, lambda value: self._change(default=value))
            made = fields.fields.made(one.name)
            if made is not None:
                adorn(made, aria_label=f"Default of {one.name}")
        tick("Under Advanced", one.advanced, lambda value: self._change(advanced=value))
        with box("small muted input-row-targets"):
            Text("In requests it is called")
            Text(one.name, tag="code")
            for target in _targets(one)[:_TARGETS_SHOWN]:
                Text("and sets")
                Text(target, tag="code")


def _targets(one: Input) -> list[str]:
    own = [one] if one.type not in _INSIDE else []
    inside = [leaf for _, leaf in leaves((one,))] if one.type in _INSIDE else []
    return [f"{each.node}.{each.field}" for leaf in (*own, *inside) for each in leaf.targets]
