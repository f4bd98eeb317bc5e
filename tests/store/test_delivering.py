"""Every event reaches its receiver, once and in order, whatever happens and whoever delivers."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.callbacks.callback import Callback
from core.ids import item_id
from core.status import FINAL
from store.callbacks.deliveries import delivery_of
from store.callbacks.events import DELIVER
from store.errors import NotFoundError, StoreError
from store.outbox_runner import Done, OutboxRunner, Outcome, PutOff
from store.store import Store
from store.values import Claim, Entry, Generation
from tests.store.callback_making import (
    EVERY,
    OTHER,
    TAKEN,
    a_try,
    all_deliveries,
    asked,
    batch_running,
    entries,
)
from tests.store.making import OUT_OF_MEMORY, RUN, claimed, let_go, running, wait_until


class Delivering:
    """Delivers as ``webhooks/`` does, to receivers that fail now and then."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.heard: dict[tuple[UUID, str | None], list[int]] = defaultdict(list)
        """The numbers of the events, by subject and receiver."""
        self._under_way: set[UUID] = set()

    def runner(self, store: Store, name: str) -> OutboxRunner:
        async def deliver(entry: Entry) -> Outcome:
            return await self._deliver(store, entry)

        handlers = {DELIVER: deliver}
        return OutboxRunner(
            store.outbox, store.leases, handlers, name=name, lease_s=600, together=4
        )

    async def _deliver(self, store: Store, entry: Entry) -> Outcome:
        try:
            delivery = await store.deliveries.get(delivery_of(entry))
        except NotFoundError:
            return Done()
        assert delivery.state == "pending"
        assert delivery.id not in self._under_way
        if delivery.is_start and await store.deliveries.is_overtaken(delivery):
            await store.deliveries.drop(entry, "overtaken")
            return Done(removed=True)
        if await store.deliveries.predecessor(delivery) is not None:
            return PutOff("another one is first", 0.01)
        self._under_way.add(delivery.id)
        await asyncio.sleep(self._random.choice((0, 0, 0.005)))
        self._under_way.remove(delivery.id)
        if not await store.deliveries.is_wanted(delivery.id):
            return Done()
        if self._random.random() < 0.3:
            await store.deliveries.tried(entry, "503", a_try(), "{}")
            return PutOff("503", 0.01)
        self.heard[delivery.subject, delivery.url].append(delivery.number)
        assert await store.deliveries.delivered(entry, TAKEN, "{}")
        return Done(removed=True)


async def test_two_runners_deliver_everything_once_and_in_order(
    store: Store, second: Store
) -> None:
    delivering = Delivering(seed=12)
    batch = await batch_running(store, EVERY, 8, of_items=OTHER)
    alone = [(await asked(store, callback)).id for callback in (EVERY, OTHER) * 4]
    made = [*alone, *(item_id(batch.id, number) for number in range(8))]

    async with delivering.runner(store, "one"), delivering.runner(second, "two"):

        async def bring_to_an_end(number: int, generation_id: UUID) -> None:
            mine = (store, second)[number % 2]
            for _ in range(number % 3):
                assert await mine.transitions.fail(
                    await running(mine, generation_id), OUT_OF_MEMORY
                )
                await mine.transitions.retry(generation_id)
            await mine.transitions.succeed(await running(mine, generation_id), [])

        await asyncio.gather(*(bring_to_an_end(*one) for one in enumerate(made)))
        assert await store.batch_transitions.finish(batch.id, "succeeded")

        async def is_empty() -> bool:
            return not await entries(store)

        await wait_until(is_empty)

    found = await all_deliveries(store)
    ends = [one for one in found if not one.is_start]
    assert {one.state for one in ends} == {"delivered"}
    assert {one.state for one in found if one.is_start} <= {"delivered", "dropped"}
    heard = [number for numbers in delivering.heard.values() for number in numbers]
    assert sorted(heard) == [one.number for one in found if one.state == "delivered"]
    for numbers in delivering.heard.values():
        assert numbers == sorted(numbers)
    assert len(delivering.heard) == 8 + 2 * 8 + 1


# --- the events mirror the row


ASKED = Callback(url=EVERY.url, events=EVERY.events[:4])


class History:
    """Does anything that can be done to a generation, and notes what its row showed."""

    def __init__(self, store: Store, generation_id: UUID, seed: int) -> None:
        self._store = store
        self._id = generation_id
        self._random = random.Random(seed)
        self._claims: list[Claim] = []
        self.shown: list[tuple[str, int]] = []
        """The events that are to be expected, and their attempts."""

    async def go_on(self) -> None:
        before = await self._store.generations.get(self._id)
        try:
            await self._do(before)
        except StoreError:  # it was not possible then
            return
        self._note(before, await self._store.generations.get(self._id))

    def _note(self, before: Generation, after: Generation) -> None:
        event = (f"generation.{after.status}", after.attempt)
        changed = (before.status, before.attempt) != (after.status, after.attempt)
        if (changed and after.status in FINAL) or (
            after.status == "running" and event not in self.shown
        ):
            self.shown.append(event)

    async def _do(self, now: Generation) -> None:
        transitions, claim = self._store.transitions, self._claim()
        match self._random.randrange(12):
            case 0 | 1:
                self._claims.append(await claimed(self._store, self._id, flow_run_id=RUN))
            case 2:
                self._claims.append(
                    await claimed(self._store, self._id, flow_run_id=RUN, rerun=True)
                )
            case 3 | 4 if claim:
                await transitions.start(claim, datetime.now(UTC))
            case 5 if claim:
                await transitions.unclaim(claim)
            case 6 if claim and self._random.random() < 0.2:  # after which nothing is possible
                await transitions.succeed(claim, [])
            case 7 if claim:
                await transitions.fail(claim, OUT_OF_MEMORY)
            case 8 if claim:
                await transitions.cancelled(claim)
            case 9:
                await transitions.request_cancel(self._id)
            case 10:
                await transitions.retry(self._id)
            case 11 if self._random.random() < 0.5:
                await self._store.flow_runs.settle(self._id, RUN, "failed", OUT_OF_MEMORY)
            case _ if now.flow_run_id and now.status not in FINAL:
                await let_go(self._store, self._id)

    def _claim(self) -> Claim | None:
        """The newest, mostly; one that was fenced out changes nothing."""
        if not self._claims:
            return None
        return (
            self._claims[-1] if self._random.random() < 0.9 else self._random.choice(self._claims)
        )


@pytest.mark.parametrize("seed", range(8))
async def test_events_mirror_the_row_whatever_is_done_to_it(store: Store, seed: int) -> None:
    made = await asked(store, ASKED)
    history = History(store, made.id, seed)
    for _ in range(80):
        await history.go_on()

    found = [(one.event, one.snapshot["attempt"]) for one in await all_deliveries(store)]

    assert found == history.shown
    assert len(found) >= 2
