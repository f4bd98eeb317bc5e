"""Many requests at once: each is done once, in turn, and what is urgent goes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.harness.generations import BASE, SMALL
from tests.harness.stack import Stack

pytestmark = pytest.mark.journey


def started_in_order(stack: Stack, prompt_ids: list[str]) -> list[str]:
    """Those prompts in the order in which ComfyUI began with them."""
    executed = [execution["prompt_id"] for execution in stack.emulator.executions()]
    return [prompt_id for prompt_id in executed if prompt_id in prompt_ids]


def test_twenty_at_once_are_each_rendered_once_first_come_first_served(stack: Stack) -> None:
    def create(number: int) -> httpx.Response:
        return stack.api.post(f"{BASE}/create", json={"prompt": f"sheep number {number}", **SMALL})

    with stack.halfway("what the GPU is busy with"):
        stack.create("what ComfyUI has next").wait_for_prompt()
        with ThreadPoolExecutor(20) as clients:
            answers = list(clients.map(create, range(20)))
        assert [answer.status_code for answer in answers] == [202] * 20
        flock = [stack.generation(answer.json()["task_id"]) for answer in answers]
        for sheep in flock:
            sheep.flow_run_id()

    # In the order of their acceptance, which the history tells.
    accepted = [item["task_id"] for item in reversed(stack.history(limit=20))]
    assert set(accepted) == {sheep.id for sheep in flock}
    stack.generation(accepted[-1]).wait_for("succeeded")
    for sheep in flock:
        sheep.wait_for("succeeded")
    assert [sheep.renders() for sheep in flock] == [1] * 20
    prompts = [stack.generation(task_id).prompt_id for task_id in accepted]
    assert started_in_order(stack, prompts) == prompts


def test_interactive_work_overtakes_bulk_that_waits(stack: Stack) -> None:
    with stack.halfway("what the GPU is busy with"):
        bulk = [stack.create(f"calendar page {n}", priority="bulk") for n in range(4)]
        for page in bulk:
            page.flow_run_id()
        urgent = stack.create("a customer waits for this")
        urgent.flow_run_id()
        assert urgent.status()["queue_position"] == 0
    urgent.wait_for("succeeded")
    for page in bulk:
        page.wait_for("succeeded")
    order = started_in_order(stack, [urgent.prompt_id, *(page.prompt_id for page in bulk)])
    # One bulk prompt may be in ComfyUI's queue already, behind the one that renders; no more.
    assert order.index(urgent.prompt_id) <= 1


def test_a_create_that_is_repeated_with_its_key_gives_one_generation(stack: Stack) -> None:
    body = {"prompt": "pressed twice", **SMALL}

    def create(_: int) -> httpx.Response:
        headers = {"Idempotency-Key": "the button was pressed twice"}
        return stack.api.post(f"{BASE}/create", json=body, headers=headers)

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(create, range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    generation = stack.generation(answers[0].json()["task_id"])
    generation.wait_for("succeeded")
    assert generation.renders() == 1
    assert len(stack.history(q="pressed twice")) == 1
