"""Prefect's engine, driven as Easel drives it: flow runs on a real server, in this process."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import prefect.flows
import pytest
from prefect import flow, flow_engine, results, task
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateDetails
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ParameterTypeError, Pause
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.states import Failed, Paused, Pending

from flows.attempts.attempt import StopReason
from flows.errors import TakenOver
from flows.prefect.private import engine
from flows.prefect.private.engine import (
    InProcessEngine,
    ask_once_where_results_go,
    keep_parameters_out_of_logs,
)
from flows.worker.engine import RunningFlow

pytestmark = pytest.mark.timeout(300)

CALLS: list[UUID] = []
NAMED: list[str] = []
WAITING: list[asyncio.Event] = []
"""Set when a run waits; one for each test, as each has a loop of its own."""
REGISTERED: list[bool] = []
TAGS: list[set[str]] = []


def _name() -> str:
    NAMED.append("named by the flow")
    return NAMED[-1]


@task(name="private", cache_policy=NO_CACHE, persist_result=False)
async def private_task() -> None:
    """Notes the tags of its run."""
    context = TaskRunContext.get()
    assert context is not None
    TAGS.append(set(context.task_run.tags))


@flow(name="private", flow_run_name=_name, retries=1, retry_delay_seconds=0)
async def private_flow(what: str) -> None:
    """Does what it is told, and notes that it was called."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    CALLS.append(context.flow_run.id)
    if what == "fail once" and len(CALLS) == 1:
        raise ValueError(what)
    if what == "taken over":
        raise TakenOver("it is another worker's")
    if what == "crash":
        raise asyncio.CancelledError
    if what == "suspend":
        suspended: State = Paused(name="Suspended")
        REGISTERED.append(mark_flow_run_suspension_requested(context.flow_run.id, suspended))
    if what == "call a task":
        await private_task()
    if what == "wait":
        WAITING[0].set()
        await asyncio.Event().wait()


@pytest.fixture
def notes(prefect: None) -> None:
    for noted in (CALLS, NAMED, REGISTERED, TAGS):
        noted.clear()
    WAITING[:] = [asyncio.Event()]


async def _a_run(what: str, state: State | None = None, tags: Collection[str] = ()) -> FlowRun:
    async with get_client() as client:
        made = await client.create_flow_run(
            private_flow,
            parameters={"what": what},
            name="named before",
            tags=tags,
            state=state or Pending(),
        )
    # As if a deployment had made it: only then does the stock engine observe suspensions.
    return made.model_copy(update={"deployment_id": uuid4()})


async def _state_of(run: FlowRun) -> State:
    async with get_client() as client:
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    return state


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("named", [True, False])
async def test_a_run_is_driven_to_its_end_and_named_unless_it_has_its_name(named: bool) -> None:
    running = RunningFlow(private_flow, run := await _a_run("complete"))
    running.engine.named = named

    assert await running.run() is None

    assert (await _state_of(run)).is_completed()
    assert running.settled
    assert running.engine.named
    assert ([] if named else ["named by the flow"]) == NAMED


@pytest.mark.usefixtures("notes")
async def test_a_run_that_failed_is_driven_again_while_prefect_answers_running() -> None:
    running = RunningFlow(private_flow, run := await _a_run("fail once"))

    assert await running.run() is None

    assert (await _state_of(run)).is_completed()
    assert [run.id, run.id] == CALLS


@pytest.mark.usefixtures("notes")
async def test_the_tags_of_a_run_do_not_reach_its_task_runs() -> None:
    """Prefect applies limits on tags to task runs: those on tags of Easel's runs hold no run."""
    running = RunningFlow(private_flow, await _a_run("call a task", tags=["easel", "txt2img"]))

    assert await running.run() is None

    assert [set[str]()] == TAGS


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("reason", "name"), [("cancel", "Cancelled"), ("release", "AwaitingRetry")]
)
async def test_a_run_that_is_stopped_ends_as_it_was_asked_to(reason: StopReason, name: str) -> None:
    running = RunningFlow(private_flow, run := await _a_run("wait"))
    ended = asyncio.create_task(running.run())
    await WAITING[0].wait()

    running.stop(reason)

    assert await ended is None
    assert running.settled
    assert (await _state_of(run)).name == name
    assert len(CALLS) == 1


@pytest.mark.usefixtures("notes")
async def test_a_run_that_is_cancelled_unasked_has_crashed() -> None:
    running = RunningFlow(private_flow, run := await _a_run("crash"))

    assert await running.run() is None

    assert (await _state_of(run)).is_crashed()
    assert len(CALLS) == 1


@pytest.mark.usefixtures("notes")
async def test_of_a_run_that_another_worker_does_prefect_hears_nothing_more() -> None:
    running = RunningFlow(private_flow, run := await _a_run("taken over"))

    assert await running.run() is None

    assert running.settled
    assert (await _state_of(run)).is_running()  # as the other worker left it
    with pytest.raises(TakenOver):
        await running.engine.result()
    assert (await running.engine.set_state(Failed())).is_scheduled()
    assert (await _state_of(run)).is_running()
    assert len(CALLS) == 1


@pytest.mark.usefixtures("notes")
async def test_a_run_whose_time_lies_ahead_is_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "ANSWER_S", 3.0)  # the server's answer is to wait for an hour
    later = StateDetails.model_validate({"scheduled_time": datetime.now(UTC) + timedelta(hours=1)})
    running = RunningFlow(
        private_flow, run := await _a_run("complete", Pending(state_details=later))
    )

    assert await running.run() is None

    assert (await _state_of(run)).is_completed()


@pytest.mark.usefixtures("notes")
async def test_a_run_can_be_suspended_from_its_process() -> None:
    running = RunningFlow(private_flow, await _a_run("suspend"))

    assert isinstance(await running.run(), Pause)
    assert REGISTERED == [True]
    assert len(CALLS) == 1


@pytest.mark.parametrize(
    ("stock_or_ours", "observes"), [(AsyncFlowRunEngine, True), (InProcessEngine, False)]
)
def test_only_the_stock_engine_observes_suspensions_itself(
    stock_or_ours: type[AsyncFlowRunEngine[Any, Any]],
    observes: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The day this fails for the stock one, the override may not be needed any more.
    observed: list[UUID] = []

    @contextmanager
    def observe(flow_run_id: UUID, *_: object, **__: object) -> Iterator[None]:
        observed.append(flow_run_id)
        yield

    monkeypatch.setattr(flow_engine, "observe_flow_run_suspension", observe)
    run = FlowRun(flow_id=uuid4(), deployment_id=uuid4())
    one = stock_or_ours(flow=private_flow, flow_run=run)
    with one.setup_flow_run_suspension_request() as request:
        assert mark_flow_run_suspension_requested(run.id, Paused(name="Suspended"))
        with pytest.raises(Pause):
            request.raise_if_requested()

    assert observed == ([run.id] if observes else [])


def _overridden() -> list[str]:
    own = (name for name, value in vars(InProcessEngine).items() if inspect.isfunction(value))
    return [name for name in own if hasattr(AsyncFlowRunEngine, name)]


def test_the_engine_overrides_what_prefect_calls() -> None:
    # That each is called: the tests above.
    assert _overridden() == [
        "setup_flow_run_suspension_request", "set_state", "handle_crash", "handle_exception",
    ]  # fmt: skip


@pytest.mark.parametrize("name", _overridden())
def test_the_engine_overrides_with_the_same_parameters(name: str) -> None:
    ours, prefects = (
        [(one.name, one.kind) for one in inspect.signature(method).parameters.values()]
        for method in (getattr(InProcessEngine, name), getattr(AsyncFlowRunEngine, name))
    )
    assert ours == prefects


def test_where_results_go_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr(
        results, "_read_server_default_result_storage_block_id", lambda: asked.append(None)
    )
    ask_once_where_results_go()
    ask_once_where_results_go()
    for _ in range(3):
        results._get_default_result_storage()

    assert len(asked) == 1


def test_parameters_that_are_refused_are_not_logged() -> None:
    """Prefect's logger is `prefect.flows`, and one of its lines repeats them."""
    seen: list[logging.LogRecord] = []

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Seeing()
    prefect.flows.logger.addHandler(handler)
    try:
        with pytest.raises(ParameterTypeError):
            private_flow.validate_parameters({"what": ["zx81canary"]})
        assert "zx81canary" in "".join(record.getMessage() for record in seen)
        seen.clear()
        keep_parameters_out_of_logs()
        with pytest.raises(ParameterTypeError) as refused:
            private_flow.validate_parameters({"what": ["zx81canary"]})
    finally:
        prefect.flows.logger.removeHandler(handler)
        for each in prefect.flows.logger.filters[:]:
            prefect.flows.logger.removeFilter(each)
    assert "zx81canary" not in str(refused.value)
    assert seen == []
