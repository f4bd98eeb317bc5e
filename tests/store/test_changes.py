"""The feed of changes: everyone who watches sees every generation's newest state."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import cast

import pytest
from sqlalchemy import update

from core.status import FINAL
from store.changes import Subscription
from store.database import next_changes
from store.sqlite import READERS
from store.store import Store
from store.tables import generations
from store.values import Generation, ProgressRecord
from tests.harness.transactions import open_read, open_write
from tests.store.making import END_THE_OTHERS, accepted, brought_to, claimed, running

PATIENCE_S = 20
"""Only for what never comes."""


async def seen_until(
    subscription: Subscription, enough: Callable[[list[Generation]], bool]
) -> list[Generation]:
    """Every change that comes, until it is enough."""
    seen: list[Generation] = []
    changes = cast("AsyncGenerator[Generation, None]", subscription.changes())
    async with asyncio.timeout(PATIENCE_S), aclosing(changes):
        async for generation in changes:
            seen.append(generation)
            if enough(seen):
                break
    return seen


async def first_of(subscription: Subscription) -> Generation:
    return (await seen_until(subscription, lambda _: True))[0]


async def test_every_state_comes_to_who_watches(store: Store) -> None:
    with store.changes.subscribe() as subscription:
        made = await accepted(store)
        assert await first_of(subscription) == made
        claim = await claimed(store, made.id)
        assert (await first_of(subscription)).fence == 1
        await store.transitions.start(claim, datetime.now(UTC))
        assert (await first_of(subscription)).status == "running"
        await store.transitions.record_progress(claim, ProgressRecord(50.0), None, None)
        assert (await first_of(subscription)).progress == ProgressRecord(50.0)
        await store.transitions.cancelled(claim)
        assert await first_of(subscription) == await store.generations.get(made.id)


async def test_writes_of_another_process_come_too(store: Store, second: Store) -> None:
    with store.changes.subscribe() as subscription:
        made = await accepted(second)
        assert await first_of(subscription) == made
        await running(second, made.id)
        seen = await seen_until(subscription, lambda seen: seen[-1].status == "running")

    assert {generation.id for generation in seen} == {made.id}


async def test_a_slow_reader_gets_the_newest_state_only(store: Store) -> None:
    with store.changes.subscribe() as slow, store.changes.subscribe() as quick:
        made = await accepted(store)
        claim = await running(store, made.id)
        for percent in range(1, 31):
            await store.transitions.record_progress(
                claim, ProgressRecord(float(percent)), None, None
            )
        newest = await store.generations.get(made.id)
        await seen_until(quick, lambda seen: seen[-1].change == newest.change)

        # All that happened is offered by now, and one state of it is left.
        assert await first_of(slow) == newest


async def test_what_a_reader_has_not_taken_yet_stays_for_its_next_turn(store: Store) -> None:
    with store.changes.subscribe() as slow, store.changes.subscribe() as quick:
        made = [await accepted(store) for _ in range(3)]
        await seen_until(quick, lambda seen: seen[-1].id == made[-1].id)

        one_by_one = [await first_of(slow) for _ in made]

    assert one_by_one == made


async def test_no_reader_is_shown_the_past_after_the_present(store: Store, second: Store) -> None:
    made = [await accepted(store) for _ in range(3)]
    claims = [await running(store, generation.id) for generation in made]

    async def write() -> None:
        for percent in range(1, 21):
            await asyncio.gather(
                *(
                    s.transitions.record_progress(claim, ProgressRecord(float(percent)), None, None)
                    for claim, s in zip(claims, (store, second, store), strict=True)
                )
            )
        await asyncio.gather(*(store.transitions.cancelled(claim) for claim in claims))

    with store.changes.subscribe() as subscription:
        writing = asyncio.create_task(write())
        seen = await seen_until(
            subscription,
            lambda seen: len({g.id for g in seen if g.status in FINAL}) == len(made),
        )
        await writing

    for generation in made:
        changes = [g.change for g in seen if g.id == generation.id]
        assert changes == sorted(set(changes))


async def test_everyone_gets_everything(store: Store) -> None:
    with store.changes.subscribe() as one, store.changes.subscribe() as other:
        made = {(await accepted(store)).id for _ in range(5)}

        seen = await asyncio.gather(
            *(
                seen_until(subscription, lambda seen: len({g.id for g in seen}) == 5)
                for subscription in (one, other)
            )
        )

    for generations_seen in seen:
        assert {generation.id for generation in generations_seen} == made


async def test_who_watches_one_sees_only_that_one(store: Store) -> None:
    watched, other = await accepted(store), await accepted(store)

    with store.changes.subscribe(watched.id) as subscription:
        await running(store, other.id)
        await running(store, watched.id)
        await store.transitions.request_cancel(other.id)
        seen = await seen_until(subscription, lambda seen: seen[-1].status == "running")

    assert {generation.id for generation in seen} == {watched.id}


async def test_more_than_a_page_at_once_comes_whole(store: Store) -> None:
    """All of it in one commit: no later one gives a second occasion to look."""
    made = await asyncio.gather(*(accepted(store) for _ in range(1100)))

    with store.changes.subscribe() as subscription:
        async with open_write(store.database) as connection:
            first = await connection.run_sync(next_changes, len(made))
            await connection.execute(
                update(generations).values(change=first - made[0].seq + generations.c.seq)
            )
        seen = await seen_until(
            subscription, lambda seen: len({g.id for g in seen if g.change >= first}) == len(made)
        )

    assert {generation.id for generation in seen} == {generation.id for generation in made}


async def test_nothing_is_missed_between_subscribing_and_the_first_look(
    store: Store, second: Store
) -> None:
    """The feed wakes at its leisure: what is committed before it does must come all the same."""
    made = await accepted(store)
    async with AsyncExitStack() as busy:
        # Given a feed that cannot look yet, because every connection is in use
        for _ in range(READERS if store.database.is_sqlite else 20):
            await busy.enter_async_context(open_read(store.database))
        with store.changes.subscribe(made.id) as subscription:
            # When the generation ends, and more is written after it
            await second.transitions.request_cancel(made.id)
            await accepted(second)
            await busy.aclose()

            # Then the end comes as soon as the feed looks
            seen = await seen_until(subscription, lambda seen: seen[-1].status == "cancelled")

    assert {generation.id for generation in seen} == {made.id}


async def test_nothing_is_missed_while_the_database_is_away(
    kind: str, store: Store, second: Store
) -> None:
    if kind != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    made = [await accepted(store) for _ in range(3)]

    with store.changes.subscribe() as subscription:
        for generation in made:
            async with open_read(second.database) as connection:
                await connection.execute(END_THE_OTHERS)
            await second.transitions.request_cancel(generation.id)
        seen = await seen_until(
            subscription, lambda seen: len({g.id for g in seen if g.status == "cancelled"}) == 3
        )

    assert {generation.id for generation in seen} == {generation.id for generation in made}


async def test_watching_can_end_and_begin_again(store: Store) -> None:
    for _ in range(3):
        with store.changes.subscribe() as subscription:
            made = await accepted(store)
            while (await first_of(subscription)).id != made.id:
                pass
        missed = await accepted(store)
    with store.changes.subscribe(missed.id) as subscription:
        await store.transitions.request_cancel(missed.id)
        seen = await seen_until(subscription, lambda seen: seen[-1].status == "cancelled")

    assert {generation.id for generation in seen} == {missed.id}


async def test_nothing_comes_of_what_is_deleted(store: Store) -> None:
    made, _ = await brought_to(store, "succeeded")

    with store.changes.subscribe() as subscription:
        await store.transitions.delete(made.id)
        after = await accepted(store)
        seen = await seen_until(subscription, lambda seen: seen[-1].id == after.id)

    assert all(generation.deleted_at is None for generation in seen)


async def test_nothing_comes_of_what_does_not_happen(store: Store) -> None:
    with store.changes.subscribe(uuid.uuid4()) as nobody, store.changes.subscribe() as anybody:
        made = await accepted(store)
        await seen_until(anybody, lambda seen: seen[-1].id == made.id)

        assert nobody._changed == {}
