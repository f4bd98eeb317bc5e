"""The secret is there from the first start on, and two are valid while it is being rotated."""

from __future__ import annotations

import asyncio
import base64

from store.callbacks.secrets import BYTES
from store.database import Database
from store.migrate import migrate
from store.store import Store


async def test_a_new_store_has_one_and_all_its_processes_the_same(
    store: Store, second: Store
) -> None:
    [secret] = await store.secrets.valid()

    assert secret.startswith("whsec_")
    assert await second.secrets.valid() == (secret,)


async def test_each_store_makes_its_own(empty_url: str) -> None:
    async with Database(empty_url) as database:
        await migrate(database)
        store = Store(empty_url, "")
        [secret] = await store.secrets.valid()
        await store.database.close()

    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == BYTES


async def test_two_are_valid_while_it_is_rotated(store: Store, second: Store) -> None:
    [first] = await store.secrets.valid()

    newer = await store.secrets.rotate()
    assert await second.secrets.valid() == (newer, first)
    assert len(base64.b64decode(newer.removeprefix("whsec_"), validate=True)) == BYTES

    newest = await second.secrets.rotate()
    assert await store.secrets.valid() == (newest, newer)

    await store.secrets.retire()
    await store.secrets.retire()
    assert await second.secrets.valid() == (newest,)


async def test_never_more_than_two_are_valid(store: Store, second: Store) -> None:
    made = await asyncio.gather(*(one.secrets.rotate() for one in (store, second) * 5))

    valid = await store.secrets.valid()
    assert len(set(made)) == 10
    assert len(valid) == 2
    assert set(valid) <= set(made)
