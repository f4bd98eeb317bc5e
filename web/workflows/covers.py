"""What each workflow gave last, as a small image."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.generations.documents import OutputDocument
from api.generations.facade import Facade
from store.values import HistoryFilter
from web.parts.layout import Web
from web.parts.trash import Trash

LOOK_EVERY_S: Final = 3.0
"""How long a look counts for all pages; one that is stale then is looked at again."""


@dataclass(frozen=True)
class _Look:
    begun: float
    hidden: tuple[UUID, ...]
    found: asyncio.Task[str | None]


class Covers:
    """Shared by all pages of the process: of each workflow there is one look at a time."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._looks: dict[str, _Look] = {}

    async def of(self, workflow: str) -> tuple[str | None, float]:
        """Returns the URL of a poster of the newest artefact of a workflow, None if there is none.

        And when it was looked at, in seconds of the monotonic clock. Raises StoreError.
        """
        now, hidden = time.monotonic(), self._web.trash.ids
        look = self._looks.get(workflow)
        if look is None or now - look.begun >= LOOK_EVERY_S or look.hidden != hidden:
            found = cover_of(self._web.facade, self._web.trash, workflow)
            look = _Look(now, hidden, asyncio.ensure_future(found))
            self._looks[workflow] = look
        return await asyncio.shield(look.found), look.begun


async def cover_of(facade: Facade, trash: Trash, workflow: str) -> str | None:
    """Returns the URL of a poster of the newest artefact of a workflow, None if there is none."""
    wanted = HistoryFilter(workflow=workflow, status=("succeeded",))
    page = await facade.history(wanted, 1 + len(trash.ids), None)
    for item in page.items:
        if item.task_id not in trash and (found := _poster(item.outputs)) is not None:
            return found
    return None


def _poster(outputs: list[OutputDocument]) -> str | None:
    ordered = sorted(outputs, key=lambda one: not one.primary)
    return next((one.poster_url for one in ordered if one.poster_url is not None), None)
