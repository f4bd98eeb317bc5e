"""The time of day jumps: nothing is given up, nothing waits for hours."""

from __future__ import annotations

from typing import Final

import pytest

from tests.chaos.house import ChaosStack, a_request
from tests.harness.clock import CAN_SHIFT

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not CAN_SHIFT, reason="needs Linux and a C compiler"),
]
long = pytest.mark.long
TWO_HOURS_S: Final = 7200.0


@pytest.mark.parametrize("shift", [TWO_HOURS_S, pytest.param(-TWO_HOURS_S, marks=long)])
def test_jumps_in_mid_render(house: ChaosStack, shift: float, seed: int) -> None:
    assert house.clock is not None
    with house.halfway("through time", seed=seed) as generation:
        waiting = house.create(**a_request(seed))
        waiting.flow_run_id()
        house.clock.shift(shift)
        house.wait_for_beats()
        later = house.create(**a_request(seed + 1))
    everything = [generation, waiting, later]
    assert [house.ends(one) for one in everything] == ["succeeded"] * 3
    order = [item["task_id"] for item in house.history(limit=3)]
    assert order == [later.id, waiting.id, generation.id]  # by sequence, whatever the clock said
    assert [len(one.attempts()) for one in everything] == [1, 1, 1]
    house.heal()
    house.check(everything)


@long
def test_is_set_back_while_something_is_to_be_dispatched(house: ChaosStack, seed: int) -> None:
    assert house.clock is not None
    house.stop_prefect()
    house.part("worker").kill()  # else it would be done without Prefect
    generation = house.create(**a_request(seed))
    generation.wait_for_reason("waiting_for_prefect")
    house.clock.shift(-TWO_HOURS_S)
    house.start_prefect()
    house.revive()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@long
def test_a_worker_dies_and_the_clock_jumps(house: ChaosStack, seed: int) -> None:
    assert house.clock is not None
    house.start_second_worker()
    generation, _ = house.frozen_at("submit.after_post", seed, ("worker", "second"))
    house.clock.shift(-TWO_HOURS_S)
    assert house.ends(generation) == "succeeded"
    house.heal()
    house.check([generation])


def test_ended_hours_ahead_and_is_told_all_the_same(house: ChaosStack, seed: int) -> None:
    """Its worker dies before Prefect is there, and the clock is right again."""
    assert house.clock is not None
    house.clock.shift(TWO_HOURS_S)
    house.stop_prefect()
    generation = house.create(**a_request(seed))
    assert house.ends(generation) == "succeeded"
    house.part("worker").kill()
    house.clock.shift(0)
    house.heal()
    house.wait_for_flow_run(generation.flow_run_id(), "Completed")
    house.check([generation])
