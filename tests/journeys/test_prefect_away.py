"""The Prefect server is away: requests are accepted all the same, and renders go on."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest
from prefect.states import Cancelling

from tests.harness.stack import STAGES, Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def test_prefect_is_away_during_the_whole_life_of_a_generation(stack: Stack) -> None:
    stack.stop_prefect()
    generation = stack.create("patience")
    done = generation.wait_for("succeeded")
    stack.start_prefect()
    assert generation.renders() == 1
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Completed")
    assert run.run_count == 1
    tasks = stack.wait_for_task_runs(run.id, "Completed")
    assert [task.name.rpartition("-")[0] for task in tasks] == STAGES
    ended = datetime.fromisoformat(done["finished_at"])
    assert all(task.end_time is not None and task.end_time <= ended for task in tasks[:3])


def test_of_a_worker_that_died_meanwhile_the_next_one_tells(stack: Stack) -> None:
    stack.stop_prefect()
    generation = stack.create("unsaid")
    generation.wait_for("succeeded")
    stack.kill_worker()
    stack.start_prefect()
    stack.start_worker()
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Completed")
    tasks = stack.wait_for_task_runs(run.id, "Completed")
    assert [task.name.rpartition("-")[0] for task in tasks] == STAGES
    assert generation.renders() == 1
    assert len(generation.attempts()) == 1


def test_a_worker_that_starts_meanwhile_takes_what_waits_and_registers_later(stack: Stack) -> None:
    stack.kill_worker()
    stack.stop_prefect()
    generation = stack.create("patience")
    stack.start_worker()
    generation.wait_for("succeeded")
    stack.start_prefect()
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Completed")
    tasks = stack.wait_for_task_runs(run.id, "Completed")
    assert [task.name.rpartition("-")[0] for task in tasks] == STAGES
    assert generation.renders() == 1
    assert stack.worker_is_running
    with stack.halfway("cancelled there") as another:  # it hears what operators do
        stack.prefect.set_flow_run_state(UUID(another.flow_run_id()), Cancelling())
        another.wait_for("cancelled")


def test_prefect_is_away_and_was_to_say_what_may_begin(stack: Stack) -> None:
    with stack.concurrency_limit(1):
        stack.stop_prefect()
        generation = stack.create("patience")
        waiting = generation.wait_for_reason("waiting_for_prefect")
        assert waiting["status"] == "queued"
        stack.start_prefect()
        generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_prefect_goes_in_mid_render_and_comes_back_after_it(stack: Stack) -> None:
    with stack.halfway("nobody to tell") as generation:
        stack.stop_prefect()
    generation.wait_for("succeeded")
    stack.start_prefect()
    assert generation.renders() == 1
    stack.wait_for_flow_run(generation.flow_run_id(), "Completed")


def test_a_deleted_run_does_not_spoil_the_records_of_others_after_a_restart(stack: Stack) -> None:
    deleted = stack.create("forget me")
    deleted.wait_for("succeeded")
    run_id = deleted.flow_run_id()
    deleted.delete()
    wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    # Now the worker sends its latest events again, also those of the run that is gone.
    stack.stop_prefect()
    stack.start_prefect()
    generation = stack.create("remember me")
    generation.wait_for("succeeded")
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Completed")
    stack.wait_for_task_runs(run.id, "Completed")
