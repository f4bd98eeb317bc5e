"""A client cancels and deletes, and an operator meddles, at each moment of a generation."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Paused, Scheduled

from tests.chaos.house import ChaosStack, a_request
from tests.chaos.test_worker import STOPPABLE
from tests.harness.stack import POOL
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long
FAST: Final = ("save.after_rename",)
MOMENTS: Final = [pytest.param(m, marks=() if m in FAST else long) for m in STOPPABLE]


@pytest.mark.parametrize("moment", MOMENTS)
def test_deleted(house: ChaosStack, moment: str, seed: int) -> None:
    generation, _ = house.frozen_at(moment, seed)
    prompt = generation.status()["request"]["prompt"]
    assert generation.delete().status_code == 204
    assert generation.get().status_code == 410
    house.part("worker").thaw()
    house.check([generation])
    # Its run may be made after the delete: whoever made it finds that out.
    wait_until(lambda: not house.runs_of(generation), "its flow run to go")
    assert generation.get().status_code == 410
    assert house.history(q=prompt) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_cancelled(house: ChaosStack, moment: str, seed: int) -> None:
    generation, _ = house.frozen_at(moment, seed)
    answer = generation.cancel()
    house.part("worker").thaw()
    if answer.status_code == 409:  # it had ended already
        assert moment == "state.after_commit"
    made = moment in ("fetch.mid", "save.after_temporary", "save.after_rename")
    assert house.ends(generation) in (("succeeded", "cancelled") if made else END_OF[moment])
    house.check([generation])


END_OF: Final[dict[str, tuple[str, ...]]] = {
    "take.after_claim": ("cancelled",),
    "lead.before_create": ("cancelled", "succeeded"),
    "lead.after_create": ("cancelled", "succeeded"),
    "submit.after_intent": ("cancelled",),
    "submit.before_post": ("cancelled",),
    "submit.after_post": ("cancelled",),
    "track.seen": ("cancelled", "succeeded"),
    "state.after_commit": ("succeeded",),
}


@pytest.mark.parametrize("wish", [pytest.param("cancel", marks=long), "delete"])
def test_unwanted_while_its_worker_is_dead(house: ChaosStack, wish: str, seed: int) -> None:
    with house.halfway("without a worker", seed=seed) as generation:
        prompt_id = generation.prompt_id
        house.kill_worker()
        getattr(generation, wish)()
        assert house.ends(generation) == ("cancelled" if wish == "cancel" else "deleted")
        house.start_worker()
        wait_until(lambda: not house.emulator.queue()["running"], "the stray to be stopped")
        assert house.emulator.outcomes(prompt_id) == ["interrupted"]
    house.check([generation])


def test_an_operator_pauses_a_run_and_resumes_it(house: ChaosStack, seed: int) -> None:
    with house.halfway("interrupted by a meeting", seed=seed) as generation:
        run = UUID(generation.flow_run_id())
        house.wait_for_flow_run(str(run), "Running")  # it is led there beside the work
        house.prefect.set_flow_run_state(run, Paused(name="Suspended"), force=True)
        generation.wait_for_reason("paused")
        assert generation.status()["status"] == "queued"
        following = house.create(**a_request(seed))
        following.wait_for_prompt()  # its place in the worker is free
    assert house.ends(following) == "succeeded"
    assert generation.status()["status"] == "queued"
    house.prefect.set_flow_run_state(run, Scheduled(name="Resuming"), force=True)
    assert house.ends(generation) == "succeeded"
    house.check([generation, following])
    assert generation.renders() == 1
    assert len(generation.attempts()) == 1


@long
def test_an_operator_pauses_the_work_pool(house: ChaosStack, seed: int) -> None:
    house.prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
    house.wait_for_pause()
    try:
        generation = house.create(**a_request(seed))
        generation.wait_for_reason("paused")
        assert generation.status()["status"] == "queued"
    finally:
        house.prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@pytest.mark.parametrize(
    "what", ["delete", *(pytest.param(w, marks=long) for w in ("cancel", "crash"))]
)
def test_an_operator_ends_a_run_that_renders(house: ChaosStack, what: str, seed: int) -> None:
    with house.halfway("under other hands", seed=seed) as generation:
        prompt_id, run = generation.prompt_id, UUID(generation.flow_run_id())
        if what == "delete":
            house.prefect.delete_flow_run(run)
        elif what == "cancel":
            house.prefect.set_flow_run_state(run, Cancelling())
        else:
            crashed = State[None](type=StateType.CRASHED, message="marked by hand")
            house.prefect.set_flow_run_state(run, crashed, force=True)
        assert house.ends(generation) == ("failed" if what == "crash" else "cancelled")
        wait_until(lambda: not house.emulator.queue()["running"], "ComfyUI to stop")
        assert house.emulator.outcomes(prompt_id) == ["interrupted"]
    house.check([generation])
    assert generation.retry().status_code == 202
    assert house.ends(generation) == "succeeded"
    house.check([generation])
