"""Prefect dies, hangs, answers errors and loses its memory: creates go on, runs go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Final
from uuid import UUID

import pytest
from prefect.states import Cancelling

from flows.prefect.accounts import PATH
from tests.chaos.house import ChaosStack, a_request
from tests.harness.faults import Answer, BlackHole, DropReply, Rule
from tests.harness.generations import GenerationHandle
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long

MID_RUN: Final = (
    *("take.after_claim", "lead.before_create", "lead.after_create"),
    *("submit.after_intent", "submit.after_post", "fetch.mid", "save.after_rename"),
)
ACCOUNTS: Final = f"/api{PATH}"
SET_STATE: Final = re.compile("^/api/flow_runs/[^/]+/set_state$")


@pytest.fixture
def plainly(house: ChaosStack) -> Iterator[None]:
    """Prefect answers as a server that is not Easel's: its own requests lead the runs."""
    house.to_prefect.add(Rule(Answer(404), path=ACCOUNTS, times=None))
    yield
    house.kill_worker()  # it would remember


@long
def test_killed_before_it_was_told(house: ChaosStack, seed: int) -> None:
    """The work does not wait for it, and it is shown afterwards, whole."""
    house.stop_prefect()
    generations = [house.create(**a_request(seed + n)) for n in range(3)]
    assert [house.ends(g) for g in generations] == ["succeeded"] * 3
    house.start_prefect()
    for generation in generations:
        house.wait_for_flow_run(generation.flow_run_id(), "Completed")
    house.check(generations)


@long
def test_away_while_one_worker_dies_and_another_lives(house: ChaosStack, seed: int) -> None:
    """What the dead one held is let go in the store alone."""
    house.start_second_worker()
    house.stop_prefect()
    generation = house.struck_at("submit.after_post", "kill", seed)
    assert house.ends(generation) == "succeeded"
    assert generation.renders() == 1
    house.start_prefect()
    house.heal()
    house.wait_for_flow_run(generation.flow_run_id(), "Completed")
    house.check([generation])


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m == "fetch.mid" else long) for m in MID_RUN]
)
def test_killed_in_mid_run(house: ChaosStack, moment: str, seed: int) -> None:
    generation, _ = house.frozen_at(moment, seed)
    house.stop_prefect()
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    house.start_prefect()
    house.wait_for_flow_run(generation.flow_run_id(), "Completed")
    house.check([generation])


@long
@pytest.mark.parametrize("when", ["queued", "running"])
def test_answers_nothing_but_errors_for_a_while(house: ChaosStack, when: str, seed: int) -> None:
    errors = Rule(Answer(503, b'{"detail": "no"}'), path="/api", times=None)
    if when == "queued":
        house.to_prefect.add(errors)
        generation = house.create(**a_request(seed))
        wait_until(lambda: errors.hits > 5, "Prefect to refuse some requests")
        house.to_prefect.clear()
    else:
        with house.halfway("beside errors", seed=seed) as generation:
            house.to_prefect.add(errors)
        assert house.ends(generation) == "succeeded"
        house.to_prefect.clear()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@pytest.mark.parametrize("path", [ACCOUNTS, "/api/deployments/"], ids=["accounts", "plainly"])
def test_its_answer_to_a_create_is_lost(
    house: ChaosStack, path: str, seed: int, request: pytest.FixtureRequest
) -> None:
    if path != ACCOUNTS:
        request.getfixturevalue("plainly")
    lost = house.to_prefect.add(Rule(DropReply(), method="POST", path=path))
    generation = house.create(**a_request(seed))
    wait_until(lambda: lost.hits, "a lost answer")
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert len(generation.attempts()) == 1


def posted_early(house: ChaosStack, seed: int) -> GenerationHandle:
    """A generation in ComfyUI's queue while Prefect swallows its worker's request to begin it."""
    asking = house.to_prefect.add(Rule(BlackHole(), method="POST", path=SET_STATE))
    generation = house.create(**a_request(seed))
    generation.wait_for_prompt()
    wait_until(lambda: asking.hits, "the worker to ask Prefect for the run")
    return generation


@pytest.mark.usefixtures("plainly")
@pytest.mark.parametrize("cancelled_by", ["client", "operator"])
def test_cancelled_while_its_worker_asks_for_it(
    house: ChaosStack, cancelled_by: str, seed: int
) -> None:
    """Its prompt, posted early, has left ComfyUI's queue before the generation has ended."""
    with house.halfway("the one before", seed=seed) as before:
        unwanted = posted_early(house, seed + 1)
        run_id = unwanted.flow_run_id()
        if cancelled_by == "client":
            assert unwanted.cancel().status_code == 202
        else:
            house.prefect.set_flow_run_state(UUID(run_id), Cancelling())
        house.wait_for_flow_run(run_id, "Cancelled")
        house.kill_api()  # and the reconciler with it: what is left is for the worker to do
        house.to_prefect.clear()
        wait_until(lambda: house.status_in_store(unwanted) == "cancelled", "the worker to end it")
        assert house.emulator.queue()["pending"] == []
        house.start_api()
    house.check([before, unwanted])
    assert unwanted.renders() == 0


@long
@pytest.mark.usefixtures("plainly")
def test_why_it_refuses_a_run_stays_unknown(house: ChaosStack, seed: int) -> None:
    """An operator cancels a run that the worker then can neither read nor begin."""
    with house.halfway("the one before", seed=seed) as before:
        unwanted = posted_early(house, seed + 1)
        run_id = unwanted.flow_run_id()
        house.prefect.set_flow_run_state(UUID(run_id), Cancelling())
        house.wait_for_flow_run(run_id, "Cancelled")
        house.to_prefect.add(
            Rule(Answer(500), method="GET", path=f"/api/flow_runs/{run_id}", times=None)
        )
        house.to_prefect.cut()
        assert house.ends(unwanted) == "cancelled"
        wait_until(lambda: house.emulator.queue()["pending"] == [], "its prompt to be gone")
    house.check([before, unwanted])
    assert unwanted.renders() == 0


@long
@pytest.mark.parametrize("path", [ACCOUNTS, SET_STATE], ids=["accounts", "plainly"])
def test_does_not_hear_how_a_run_ended(
    house: ChaosStack, path: str | re.Pattern[str], seed: int, request: pytest.FixtureRequest
) -> None:
    if path != ACCOUNTS:
        request.getfixturevalue("plainly")
    with house.halfway("of which Prefect does not hear", seed=seed) as generation:
        run_id = generation.flow_run_id()
        house.wait_for_flow_run(run_id, "Running")
        deaf = house.to_prefect.add(Rule(Answer(500), method="POST", path=path))
    assert house.ends(generation) == "succeeded"
    wait_until(lambda: deaf.hits, "its end to be lost")
    house.wait_for_flow_run(run_id, "Completed")
    house.check([generation])


@long
def test_hangs_and_comes_back(house: ChaosStack, seed: int) -> None:
    with house.halfway("while Prefect hangs", seed=seed) as generation:
        house.part("prefect").freeze()
        accepted = house.create(**a_request(seed))
    assert house.ends(generation) == "succeeded"
    assert house.ends(accepted) == "succeeded"
    house.part("prefect").thaw()
    house.wait_for_flow_run(accepted.flow_run_id(), "Completed")
    house.check([generation, accepted])


@long
def test_swallows_requests(house: ChaosStack, seed: int) -> None:
    hole = house.to_prefect.add(Rule(BlackHole(), method="POST", path="/api/", times=2))
    generation = house.create(**a_request(seed))
    wait_until(lambda: hole.hits, "a swallowed request")
    assert house.ends(generation) == "succeeded"
    house.to_prefect.clear()
    house.check([generation])


@long
def test_loses_its_whole_database(house: ChaosStack, seed: int) -> None:
    with house.halfway("before the loss", seed=seed) as rendering:
        waiting = [house.create(**a_request(seed + n)) for n in range(4)]
        for generation in waiting:
            generation.flow_run_id()
        house.stop_prefect()
        for file in house.env["PREFECT_HOME"], f"{house.home}/prefect":
            shutil.rmtree(file, ignore_errors=True)
        house.start_prefect()
    ended = [house.ends(generation) for generation in (rendering, *waiting)]
    assert ended == ["succeeded"] * 5
    with house.halfway("after the loss", seed=seed + 9) as unwanted:
        house.prefect.set_flow_run_state(UUID(unwanted.flow_run_id()), Cancelling())
        assert house.ends(unwanted) == "cancelled"
        assert house.emulator.outcomes(unwanted.prompt_id) == ["interrupted"]
    house.check([rendering, *waiting, unwanted])
