"""The emulator's jobs, as ComfyUI has them from 0.24 on, and their cancellation, from 0.26 on.

Recorded from 0.24.0; cancellation as in server.py, comfy_execution/jobs.py and execution.py
(PromptQueue) of 0.33.0.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from .test_emulator import SLOW, Caller, blank, calling, txt2img

WORKFLOW = {"extra_pnginfo": {"workflow": {"id": "wf-42"}}}


async def one_of_each(caller: Caller) -> dict[str, str]:
    """The ids of a job in each of the five statuses."""
    completed = await caller.submit(blank(), extra_data=WORKFLOW)
    await caller.history(completed)
    failed = await caller.submit(blank("../x"))
    await caller.history(failed)
    cancelled = await caller.submit(txt2img(seed=1))
    await caller.running(cancelled)
    in_progress, pending = await caller.submit(txt2img(seed=2)), await caller.submit(blank())
    await caller.post("/interrupt", {"prompt_id": cancelled})
    await caller.running(in_progress)
    await caller.history(cancelled)
    return {
        "completed": completed,
        "failed": failed,
        "cancelled": cancelled,
        "in_progress": in_progress,
        "pending": pending,
    }


def shown(answer: tuple[int, Any]) -> set[str]:
    assert answer[0] == 200, answer
    return {job["id"] for job in answer[1]["jobs"]}


def durations(answer: Any) -> list[int]:
    """How long each job was executed, in milliseconds; 0 for one that is not over."""
    return [
        job.get("execution_end_time", 0) - job.get("execution_start_time", 0)
        for job in answer["jobs"]
    ]


async def test_each_status_and_what_it_shows() -> None:
    async with calling(SLOW) as (_, caller):
        ids = await one_of_each(caller)
        status, answer = await caller.get("/api/jobs")
        assert status == 200
        assert {job["status"]: job["id"] for job in answer["jobs"]} == ids
        newest = [job["create_time"] for job in answer["jobs"]]
        assert newest == sorted(newest, reverse=True)
        assert answer["pagination"] == {"offset": 0, "limit": None, "total": 5, "has_more": False}
        jobs = {job["status"]: job for job in answer["jobs"]}
        waiting = {"id", "status", "priority", "create_time", "outputs_count"}
        waiting.add("previewable_outputs_count")
        ended = {*waiting, "execution_start_time", "execution_end_time"}
        assert set(jobs["pending"]) == set(jobs["in_progress"]) == waiting
        assert set(jobs["cancelled"]) == ended
        assert set(jobs["failed"]) == {*ended, "execution_error"}
        assert set(jobs["completed"]) == {*ended, "preview_output", "workflow_id"}
        assert jobs["completed"]["preview_output"] == {
            "filename": "mf_00001_.png",
            "subfolder": "",
            "type": "output",
            "nodeId": "2",
            "mediaType": "images",
        }


async def test_one_job() -> None:
    async with calling(SLOW) as (_, caller):
        ids = await one_of_each(caller)
        _, job = await caller.get(f"/api/jobs/{ids['completed']}")
        assert job["outputs"]["2"]["images"][0]["filename"] == "mf_00001_.png"
        assert job["execution_status"]["status_str"] == "success"
        assert set(job["workflow"]) == {"prompt", "extra_data"}
        assert (await caller.get(f"/api/jobs/{ids['pending']}"))[1]["status"] == "pending"
        missing = await caller.get(f"/api/jobs/{uuid.uuid4()}")
        assert missing == (404, {"error": "Job not found"})
        # Under no other prefix, unlike every other route.
        assert (await caller.get("/jobs"))[0] == 404


async def test_jobs_are_filtered_sorted_and_cut() -> None:
    async with calling(SLOW) as (_, caller):
        ids = await one_of_each(caller)
        get = caller.get
        assert shown(await get("/api/jobs", status="pending")) == {ids["pending"]}
        two = {ids["completed"], ids["failed"]}
        assert shown(await get("/api/jobs", status="completed, FAILED")) == two
        assert shown(await get("/api/jobs", workflow_id="wf-42")) == {ids["completed"]}
        _, cut = await get("/api/jobs", limit="2", offset="1")
        assert len(cut["jobs"]) == 2
        assert cut["pagination"] == {"offset": 1, "limit": 2, "total": 5, "has_more": True}
        _, longest = await get("/api/jobs", sort_by="execution_duration")
        _, shortest = await get("/api/jobs", sort_by="execution_duration", sort_order="asc")
        longest_first, shortest_first = durations(longest), durations(shortest)
        assert longest_first == sorted(longest_first, reverse=True)
        assert shortest_first == sorted(shortest_first)
        assert len(set(longest_first)) > 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            {"status": "banana"},
            (
                "Invalid status value(s): banana. "
                "Valid values: pending, in_progress, completed, failed, cancelled"
            ),
        ),
        ({"sort_by": "x"}, "sort_by must be 'created_at' or 'execution_duration'"),
        ({"sort_order": "x"}, "sort_order must be 'asc' or 'desc'"),
        ({"limit": "0"}, "limit must be a positive integer"),
        ({"limit": "x"}, "limit must be an integer"),
        ({"offset": "x"}, "offset must be an integer"),
    ],
)
async def test_a_wrong_query(query: dict[str, str], said: str) -> None:
    async with calling() as (_, caller):
        assert await caller.get("/api/jobs", **query) == (400, {"error": said})


async def test_a_workflow_of_null_makes_every_list_fail() -> None:
    """Recorded from 0.24.0."""
    async with calling() as (_, caller):
        await caller.run(blank(), extra_data={"extra_pnginfo": {"workflow": None}})
        assert (await caller.get("/api/jobs"))[0] == 500


async def test_a_running_and_a_waiting_job_are_cancelled_and_no_other() -> None:
    async with calling(SLOW) as (emulator, caller):
        running = await caller.submit(txt2img(seed=1))
        await caller.running(running)
        waiting, other = await caller.submit(txt2img(seed=2)), await caller.submit(blank())
        assert await caller.post(f"/api/jobs/{waiting}/cancel") == (200, {"cancelled": True})
        assert await caller.post(f"/api/jobs/{waiting}/cancel") == (200, {"cancelled": False})
        assert await caller.post(f"/api/jobs/{uuid.uuid4()}/cancel") == (200, {"cancelled": False})
        assert (await caller.get(f"/api/jobs/{waiting}"))[0] == 404
        assert await caller.post(f"/api/jobs/{running}/cancel") == (200, {"cancelled": True})
        assert (await caller.history(other))["status"]["completed"] is True
        assert (await caller.get(f"/api/jobs/{running}"))[1]["status"] == "cancelled"
        assert await caller.post(f"/api/jobs/{running}/cancel") == (200, {"cancelled": False})
        assert [run["outcome"] for run in emulator.executions] == ["interrupted", "success"]


async def test_many_jobs_are_cancelled_at_once() -> None:
    async with calling(SLOW) as (_, caller):
        ids = [await caller.submit(txt2img(seed=seed)) for seed in range(3)]
        await caller.running(ids[0])  # else it leaves no entry in the history
        path = "/api/jobs/cancel"
        assert await caller.post(path, {"job_ids": [*ids, str(uuid.uuid4())]}) == (
            200,
            {"cancelled": True},
        )
        await caller.history(ids[0])
        assert await caller.post(path, {"job_ids": ids}) == (200, {"cancelled": False})
        invalid = {"error": "job_ids contains invalid id(s)", "invalid_ids": ["A", "5"]}
        assert await caller.post(path, {"job_ids": ["A", 5]}) == (400, invalid)
        assert await caller.post(path, {}) == (400, {"error": "job_ids must be a list"})
        assert await caller.post(path) == (400, {"error": "Request body must be valid JSON"})


async def test_versions_without_jobs_or_without_their_cancellation() -> None:
    cancelling = f"/api/jobs/{uuid.uuid4()}/cancel"
    for version, listed, cancelled in (("0.3.64", 404, 405), ("0.24.0", 200, 405)):
        async with calling(replace(SLOW, comfyui_version=version)) as (_, caller):
            assert (await caller.get("/api/jobs"))[0] == listed
            assert (await caller.post(cancelling))[0] == cancelled
            assert (await caller.post("/api/jobs/cancel", {"job_ids": []}))[0] == 405
    async with calling(replace(SLOW, comfyui_version="0.24.0")) as (_, caller):
        await caller.submit(blank())
        _, answer = await caller.get("/api/jobs")
        assert "previewable_outputs_count" not in answer["jobs"][0]
