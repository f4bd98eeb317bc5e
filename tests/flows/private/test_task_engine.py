"""Tasks that show stages: on a real server, with the times and the words of the stage."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker

from comfy.errors import ComfyUnreachableError
from flows.attempts.stage import Stage, Try
from flows.errors import StoppedError
from flows.tasks import show

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("telling")]
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID = "Submitted to ComfyUI as prompt 7"
STAGES: list[Stage] = []


@pytest.fixture
def telling(prefect: None) -> None:
    """Let the server hear of task runs."""
    EventsWorker.set_client_override(PrefectEventsClient)
    STAGES.clear()


@flow(name="showing")
async def showing() -> str:
    """Shows each stage, as the flow of generations does."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    for stage in STAGES:
        await show(stage)
    return str(context.flow_run.id)


def ended(*tries: Try) -> Stage:
    """A stage that was over long ago."""
    stage = Stage("submit")
    stage.began_at = BEGAN
    stage.record.log.info(SAID)
    stage.tries.extend(tries)
    stage.is_over = True
    return stage


async def task_runs(flow_run_id: str, state: str) -> list[TaskRun]:
    """The task runs of a flow run, once the server has recorded that all of them ended so."""
    async with get_client() as client, asyncio.timeout(60):
        while True:
            found = await client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
            )
            if len(found) == len(STAGES) and all(run.state_name == state for run in found):
                return found
            await asyncio.sleep(0.05)


async def _ended() -> State[Any]:
    run: Any = showing
    state: State[Any] = await run(return_state=True)
    return state


async def states_of(run: TaskRun) -> list[State[Any]]:
    async with get_client() as client:
        response = await client.request(
            "GET", "/task_run_states/", params={"task_run_id": str(run.id)}
        )
    return [State.model_validate(one) for one in response.json()]


async def test_a_stage_that_is_over_is_shown_with_its_own_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    STAGES.append(ended(Try(BEGAN + timedelta(seconds=2), value="posted")))
    with caplog.at_level(logging.INFO):
        [run] = await task_runs(await showing(), "Completed")

    assert run.start_time == BEGAN
    assert run.end_time == BEGAN + timedelta(seconds=2)
    assert run.total_run_time == timedelta(seconds=2)
    assert run.name.startswith("submit-")
    states = sorted(await states_of(run), key=lambda one: one.timestamp)
    assert [one.name for one in states] == ["Pending", "Running", "Completed"]
    [record] = [one for one in caplog.records if one.getMessage() == SAID]
    assert record.created == STAGES[0].record.lines[0].at.timestamp()


async def test_a_stage_that_failed_for_good_fails_its_task() -> None:
    STAGES.append(ended(Try(BEGAN + timedelta(seconds=1), error=ValueError("no such node"))))
    state = await _ended()
    assert state.is_failed()
    with pytest.raises(ValueError, match="no such node"):
        await state.result()


async def test_a_stage_that_is_over_is_not_waited_for_though_another_try_might_have_helped() -> (
    None
):
    """Prefect's pauses between tries add up to minutes, and there is no other try to come."""
    away = ComfyUnreachableError("nobody there")
    STAGES.append(ended(Try(BEGAN, error=away), Try(BEGAN + timedelta(seconds=1), error=away)))
    state = await _ended()
    assert state.is_failed()
    with pytest.raises(ComfyUnreachableError):
        await state.result()


async def test_a_stage_that_was_stopped_says_so() -> None:
    STAGES.append(ended(Try(BEGAN, error=asyncio.CancelledError())))
    state = await _ended()
    with pytest.raises(StoppedError):
        await state.result()


async def test_a_task_waits_for_its_stage_and_shows_each_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.tasks.submit.retry_delay_seconds", [0.01])
    gate, tries = asyncio.Event(), 0

    async def step() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ComfyUnreachableError("nobody there")
        await gate.wait()
        return "posted"

    monkeypatch.setattr("flows.attempts.stage.FIRST_PAUSE_S", 0.01)
    stage = Stage("submit")
    STAGES.append(stage)
    working = asyncio.create_task(stage.run(step))
    shown = asyncio.create_task(showing())
    while tries < 2:
        await stage.changed() if not stage.tries else await asyncio.sleep(0)
    assert not shown.done()
    gate.set()
    [run] = await task_runs(await shown, "Completed")
    assert await working == "posted"
    assert run.end_time == stage.ended_at
    assert run.run_count in (1, 2)  # it may have come after the first try


async def test_a_task_that_comes_late_to_a_try_shows_when_that_one_began_and_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Prefect's own pause before it goes on is longer than the stage takes."""
    monkeypatch.setattr("flows.tasks.submit.retry_delay_seconds", [2.0])
    monkeypatch.setattr("flows.attempts.stage.FIRST_PAUSE_S", 0.01)
    gate = asyncio.Event()

    async def step() -> str:
        if not stage.tries:
            raise ComfyUnreachableError("nobody there")
        await gate.wait()
        return "posted"

    stage = Stage("submit")
    STAGES.append(stage)
    with caplog.at_level(logging.INFO):
        working = asyncio.create_task(stage.run(step))
        shown = asyncio.create_task(showing())
        while not any("will start" in one.getMessage() for one in caplog.records):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        gate.set()
        await working
        [run] = await task_runs(await shown, "Completed")
    first, second = stage.tries
    moments = [(one.name, one.timestamp) for one in await states_of(run)]
    assert sorted(moments, key=lambda one: one[1])[1:] == [
        ("Running", stage.began_at),
        ("AwaitingRetry", first.ended_at),
        ("Retrying", second.began_at),
        ("Completed", second.ended_at),
    ]
    assert run.end_time == stage.ended_at
