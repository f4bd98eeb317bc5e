"""What ComfyUIs offer as workflows, for an API that does not reach them: their workers say it.

They also answer requests for files. A request and its answer are worth nothing after a crash, so
they do not wait for the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, delete, select, update

from store.database import Database, insert_into, notes, reads, writes
from store.signals import signal
from store.tables import offered_sources, source_requests

RENDERED: Final = "rendered:"
"""How a request begins for a finished output, by its name in the folder of Easel's prompts."""
LEFT_BEHIND: Final = timedelta(minutes=10)
"""After this, nobody waits for an answer any more: who asked has ended without removing it."""
_TEXT_MAX: Final = 500
_PROBLEM_MAX: Final = 1000


@dataclass(frozen=True)
class SourceAnswer:
    """What a worker answered. Without ``data`` its ComfyUI has no such file, or there is a
    ``problem``.
    """

    data: bytes | None = None
    name: str = ""
    title: str = ""
    problem: str | None = None


class Sources:
    """Workers keep lists and answer requests here; the API reads and asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def hears(self) -> bool:
        """Whether signals of other processes arrive now."""
        return self._database.hears

    def listening(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call it whenever something is asked for or answered, by any process."""
        return self._database.hearing.listening("sources", call)

    async def keep(self, comfy_url: str, found: list[dict[str, Any]]) -> bool:
        """Store what a ComfyUI offers. Returns whether that has changed."""
        if (await self.kept([comfy_url])).get(comfy_url) == found:
            return False
        await self._keep(comfy_url, found)
        return True

    @writes
    def _keep(self, connection: Connection, comfy_url: str, found: list[dict[str, Any]]) -> None:
        values = {"data": found, "fetched_at": datetime.now(UTC)}
        connection.execute(
            insert_into(connection, offered_sources)
            .values(comfy_url=comfy_url, **values)
            .on_conflict_do_update(index_elements=["comfy_url"], set_=values)
        )

    @reads
    def kept(self, connection: Connection, comfy_urls: Collection[str]) -> dict[str, Any]:
        """Returns what those of these ComfyUIs offer whose workers have said it."""
        statement = select(offered_sources.c.comfy_url, offered_sources.c.data).where(
            offered_sources.c.comfy_url.in_(comfy_urls)
        )
        return {row.comfy_url: row.data for row in connection.execute(statement)}

    @notes
    def ask(self, connection: Connection, comfy_urls: Collection[str], source: str) -> list[UUID]:
        """Ask the workers of these ComfyUIs for a file. Returns the requests."""
        now = datetime.now(UTC)
        requests = {uuid4(): url for url in comfy_urls}
        rows = [
            {"id": request, "comfy_url": url, "source": source, "asked_at": now}
            for request, url in requests.items()
        ]
        connection.execute(
            delete(source_requests).where(source_requests.c.asked_at < now - LEFT_BEHIND)
        )
        if rows:
            connection.execute(insert_into(connection, source_requests), rows)
            signal(connection, "sources")
        return list(requests)

    @reads
    def asked(self, connection: Connection, comfy_url: str) -> list[tuple[UUID, str]]:
        """Returns the requests to one ComfyUI's workers that wait, with their sources."""
        statement = (
            select(source_requests.c.id, source_requests.c.source)
            .where(
                source_requests.c.comfy_url == comfy_url, source_requests.c.answered_at.is_(None)
            )
            .order_by(source_requests.c.asked_at)
        )
        return [(row.id, row.source) for row in connection.execute(statement)]

    @notes
    def answer(self, connection: Connection, request: UUID, told: SourceAnswer) -> None:
        """Answer a request. No-op for one that has its answer, or nobody waits for any more.

        Several workers may drive one ComfyUI: the first of them is heard.
        """
        connection.execute(
            update(source_requests)
            .where(source_requests.c.id == request, source_requests.c.answered_at.is_(None))
            .values(
                answered_at=datetime.now(UTC),
                data=told.data,
                name=told.name[:_TEXT_MAX],
                title=told.title[:_TEXT_MAX],
                problem=told.problem and told.problem[:_PROBLEM_MAX],
            )
        )
        signal(connection, "sources")

    @reads
    def answers(self, connection: Connection, requests: Collection[UUID]) -> list[SourceAnswer]:
        """Returns the answers to those of these requests that have one, the oldest first."""
        columns = source_requests.c
        statement = (
            select(columns.data, columns.name, columns.title, columns.problem)
            .where(columns.id.in_(requests), columns.answered_at.is_not(None))
            .order_by(columns.answered_at)
        )
        return [
            SourceAnswer(row.data, row.name or "", row.title or "", row.problem)
            for row in connection.execute(statement)
        ]

    @notes
    def forget(self, connection: Connection, requests: Collection[UUID]) -> None:
        """Remove requests with their answers."""
        connection.execute(delete(source_requests).where(source_requests.c.id.in_(requests)))
