"""Whatever happens to whom in which order: nothing is lost, nothing is rendered or ended twice.

The store, the dispatcher, the reconciler and their rules are Easel's own. What stands for Prefect's
server, ComfyUI and the workers is in the files ``model*.py`` beside this: there nothing takes time,
and everything can be stopped between any two of its steps.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.chaos.model import COMPLETED, RUNNING, SCHEDULED
from tests.chaos.model_house import ROUNDS_TO_REST, House
from tests.chaos.model_worker import PARTS, Part, Worker

_T = TypeVar("_T")
MEANWHILE: Final = ("nothing", "cancel", "delete", "retry", "step", "death")
OPERATIONS: Final = ("cancel", "pause", "resume", "retry", "delete", "lose the database")
CHOSEN: Final = os.environ.get("EASEL_CHAOS_EXAMPLES")
EXAMPLES: Final = int(CHOSEN or 12)
"""Unless so many were asked for, they are the same ones each time."""
a_number = st.integers(0, 9)
answers = st.integers(1, 4)
MOST: Final = 6
"""Generations at most: it is their crossings that matter."""


class EaselMachine(RuleBasedStateMachine):
    """Each rule is something that a client, an operator, a fault or Easel itself does.

    Whom it befalls is chosen among those to whom it matters, so that little is tried in vain.
    """

    def __init__(self) -> None:
        super().__init__()
        self._everybody = True
        self._folder = TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.house = self.do(House.opened(Path(self._folder.name)))

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Let it be done to its end: rules follow each other."""
        return self._runner.run(work)

    @initialize(workers=st.integers(1, 2), generations=st.integers(1, 2))
    def something_is_under_way(self, workers: int, generations: int) -> None:
        for worker in self.house.workers[:workers]:
            self.do(worker.start())
        for _ in range(generations):
            self.do(self.house.create(told=True))

    # --- clients and operators

    @precondition(lambda self: len(self.house.witness.accepted) < MOST)
    @rule(told=st.booleans())
    def create(self, told: bool) -> None:
        """``told``: Prefect has heard of it at once."""
        self.do(self.house.create(told=told))

    @rule(key=st.sampled_from("ab"))
    def create_with_a_key(self, key: str) -> None:
        self.do(self.house.create_with_key(key))

    @rule(which=a_number, action=st.sampled_from(("cancel", "cancel", "delete", "retry")))
    def client(self, which: int, action: str) -> None:
        self.do(self.house.client(action, which))

    @rule(which=a_number, action=st.sampled_from(OPERATIONS))
    def operator(self, which: int, action: str) -> None:
        """Someone clicks in Prefect's page."""
        self.house.operator(action, which)

    # --- Easel itself

    @rule(what=st.sampled_from(MEANWHILE), after=answers, which=a_number)
    def dispatch(self, what: str, after: int, which: int) -> None:
        """Tell Prefect, while something else may happen."""
        self.house.meanwhile(what, after, which)
        self.do(self.house.dispatch())

    @rule(what=st.sampled_from(MEANWHILE), after=answers, which=a_number)
    def reconcile(self, what: str, after: int, which: int) -> None:
        """A look of the reconciler, while something else may happen."""
        self.house.meanwhile(what, after, which)
        self.do(self.house.reconcile())

    @rule(
        number=a_number,
        steps=st.integers(1, 5),
        hears=st.booleans(),
        part=st.sampled_from(PARTS),
    )
    def a_worker_goes_on(self, number: int, steps: int, hears: bool, part: Part) -> None:
        """With what it does, with the flow run that it leads beside it, or with both."""
        self.do(self.house.work(number, steps, hears=hears, part=part))

    @rule()
    def both_workers_take_at_once(self) -> None:
        self.do(self.house.race())

    @rule(steps=st.integers(1, 8))
    def everybody_goes_on(self, steps: int) -> None:
        for number in range(2):
            self.do(self.house.work(number, steps, hears=True))

    @rule()
    def time_passes(self) -> None:
        """So long that every lease lapses that is not renewed."""
        self.do(self.house.let_time_pass())

    # --- faults

    @precondition(lambda self: self.house.busy)
    @rule(number=a_number, how=st.sampled_from(("kill", "stop", "freeze")))
    def a_worker_suffers(self, number: int, how: str) -> None:
        self.do(self.house.hurt(how, number))

    @precondition(lambda self: self.house.busy)
    @rule(number=a_number, how=st.sampled_from(("kill", "freeze")))
    def a_worker_is_taken_for_dead(self, number: int, how: str) -> None:
        """It may be, or it only sleeps."""
        self.do(self.house.hurt(how, number))
        self.do(self.house.let_time_pass())
        self.do(self.house.reconcile())

    @precondition(lambda self: self.house.away)
    @rule(number=a_number, beats_first=st.booleans())
    def a_worker_comes_back(self, number: int, beats_first: bool) -> None:
        """Which of its tasks wakes up first is nobody's choice."""
        self.do(self.house.revive(number, beats_first=beats_first))

    @precondition(lambda self: self.house.comfy.queue)
    @rule(well=st.sampled_from((True, True, True, False)))
    def comfyui_renders(self, well: bool) -> None:
        self.house.comfy.render(well=well)

    @rule(how=st.sampled_from(("loses a reply", "loses a reply", "restarts", "dies")))
    def comfyui_suffers(self, how: str) -> None:
        self.house.hurt_comfyui(how)

    @precondition(lambda self: not self.house.comfy.is_up)
    @rule()
    def comfyui_starts(self) -> None:
        self.house.comfy.start()

    @rule()
    def prefect_goes_away_or_comes_back(self) -> None:
        self.house.prefect.is_up = not self.house.prefect.is_up

    @rule(choose=st.sampled_from((True, True, False)))
    def an_operator_sets_or_lifts_a_limit(self, choose: bool) -> None:
        self.house.let_workers_choose(choose=choose)

    # --- always

    @invariant()
    def what_clients_were_told_stays_true(self) -> None:
        self.do(self.house.witness.check_rows())

    @invariant()
    def nothing_is_rendered_twice(self) -> None:
        self.house.witness.check_renders()

    @initialize(everybody=st.booleans())
    def who_comes_back(self, everybody: bool) -> None:
        self._everybody = everybody

    def teardown(self) -> None:
        """Everything comes back but a worker perhaps, and everything ends, once."""
        try:
            self.do(self.house.come_to_rest(everybody=self._everybody))
            self.do(self.house.witness.check_at_rest())
        finally:
            self.do(self.house.close())
            self._runner.close()
            self._folder.cleanup()


TestEasel: Any = pytest.mark.timeout(1800)(EaselMachine.TestCase)
TestEasel.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=CHOSEN is None,
    print_blob=True,
)


# --- orders of events that no chance has to find again


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[House]:
    house = await House.opened(tmp_path)
    yield house
    await house.close()


async def all_is_well(house: House) -> None:
    house.witness.check_renders()
    await house.come_to_rest()
    await house.witness.check_at_rest()


async def took_and_has_not_posted(house: House, *, told: bool = True) -> Worker:
    """The first of two workers, right before its POST. ``told``: there is a flow run by then."""
    for worker in house.workers:
        await worker.start()
    await house.create(told=told)
    while house.workers[0].is_idle:
        await house.workers[0].step(part="work")
    await house.workers[0].step(part="work")
    assert not house.comfy.queue
    return house.workers[0]


async def the_other_one_does_it(house: House) -> None:
    while not house.comfy.queue:
        await house.workers[1].step()
    house.comfy.render()


@pytest.mark.parametrize("beats_first", [False, True])
async def test_who_slept_before_its_post_and_was_replaced_does_not_post(
    small: House, beats_first: bool
) -> None:
    """Its lease may be renewed, and so seem fresh, before it comes to its POST."""
    sleeper = await took_and_has_not_posted(small)
    sleeper.is_frozen = True
    await small.let_time_pass()
    await small.reconcile()
    await the_other_one_does_it(small)

    await small.revive(0, beats_first=beats_first)
    await sleeper.step()

    assert not small.comfy.queue
    await all_is_well(small)


async def test_whose_run_was_paused_and_resumed_before_its_post_does_not_post(
    small: House,
) -> None:
    """A holder that lives can be replaced too: when an operator pauses its run."""
    slow = await took_and_has_not_posted(small)
    small.operator("pause", 0)
    await small.reconcile()
    small.operator("resume", 0)
    await the_other_one_does_it(small)

    await slow.step()

    assert not small.comfy.queue
    await all_is_well(small)


async def test_a_run_that_was_made_and_not_recorded_is_forgotten_when_it_is_deleted(
    small: House,
) -> None:
    """It bears the prompt. The API died after Prefect had made it."""
    small.meanwhile("death", 2, 0)
    await small.create(told=True)
    assert small.prefect.runs

    await small.client("delete", 0)

    await all_is_well(small)


async def test_a_prompt_whose_reply_was_lost_is_posted_once(small: House) -> None:
    small.comfy.loses_next_reply = True
    await small.workers[0].start()
    await small.create(told=True)

    await all_is_well(small)
    assert sum(small.comfy.renders.values()) == 1


async def test_a_prompt_that_is_lost_with_its_comfyui_is_rendered_by_the_next(
    small: House,
) -> None:
    await took_and_has_not_posted(small)
    await small.workers[0].step()
    small.hurt_comfyui("restarts")

    await all_is_well(small)
    assert sum(small.comfy.renders.values()) == 1


async def test_prefect_loses_everything_while_a_worker_dies(small: House) -> None:
    await took_and_has_not_posted(small)
    await small.hurt("kill", 0)
    small.operator("lose the database", 0)
    await small.let_time_pass()

    await all_is_well(small)
    assert sum(small.comfy.renders.values()) == 1


# --- between the claim and the flow run


async def test_who_dies_before_its_post_and_without_a_flow_run_is_followed_by_another(
    small: House,
) -> None:
    """Its generation is found by its lease alone; it never comes back."""
    await took_and_has_not_posted(small, told=False)
    assert not small.prefect.runs
    await small.workers[0].kill()

    await small.come_to_rest(everybody=False)

    assert not small.workers[0].is_alive
    assert sum(small.comfy.renders.values()) == 1
    await small.witness.check_at_rest()


async def test_who_dies_after_its_post_and_without_a_flow_run_is_followed_by_another(
    small: House,
) -> None:
    await took_and_has_not_posted(small, told=False)
    while not small.comfy.queue:
        await small.workers[0].step(part="work")
    assert not small.prefect.runs
    await small.workers[0].kill()

    await small.come_to_rest(everybody=False)

    assert sum(small.comfy.renders.values()) == 1
    await small.witness.check_at_rest()


async def test_who_dies_while_it_cancels_and_has_no_flow_run_is_followed_by_the_reconciler(
    small: House,
) -> None:
    await took_and_has_not_posted(small, told=False)
    await small.client("cancel", 0)
    await small.workers[0].kill()

    await small.come_to_rest(everybody=False)

    assert not small.comfy.renders
    await small.witness.check_at_rest()


async def test_two_workers_take_one_row_once(small: House) -> None:
    for worker in small.workers:
        await worker.start()
    await small.create(told=False)

    await small.race()

    assert len(small.busy) == 1
    await all_is_well(small)


@pytest.mark.parametrize("told", [False, True])
async def test_prefect_is_away_for_the_whole_life_of_a_generation(small: House, told: bool) -> None:
    """``told``: but it has made its flow run before."""
    await small.workers[0].start()
    await small.create(told=told)
    small.prefect.is_up = False

    await until_it_succeeded(small)

    assert all(run.state_type == SCHEDULED for run in small.prefect.runs.values())
    await all_is_well(small)
    assert [run.state_type for run in small.prefect.runs.values()] == [COMPLETED]


async def test_a_worker_dies_while_prefect_is_away(small: House) -> None:
    """What it held is let go in the store alone, though it has a flow run."""
    await took_and_has_not_posted(small)
    small.prefect.is_up = False
    await small.workers[0].kill()
    for _ in range(2):
        await small.let_time_pass()
        await small.reconcile()

    await until_it_succeeded(small)

    await all_is_well(small)
    assert sum(small.comfy.renders.values()) == 1


async def until_it_succeeded(house: House) -> None:
    for _ in range(ROUNDS_TO_REST):
        for worker in house.workers:
            await worker.step()
        house.comfy.render()
    [row] = (await house.witness.rows()).values()
    assert row.status == "succeeded"


async def test_a_run_is_cancelled_in_prefect_before_it_is_led(small: House) -> None:
    """No word of it has come: whoever comes to lead it reads its state."""
    worker = await took_and_has_not_posted(small)
    small.operator("cancel", 0)
    while not worker.is_idle:
        await worker.step(hears=False)

    [row] = (await small.witness.rows()).values()
    assert row.status == "cancelled"
    await all_is_well(small)


async def test_a_run_is_cancelled_in_prefect_between_pending_and_running(small: House) -> None:
    """No word of it has come: Running is refused, and its state is read again."""
    worker = await took_and_has_not_posted(small)
    while small.prefect.scheduled():
        await worker.step(hears=False, part="lead")
    small.operator("cancel", 0)
    while not worker.is_idle:
        await worker.step(hears=False)

    [row] = (await small.witness.rows()).values()
    assert row.status == "cancelled"
    await all_is_well(small)


async def test_who_was_replaced_does_not_rob_the_other_of_its_flow_run(small: House) -> None:
    sleeper = await took_and_has_not_posted(small)
    sleeper.is_frozen = True
    await small.let_time_pass()
    await small.reconcile()
    [run] = small.prefect.runs.values()
    while small.prefect.state_of(run.id) != RUNNING:
        await small.workers[1].step()

    await small.revive(0, beats_first=True)
    for _ in range(ROUNDS_TO_REST):
        await sleeper.step()

    assert small.prefect.state_of(run.id) == RUNNING
    await all_is_well(small)
    assert small.prefect.state_of(run.id) == COMPLETED
    assert small.prefect.runs[run.id].run_count == 1


async def test_an_operator_retries_a_run(small: House) -> None:
    await small.workers[0].start()
    await small.create(told=True)
    while not any(run.run_count for run in small.prefect.runs.values()):
        await small.workers[0].step()
    await small.client("cancel", 0)
    while not small.workers[0].is_idle:
        await small.workers[0].step()
    await small.dispatch()  # its run knows of the cancel by now
    small.operator("retry", 0)

    await all_is_well(small)

    [row] = (await small.witness.rows()).values()
    assert (row.status, row.attempt) == ("succeeded", 2)


async def test_under_a_limit_prefect_decides_first(small: House) -> None:
    small.let_workers_choose(choose=False)
    await small.workers[0].start()
    await small.create(told=False)
    for _ in range(ROUNDS_TO_REST):
        await small.workers[0].step()
    assert small.workers[0].is_idle

    await small.dispatch()
    await until_it_succeeded(small)

    [run] = small.prefect.runs.values()
    assert (run.state_type, run.run_count) == (COMPLETED, 1)
    await all_is_well(small)
