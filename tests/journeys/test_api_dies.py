"""The API dies: what it has accepted is done."""

from __future__ import annotations

import pytest

from tests.harness.generations import BASE, SMALL
from tests.harness.stack import Stack

pytestmark = pytest.mark.journey


def test_the_api_is_killed_right_after_it_accepted(stack: Stack) -> None:
    # Prefect is away, so that it cannot have been dispatched before the kill.
    stack.stop_prefect()
    headers = {"Idempotency-Key": "asked before the crash"}
    body = {"prompt": "a promise", **SMALL}
    accepted = stack.api.post(f"{BASE}/create", json=body, headers=headers)
    assert accepted.status_code == 202
    stack.kill_api()
    stack.start_prefect()
    stack.start_api()

    again = stack.api.post(f"{BASE}/create", json=body, headers=headers)
    assert again.content == accepted.content
    generation = stack.generation(accepted.json()["task_id"])
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_the_api_is_killed_in_mid_render(stack: Stack) -> None:
    with stack.halfway("nobody looks") as generation:
        stack.kill_api()
    stack.start_api()
    generation.wait_for("succeeded")
    assert generation.renders() == 1
