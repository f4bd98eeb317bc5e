"""A page of the history as one element: built in the browser from a list of plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from nicegui import events, ui

from api.generations.documents import HistoryItem, OutputDocument
from core.requests import StoredRequest
from core.status import Status
from core.wording import ago
from web.parts.elements import local
from web.parts.outputs import KIND_WORDS, badge_of
from web.parts.wording import headline, operation, subject

_NARROWEST, _WIDEST = 0.5, 2.4
_TEXT_SHOWN: Final = 300


class Gallery(ui.element, component="../static/gallery.js"):
    """Tiles with a tick box each. ``on_pick`` is called with every tick.

    What ``is_usable`` has a button too, with which ``on_use`` is called.
    """

    def __init__(
        self,
        on_pick: Callable[[UUID, bool], None],
        is_usable: Callable[[OutputDocument], bool],
        on_use: Callable[[UUID], Any],
    ) -> None:
        super().__init__()
        self._is_usable = is_usable
        self._tiles: dict[UUID, dict[str, Any]] = {}
        self.props.update({"tiles": [], "picked": [], "within": ""})

        def picked(event: events.GenericEventArguments) -> None:
            on_pick(UUID(event.args["id"]), bool(event.args["picked"]))

        self.on("pick", picked)
        self.on("use", lambda event: on_use(UUID(str(event.args))))

    def status(self, generation_id: UUID) -> Status | None:
        """Returns the status a tile shows; None when it is not on the page."""
        tile = self._tiles.get(generation_id)
        return tile["status"] if tile else None

    def show(self, items: Iterable[HistoryItem], within: str) -> None:
        """Replace all tiles; ``within`` is the list they are in, as part of their URLs."""
        self.props["within"] = f"?{within}" if within else ""
        self._tiles = {item.task_id: self._tile(item) for item in items}
        self._send()

    def replace(self, item: HistoryItem) -> None:
        """Update one tile."""
        self._tiles[item.task_id] = self._tile(item)
        self._send()

    def tick(self, picked: Iterable[UUID]) -> None:
        """Set which boxes are ticked."""
        self.props["picked"] = [str(generation_id) for generation_id in picked]
        self.update()

    def _send(self) -> None:
        self.props["tiles"] = list(self._tiles.values())
        self.update()

    def _tile(self, item: HistoryItem) -> dict[str, Any]:
        main = main_of(item)
        return {**_tile(item, main), "usable": main is not None and self._is_usable(main)}


def main_of(item: HistoryItem) -> OutputDocument | None:
    """Returns the output that stands for all of it; None if it has none."""
    return next((each for each in item.outputs if each.primary), next(iter(item.outputs), None))


def _tile(item: HistoryItem, main: OutputDocument | None) -> dict[str, Any]:
    request = item.request
    count = len(item.outputs)
    return {
        "id": str(item.task_id),
        "href": f"/g/{item.task_id}",
        "src": local(main.poster_url) if main is not None and main.poster_url else None,
        "badge": badge_of(main.kind, main.duration_s, count) if main is not None else None,
        "title": subject(request, 120),
        "when": " · ".join(filter(None, (operation(request), ago(item.created_at)))),
        "status": item.status,
        "headline": _headline(item, main),
        "text": main.text[:_TEXT_SHOWN] if main is not None and main.text else None,
        "ratio": round(max(_NARROWEST, min(_WIDEST, _ratio(request, main))), 3),
    }


def _headline(item: HistoryItem, main: OutputDocument | None) -> str:
    """Returns the state; of an output without a picture, what it is."""
    if main is None or main.poster_url is not None:
        return headline(item)
    return badge_of(main.kind, main.duration_s) or KIND_WORDS[main.kind]


def _ratio(request: StoredRequest, main: OutputDocument | None) -> float:
    """Returns width by height; a square when neither request nor output say it."""
    width, height = request.size or (1, 1)
    if main is not None and main.width and main.height:
        width, height = main.width, main.height
    return width / height
