"""It did not work: the client learns why, tries again, and nobody else is harmed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from uuid import UUID

import pytest

from tests.harness.generations import BASE, GenerationHandle
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until
from tests.store.other_versions import with_another_field

pytestmark = pytest.mark.journey


def test_a_node_fails_and_a_retry_succeeds(stack: Stack) -> None:
    stack.emulator.fault("fail_node", class_type="VAEDecode", message="Tensor is on fire")
    generation = stack.create("a phoenix")
    failed = generation.wait_for("failed")
    error = failed["error"]
    assert error["code"] == "node_failed"
    assert error["node_class"] == "VAEDecode"
    assert error["node_id"]
    assert error["node_message"] == "Tensor is on fire"
    result = stack.api.get(f"{BASE}/result/{generation.id}")
    assert result.status_code == 409
    assert result.json()["code"] == "generation_failed"
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Failed")
    assert run.state is not None
    assert run.state.message == error["detail"]
    assert "Tensor is on fire" in error["detail"]

    assert generation.retry().status_code == 202
    again = generation.wait_for("succeeded")
    assert again["attempt"] == 2
    assert again["error"] is None
    assert again["sequence"] > failed["sequence"]
    assert again["request"]["seed"] == failed["request"]["seed"]
    first, second = generation.attempts()
    assert (first["outcome"], second["outcome"]) == ("failed", "succeeded")
    assert first["error"]["code"] == "node_failed"
    assert first["prompt_id"] != second["prompt_id"]
    assert first["flow_run_id"] != second["flow_run_id"]
    assert generation.retry().status_code == 409


def test_memory_runs_out_once_and_it_helps_itself(stack: Stack) -> None:
    stack.emulator.fault("out_of_memory")
    generation = stack.create("a very large whale")
    assert generation.wait_for("succeeded")["attempt"] == 1
    assert stack.emulator.outcomes(generation.prompt_id) == ["error", "success"]


def test_memory_runs_out_for_good_and_it_says_so(stack: Stack) -> None:
    stack.emulator.fault("out_of_memory", times=2)
    error = stack.create("two very large whales").wait_for("failed")["error"]
    assert error["code"] == "out_of_memory"
    assert error["node_class"] == "KSampler"
    assert "smaller" in error["detail"]


def test_comfyui_rejects_the_workflow(stack: Stack) -> None:
    details = "ckpt_name: 'gone.safetensors' not in ['other.safetensors']"
    problem = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": details,
        "extra_info": {"input_name": "ckpt_name", "received_value": "gone.safetensors"},
    }
    node = {
        "errors": [problem],
        "dependent_outputs": ["9"],
        "class_type": "CheckpointLoaderSimple",
    }
    whole = {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    stack.emulator.fault(
        "answer",
        method="POST",
        path="/prompt",
        status=400,
        content_type="application/json",
        body=json.dumps({"error": whole, "node_errors": {"4": node}}),
    )
    generation = stack.create("drawn with a model that is gone")
    error = generation.wait_for("failed")["error"]
    assert error["code"] == "workflow_rejected"
    assert error["node_id"] == "4"
    assert error["node_class"] == "CheckpointLoaderSimple"
    assert "ckpt_name" in error["detail"]
    assert "not in" in error["detail"].lower()
    assert generation.renders() == 0
    stack.wait_for_flow_run(generation.flow_run_id(), "Failed")


def test_it_takes_longer_than_it_may(stack: Stack) -> None:
    stack.emulator.fault("hang", step=2)
    generation = stack.create("a slow snail", timeout_s=1)
    assert generation.wait_for("failed")["error"]["code"] == "timed_out"
    prompt_id = generation.prompt_id  # it is stopped once its row says that it failed
    wait_until(lambda: stack.emulator.outcomes(prompt_id) == ["interrupted"], "the interrupt")


def test_somebody_interrupts_it_in_comfyui_itself(stack: Stack) -> None:
    with stack.halfway("a play with an interval") as generation:
        stack.emulator.interrupt()
        assert generation.wait_for("failed")["error"]["code"] == "interrupted"
    assert generation.retry().status_code == 202
    generation.wait_for("succeeded")


def _store_as_another_version(stack: Stack, generation: GenerationHandle) -> None:
    key = UUID(generation.id).hex
    with closing(sqlite3.connect(stack.home / "easel.db", timeout=20)) as store, store:
        [(stored,)] = store.execute("SELECT request FROM generations WHERE id = ?", [key])
        request = json.dumps(with_another_field(json.loads(stored)))
        store.execute("UPDATE generations SET request = ? WHERE id = ?", [request, key])


def test_what_another_version_asked_for_fails_alone(stack: Stack) -> None:
    with stack.halfway("in the first place"):
        stack.create("in the second place").wait_for_prompt()
        unread, after = stack.create("of another version"), stack.create("after it")
        run = unread.flow_run_id()
        _store_as_another_version(stack, unread)
    error = unread.wait_for("failed")["error"]
    assert error["code"] == "unreadable_document"
    assert "outputs: must be a whole number" in error["detail"]
    ended = stack.wait_for_flow_run(run, "Failed")
    assert ended.state is not None
    assert ended.state.message == error["detail"]
    assert unread.renders() == 0
    after.wait_for("succeeded")
