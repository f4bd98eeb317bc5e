"""The worker dies or is stopped: the next one meets the prompt again."""

from __future__ import annotations

import pytest

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def test_the_worker_is_killed_in_mid_render(stack: Stack) -> None:
    with stack.halfway("an orphan") as generation:
        next_one = stack.create("behind the orphan")
        next_one.wait_for_prompt()
        stack.kill_worker()
        stack.start_worker()
    assert generation.wait_for("succeeded")["attempt"] == 1
    next_one.wait_for("succeeded")
    assert generation.renders() == 1
    assert next_one.renders() == 1
    stack.wait_for_flow_run(generation.flow_run_id(), "Completed")


def test_the_picture_is_finished_while_no_worker_is_there(stack: Stack) -> None:
    with stack.halfway("finished alone") as generation:
        stack.kill_worker()
    prompt_id = generation.prompt_id
    wait_until(lambda: stack.emulator.outcomes(prompt_id) == ["success"], "ComfyUI to finish")
    waiting = stack.create("nobody there to do it")
    stack.start_worker()
    generation.wait_for("succeeded")
    waiting.wait_for("succeeded")
    assert generation.renders() == 1


def test_the_worker_is_stopped_in_good_order_in_mid_render(stack: Stack) -> None:
    with stack.halfway("handed over") as generation:
        assert stack.terminate_worker() == 0
        assert generation.status()["status"] == "queued"
        assert generation.prompt_id in stack.emulator.queue()["running"]  # not interrupted
        stack.start_worker()
        generation.wait_for("running", "succeeded")
    assert generation.wait_for("succeeded")["attempt"] == 1
    assert generation.renders() == 1
    stack.wait_for_flow_run(generation.flow_run_id(), "Completed")


def test_a_cancel_reaches_a_generation_whose_worker_is_dead(stack: Stack) -> None:
    with stack.halfway("forsaken") as generation:
        prompt_id = generation.prompt_id
        stack.kill_worker()
        assert generation.cancel().status_code == 202
        stack.start_worker()
        generation.wait_for("cancelled")
        wait_until(lambda: stack.emulator.outcomes(prompt_id) == ["interrupted"], "the interrupt")
