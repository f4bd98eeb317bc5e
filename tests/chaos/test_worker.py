"""The worker dies, stops, sleeps and wakes up, at each moment of a generation."""

from __future__ import annotations

from typing import Final

import pytest

from tests.chaos.house import ChaosStack, Part, a_request
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long

MOMENTS: Final = (
    "take.after_claim",  # it has the generation, and has begun nothing
    "lead.before_create",  # beside the work, wherever that is: there is no flow run yet
    "lead.after_create",  # there is one, and nobody wrote that down
    "submit.after_intent",  # M0: nothing posted
    "submit.before_post",  # it has made sure that the generation is its own still
    "submit.after_post",  # M1: ComfyUI has it, and nobody wrote that down
    "track.seen",  # M2: it is followed
    "fetch.mid",  # M3: the picture is made and not kept
    "save.after_temporary",
    "save.after_rename",  # M4: kept, and the row does not know
    "state.before_commit",
    "state.after_commit",
)


FAST: Final = ("take.after_claim", "submit.after_post", "save.after_temporary")


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m in FAST else long) for m in MOMENTS]
)
def test_killed_and_started_again(house: ChaosStack, moment: str, seed: int) -> None:
    generation = house.struck_at(moment, "kill", seed)
    house.wait_until_dead("worker")
    if moment == "save.after_temporary":  # a picture has its name only when it is whole
        assert house.kept_files(generation) == []
    house.start_worker()
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert len(generation.attempts()) == 1
    house.wait_for_flow_run(generation.flow_run_id(), "Completed")
    assert len(house.runs_of(generation)) == 1


def test_killed_before_it_noted_that_prefect_knows(house: ChaosStack, seed: int) -> None:
    """The next one finds the run Completed, and has nothing to tell."""
    wait_until(lambda: house.untold() == 0, "Prefect to know of all that was before")
    house.arm("lead.before_told", "kill")
    generation = house.create(**a_request(seed))
    house.wait_until_dead("worker")
    assert house.untold() == 1
    house.start_worker()
    wait_until(lambda: house.untold() == 0, "the next worker to note it")
    [run] = house.runs_of(generation)
    assert (run.state_name, run.run_count) == ("Completed", 1)
    assert generation.renders() == 1
    house.check([generation])


@long
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_another_waits(house: ChaosStack, moment: str, seed: int) -> None:
    house.start_second_worker()
    generation = house.struck_at(moment, "kill", seed)
    dead: list[Part] = wait_until(
        lambda: [n for n in WORKERS if not house.part(n).is_running], "the end of one worker"
    )
    assert len(dead) == 1
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@long
@pytest.mark.parametrize("moment", MOMENTS)
def test_asked_to_stop_and_started_again(house: ChaosStack, moment: str, seed: int) -> None:
    generation = house.struck_at(moment, "term", seed)
    house.wait_until_dead("worker")
    house.start_worker()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


WORKERS: Final[tuple[Part, ...]] = ("worker", "second")
# In the middle of a commit a stopped process holds SQLite's lock: see test_store.py.
STOPPABLE: Final = tuple(moment for moment in MOMENTS if moment != "state.before_commit")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(m, marks=() if m in ("submit.before_post", "save.after_rename") else long)
        for m in STOPPABLE
    ],
)
def test_stopped_and_taken_over_and_waked(house: ChaosStack, moment: str, seed: int) -> None:
    house.start_second_worker()
    generation, frozen = house.frozen_at(moment, seed, WORKERS)
    assert house.ends(generation) == "succeeded"
    # Its run may have been made after it had ended.
    wait_until(lambda: generation.status()["urls"]["flow_run"], "its run to be known")
    before = generation.status()

    house.part(frozen).thaw()

    house.check([generation])
    assert generation.renders() == 1
    assert generation.status() == before
    # The one that slept is of use again.
    [awake] = [name for name in WORKERS if name != frozen]
    house.part(awake).kill()
    following = house.create(**a_request(seed + 1))
    assert house.ends(following) == "succeeded"
    house.check([generation, following])


@long
@pytest.mark.parametrize("moment", STOPPABLE)
def test_stopped_for_long_with_nobody_else_and_waked(
    house: ChaosStack, moment: str, seed: int
) -> None:
    generation, _ = house.frozen_at(moment, seed)
    # Beside the work it may have ended by then, as it has after its commit.
    wait_until(
        lambda: generation.attempts()[0]["worker"] is None or house.has_ended(generation),
        "the lease to lapse",
    )
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


def test_a_second_process_under_the_same_name_ends_the_first(house: ChaosStack, seed: int) -> None:
    twin = house.twin_of_worker()
    try:
        with house.halfway("taken over by its twin", seed=seed) as generation:
            twin.start()
            house.wait_until_dead("worker")
        assert house.ends(generation) == "succeeded"
        assert generation.renders() == 1
    finally:
        twin.terminate()
    house.heal()
    house.check([generation])


@long
def test_a_failure_that_prefect_was_not_told_of_is_not_tried_again(
    house: ChaosStack, seed: int
) -> None:
    """Its run is put right, not put back: that would look like an operator's retry."""
    house.emulator.fault("fail_node", class_type="KSampler")
    house.arm("state.after_failure", "kill")
    generation = house.create(**a_request(seed))
    house.wait_until_dead("worker")
    house.start_worker()
    assert house.ends(generation) == "failed"
    house.check([generation])
    assert house.ends(generation) == "failed"
    assert len(generation.attempts()) == 1
