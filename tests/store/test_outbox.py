"""What Prefect has still to be told: kept until it was, interactive first."""

from __future__ import annotations

from store.store import Store
from tests.store.making import accepted, brought_to


async def test_interactive_before_bulk_then_in_the_order_of_decision(store: Store) -> None:
    bulk = [(await accepted(store, priority="bulk")).id for _ in range(2)]
    quick = [(await accepted(store)).id for _ in range(2)]

    due = await store.outbox.due(10)

    assert [dispatch.generation_id for dispatch in due] == quick + bulk
    assert await store.outbox.due(3) == due[:3]
    assert await store.outbox.count() == 4


async def test_what_is_done_is_gone(store: Store) -> None:
    await accepted(store)
    [dispatch] = await store.outbox.due(10)

    await store.outbox.done(dispatch.id)
    await store.outbox.done(dispatch.id)

    assert await store.outbox.due(10) == ()
    assert await store.outbox.count() == 0


async def test_what_is_not_done_survives_a_restart(store: Store, second: Store) -> None:
    await accepted(store)

    assert await second.outbox.due(10) == await store.outbox.due(10) != ()


async def test_what_is_postponed_is_kept_and_counted(store: Store) -> None:
    await accepted(store)
    [first] = await store.outbox.due(10)

    await store.outbox.postpone(first.id, "Prefect does not answer " * 1000, delay_s=3600)

    assert await store.outbox.due(10) == ()
    assert await store.outbox.count() == 1

    await store.outbox.postpone(first.id, "again", delay_s=-1)

    [again] = await store.outbox.due(10)
    assert (again.id, again.tries) == (first.id, 2)


async def test_cancels_do_not_wait_behind_a_thousand_starts(store: Store) -> None:
    """A start that is met after its cancel finds the generation ended, and is left out."""
    waiting = await accepted(store)
    made, _ = await brought_to(store, "cancelling")
    await store.transitions.delete(made.id)

    due = await store.outbox.due(10)

    assert [dispatch.action for dispatch in due] == ["cancel", "cancel", "start", "start", "forget"]
    assert due[2].generation_id == waiting.id
