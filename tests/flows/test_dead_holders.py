"""What dead workers held, seen in the store alone."""

from __future__ import annotations

from uuid import uuid4

from flows.reconcile.rules import TAKEN_MAX
from flows.worker.recovery import let_go_of_the_dead
from store.store import Store
from store.values import Generation, Holder
from tests.comfy.data import resolved


async def accepted(store: Store) -> Generation:
    return (await store.acceptance.accept(resolved())).generation


async def taken_by_one_that_dies(store: Store) -> bool:
    """Returns whether there was anything to take."""
    dying = Holder("gpu-1", uuid4(), "http://gpu-1")
    return await store.queue.take(dying, lambda found: found[0], ["interactive"]) is not None


async def test_it_waits_again(store: Store) -> None:
    made = await accepted(store)
    assert await taken_by_one_that_dies(store)
    assert await let_go_of_the_dead(store, set()) == 1
    assert (await store.generations.get(made.id)).status == "queued"
    assert await taken_by_one_that_dies(store)


async def test_what_each_worker_dies_of_fails_at_some_count_and_so_does_its_retry(
    store: Store,
) -> None:
    """Though no flow run of it was ever made, as while Prefect is away."""
    made = await accepted(store)
    for attempt in (1, 2):
        deaths = 0
        while await taken_by_one_that_dies(store):
            deaths += await let_go_of_the_dead(store, set())
            assert deaths <= TAKEN_MAX
        assert deaths >= TAKEN_MAX - 1
        now = await store.generations.get(made.id)
        assert (now.status, now.attempt) == ("failed", attempt)
        assert now.error is not None
        assert now.error.code == "run_failed"
        if attempt == 1:
            await store.transitions.retry(made.id)
