"""Batches from their manifest to their last picture, whatever dies or is wished in between."""

from __future__ import annotations

import io
import json
import zipfile
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Paused, Scheduled

from tests.harness.batches import BATCHES, BatchHandle
from tests.harness.generations import SMALL
from tests.harness.stack import POOL, Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
MODELS = ("emulator-sd15.safetensors", "emulator-sdxl.safetensors")


def many(count: int, prompt: str = "a {red|silver} fox") -> dict[str, Any]:
    return {"items": [{"prompt": prompt, "count": count}]}


def test_a_csv_file_becomes_pictures(stack: Stack) -> None:
    manifest = "prompt,steps,count,metadata.shelf\na {b|B}arn owl,1,2,top\na heron,2,,\n"
    answer = stack.api.post(
        BATCHES,
        params={"name": "birds", "seed": 7},
        content=manifest.replace("\n", "\r\n").encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    batch = stack.batch(answer.json()["batch_id"])
    done = batch.wait_for("succeeded")
    assert done["counts"]["succeeded"] == done["total"] == 3
    assert batch.renders() == [1, 1, 1]
    items = list(batch.items())
    assert [item["row"] for item in items] == [2, 2, 3]
    assert items[0]["request"]["metadata"] == {"shelf": "top"}
    assert len(stack.history(batch_id=batch.id)) == 3
    _check_files(stack, batch, 3)
    _check_in_prefect(stack, batch, "birds", 3)


def _check_files(stack: Stack, batch: BatchHandle, count: int) -> None:
    """The ZIP has every picture and what it was made from; the contact sheet is a picture."""
    archive = zipfile.ZipFile(
        io.BytesIO(stack.api.get(f"{BATCHES}/{batch.id}/results.zip").content)
    )
    assert archive.testzip() is None
    results = [json.loads(line) for line in archive.read("results.jsonl").splitlines()]
    assert [result["status"] for result in results] == ["succeeded"] * count
    assert {name for result in results for name in result["files"]} == {
        name for name in archive.namelist() if name.endswith(".png")
    }
    sheet = stack.api.get(f"{BATCHES}/{batch.id}/contact-sheet")
    assert sheet.headers["Content-Type"] == "image/jpeg"
    again = stack.api.get(
        f"{BATCHES}/{batch.id}/contact-sheet", headers={"If-None-Match": sheet.headers["ETag"]}
    )
    assert again.status_code == 304


def _check_in_prefect(stack: Stack, batch: BatchHandle, name: str, count: int) -> None:
    """One parent run and its children, all with the batch's tag and named after it, by ids."""
    run_id = batch.get()["urls"]["flow_run"].rpartition("/")[2]
    parent = stack.wait_for_flow_run(run_id, "Completed")
    assert parent.name == name
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"batch:{batch.id}"]))
    runs = stack.prefect.read_flow_runs(flow_run_filter=tagged)
    children = [run for run in runs if run.id != parent.id]
    assert len(children) == count
    made = {item["position"]: item["task_id"] for item in batch.items()}
    assert {run.name for run in children} == {
        f"{name} {number + 1}/{count}: {made[number]}" for number in range(count)
    }


def test_killed_in_the_middle_it_goes_on_and_makes_each_once(stack: Stack) -> None:
    """(Two hundred, and everything that can die: tests/chaos/test_batches.py.)"""
    batch = stack.create_batch(**many(40))
    batch.wait_for_count("succeeded", 8)
    stack.kill_worker()
    stack.kill_api()
    stack.start_worker()
    stack.start_api()
    done = batch.wait_for("succeeded", within=300)
    assert done["counts"]["succeeded"] == 40
    assert batch.renders() == [1] * 40


def test_interactive_work_overtakes_a_batch(stack: Stack) -> None:
    with stack.halfway("what the GPU is busy with"):
        batch = stack.create_batch(**many(12), max_in_flight=6)
        batch.wait_for_count("queued", 6)
        urgent = stack.create("a customer waits for this")
        urgent.flow_run_id()
    urgent.wait_for("succeeded")
    batch.wait_for("succeeded")
    order = [it["prompt_id"] for it in stack.emulator.executions()]
    of_batch = set(batch.prompt_ids())
    before = order[: order.index(urgent.prompt_id)]
    # One of the batch may be in ComfyUI's queue already, behind the one that renders; no more.
    assert len([one for one in before if one in of_batch]) <= 1


def test_it_keeps_a_bounded_number_under_way_and_no_place_at_the_gpu(stack: Stack) -> None:
    with stack.halfway("what the GPU is busy with"):
        batches = [stack.create_batch(**many(5, f"batch {n}"), max_in_flight=2) for n in range(3)]
        for batch in batches:
            batch.wait_for_count("queued", 2)
            assert batch.get()["counts"]["waiting"] == 3
        # Three batches are under way, and both places at the GPU have something to render.
        wait_until(lambda: stack.emulator.queue()["pending"], "the next prompt in ComfyUI's queue")
    for batch in batches:
        batch.wait_for("succeeded")


def test_it_stops_itself_at_its_failure_cap_and_can_be_retried(stack: Stack) -> None:
    stack.emulator.fault("fail_node", class_type="KSampler", times=3)
    batch = stack.create_batch(**many(16), max_in_flight=2, stop_after_failures=3)
    failed = batch.wait_for("failed")
    assert failed["error"]["code"] == "too_many_failures"
    assert failed["counts"]["failed"] == 3
    assert failed["counts"]["waiting"] > 8
    run_id = failed["urls"]["flow_run"].rpartition("/")[2]
    stack.wait_for_flow_run(run_id, "Failed")

    assert batch.do("retry-failed").status_code == 202
    done = batch.wait_for("succeeded")
    assert done["counts"]["succeeded"] == 16
    assert batch.renders() == [1] * 16  # of the newest attempts
    attempts = [item["generation"]["attempt"] for item in batch.items()]
    assert sorted(attempts) == [1] * 13 + [2] * 3
    assert done["urls"]["flow_run"] != failed["urls"]["flow_run"]


def test_a_client_pauses_resumes_and_cancels_it(stack: Stack) -> None:
    batch = stack.create_batch(**many(40), max_in_flight=2)
    batch.wait_for_count("succeeded", 2)
    assert batch.do("pause").json()["waiting"]["code"] == "paused"
    wait_until(lambda: batch.get()["counts"]["queued"] + batch.get()["counts"]["running"] == 0)
    paused = batch.get()
    assert paused["status"] == "paused"
    assert paused["counts"]["waiting"] > 0
    batch.do("resume")
    batch.wait_for_count("succeeded", paused["counts"]["succeeded"] + 2)
    stack.emulator.fault("hang", step=1)  # its next picture stands still
    assert batch.do("cancel").status_code == 202
    batch.wait_for("cancelled")
    ended = batch.get()
    assert ended["counts"]["waiting"] > 0
    assert ended["counts"]["queued"] == ended["counts"]["running"] == 0
    stack.wait_for_flow_run(ended["urls"]["flow_run"].rpartition("/")[2], "Cancelled")


@pytest.mark.parametrize("what", ["cancel", "delete"])
def test_an_operator_ends_its_flow_run(stack: Stack, what: str) -> None:
    with stack.halfway("so that it lasts"):
        batch = stack.create_batch(**many(10), max_in_flight=3)
        batch.wait_for_count("queued", 3)
        run_id = UUID(batch.get()["urls"]["flow_run"].rpartition("/")[2])
        if what == "cancel":
            stack.prefect.set_flow_run_state(run_id, Cancelling())
        else:
            stack.prefect.delete_flow_run(run_id)
        batch.wait_for("cancelled")
    assert batch.get()["counts"]["cancelled"] == 3


@pytest.mark.parametrize("where", ["in Prefect", "through Easel"])
def test_an_operator_pauses_its_flow_run_and_it_is_resumed(stack: Stack, where: str) -> None:
    batch = stack.create_batch(**many(30), max_in_flight=2)
    batch.wait_for_count("succeeded", 1)
    run_id = UUID(batch.get()["urls"]["flow_run"].rpartition("/")[2])
    stack.prefect.set_flow_run_state(run_id, Paused(name="Suspended"), force=True)
    assert batch.wait_for("paused")["waiting"]["code"] == "paused_in_prefect"
    if where == "in Prefect":
        stack.prefect.set_flow_run_state(run_id, Scheduled(name="Resuming"), force=True)
    else:
        assert batch.do("resume").status_code == 202
    batch.wait_for("running")
    batch.wait_for_count("succeeded", batch.get()["counts"]["succeeded"] + 1)
    batch.do("cancel")
    batch.wait_for("cancelled")


def test_an_operator_retries_a_batch_that_failed(stack: Stack) -> None:
    stack.emulator.fault("fail_node", class_type="KSampler")
    batch = stack.create_batch(**many(4))
    failed = batch.wait_for("failed")
    run_id = failed["urls"]["flow_run"].rpartition("/")[2]
    run = stack.wait_for_flow_run(run_id, "Failed")
    stack.prefect.set_flow_run_state(
        run.id, State(type=StateType.SCHEDULED, name="AwaitingRetry", message="Retry from the UI")
    )
    wait_until(lambda: batch.get()["status"] != "failed", "the batch to begin again")
    assert batch.wait_for("succeeded")["counts"]["succeeded"] == 4
    stack.wait_for_flow_run(run_id, "Completed")


def test_a_batch_started_in_the_prefect_ui(stack: Stack) -> None:
    deployment = stack.prefect.read_deployment_by_name("bulk/batch")
    request = {"name": "by hand", "defaults": {"prompt": "a bear", **SMALL}, "count": 2}
    run = stack.prefect.create_flow_run_from_deployment(
        deployment.id, parameters={"batch": request}
    )
    batch = stack.batch(str(run.id))
    wait_until(lambda: stack.api.get(f"{BATCHES}/{batch.id}").is_success, "the batch to appear")
    assert batch.wait_for("succeeded")["name"] == "by hand"
    assert batch.renders() == [1, 1]


def test_a_batch_with_a_bad_row_fails_alone_in_prefect(stack: Stack) -> None:
    deployment = stack.prefect.read_deployment_by_name("bulk/batch")
    request = {"items": [{"prompt": "good", **SMALL}, {"prompt": "bad", "steps": 100_000}]}
    run = stack.prefect.create_flow_run_from_deployment(
        deployment.id, parameters={"batch": request}
    )
    failed = stack.wait_for_flow_run(str(run.id), "Failed")
    assert failed.state is not None
    assert "row 2, steps" in (failed.state.message or "")
    assert stack.api.get(f"{BATCHES}/{run.id}").status_code == 404
    assert stack.history(q="good") == []


def test_a_paused_pool_holds_a_batch_and_says_so(stack: Stack) -> None:
    stack.prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
    stack.wait_for_pause()
    try:
        batch = stack.create_batch(**many(2))
        wait_until(lambda: (batch.get()["waiting"] or {}).get("code") == "paused", "the reason")
    finally:
        stack.prefect.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))
    batch.wait_for("succeeded")


def test_generations_of_one_checkpoint_come_together(stack: Stack) -> None:
    grid = {"prompt": [f"prompt {n}" for n in range(12)], "model": list(MODELS)}
    with stack.halfway("what needs the first of them", model=MODELS[0]):
        batch = stack.create_batch(grid=grid, max_in_flight=24)
        batch.wait_for_count("queued", 24)
        for item in batch.items():
            stack.generation(item["task_id"]).flow_run_id()
    batch.wait_for("succeeded")
    by_prompt = dict(
        zip(batch.prompt_ids(), (it["request"]["model"] for it in batch.items()), strict=True)
    )
    models = [
        by_prompt[one["prompt_id"]]
        for one in stack.emulator.executions()
        if one["prompt_id"] in by_prompt
    ]
    assert len(models) == 24
    switches = sum(a != b for a, b in pairwise(models))
    assert switches == 1  # not 23


def test_the_same_seed_makes_the_same_pictures(stack: Stack) -> None:
    request = {**many(6, "a {red|blue|green} {owl|cat}"), "seed": 42}
    first, second = stack.create_batch(**request), stack.create_batch(**request)
    for batch in (first, second):
        batch.wait_for("succeeded")
    shas = [
        [image["sha256"] for item in batch.items() for image in item["images"]]
        for batch in (first, second)
    ]
    assert len(set(shas[0])) == 6
    assert [it["request"] for it in first.items()] == [it["request"] for it in second.items()]
