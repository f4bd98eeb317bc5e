"""The contact sheet of a batch: a page of its items, which fill as images arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from nicegui import ui

from api.batches.tables import Table
from api.generations.documents import Links
from core.batches.grid import Grid, label
from core.requests import ResolvedRequest, StoredRequest
from store.values import Artefact, BatchItem, Generation, main_of
from web.parts.elements import local
from web.parts.outputs import badge_of
from web.parts.references import pictured
from web.parts.wording import STATUS_WORDS, subject

_NARROWEST, _WIDEST = 0.5, 2.0
_WORDS: Final[dict[str, str]] = {
    **{str(status): word for status, word in STATUS_WORDS.items()},
    "waiting": "",
    "deleted": "Deleted",
}


@dataclass(frozen=True)
class Cell:
    """The state of an item. ``status`` is a generation's, "waiting" or "deleted".

    ``values`` are those that the batch's grid gave it: "CFG 4.5, Sampler euler". ``kept`` says
    what it made, unless that is an image: "Video 0:05".
    """

    id: UUID
    number: int | None
    status: str
    request: StoredRequest | None
    percent: float | None = None
    src: str | None = None
    many: int = 0
    values: str = ""
    kept: str = ""

    @classmethod
    def of(
        cls,
        generation: Generation,
        kept: Sequence[Artefact],
        links: Links,
        number: int | None = None,
        values: str = "",
    ) -> Cell:
        """Returns the cell of a generation; ``number`` is its position among the items, from 1."""
        progress = generation.progress
        main = main_of(kept)
        src = links.poster(main) if main is not None else links.preview(generation)
        return cls(
            generation.id,
            number,
            generation.status if generation.deleted_at is None else "deleted",
            generation.request,
            progress.percent if progress is not None else None,
            local(src) if src is not None else None,
            len(kept),
            values,
            (badge_of(main.kind, main.duration_s) or "") if main is not None else "",
        )

    @classmethod
    def of_item(
        cls, item: BatchItem, images: Sequence[Artefact], links: Links, grid: Grid | None
    ) -> Cell:
        """Returns the cell of an item, whether it has started or not."""
        number = item.position + 1
        values = _values(grid, item.combination)
        if item.generation is not None:
            return cls.of(item.generation, images, links, number, values)
        return cls(item.generation_id, number, "waiting", item.request, values=values)

    def tile(self) -> dict[str, Any]:
        """Returns the cell as sent to the browser."""
        running = self.status == "running" and self.percent is not None
        state = f"{self.percent:.0f}%" if running else _WORDS[self.status]
        bare = self.status == "succeeded" and self.src is None and self.kept
        badge = [self.kept] if self.src and self.kept else []
        badge += [f"×{self.many}"] if self.many > 1 else []
        said = [self.values, subject(self.request, 120) if self.request else ""]
        return {
            "id": str(self.id),
            "href": f"/g/{self.id}" if self.status not in ("waiting", "deleted") else None,
            "number": f"{self.number:,}" if self.number is not None else "",
            "status": self.status,
            "said": self.kept if bare else state,
            "title": " · ".join(filter(None, said)),
            "values": self.values,
            "src": self.src,
            "badge": " ".join(badge) or None,
        }


def _values(grid: Grid | None, combination: int | None) -> str:
    if grid is None or combination is None or combination >= grid.size:
        return ""
    return pictured(label(grid.combination(combination)))[0]


class Sheet(ui.element, component="../static/sheet.js"):
    """Cells in order. ``put`` changes some of them in place, and sends only those."""

    def __init__(self) -> None:
        super().__init__()
        self._cells: dict[UUID, Cell] = {}
        self.props.update({"tiles": [], "tables": [], "ratio": 1, "within": ""})

    def __contains__(self, generation_id: object) -> bool:
        return generation_id in self._cells

    def __getitem__(self, generation_id: UUID) -> Cell:
        return self._cells[generation_id]

    def __len__(self) -> int:
        return len(self._cells)

    def show(
        self, cells: Iterable[Cell], within: str, tables: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Replace all cells; ``within`` is the list they are in, as part of their URLs.

        They are shown in ``tables`` (see ``as_sent``) if there are any, else one after another.
        """
        self._cells = {cell.id: cell for cell in cells}
        with self.props.suspend_updates():
            self.props["tiles"] = [cell.tile() for cell in self._cells.values()]
            self.props["ratio"] = _ratio(self._cells.values())
            self.props["within"] = f"?{within}"
            self.props["tables"] = list(tables)
        self.update()

    def put(self, cells: list[Cell]) -> None:
        """Update some cells."""
        changed = [cell for cell in cells if self._cells.get(cell.id) != cell]
        self._cells.update({cell.id: cell for cell in changed})
        with self.props.suspend_updates():  # for browsers that rebuild the page; others get ``put``
            self.props["tiles"] = [cell.tile() for cell in self._cells.values()]
        if changed:
            self.run_method("put", [cell.tile() for cell in changed])


def as_sent(tables: Sequence[Table], sheets: Mapping[int, str]) -> list[dict[str, Any]]:
    """Returns tables as sent to the browser. The first one of a row has the link to its sheet."""
    sent = []
    last: int | None = None
    for number, table in enumerate(tables, 1):
        caption = _header(table.caption)
        sent.append(
            {
                "name": caption["label"] or f"Table {number}",
                "caption": caption["label"],
                "pictures": caption["pictures"],
                "sheet": sheets.get(table.row) if table.row != last else None,
                "columns": [_header(column) for column in table.columns],
                "named": any(line.label for line in table.lines),
                "lines": [
                    {
                        **_header(line.label),
                        "ids": [
                            str(one.generation_id) if one is not None else None
                            for one in line.items
                        ],
                    }
                    for line in table.lines
                ],
            }
        )
        last = table.row
    return sent


def _header(label_: str) -> dict[str, Any]:
    """Returns what a table, a row or a column is called, with the pictures that belong to it."""
    text, pictures = pictured(label_)
    return {"label": text, "pictures": pictures}


def _ratio(cells: Iterable[Cell]) -> float:
    """Returns the most common aspect ratio."""
    sizes = Counter(
        cell.request.size
        for cell in cells
        if isinstance(cell.request, ResolvedRequest) and cell.request.size is not None
    )
    if not sizes:
        return 1.0
    (width, height), _ = sizes.most_common(1)[0]
    return round(max(_NARROWEST, min(_WIDEST, width / height)), 3)
