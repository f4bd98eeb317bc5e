"""Runs under way in Prefect that no worker executes: put back into their queue."""

from __future__ import annotations

from typing import Final

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Cancelled, Crashed

FLOW: Final = "generate"
BATCH_FLOW: Final = "bulk"
RUNS_MAX: Final = 10
"""A run whose worker died this often becomes Crashed instead: it may be what kills the worker."""
_PAGE: Final = 200
_UNDER_WAY: Final = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


async def under_way(
    client: PrefectClient, pool: str | None = None, flow: str = FLOW
) -> list[FlowRun]:
    """Returns the flow's runs under way according to Prefect; of one pool, or of all."""
    found: list[FlowRun] = []
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])) if pool is not None else None
    while True:
        page = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            work_pool_filter=pools,
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY))
            ),
            limit=_PAGE,
            offset=len(found),
        )
        found.extend(page)
        if len(page) < _PAGE:
            return found


async def put_back(client: PrefectClient, run: FlowRun) -> bool:
    """Let any worker take the run again. That worker finds its prompt in ComfyUI by the id.

    A run that was being cancelled ends as Cancelled. Returns False if its state has changed.
    """
    state: State
    if run.state_type == StateType.CANCELLING:
        state = Cancelled(message="The worker died while it cancelled this.")
    elif run.run_count >= RUNS_MAX:
        state = Crashed(message=f"The worker died {run.run_count} times while it ran this.")
    else:
        state = AwaitingRetry(message="The worker died; taken back.")
    return await settle_run(client, run, state)


async def settle_run(client: PrefectClient, run: FlowRun, state: State) -> bool:
    """Give an abandoned run another state, if its state has not changed since it was read."""
    try:
        now = await client.read_flow_run(run.id)
        if now.state is None or run.state is None or now.state.id != run.state.id:
            return False
        await _crash_task_runs(client, run)
        await client.set_flow_run_state(run.id, state, force=True)
    except ObjectNotFound:
        return False
    return True


async def _crash_task_runs(client: PrefectClient, run: FlowRun) -> None:
    """Crash the task runs of a dead process: else they stay Running indefinitely."""
    types = [StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED]
    tasks = await client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=types))
        ),
    )
    for task in tasks:
        await client.set_task_run_state(task.id, Crashed(message="The worker died."), force=True)
