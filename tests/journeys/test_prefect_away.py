"""The Prefect server is away: requests are accepted all the same, and renders go on."""

from __future__ import annotations

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def test_prefect_is_away_when_the_request_comes(stack: Stack) -> None:
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
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    wait_until(
        lambda: (
            [task.state_name for task in stack.prefect.read_task_runs(flow_run_filter=only)]
            == ["Completed"] * 4
        ),
        "its four task runs in Prefect",
    )
