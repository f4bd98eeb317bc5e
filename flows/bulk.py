"""The bulk flow: a batch from its first item to its last.

It only decides: it releases items so that a bounded number is under way, stops at too many
failures or at the end of its window, and reports progress. Released items are generations like
all others, made by flow runs of their own. It occupies no slot at the GPU, and a process that
dies loses nothing: all of its state is in the rows.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from core.batches.lists import read_lists
from core.batches.manifest import shown_name
from core.batches.request import FlowBatchRequest
from flows.adoption import callback_rules, what_is_known
from flows.artifacts import ArtifactUpdates, ProgressArtifact
from flows.batches import steps
from flows.batches.acceptance import AcceptedBatch, Source, accept_batch, source_problems
from flows.batches.artifacts import show_batch, show_end
from flows.batches.parameters import CATCH_UP_MINUTES, WEEK_MINUTES
from flows.batches.rules import Finish, Leave, Pause, Wait
from flows.errors import BatchRefusedError, CancelRequested, TakenOver
from flows.prefect.foreign_runs import PAUSE_S, foreign, put_back_for
from flows.prefect.schedules import later_run_is_due, schedule_name_of
from flows.retries import patiently
from flows.runtime import Runtime, runtime_of_this_run, this_flow_run
from flows.workflows import workflow_named
from store.batches.transitions import PAUSED_IN_PREFECT
from store.completion import finished
from store.errors import ConflictError, NotFoundError
from store.values import Batch, BatchCounts

LOOK_EVERY_S: Final = 0.25
"""Seconds between two looks at the rows while items are under way."""
PAUSED_LOOK_EVERY_S: Final = 1.0
_ON_TIME: Final = timedelta(minutes=1)


def _name_of_run() -> str:
    context = FlowRunContext.get()
    batch = ((context.parameters if context else None) or {}).get("batch")
    return (batch.name if isinstance(batch, FlowBatchRequest) else None) or "batch"


@flow(
    name="bulk",
    flow_run_name=_name_of_run,
    persist_result=False,
    validate_parameters=True,
    log_prints=False,
)
async def bulk(
    batch: FlowBatchRequest | None = None,
    batch_id: UUID | None = None,
    catch_up_minutes: Annotated[int, Field(ge=0, le=WEEK_MINUTES)] = CATCH_UP_MINUTES,
) -> State[Any]:
    """Generate all images of a batch.

    Args:
        batch: What to generate: rows, a grid, wildcards. See Easel's API documentation for
            `POST /api/v1/batches`.
        batch_id: Set by Easel when the batch was asked for through its API. Leave it empty.
        catch_up_minutes: A scheduled run that starts later than this (the machine was off) is
            skipped; so is one while a later one of the same schedule is due already.
    """
    async with runtime_of_this_run() as runtime:
        run = this_flow_run()
        if batch_id is None:
            missed = await _missed(run, catch_up_minutes)
            if missed is not None:
                return Cancelled(message=missed)
            try:
                batch_id = await _adopt(runtime, run, batch)
            except BatchRefusedError as error:
                return Failed(message=str(error))
        try:
            now = await _start(runtime, run, batch_id)
        except NotFoundError as reason:
            if await foreign(runtime.store, [run]):
                return put_back_for(PAUSE_S)  # another store's: its worker has the row
            return Cancelled(message=f"Nothing to do: {reason}")
        except ConflictError as reason:
            return Cancelled(message=f"Nothing to do: {reason}")
        return await _carry_out(runtime, now)


async def _missed(run: FlowRun, catch_up_minutes: int) -> str | None:
    """Returns why a scheduled run is skipped; None when it is to be executed."""
    due = run.expected_start_time
    if not run.auto_scheduled or due is None or run.run_count > 1:
        return None
    late = datetime.now(UTC) - due
    if late <= _ON_TIME:
        return None
    if late > timedelta(minutes=catch_up_minutes):
        return f"Skipped: it starts {late.total_seconds() / 60:.0f} minutes late."
    if await later_run_is_due(run):
        return "Skipped: a later run of the same schedule is due already."
    return None


async def _adopt(runtime: Runtime, run: FlowRun, request: FlowBatchRequest | None) -> UUID:
    """Make the batch of a run that was started from Prefect. Its id is the run's own."""
    store = runtime.store
    if await patiently(store.batches.of_run, run.id) is not None:
        return run.id
    await patiently(store.batch_transitions.discard, run.id)  # a partial batch from before a crash
    asked = (request or FlowBatchRequest()).as_stored_before
    workflow = await patiently(
        # A schedule goes on with a workflow that was removed.
        partial(workflow_named, hidden=True),
        store,
        str(asked.workflow_name),
    )
    problems = source_problems(asked, workflow)
    if problems or workflow is None:
        raise BatchRefusedError(problems)
    source = Source(
        request=asked,
        workflow=workflow,
        rows=None,
        lists=await asyncio.to_thread(read_lists, runtime.wildcards),
        known=await what_is_known(
            store,
            runtime.session.client,
            runtime.default_model,
            paid_nodes=runtime.session.allows_paid_nodes,
        ),
        rules=await callback_rules(store),
    )
    name = shown_name(source.request.name) or run.name
    accepted: AcceptedBatch = await patiently(
        accept_batch,
        store,
        source,
        run.id,
        name,
        flow_run_id=run.id,
        schedule=await schedule_name_of(run),
    )
    get_run_logger().info("Kept as batch %s: %d generations", run.id, accepted.batch.total)
    return run.id


async def _start(runtime: Runtime, run: FlowRun, batch_id: UUID) -> Batch:
    return await steps.start(
        runtime.store,
        batch_id,
        flow_run_id=run.id,
        deployment_id=run.deployment_id,
        holder=runtime.lease.holder,
        rerun=run.run_count > 1 and await _was_retried(run),
    )


async def _was_retried(run: FlowRun) -> bool:
    """Returns whether the run had ended and was retried in Prefect.

    A run that was put back because its worker died, or that was resumed, had not ended: if its
    batch has ended meanwhile, the batch must stay ended.
    """
    async with get_client() as client:
        states = await client.read_flow_run_states(run.id)
    states.sort(key=lambda state: state.timestamp)
    scheduled = [at for at, state in enumerate(states) if state.is_scheduled()]
    return bool(scheduled) and scheduled[-1] > 0 and states[scheduled[-1] - 1].is_final()


async def _carry_out(runtime: Runtime, batch: Batch) -> State[Any]:
    updates = ArtifactUpdates()
    updates.start(show_batch(batch, runtime.api_url))
    try:
        ended = await _steer(runtime, batch.id, updates)
    except asyncio.CancelledError:
        await finished(_stopped(runtime, batch.id))
        raise
    except CancelRequested:
        return Cancelled(message="Cancelled through Easel.")
    now = await patiently(runtime.store.batches.get, batch.id)
    counts = await patiently(runtime.store.batches.counts, now)
    await show_end(updates, runtime, now)
    await updates.finish()
    if ended.problem is not None:
        return Failed(message=ended.problem.detail)
    return Completed(message=f"{counts.succeeded} of {now.total} done")


async def _steer(runtime: Runtime, batch_id: UUID, updates: ArtifactUpdates) -> Finish:
    """Take one step after the other until the batch has ended.

    Raises CancelRequested when it was ended from outside, TakenOver when Prefect paused its run.
    """
    artifact = ProgressArtifact(updates, f"Generations of batch {batch_id}")
    while True:
        taken = await steps.take(runtime.store, batch_id)
        batch = taken.batch
        match taken.step:
            case Finish():
                artifact.complete()
                return taken.step
            case Leave():
                raise CancelRequested
            case Pause():
                get_run_logger().warning(taken.step.waiting.detail)
            case Wait():
                if batch.waiting is not None and batch.waiting.code == PAUSED_IN_PREFECT:
                    # Not this worker's until an operator resumes it: then the run is taken again.
                    raise TakenOver(batch.waiting.detail)
        artifact.update(_percent(batch, taken.counts))
        await asyncio.sleep(PAUSED_LOOK_EVERY_S if batch.status == "paused" else LOOK_EVERY_S)


def _percent(batch: Batch, counts: BatchCounts) -> float:
    return round(100 * counts.ended / batch.total, 1)


async def _stopped(runtime: Runtime, batch_id: UUID) -> None:
    """Handle the cancelled task of the run: by an operator, or because the worker stops."""
    transitions = runtime.store.batch_transitions
    if runtime.stop_reasons.get(this_flow_run().id) == "release":
        await transitions.let_go(batch_id, runtime.lease.holder)
        return
    try:
        await patiently(transitions.request_cancel, batch_id)
    except ConflictError:
        return  # it had ended
