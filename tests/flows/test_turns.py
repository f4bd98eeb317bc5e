"""Whose turn it is: the loaded checkpoint first, but nobody waits for ever."""

from __future__ import annotations

import itertools
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.worker.fair_order import OVERTAKEN_MAX, Due, Turns

FIRST, SECOND = "interactive", "bulk"


def due(number: int, model: str | None = "a", priority: str = SECOND) -> Due:
    return Due(UUID(int=number), priority, model)


def test_the_oldest_goes_first_while_nothing_is_loaded() -> None:
    waiting = [due(1, "a"), due(2, "b"), due(3, None)]

    assert Turns().choose(waiting, None) == waiting[0]


def test_the_oldest_of_the_loaded_checkpoint_goes_first() -> None:
    waiting = [due(1, "a"), due(2, "b"), due(3, "b")]

    assert Turns().choose(waiting, "b") == waiting[1]


def test_the_oldest_goes_first_when_nobody_needs_what_is_loaded() -> None:
    waiting = [due(1, "a"), due(2, None), due(3, "b")]

    assert Turns().choose(waiting, "c") == waiting[0]


def test_a_loaded_checkpoint_never_leads_past_a_higher_priority() -> None:
    waiting = [due(1, "a", FIRST), due(2, "b", SECOND)]
    turns = Turns()

    for _ in range(OVERTAKEN_MAX * 2):
        assert turns.choose(waiting, "b") == waiting[0]


def test_waiting_behind_a_higher_priority_is_not_being_overtaken() -> None:
    turns = Turns(overtaken_max=1)
    bulk = [due(1, "a"), due(2, "b")]
    for number in range(10, 20):
        turns.choose([due(number, "c", FIRST), *bulk], "b")

    assert turns.choose(bulk, "b") == bulk[1]


def test_whoever_was_overtaken_often_enough_has_their_turn() -> None:
    turns = Turns()
    worn = due(1, "a")

    overtaking = [turns.choose([worn, due(n, "b")], "b") for n in range(2, OVERTAKEN_MAX + 2)]

    assert [one.model for one in overtaking] == ["b"] * OVERTAKEN_MAX
    assert turns.choose([worn, due(99, "b")], "b") == worn


def test_whoever_had_their_turn_begins_anew() -> None:
    turns = Turns(overtaken_max=1)
    slow, quick = due(1, "a"), due(2, "b")
    assert turns.choose([slow, quick], "b") == quick
    assert turns.choose([slow, quick], "b") == slow

    assert turns.choose([slow, quick], "b") == quick


def test_of_two_that_were_overtaken_the_older_goes_first() -> None:
    turns = Turns(overtaken_max=2)
    older, younger = due(1, "a"), due(2, "c")
    for number in (3, 4):
        turns.choose([older, younger, due(number, "b")], "b")

    assert turns.choose([older, younger, due(5, "b")], "b") == older
    assert turns.choose([younger, due(5, "b")], "b") == younger


def test_only_those_ahead_are_overtaken() -> None:
    turns = Turns(overtaken_max=1)
    behind = due(3, "a")
    turns.choose([due(1, "b"), behind, due(4, "b")], "b")

    assert turns.choose([behind, due(4, "b")], "b") == due(4, "b")


@settings(deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.sampled_from([FIRST, SECOND]), st.none()), max_size=40),
    loaded=st.none() | st.sampled_from("ab"),
)
def test_without_checkpoints_the_order_is_that_of_priority_and_age(
    arrivals: list[tuple[str, None]], loaded: str | None
) -> None:
    turns = Turns()
    waiting = _in_order([due(n, model, priority) for n, (priority, model) in enumerate(arrivals)])
    expected, begun = list(waiting), []

    while waiting:
        chosen = turns.choose(waiting, loaded)
        waiting.remove(chosen)
        begun.append(chosen)

    assert begun == expected


_ARRIVAL = st.tuples(
    st.integers(0, 10), st.sampled_from("aaab"), st.sampled_from([FIRST, SECOND, SECOND])
)
_ROUND = st.tuples(st.lists(_ARRIVAL, max_size=3), st.none() | st.integers(0, 10))


@pytest.mark.parametrize("most", [1, 3, OVERTAKEN_MAX])
@settings(deadline=None)
@given(rounds=st.lists(_ROUND, min_size=5, max_size=60))
def test_nobody_is_overtaken_more_often_than_said(
    most: int, rounds: list[tuple[list[tuple[int, str, str]], int | None]]
) -> None:
    """Runs arrive, some before others that wait (they were put back); some are cancelled."""
    turns = Turns(overtaken_max=most)
    numbers = itertools.count(1)
    waiting: list[Due] = []
    overtaken: Counter[UUID] = Counter()
    loaded: str | None = None
    for arrivals, cancelled in rounds:
        for place, model, priority in arrivals:
            waiting.insert(place, due(next(numbers), model, priority))
        waiting = _in_order(waiting)
        if cancelled is not None:
            del waiting[cancelled : cancelled + 1]
        if not waiting:
            continue
        chosen = turns.choose(waiting, loaded)
        assert chosen.priority == waiting[0].priority
        for one in waiting[: waiting.index(chosen)]:
            overtaken[one.run] += 1
            assert overtaken[one.run] <= most
        waiting.remove(chosen)
        loaded = chosen.model


def _in_order(waiting: list[Due]) -> list[Due]:
    """By priority, and within each as they are."""
    return sorted(waiting, key=lambda one: one.priority != FIRST)


def test_a_thousand_of_two_checkpoints_change_seldom() -> None:
    """Which is what turns are for: in plain order each would load the other's checkpoint."""
    turns = Turns()
    waiting = [due(number, "ab"[number % 2]) for number in range(1000)]
    loaded: str | None = None
    switches = 0

    while waiting:
        chosen = turns.choose(waiting, loaded)
        waiting.remove(chosen)
        switches += chosen.model != loaded
        loaded = chosen.model

    assert switches <= 1000 / OVERTAKEN_MAX + 1
