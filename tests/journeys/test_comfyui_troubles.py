"""ComfyUI restarts, is away, loses connections and tells half the truth."""

from __future__ import annotations

import pytest

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def test_comfyui_is_restarted_in_mid_render(stack: Stack) -> None:
    with stack.halfway("a house of cards") as generation:
        next_one = stack.create("the one behind it")
        assert generation.renders() == 1
        stack.stop_comfy()
        waiting = generation.wait_for_reason("waiting_for_comfyui")
        assert waiting["status"] in ("queued", "running")
        stack.start_comfy()
    assert generation.wait_for("succeeded")["attempt"] == 1
    next_one.wait_for("succeeded")
    assert generation.renders() == 1  # counted from the restart on: once more, and no more
    assert next_one.renders() == 1


def test_comfyui_restarts_so_quickly_that_nobody_sees_it_away(stack: Stack) -> None:
    with stack.halfway("a blink") as generation:
        stack.emulator.fault("restart")
        generation.wait_for("succeeded")
    assert generation.renders() == 2  # once in each incarnation


def missing(stack: Stack) -> list[str]:
    """What is not ready."""
    parts = stack.api.get("/readyz").json()["parts"]
    return [part["name"] for part in parts if not part["ok"]]


def test_comfyui_is_away_when_the_request_comes(stack: Stack) -> None:
    stack.stop_comfy()
    early = stack.create("an early bird")
    waiting = early.wait_for_reason("waiting_for_comfyui")
    assert waiting["status"] == "queued"
    assert "isn't answering" in waiting["waiting"]["detail"]
    wait_until(lambda: missing(stack) == ["comfyui"], lambda: missing(stack))
    assert stack.api.get("/readyz").status_code == 503

    stack.start_comfy()
    done = early.wait_for("succeeded")
    assert done["waiting"] is None
    assert early.renders() == 1


def test_the_websocket_breaks_in_mid_render(stack: Stack) -> None:
    stack.emulator.fault("drop_sockets_after", messages=3)
    generation = stack.create("a frayed thread", steps=8)
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_the_websocket_stays_away(stack: Stack) -> None:
    with stack.halfway("no word") as generation:
        stack.emulator.fault("refuse_sockets", seconds=60)
        stack.emulator.fault("drop_sockets")
    generation.wait_for("succeeded")
    assert generation.renders() == 1
    stack.emulator.clear()
    wait_until(lambda: stack.emulator.fault("stall_sockets"), "the worker to listen again")


@pytest.mark.parametrize("accepted", [True, False])
def test_the_answer_to_the_submission_is_lost(stack: Stack, accepted: bool) -> None:
    stack.emulator.fault("drop_replies", accepted=accepted)
    generation = stack.create("a letter without a receipt")
    generation.wait_for("succeeded")
    assert stack.emulator.posts(generation.prompt_id) == 1
    assert generation.renders() == 1


def test_comfyui_answers_nonsense_for_a_while(stack: Stack) -> None:
    stack.emulator.fault("answer", method="POST", path="/prompt", status=502, times=2)
    stack.emulator.fault("answer", method="GET", path="/queue", body="<html>", times=2)
    generation = stack.create("static")
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_the_picture_is_cut_short_on_its_way(stack: Stack) -> None:
    stack.emulator.fault("truncate_views", size=50)
    generation = stack.create("half an apple")
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_comfyui_names_no_picture_but_has_it(stack: Stack) -> None:
    stack.emulator.fault("empty_outputs")
    generation = stack.create("nothing to see")
    generation.wait_for("succeeded")
    assert generation.renders() == 1
