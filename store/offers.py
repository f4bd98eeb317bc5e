"""What each ComfyUI offers: workers write it, and all go by it where a generation can be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, select

from core.workflows.needs import Offer
from store.database import Database, insert_into, reads, writes
from store.tables import offers

_CLASSES: Final = "classes"
_CHOICES: Final = "choices"


def read_digests(connection: Connection) -> dict[str, str]:
    """Returns the digest of each offer that is wholly known: another one after each change."""
    known = (offers.c.files.is_not(None), offers.c.nodes.is_not(None))
    statement = select(offers.c.comfy_url, offers.c.digest).where(*known)
    return {row.comfy_url: row.digest for row in connection.execute(statement)}


class Offers:
    """The offers by ComfyUI's URL. Every method raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_files(self, comfy_url: str, files: Mapping[str, Sequence[str]]) -> bool:
        """Store all that is in its model folders. Returns whether that was something new."""
        return await self._keep(comfy_url, "files", {k: sorted(v) for k, v in files.items()})

    async def keep_nodes(
        self, comfy_url: str, classes: Collection[str], choices: Collection[str]
    ) -> bool:
        """Store its node classes and what they offer. Returns whether that was something new."""
        nodes = {_CLASSES: sorted(classes), _CHOICES: sorted(choices)}
        return await self._keep(comfy_url, "nodes", nodes)

    @reads
    def of(self, connection: Connection, comfy_url: str) -> Offer | None:
        """Returns what a ComfyUI has; None while files or classes were never read."""
        statement = select(offers.c.files, offers.c.nodes).where(offers.c.comfy_url == comfy_url)
        row = connection.execute(statement).first()
        return None if row is None else Offer.from_json(row.files, row.nodes)

    async def _keep(self, comfy_url: str, part: str, found: dict[str, Any]) -> bool:
        if await self._kept(comfy_url, part) == found:
            return False
        await self._put(comfy_url, part, found)
        return True

    @reads
    def _kept(self, connection: Connection, comfy_url: str, part: str) -> Any:
        statement = select(offers.c[part]).where(offers.c.comfy_url == comfy_url)
        return connection.execute(statement).scalar_one_or_none()

    @writes
    def _put(
        self, connection: Connection, comfy_url: str, part: str, found: dict[str, Any]
    ) -> None:
        values = {part: found, "digest": uuid4().hex}
        connection.execute(
            insert_into(connection, offers)
            .values(comfy_url=comfy_url, **values)
            .on_conflict_do_update(index_elements=["comfy_url"], set_=values)
        )
