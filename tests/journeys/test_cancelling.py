"""Somebody does not want a picture any more."""

from __future__ import annotations

import pytest

from tests.harness.stack import Stack

pytestmark = pytest.mark.journey


def test_what_waits_is_cancelled_before_it_is_rendered(stack: Stack) -> None:
    with stack.halfway("the one before") as before:
        others = [stack.create(f"in the queue: {n}") for n in range(3)]
        for other in others:
            other.flow_run_id()
        unwanted = others[-1]
        assert unwanted.cancel().status_code == 202
        unwanted.wait_for("cancelled")
        stack.wait_for_flow_run(unwanted.flow_run_id(), "Cancelled")
    for wanted in (before, *others[:-1]):
        wanted.wait_for("succeeded")
        assert wanted.renders() == 1
    assert unwanted.renders() == 0


def test_what_is_queued_in_comfyui_is_cancelled_there(stack: Stack) -> None:
    with stack.halfway("the one before") as before:
        unwanted = stack.create("one behind it")
        unwanted.wait_for_prompt()
        assert unwanted.cancel().json()["status"] == "cancelling"
        unwanted.wait_for("cancelled")
        assert stack.emulator.queue()["pending"] == []
        assert before.prompt_id in stack.emulator.queue()["running"]
    before.wait_for("succeeded")
    assert unwanted.renders() == 0


def test_what_is_rendered_is_interrupted_and_nothing_else(stack: Stack) -> None:
    with stack.halfway("unwanted") as unwanted:
        next_one = stack.create("wanted")
        assert unwanted.cancel().status_code == 202
        assert unwanted.cancel().status_code in (202, 409)  # 409 if it was that quick
        unwanted.wait_for("cancelled")
        assert stack.emulator.outcomes(unwanted.prompt_id) == ["interrupted"]
    next_one.wait_for("succeeded")
    assert stack.emulator.outcomes(next_one.prompt_id) == ["success"]
    stack.wait_for_flow_run(unwanted.flow_run_id(), "Cancelled")

    assert unwanted.cancel().status_code == 409
    assert unwanted.cancel().json()["code"] == "already_ended"
    assert next_one.cancel().status_code == 409
    assert [attempt["outcome"] for attempt in unwanted.attempts()] == ["cancelled"]


def test_what_was_cancelled_can_be_tried_again(stack: Stack) -> None:
    with stack.halfway("perhaps after all") as generation:
        generation.cancel()
        generation.wait_for("cancelled")
    assert generation.retry().status_code == 202
    assert generation.wait_for("succeeded")["attempt"] == 2
