"""Somebody wants a picture gone, for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def kept_files(stack: Stack, task_id: str) -> list[Path]:
    """What lies in the image store for a generation."""
    return [path for path in (stack.home / "images").rglob("*") if task_id in str(path)]


def test_deleted_while_it_is_rendered(stack: Stack) -> None:
    with stack.halfway("a secret") as generation:
        prompt_id, run_id = generation.prompt_id, generation.flow_run_id()
        assert generation.delete().status_code == 204
        wait_until(lambda: stack.emulator.outcomes(prompt_id) == ["interrupted"], "the interrupt")
    wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    assert generation.get().status_code == 410
    assert generation.get().json()["code"] == "deleted"
    assert generation.delete().status_code == 204
    assert kept_files(stack, generation.id) == []
    assert stack.history(q="a secret") == []


def test_deleted_before_its_turn(stack: Stack) -> None:
    with stack.halfway("the one before") as before:
        stack.create("between")
        generation = stack.create("a mistake")
        prompt_id, run_id = generation.prompt_id, generation.flow_run_id()
        assert generation.delete().status_code == 204
        wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    before.wait_for("succeeded")
    assert stack.emulator.renders(prompt_id) == 0
    assert generation.get().status_code == 410


def test_deleted_after_success(stack: Stack) -> None:
    generation = stack.create("an old flame")
    generation.wait_for("succeeded")
    [image] = generation.result()["images"]
    run_id = generation.flow_run_id()
    assert len([path for path in kept_files(stack, generation.id) if path.is_file()]) == 2

    assert generation.delete().status_code == 204
    assert kept_files(stack, generation.id) == []
    assert stack.api.get(image["url"]).status_code in (404, 410)
    assert generation.get().status_code == 410
    wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    assert generation.delete().status_code == 204
