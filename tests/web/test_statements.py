"""An open page executes as many SQL statements for many rows as for few."""

from __future__ import annotations

from collections import Counter

from nicegui.testing import User

from api.context import Context
from api.generations.facade import Facade
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from tests.harness.statements import statements_of
from tests.web.batches import begun
from tests.web.visiting import elements, until
from web.batches.list import BatchList
from web.parts.layout import Web
from web.parts.trash import Trash

_QUEUED = 20
_TAKEN = 2
_CHANGES = 3
"""A generation that is taken changes so often at most: claimed, submitted, started."""
_LOOKS = 5
"""What is read at intervals (rates, workers) is read in some of these looks, not in all."""


async def test_the_strip_when_the_queue_moves_up(user: User, facade: Facade) -> None:
    worker = InProcessWorker(facade.store)
    asked = [GenerationRequest(prompt=f"fox {number}") for number in range(_QUEUED)]
    queued = [(await facade.create(one)).task_id for one in asked]
    await user.open("/")
    await until(lambda: _cards(user, "is-queued") == _QUEUED)

    await worker.start(queued[0])
    await until(lambda: _cards(user, "is-running") == 1)  # so the page has seen all the creates

    with statements_of(facade.store.database, "live page") as seen:
        for generation_id in queued[1 : 1 + _TAKEN]:
            await worker.start(generation_id)
        await until(lambda: _cards(user, "is-running") == 1 + _TAKEN)

    # Each change is read once; none costs a statement for each card behind it.
    assert 0 < max(Counter(seen).values()) <= _CHANGES * _TAKEN < _QUEUED


def _cards(user: User, state: str) -> int:
    """How many cards are in that state."""
    return len([one for one in elements(user) if {"card", state} <= set(one.classes)])


async def test_the_list_of_batches(user: User, context: Context) -> None:
    async def looked() -> int:
        counted = []
        for _ in range(_LOOKS):
            with statements_of(context.facade.store.database) as seen:
                await batches.look()
            counted.append(len(seen))
        return min(counted)

    await user.open("/bulk")
    assert user.client is not None
    with user.client:
        batches = BatchList(Web(lambda: context, Trash(lambda: context.facade)), None)
        await begun(context, release=2)
        await batches.load()
        few = await looked()
        for _ in range(10):
            await begun(context, release=2)
        await batches.load()
        assert await looked() == few
