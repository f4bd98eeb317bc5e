"""Stored callbacks, and the addresses that are switched off."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from store.callbacks.values import Delivery, Target
from store.errors import NotFoundError
from store.store import Store
from tests.store.callback_making import EVERY, NAMED, OTHER_URL, URL, all_deliveries, asked
from tests.store.making import OUT_OF_MEMORY, claimed


async def a_delivery(store: Store, *, named: bool) -> Delivery:
    made = await asked(store, NAMED if named else EVERY)
    await store.transitions.fail(await claimed(store, made.id), OUT_OF_MEMORY)
    [one] = await all_deliveries(store, generation_id=made.id)
    return one


async def switched_off(store: Store) -> list[tuple[str | None, str]]:
    return [(one.name, one.url) for one in await store.callbacks.all() if one.off_at is not None]


async def test_stored_ones_are_listed_by_name(store: Store) -> None:
    for name in ("shop", "album", "Zoo"):
        await store.callbacks.add(name, URL)
    await store.callbacks.switch_off(None, OTHER_URL)

    found = await store.callbacks.all()

    assert sorted(str(one.name) for one in found[:3]) == ["Zoo", "album", "shop"]
    assert (found[3].name, found[3].url) == (None, OTHER_URL)
    assert await store.callbacks.names() == {"shop", "album", "Zoo"}
    assert URL not in repr(found)
    assert OTHER_URL not in repr(found)


async def test_another_url_replaces_the_first_and_switches_it_on(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    await store.callbacks.switch_off("shop", URL)
    assert await switched_off(store) == [("shop", URL)]

    await store.callbacks.add("shop", OTHER_URL)

    [one] = await store.callbacks.all()
    assert (one.name, one.url, one.off_at) == ("shop", OTHER_URL, None)


async def test_one_that_was_removed_receives_nothing(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    one = await a_delivery(store, named=True)
    assert await store.callbacks.target(one) == Target(URL, None)

    await store.callbacks.remove("shop")

    with pytest.raises(NotFoundError, match="easel webhooks add shop URL"):
        await store.callbacks.target(one)
    with pytest.raises(NotFoundError, match="no callback called shop"):
        await store.callbacks.remove("shop")
    assert await store.callbacks.names() == frozenset()


async def test_an_address_is_switched_off_and_on(store: Store) -> None:
    one = await a_delivery(store, named=False)
    assert await store.callbacks.target(one) == Target(URL, None)

    await store.callbacks.switch_off(None, URL)

    target = await store.callbacks.target(one)
    assert target.url == URL
    assert target.off_at is not None
    other = replace(one, url=OTHER_URL)
    assert await store.callbacks.target(other) == Target(OTHER_URL, None)

    await store.callbacks.enable(URL)
    assert await store.callbacks.target(one) == Target(URL, None)
    assert await store.callbacks.all() == ()
    with pytest.raises(NotFoundError, match="easel webhooks list"):
        await store.callbacks.enable(URL)


async def test_a_stored_one_is_switched_off_and_on(store: Store) -> None:
    await store.callbacks.add("shop", URL)
    named, bare = await a_delivery(store, named=True), await a_delivery(store, named=False)

    await store.callbacks.switch_off("shop", URL)

    assert (await store.callbacks.target(named)).off_at is not None
    assert (await store.callbacks.target(bare)).off_at is None
    for _ in range(2):
        await store.callbacks.enable("shop")
        assert (await store.callbacks.target(named)).off_at is None


async def test_one_whose_url_has_changed_is_not_switched_off_for_the_former(store: Store) -> None:
    await store.callbacks.add("shop", OTHER_URL)

    await store.callbacks.switch_off("shop", URL)
    await store.callbacks.switch_off("album", URL)

    assert await switched_off(store) == []


async def test_an_address_is_switched_off_once(store: Store, second: Store) -> None:
    await asyncio.gather(*(one.callbacks.switch_off(None, URL) for one in (store, second) * 8))

    assert await switched_off(store) == [(None, URL)]
