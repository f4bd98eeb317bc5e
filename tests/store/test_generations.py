"""Finding generations again: history, and where one stands in the queue."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core.status import STATUSES, Status
from store.errors import InvalidCursorError, NotFoundError
from store.generations.queries import Place
from store.store import Store
from store.values import HistoryFilter
from tests.store.making import (
    NEVER,
    a_request,
    accepted,
    an_image,
    brought_to,
    claimed,
)

ALL = HistoryFilter()


async def found(store: Store, wanted: HistoryFilter) -> list[UUID]:
    return [item.id for item in (await store.generations.history(wanted, 100, None)).items]


# --- history


async def test_nothing_is_a_page_too(store: Store) -> None:
    page = await store.generations.history(ALL, 10, None)

    assert (page.items, page.next_cursor, page.previous_cursor) == ((), None, None)


async def test_the_newest_comes_first(store: Store) -> None:
    made = [await accepted(store, seed=seed) for seed in range(3)]

    page = await store.generations.history(ALL, 10, None)

    assert list(page.items) == made[::-1]
    assert page.next_cursor is None


async def test_pages_show_everything_once_while_more_arrives(store: Store) -> None:
    made = [(await accepted(store)).id for _ in range(7)]
    seen: list[UUID] = []
    cursor: str | None = None

    for _ in range(10):
        page = await store.generations.history(ALL, 2, cursor)
        assert len(page.items) <= 2
        seen += [item.id for item in page.items]
        cursor = page.next_cursor
        await accepted(store)
        # A change of one that was shown does not bring it back.
        if cursor is None:
            break
        await claimed(store, page.items[0].id)

    assert cursor is None
    assert seen == made[::-1]


async def test_a_last_page_that_is_full_has_no_next(store: Store) -> None:
    for _ in range(4):
        await accepted(store)

    first = await store.generations.history(ALL, 2, None)
    second = await store.generations.history(ALL, 2, first.next_cursor)

    assert first.next_cursor is not None
    assert (len(second.items), second.next_cursor) == (2, None)


async def test_pages_lead_back_as_they_led_on(store: Store) -> None:
    made = [(await accepted(store)).id for _ in range(7)][::-1]

    async def ids(cursor: str | None) -> tuple[list[UUID], str | None, str | None]:
        page = await store.generations.history(ALL, 2, cursor)
        return [item.id for item in page.items], page.previous_cursor, page.next_cursor

    seen, before, cursor = await ids(None)
    assert before is None
    while cursor is not None:
        page, back, cursor = await ids(cursor)
        seen += page
    assert seen == made
    newest = (await accepted(store)).id  # whatever came meanwhile is met on the way back
    again: list[UUID] = []
    while back is not None:
        page, back, on = await ids(back)
        again = page + again
        assert on is not None
    assert again == [newest, *made[:6]]


async def test_an_empty_page_leads_back_to_those_beside_it(store: Store) -> None:
    made = [await accepted(store) for _ in range(3)]
    first = await store.generations.history(ALL, 2, None)
    await store.transitions.delete(made[0].id)

    empty = await store.generations.history(ALL, 2, first.next_cursor)
    back = await store.generations.history(ALL, 2, empty.previous_cursor)

    assert (empty.items, empty.next_cursor) == ((), None)
    assert [item.id for item in back.items] == [made[2].id, made[1].id]
    assert back.previous_cursor is None


async def test_a_page_may_begin_where_something_was_deleted(store: Store) -> None:
    made = [await accepted(store) for _ in range(4)]
    first = await store.generations.history(ALL, 2, None)
    for deleted in (made[2], made[1]):
        await store.transitions.delete(deleted.id)

    second = await store.generations.history(ALL, 2, first.next_cursor)

    assert [item.id for item in second.items] == [made[0].id]


@pytest.mark.parametrize("status", STATUSES)
async def test_history_by_status(store: Store, status: Status) -> None:
    made = {each: (await brought_to(store, each))[0].id for each in STATUSES}

    assert await found(store, HistoryFilter(status=(status,))) == [made[status]]
    assert len(await found(store, HistoryFilter(status=(status, "queued")))) in (1, 2)


async def test_history_by_model(store: Store) -> None:
    made = await accepted(store, model="sdxl.safetensors")
    await accepted(store, model="sdxl")

    assert await found(store, HistoryFilter(model="sdxl.safetensors")) == [made.id]
    assert await found(store, HistoryFilter(model="SDXL")) == []


@pytest.mark.parametrize(
    ("prompt", "q", "matches"),
    [
        ("a red fox at dawn", "red fox", True),
        ("a Red Fox at dawn", "rED fOX", True),
        ("a red fox at dawn", "fox red", True),
        ("100% wool", "100%", True),
        ("100 sheep in wool", "100%wool", False),
        ("snake_case", "e_c", False),
        ("snake_case", "snake_c", True),
        ("snakeXcase", "snake_c", False),
        ("anything", "%", False),
        ("anything", "_", False),
        ("a/b\\c", "a/b", True),
        ("a/b\\c", "b\\c", True),
        ("it's", "it's", True),
        ("'; DROP TABLE generations; --", "drop table", True),
        ("Übergröße im Café", "Café", True),
        ("狐狸", "狐", True),
    ],
)
async def test_history_by_words_of_the_prompt(
    store: Store, prompt: str, q: str, matches: bool
) -> None:
    made = await accepted(store, prompt=prompt)

    assert await found(store, HistoryFilter(q=q)) == ([made.id] if matches else [])


async def test_words_are_not_looked_for_in_metadata(store: Store) -> None:
    await accepted(store, prompt="a fox", metadata={"k": "blurry"})

    assert await found(store, HistoryFilter(q="blurry")) == []


async def test_history_by_time(store: Store) -> None:
    made = await accepted(store)
    moment = timedelta(microseconds=1)
    at = made.created_at

    assert await found(store, HistoryFilter(created_after=at)) == [made.id]
    assert await found(store, HistoryFilter(created_after=at + moment)) == []
    assert await found(store, HistoryFilter(created_before=at)) == []
    assert await found(store, HistoryFilter(created_before=at + moment)) == [made.id]


async def test_filters_narrow_each_other_and_pages_keep_them(store: Store) -> None:
    wanted = HistoryFilter(status=("queued",), model="a.safetensors", q="fox")
    made = [
        (await accepted(store, model=model, prompt=prompt)).id
        for model in ("a.safetensors", "b.safetensors")
        for prompt in ("fox", "a fox", "owl")
    ]

    first = await store.generations.history(wanted, 1, None)
    second = await store.generations.history(wanted, 1, first.next_cursor)

    assert [item.id for page in (first, second) for item in page.items] == [made[1], made[0]]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "42",
        "g42",
        "!!!!",
        "é",
        "\x00",
        "Z",
        *(
            base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
            for text in ("42", "g", "g-1", "g4.2", "g 42", "h42", "g٤٢", "g" + "9" * 19, "g1;--")
        ),
    ],
)
async def test_a_forged_cursor_is_refused(store: Store, cursor: str) -> None:
    await accepted(store)

    with pytest.raises(InvalidCursorError):
        await store.generations.history(ALL, 10, cursor)


# --- one


async def test_what_never_was_is_not_found(store: Store) -> None:
    for look in (store.generations.get, store.generations.artefact, store.generations.preview):
        with pytest.raises(NotFoundError):
            await look(NEVER)
    assert await store.generations.is_deleted(NEVER)
    assert await store.generations.artefacts(NEVER) == ()
    assert await store.generations.attempts(NEVER) == ()
    assert await store.generations.artefacts_of([]) == {}


async def test_active_is_all_that_has_not_ended(store: Store) -> None:
    made = {status: (await brought_to(store, status))[0].id for status in STATUSES}

    active = {generation.id for generation in await store.generations.active()}

    assert active == {made["queued"], made["running"], made["cancelling"]}


# --- the queue


async def test_interactive_before_bulk_and_first_come_first_served(store: Store) -> None:
    half = {"width": 1000, "height": 500, "steps": 1}  # costs 0.5
    bulk = [await accepted(store, priority="bulk", **half) for _ in range(2)]
    quick = [await accepted(store, **half) for _ in range(2)]

    places = [await store.generations.place(generation) for generation in quick + bulk]

    assert places == [Place(0, 0.0), Place(1, 0.5), Place(2, 1.0), Place(3, 1.5)]
    ids = [generation.id for generation in quick + bulk]
    ended = (await brought_to(store, "succeeded"))[0].id
    at_once = await store.generations.places([*ids, ended])
    assert [at_once[one] for one in ids] == places
    assert ended not in at_once
    assert await store.generations.places([]) == {}
    last = await store.acceptance.accept(a_request(priority="bulk"))
    assert (last.ahead, last.cost_ahead) == (4, 2.0)


async def test_only_what_waits_stands_in_the_queue(store: Store) -> None:
    for status in STATUSES:
        await brought_to(store, status)
    await store.transitions.delete((await accepted(store)).id)
    last = await accepted(store)

    assert (await store.generations.place(last)).ahead == 1
    assert (await store.acceptance.accept(a_request())).ahead == 2


async def test_nothing_is_measured_before_the_first_picture(store: Store) -> None:
    await brought_to(store, "failed")

    assert await store.generations.seconds_per_cost() is None


async def test_the_rate_is_measured_time_over_cost(store: Store) -> None:
    # Given a picture of cost 10 that took about 30 seconds, and one of cost 5 that took 15
    for steps, seconds in ((10, 30), (5, 15)):
        made = await accepted(store, width=1000, height=1000, steps=steps)
        claim = await claimed(store, made.id)
        await store.transitions.start(claim, datetime.now(UTC) - timedelta(seconds=seconds))
        await store.transitions.succeed(claim, [an_image(claim)])
    # and one in which the clock was set back
    made = await accepted(store)
    claim = await claimed(store, made.id)
    await store.transitions.start(claim, datetime.now(UTC) + timedelta(hours=2))
    await store.transitions.succeed(claim, [an_image(claim)])
    # and one whose time nobody knows
    unknown = await claimed(store, (await accepted(store)).id)
    await store.transitions.succeed(unknown, [an_image(unknown)])

    kept = await store.generations.history(HistoryFilter(status=("succeeded",)), 10, None)
    rates = [
        (item.finished_at - item.started_at).total_seconds() / item.cost
        for item in kept.items
        if item.finished_at and item.started_at and item.finished_at > item.started_at
    ]

    assert len(rates) == 2
    assert min(rates) >= 3
    assert await store.generations.seconds_per_cost() == pytest.approx(sum(rates) / 2)
