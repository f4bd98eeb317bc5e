"""The background loop: when a round begins, what an error does, and how the loop ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

import core.loop
from core.loop import Loop

HOUR_S = 3600.0
TICKS = 20
"""Turns of the event loop in which a round that is due has surely begun."""

pytestmark = pytest.mark.timeout(20)


class AwayError(Exception):
    """What the work expects now and then."""


Outcome = Exception | Callable[[], Awaitable[None]] | None


class Work:
    """Counts its rounds; each ends as ``outcomes`` says, and well when there are no more."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes: Iterator[Outcome] = iter(outcomes)
        self._changed = asyncio.Condition()
        self.rounds = 0

    async def __call__(self) -> None:
        async with self._changed:
            self.rounds += 1
            self._changed.notify_all()
        outcome = next(self._outcomes, None)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            await outcome()

    async def came_to(self, rounds: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.rounds >= rounds)


async def ticks() -> None:
    for _ in range(TICKS):
        await asyncio.sleep(0)


# --- when a round begins


async def test_a_function_is_asked_how_long_each_pause_is() -> None:
    work = Work()
    pauses = iter([0.0, 0.0])
    async with Loop("looking", work, every_s=lambda: next(pauses, HOUR_S)):
        await work.came_to(2)
        await ticks()
        assert work.rounds == 2
    assert next(pauses, HOUR_S) == HOUR_S  # first before the first round, then after each


async def test_rounds_follow_each_other_by_themselves() -> None:
    work = Work()
    async with Loop("working", work, 0.0):
        await work.came_to(3)


async def test_the_first_round_comes_after_an_interval_too() -> None:
    work = Work()
    async with Loop("working", work, HOUR_S):
        await ticks()
        assert work.rounds == 0


async def test_the_first_round_may_come_at_once() -> None:
    work = Work()
    async with Loop("working", work, HOUR_S, first_s=0.0):
        await work.came_to(1)
        await ticks()
        assert work.rounds == 1


async def test_a_wake_begins_a_round_at_once() -> None:
    work = Work()
    async with Loop("working", work, HOUR_S) as loop:
        loop.wake()
        await work.came_to(1)
        loop.wake()
        await work.came_to(2)


async def test_without_an_interval_only_a_wake_begins_a_round() -> None:
    work = Work()
    async with Loop("working", work, None) as loop:
        await ticks()
        assert work.rounds == 0
        loop.wake()
        await work.came_to(1)
        await ticks()
        assert work.rounds == 1


async def test_a_wake_before_the_start_counts() -> None:
    work = Work()
    loop = Loop("working", work, None)
    loop.wake()
    async with loop:
        await work.came_to(1)


async def test_wakes_during_a_round_make_one_more_at_once() -> None:
    free = asyncio.Event()

    async def hang() -> None:
        await free.wait()

    work = Work(hang)
    async with Loop("working", work, HOUR_S, first_s=0.0) as loop:
        await work.came_to(1)
        for _ in range(3):
            loop.wake()
        await ticks()
        assert work.rounds == 1  # rounds do not overlap
        free.set()
        await work.came_to(2)
        await ticks()
        assert work.rounds == 2


async def test_a_wake_from_within_the_work_makes_another_round() -> None:
    async def once_more() -> None:
        loop.wake()

    work = Work(once_more)
    loop = Loop("working", work, None)
    async with loop:
        loop.wake()
        await work.came_to(2)
        await ticks()
        assert work.rounds == 2


# --- what an error does


async def test_an_unexpected_error_is_logged_with_its_traceback_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work(ValueError("a mistake"), AwayError("away"))
    async with Loop("the work", work, 0.0):
        await work.came_to(3)

    first, second = caplog.records
    assert first.getMessage() == "the work failed; retrying: a mistake"
    assert second.getMessage() == "the work failed; retrying: away"
    for record in (first, second):
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None


async def test_an_error_without_words_is_told_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(TimeoutError())
    async with Loop("the work", work, 0.0):
        await work.came_to(2)

    assert caplog.messages == ["the work failed; retrying: TimeoutError()"]


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
async def test_an_expected_error_is_a_line_until_a_round_succeeds(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcomes = (AwayError("one"), AwayError("two"), None, AwayError("three"))
    work = Work(*outcomes)
    async with Loop("the work", work, 0.0, expected=(AwayError,), level=level):
        await work.came_to(len(outcomes) + 1)

    told = [(r.levelno, r.args) for r in caplog.records if r.name == "core.loop"]
    assert told == [
        (level, ("the work", "one")),
        (logging.DEBUG, ("the work", "two")),
        (level, ("the work", "three")),
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_an_expected_error_that_lasts_is_a_line_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(core.loop, "SAID_EVERY_S", 0.0)
    work = Work(AwayError("one"), AwayError("two"))
    async with Loop("the work", work, 0.0, expected=(AwayError,)):
        await work.came_to(3)

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


async def test_after_an_error_the_next_round_comes_after_a_pause_of_its_own() -> None:
    work = Work(AwayError("away"))
    async with Loop("working", work, HOUR_S, first_s=0.0, retry_s=0.0):
        await work.came_to(2)
        await ticks()
        assert work.rounds == 2


async def test_a_cancel_of_something_else_is_an_error_like_any(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def wait_for_a_cancelled_task() -> None:
        other = asyncio.create_task(asyncio.sleep(HOUR_S))
        other.cancel()
        await other

    work = Work(wait_for_a_cancelled_task)
    async with Loop("the work", work, 0.0):
        await work.came_to(2)

    assert caplog.messages == ["the work failed; retrying: CancelledError()"]


# --- how it ends


async def test_stopping_cancels_the_round_and_waits_for_its_end() -> None:
    told: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(HOUR_S)
        finally:
            await ticks()
            told.append("tidied up")

    work = Work(hang)
    async with Loop("working", work, HOUR_S, first_s=0.0) as loop:
        await work.came_to(1)
        await ticks()

    assert told == ["tidied up"]
    loop.wake()
    await ticks()
    assert work.rounds == 1


async def test_a_round_may_be_given_time_to_end() -> None:
    told: list[str] = []

    async def until_it_ends() -> None:
        while not loop.is_ending:  # noqa: ASYNC110 - the flag is what is tested
            await asyncio.sleep(0)
        told.append("by itself")

    work = Work(until_it_ends)
    loop = Loop("working", work, None, first_s=0.0)
    loop.start()
    await work.came_to(1)
    await loop.stop(grace_s=HOUR_S)

    assert told == ["by itself"]


async def test_work_that_makes_an_error_of_its_cancel_ends_all_the_same() -> None:
    async def stumble() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(HOUR_S)
        raise ValueError("cancelled, in other words")

    work = Work(stumble)
    async with Loop("working", work, 0.0):
        await work.came_to(1)
        await ticks()

    assert work.rounds == 1


async def test_the_work_may_end_the_loop() -> None:
    async def enough() -> None:
        loop.end()
        loop.wake()

    work = Work(None, enough)
    async with Loop("working", work, 0.0) as loop:
        await work.came_to(2)
        await ticks()
        assert "working" not in {task.get_name() for task in asyncio.all_tasks()}

    assert work.rounds == 2


async def test_the_task_has_the_loops_name() -> None:
    async with Loop("the work", Work(), None):
        assert "the work" in {task.get_name() for task in asyncio.all_tasks()}


async def test_what_was_not_started_is_stopped_quietly() -> None:
    work = Work()
    loop = Loop("working", work, 0.0)
    await loop.stop()
    assert work.rounds == 0


async def test_the_end_of_the_event_loop_ends_it() -> None:
    """``asyncio.run`` cancels what is left, and waits for it."""
    work = Work()
    loop = Loop("working", work, 0.0)
    loop.start()
    await work.came_to(1)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "working"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
