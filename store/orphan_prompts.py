"""Stray prompts: unwanted prompts that a ComfyUI may still have, in its queue or its history.

Recorded in the transaction that ended a generation without its worker, or that deleted it; removed
from ComfyUI by the worker that drives it, as soon as there is one.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from store.database import Database, reads, writes
from store.generations.rows import ACTIVE
from store.tables import attempts, generations, strays
from store.values import Stray


class Strays:
    """The table of stray prompts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def of(self, connection: Connection, comfy_url: str) -> tuple[Stray, ...]:
        """Returns those that the ComfyUI at this address may have, oldest first."""
        statement = (
            select(strays.c.prompt_id, strays.c.comfy_url)
            .where(strays.c.comfy_url == comfy_url)
            .order_by(strays.c.created_at)
        )
        rows = (connection.execute(statement)).mappings()
        return tuple(Stray(**row) for row in rows)

    @reads
    def is_wanted(self, connection: Connection, stray: Stray) -> bool:
        """Whether the prompt's attempt is being worked on again: then it is no longer a stray."""
        statement = (
            select(attempts.c.number)
            .join(generations, generations.c.id == attempts.c.generation_id)
            .where(
                attempts.c.prompt_id == stray.prompt_id,
                attempts.c.comfy_url == stray.comfy_url,
                attempts.c.number == generations.c.attempt,
                generations.c.status.in_(ACTIVE),
                generations.c.deleted_at.is_(None),
            )
        )
        return (connection.execute(statement)).first() is not None

    @writes
    def gone(self, connection: Connection, stray: Stray) -> None:
        """Remove the record: ComfyUI no longer has the prompt."""
        connection.execute(
            delete(strays).where(
                strays.c.prompt_id == stray.prompt_id,
                strays.c.comfy_url == stray.comfy_url,
            )
        )
