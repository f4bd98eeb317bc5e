"""Rows as another version of Easel would have written them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table, select, update

from store.store import Store
from store.tables import batch_items, batches, generations
from tests.harness.transactions import open_write

Document = dict[str, Any]
Change = Callable[[Document], Document]


def with_another_field(stored: Document) -> Document:
    """An input that the plan of its version knows how to take."""
    plan = {**stored["$plan"], "outputs": "many"}
    return {**stored, "loras": [{"name": "ink.safetensors", "strength": 0.8}], "$plan": plan}


def without_a_field(stored: Document) -> Document:
    return {name: value for name, value in stored.items() if name != "timeout_s"}


def with_another_value(stored: Document) -> Document:
    return {**stored, "metadata": ["order 42"]}


OTHERS: Final[dict[Change, str]] = {
    with_another_field: "outputs: must be a whole number",
    without_a_field: "timeout_s: is missing",
    with_another_value: "metadata: must be a JSON object",
}
"""What another version may have stored, and why this one cannot read it."""


async def rewritten(store: Store, generation_id: UUID, change: Change) -> Document:
    """Store a generation's request as another version would; what is stored then."""
    return await _rewritten(store, generations, "request", change, id=generation_id)


async def rewritten_item(store: Store, batch_id: UUID, position: int, change: Change) -> Document:
    """The same with an item that is not a generation yet."""
    where = {"batch_id": batch_id, "position": position}
    return await _rewritten(store, batch_items, "request", change, **where)


async def rewritten_options(store: Store, batch_id: UUID) -> Document:
    """The same with a batch's options."""
    return await _rewritten(
        store, batches, "options", lambda stored: {**stored, "order": "shuffled"}, id=batch_id
    )


async def stored_as(store: Store, generation_id: UUID, **columns: Any) -> None:
    """Put these values into a generation's row."""
    async with open_write(store.database) as connection:
        await connection.execute(
            update(generations).where(generations.c.id == generation_id).values(**columns)
        )


async def _rewritten(
    store: Store, table: Table, column: str, change: Change, **key: Any
) -> Document:
    which = [table.c[name] == value for name, value in key.items()]
    async with open_write(store.database) as connection:
        stored = (await connection.execute(select(table.c[column]).where(*which))).scalar_one()
        changed = change(stored)
        await connection.execute(update(table).where(*which).values({column: changed}))
    return changed
