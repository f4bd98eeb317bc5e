"""What was accepted stands: committed before the answer, once per key, in order."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from core.ids import prompt_id
from core.requests import ResolvedRequest
from store.errors import DeletedError, IdempotencyMismatchError, StoreUnavailableError
from store.generations.acceptance import IdempotencyKey, adopt
from store.generations.dispatches import KINDS, START, attempt_of
from store.generations.inserts import cost
from store.store import Store
from store.values import Generation, HistoryFilter
from tests.store.making import a_request, accepted, brought_to, dispatched, taken, wait_until

KEY = IdempotencyKey("order-42", "a" * 64)
SAME_KEY_OTHER_BODY = IdempotencyKey("order-42", "b" * 64)


def rendered(generation: Generation, ahead: int) -> dict[str, Any]:
    return {"id": str(generation.id), "ahead": ahead}


async def all_of(store: Store) -> list[Generation]:
    return list((await store.generations.history(HistoryFilter(), 1000, None)).items)


async def test_what_is_accepted_is_seen_by_others_at_once(store: Store, second: Store) -> None:
    request = a_request(prompt="Füchse 🦊", metadata={"order": "42", "rush": True, "x": None})

    made = (await store.acceptance.accept(request)).generation

    assert await second.generations.get(made.id) == made
    assert made.request == request
    assert (made.status, made.attempt, made.fence, made.sequence) == ("queued", 1, 0, 1)
    assert made.cost == cost(request)


async def test_it_comes_with_its_attempt_and_the_intent_to_start_it(store: Store) -> None:
    made = await accepted(store, priority="bulk")

    [attempt] = await store.generations.attempts(made.id)
    [dispatch] = await taken(store)

    assert (attempt.number, attempt.prompt_id) == (1, prompt_id(made.id, 1))
    assert attempt.submitted_at is None
    assert (dispatch.subject, attempt_of(dispatch), dispatch.kind) == (made.id, 1, START)
    assert (dispatch.rank, dispatch.tries) == (2, 0)


async def test_two_hundred_at_once_are_two_hundred(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.acceptance.accept(a_request(seed=seed)) for seed in range(200))
    )

    rows = await all_of(store)
    assert len(rows) == 200
    assert len({row.id for row in rows}) == 200
    # In the order in which they were asked for, each with a place of its own.
    places = [answer.generation.seq for answer in answers]
    assert places == sorted(set(places))
    assert [answer.ahead for answer in answers] == list(range(200))
    assert [answer.generation.request for answer in answers] == [
        a_request(seed=seed) for seed in range(200)
    ]
    due = await taken(store)
    assert {dispatch.subject for dispatch in due} == {row.id for row in rows}
    assert {dispatch.kind for dispatch in due} == {START}
    assert len(due) == 200
    for row in rows:
        [attempt] = await store.generations.attempts(row.id)
        assert attempt.prompt_id == prompt_id(row.id, 1)


async def test_bulk_stands_behind_everything_interactive(store: Store) -> None:
    for _ in range(2):
        await accepted(store, priority="bulk")
    await accepted(store)

    bulk = await store.acceptance.accept(a_request(priority="bulk"))
    interactive = await store.acceptance.accept(a_request())

    assert (bulk.ahead, interactive.ahead) == (3, 1)


async def test_a_key_makes_one_generation_however_often_it_comes(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.acceptance.accept(a_request(), KEY, rendered) for _ in range(50))
    )

    [row] = await all_of(store)
    assert {answer.generation.id for answer in answers} == {row.id}
    assert all(answer.answer == {"id": str(row.id), "ahead": 0} for answer in answers)
    assert [answer.replayed for answer in answers].count(False) == 1
    assert await dispatched(store, row.id) == [("start", 1)]


async def test_a_replay_gives_the_first_answer_though_the_world_went_on(store: Store) -> None:
    first = await store.acceptance.accept(a_request(), KEY, rendered)
    await accepted(store)
    await store.transitions.request_cancel(first.generation.id)

    again = await store.acceptance.accept(a_request(), KEY, rendered)

    assert again.replayed
    assert again.answer == first.answer
    assert again.generation.status == "cancelled"


async def test_a_key_with_another_body_is_refused(store: Store) -> None:
    await store.acceptance.accept(a_request(), KEY, rendered)

    with pytest.raises(IdempotencyMismatchError):
        await store.acceptance.accept(a_request(seed=7), SAME_KEY_OTHER_BODY, rendered)

    assert len(await all_of(store)) == 1


async def test_a_key_with_two_bodies_at_once_makes_one_generation(store: Store) -> None:
    outcomes = await asyncio.gather(
        store.acceptance.accept(a_request(), KEY),
        store.acceptance.accept(a_request(seed=7), SAME_KEY_OTHER_BODY),
        store.acceptance.accept(a_request(seed=8)),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], IdempotencyMismatchError)
    assert not isinstance(outcomes[0], BaseException)
    assert not isinstance(outcomes[2], BaseException)
    assert len(await all_of(store)) == 2


async def test_a_replay_survives_a_restart(url: str, tmp_path: Path) -> None:
    async with Store(url, str(tmp_path / "images")) as before:
        first = await before.acceptance.accept(a_request(), KEY, rendered)

    async with Store(url, str(tmp_path / "images")) as after:
        again = await after.acceptance.accept(a_request(), KEY, rendered)

    assert again.replayed
    assert (again.generation, again.answer) == (first.generation, first.answer)


async def test_two_processes_with_one_key_make_one_generation(store: Store, second: Store) -> None:
    doors = [store.acceptance, second.acceptance] * 10

    answers = await asyncio.gather(
        *(
            door.accept(a_request(), IdempotencyKey(f"key-{index // 4}", "a" * 64), rendered)
            for index, door in enumerate(doors)
        )
    )

    rows = await all_of(store)
    assert len(rows) == 5
    for group in range(5):
        same = answers[group * 4 : group * 4 + 4]
        assert len({answer.generation.id for answer in same}) == 1
        assert len({str(answer.answer) for answer in same}) == 1
        assert [answer.replayed for answer in same].count(False) == 1


async def test_two_processes_at_once_never_share_a_place(store: Store, second: Store) -> None:
    doors = [store.acceptance, second.acceptance] * 20

    answers = await asyncio.gather(*(door.accept(a_request()) for door in doors))

    assert len({answer.generation.seq for answer in answers}) == 40
    assert len({answer.generation.change for answer in answers}) == 40


async def test_what_a_key_made_and_was_deleted_stays_deleted(store: Store) -> None:
    first = await store.acceptance.accept(a_request(), KEY, rendered)
    await store.transitions.delete(first.generation.id)

    with pytest.raises(DeletedError):
        await store.acceptance.accept(a_request(), KEY, rendered)
    with pytest.raises(IdempotencyMismatchError):
        await store.acceptance.accept(a_request(), SAME_KEY_OTHER_BODY, rendered)

    assert await all_of(store) == []


async def test_the_row_stands_when_the_caller_goes_away(store: Store) -> None:
    waiting = asyncio.create_task(store.acceptance.accept(a_request(), KEY, rendered))
    await asyncio.sleep(0)  # it has knocked, and waits

    waiting.cancel()
    await asyncio.wait([waiting])

    async def it_stands() -> bool:
        return len(await all_of(store)) == 1

    assert waiting.cancelled()
    await wait_until(it_stands)
    again = await store.acceptance.accept(a_request(), KEY, rendered)
    assert again.replayed


async def test_one_that_cannot_be_written_does_not_spoil_the_others(store: Store) -> None:
    def broken(_generation: Generation, _ahead: int) -> dict[str, Any]:
        raise ZeroDivisionError

    outcomes = await asyncio.gather(
        store.acceptance.accept(a_request(seed=1)),
        store.acceptance.accept(a_request(seed=2), KEY, broken),
        store.acceptance.accept(a_request(seed=3)),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], ZeroDivisionError)
    kept = {
        row.request.seed for row in await all_of(store) if isinstance(row.request, ResolvedRequest)
    }
    assert kept == {1, 3}


async def test_everyone_who_waits_is_answered_when_the_store_closes(
    url: str, tmp_path: Path
) -> None:
    async with Store(url, str(tmp_path / "images")) as store:
        waiting = [asyncio.create_task(store.acceptance.accept(a_request())) for _ in range(20)]
        await asyncio.sleep(0)

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    # Either it was committed, or it is told that it was not.
    made = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailableError)]
    assert len(made) + len(refused) == 20
    async with Store(url, str(tmp_path / "images")) as reopened:
        assert {row.id for row in await all_of(reopened)} == {a.generation.id for a in made}


async def test_a_closed_store_accepts_nothing(url: str, tmp_path: Path) -> None:
    async with Store(url, str(tmp_path / "images")) as store:
        pass

    with pytest.raises(StoreUnavailableError):
        await store.acceptance.accept(a_request())


async def test_cost_is_what_rendering_time_is_proportional_to() -> None:
    one = a_request(width=1000, height=1000, steps=10)

    assert cost(one) == 10.0
    assert cost(a_request(width=1000, height=1000, steps=20)) == 20.0
    assert cost(a_request(width=1000, height=1000, steps=10, batch_size=4)) == 40.0


# --- runs that were started from Prefect


async def test_a_run_from_prefect_gets_a_row_and_is_not_dispatched(store: Store) -> None:
    run = uuid.uuid4()

    made = await adopt(store.database, run, a_request(), run)

    assert await store.generations.get(run) == made
    assert (made.id, made.flow_run_id, made.status) == (run, run, "queued")
    [attempt] = await store.generations.attempts(run)
    assert (attempt.flow_run_id, attempt.prompt_id) == (run, prompt_id(run, 1))
    assert await store.outbox.count(KINDS) == 0


async def test_a_run_that_comes_again_finds_its_row(store: Store) -> None:
    run = uuid.uuid4()
    await adopt(store.database, run, a_request(seed=1), run)

    again = await adopt(store.database, run, a_request(seed=2), run)

    assert again.request == a_request(seed=1)


async def test_a_run_that_comes_twice_at_once_makes_one_row(store: Store, second: Store) -> None:
    run = uuid.uuid4()

    made = await asyncio.gather(
        *(adopt(s.database, run, a_request(), run) for s in (store, second) * 4)
    )

    assert {generation.id for generation in made} == {run}
    assert len(await all_of(store)) == 1


async def test_it_stands_in_the_queue_like_any_other(store: Store) -> None:
    run = uuid.uuid4()
    await brought_to(store, "succeeded")
    await adopt(store.database, run, a_request(), run)

    assert (await store.acceptance.accept(a_request())).ahead == 1
