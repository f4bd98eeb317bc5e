"""The inputs in the editor of a workflow: which of them are taken, in which order."""

from __future__ import annotations

from collections.abc import Iterable

from nicegui import ui

from core.workflows.declaration import Input
from web.parts.elements import Text, adorn, box
from web.workflows.input_row import InputRow, RowActions


class InputRows:
    """A list of rows that can be moved."""

    def __init__(self, workflow: str, taken: Iterable[Input], left: Iterable[Input] = ()) -> None:
        kept_as = f"editor-{workflow}-default-"
        actions = RowActions(self._move, self._drop)
        self._said = adorn(Text("", "sr-only"), role="status")
        self._root = box("input-rows", "ol", aria_label="Inputs")
        with self._root:
            self.rows = [
                *(InputRow(one, True, actions, kept_as) for one in taken),
                *(InputRow(one, False, actions, kept_as) for one in left),
            ]
        self._show_places()

    @property
    def taken(self) -> list[InputRow]:
        """Returns the rows of what is to be declared, in their order."""
        return [row for row in self.rows if row.taken]

    def forgive(self) -> None:
        """Take away what was told at the rows."""
        for row in self.rows:
            row.refuse("")

    def row_of(self, sent: list[InputRow], place: str | int) -> InputRow | None:
        """Returns the row that a mistake is about, by its place in what was sent, or its name."""
        if isinstance(place, int):
            return sent[place] if 0 <= place < len(sent) else None
        name = place.partition(".")[0]
        return next((row for row in sent if row.one.name == name), None)

    def _move(self, row: InputRow, by: int) -> None:
        self._put(row, self.rows.index(row) + by)
        pressed = row.up if by < 0 else row.down
        ui.run_javascript(f"easel.refocus('{pressed.html_id}')")

    def _drop(self, onto: InputRow, row_id: str) -> None:
        row = next((one for one in self.rows if one.root.html_id == row_id), None)
        if row is not None and row is not onto:
            self._put(row, self.rows.index(onto))

    def _put(self, row: InputRow, place: int) -> None:
        if not 0 <= place < len(self.rows):
            return
        self.rows.remove(row)
        self.rows.insert(place, row)
        row.root.move(self._root, place)
        self._said.text = f"{row.said}: place {place + 1} of {len(self.rows)}"
        self._show_places()

    def _show_places(self) -> None:
        for place, row in enumerate(self.rows):
            row.show_place(place == 0, place == len(self.rows) - 1)
