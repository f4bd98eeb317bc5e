"""A batch keeps its grid, and each item which combination of it the item is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import uuid4

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, func, select

from core.batches.grid import Axis, Grid
from core.batches.request import BatchOptions
from store.migrate import MIGRATIONS
from store.store import Store
from store.tables import batch_items
from store.values import NewItem
from tests.harness.transactions import open_write
from tests.store.batch_making import SEED, new_items

GRID: Final = Grid(
    combine="product",
    axes=(Axis(field="cfg", values=(4.5, 8)), Axis(field="sampler", values=("euler", "ddim"))),
)


def downgrade(connection: Connection, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, to)


def cells(rows: int, alike: int) -> list[NewItem]:
    """Returns items that are ``alike`` of each combination in each row."""
    each = [
        (row, combination)
        for row in range(1, rows + 1)
        for combination in range(GRID.size)
        for _ in range(alike)
    ]
    return [
        replace(item, row=row, combination=combination)
        for item, (row, combination) in zip(new_items(len(each)), each, strict=True)
    ]


async def test_a_grid_is_read_as_it_was_kept(store: Store) -> None:
    batch_id = uuid4()
    await store.batch_transitions.begin(batch_id, "foxes", BatchOptions(), SEED, grid=GRID)
    await store.batch_transitions.add(batch_id, cells(1, 1))
    await store.batch_transitions.accept(batch_id, 4, 4.0)

    assert (await store.batches.get(batch_id)).grid == GRID
    page = await store.batches.items(batch_id, 10, None)
    assert [item.combination for item in page.items] == [0, 1, 2, 3]


async def test_tables_are_paged_by_whole_rows(store: Store) -> None:
    batch_id = uuid4()
    await store.batch_transitions.begin(batch_id, "foxes", BatchOptions(), SEED, grid=GRID)
    await store.batch_transitions.add(batch_id, cells(5, 2))
    await store.batch_transitions.accept(batch_id, 40, 40.0)

    assert await store.batches.most_alike(batch_id) == 2
    assert await store.batches.most_alike(uuid4()) == 0
    seen, cursor = [], None
    while True:
        page = await store.batches.table(batch_id, 100, cursor, rows_max=2)
        seen.append((page.rows, page.first_number, [item.position for item in page.items]))
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [
        ((1, 2), 1, [*range(16)]),
        ((3, 4), 3, [*range(16, 32)]),
        ((5,), 5, [*range(32, 40)]),
    ]
    back = await store.batches.table(batch_id, 100, page.previous_cursor, rows_max=2)
    assert back.rows == (3, 4)


async def test_the_migration_loses_no_item_either_way(empty_url: str, tmp_path: Path) -> None:
    async with Store(empty_url, str(tmp_path / "images")) as store:
        batch_id = uuid4()
        await store.batch_transitions.begin(batch_id, "foxes", BatchOptions(), SEED, grid=GRID)
        await store.batch_transitions.add(batch_id, cells(1, 1))
        await store.batch_transitions.accept(batch_id, 4, 4.0)
        async with open_write(store.database) as connection:
            await connection.run_sync(downgrade, "0006")
            items = await connection.execute(select(func.count(batch_items.c.position)))
            assert items.scalar_one() == 4

    async with Store(empty_url, str(tmp_path / "images")) as store:
        assert (await store.batches.get(batch_id)).grid is None
        page = await store.batches.items(batch_id, 10, None)
        assert [(item.row, item.combination) for item in page.items] == [(1, None)] * 4
