"""What generations need of their ComfyUI, and which of it one ComfyUI can do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, select

from core.workflows.needs import Needs
from store.database import insert_new_into
from store.tables import needs
from store.values import Queued

TOGETHER: Final = 500
"""Digests of one statement: SQLite takes only so many values."""


def keep_needs(connection: Connection, found: Iterable[Needs]) -> None:
    """Store those that are not there yet."""
    # In one order, so that two transactions never wait for each other.
    rows = [
        {"digest": digest, "value": one.to_json()}
        for digest, one in sorted({one.digest: one for one in found}.items())
    ]
    if rows:
        connection.execute(insert_new_into(connection, needs), rows)


def read_needs(connection: Connection, digests: Collection[str]) -> dict[str, Needs]:
    """Returns those of these digests that are there and can be read."""
    wanted, found = sorted(digests), dict[str, Needs]()
    for start in range(0, len(wanted), TOGETHER):
        some = wanted[start : start + TOGETHER]
        rows = connection.execute(select(needs).where(needs.c.digest.in_(some)))
        read = ((row.digest, Needs.from_json(row.value)) for row in rows)
        found.update({digest: one for digest, one in read if one is not None})
    return found


class Abilities:
    """Which needs a ComfyUI meets, each judged once. Make another one when its offer changes.

    Use from one transaction at a time.
    """

    def __init__(self, meets: Callable[[Needs], bool]) -> None:
        self._meets = meets
        self._judged: dict[str, bool] = {}
        self._needs: dict[str, Needs] = {}

    @property
    def unmet(self) -> list[str]:
        """Returns the digests of what it was found not to meet."""
        return [digest for digest, is_met in self._judged.items() if not is_met]

    def needs_of(self, digest: str) -> Needs | None:
        """Returns needs that were judged, None for others."""
        return self._needs.get(digest)

    def judge(self, connection: Connection, page: Sequence[Queued]) -> list[Queued]:
        """Returns those that it can do."""
        asked = {one.needs for one in page if one.needs is not None} - self._judged.keys()
        if asked:
            found = read_needs(connection, asked)
            self._needs.update(found)
            # What is not there says nothing, so it is tried.
            judged = {one: one not in found or self._meets(found[one]) for one in asked}
            self._judged.update(judged)
        return [one for one in page if one.needs is None or self._judged[one.needs]]
