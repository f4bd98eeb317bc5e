"""The generate flow: one generation from its request to its kept pictures.

It is started three ways (the API's dispatcher, the Prefect UI, `prefect deployment run`), and in
each it works on one row of the store: a run that comes without one makes it first.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, Scheduled

from core.requests import FlowRequest
from flows import pipeline
from flows.adoption import adopt, of_its_deployment
from flows.artifacts import (
    ArtifactUpdates,
    ProgressArtifact,
    artefacts_shown,
    attempts_table,
    request_table,
    show,
)
from flows.attempts.attempt import Kept, Outcome
from flows.attempts.past import ShownAttempt
from flows.endings import state_of
from flows.errors import CallbackRefusedError, NotHereError
from flows.pipeline import Assignment
from flows.prefect.foreign_runs import PAUSE_S, put_back_for
from flows.prefect.forms import GenerateRequest
from flows.prefect.runs import parse_idempotency_key
from flows.retries import once_let_go, patiently
from flows.runtime import Runtime, runtime_of_this_run, this_flow_run
from flows.tasks import retell
from flows.tasks import show as show_stage
from store.completion import finished
from store.errors import (
    ConflictError,
    DeletedError,
    NotFoundError,
    UnreadableRequestError,
)
from store.values import Claim

ELSEWHERE_S: Final = 1.0
"""Seconds until a run may be taken that this worker's ComfyUI cannot do."""
_log = logging.getLogger(__name__)


@flow(
    name="generate",
    persist_result=False,
    validate_parameters=True,
    log_prints=False,
)
async def generate(request: GenerateRequest, generation_id: UUID | None = None) -> State[Any]:
    """Generate the images of one request with ComfyUI and store them.

    Args:
        request: Describes the image. Only the prompt is required; what is left out gets the
            defaults of the model's family, and the run's artifacts show every value as it is used.
        generation_id: Set by Easel when the run was asked for through its API. Leave it empty.
    """
    async with runtime_of_this_run() as runtime:
        try:
            attempt = await _attempt(runtime, request, generation_id)
        except (CallbackRefusedError, UnreadableRequestError) as error:
            return Failed(message=str(error))
        except DeletedError as reason:
            return Cancelled(message=f"Nothing to do: {reason}")
        except NotFoundError:
            return put_back_for(PAUSE_S)  # another store's: its worker has the row
        except NotHereError as reason:
            return _elsewhere(reason)
        except ConflictError as reason:
            return await _over(runtime, reason)
        return await _show(runtime, attempt)


async def _attempt(
    runtime: Runtime, request: FlowRequest, generation_id: UUID | None
) -> ShownAttempt:
    """Returns the attempt that this run is to show; without one, claims and begins it."""
    run = this_flow_run()
    attempt = runtime.attempts.of_run(run.id)
    if attempt is not None:
        return attempt
    made_for = parse_idempotency_key(run.idempotency_key)
    if generation_id is None:
        request = of_its_deployment(request, run.tags)
        generation_id = await adopt(
            runtime.store,
            runtime.session.client,
            request,
            runtime.default_model,
            run.id,
            paid_nodes=runtime.session.allows_paid_nodes,
            wildcards=runtime.wildcards,
        )
        get_run_logger().info("Started from Prefect: kept as generation %s", run.id)
    assignment = Assignment(
        generation_id,
        run.id,
        made_for[1] if made_for else None,
        deployment_id=run.deployment_id,
        rerun=run.run_count > 1,
    )
    needs = await patiently(runtime.store.queue.needs, [generation_id])
    if lacked := runtime.lacks(needs.get(generation_id)):
        raise NotHereError(lacked)
    return await once_let_go(_claimed, runtime, assignment)


async def _claimed(runtime: Runtime, assignment: Assignment) -> ShownAttempt:
    """Returns the attempt, begun now, unless this worker has just taken it from the queue.

    It does that as soon as the limit is gone under which Prefect gave it the run.
    """
    attempts = runtime.attempts
    async with attempts.claiming:
        going = attempts.of_generation(assignment.generation_id)
        if going is not None:
            attempts.name_run(going, assignment.flow_run_id, assignment.deployment_id)
            return going
        claim = await pipeline.claim(runtime.store, assignment, runtime.holder)
        return attempts.begin(claim, assignment.flow_run_id)


def _elsewhere(reason: NotHereError) -> State[Any]:
    """Returns the state of a run that another worker is to take: it waits, without having run."""
    soon = datetime.now(UTC) + timedelta(seconds=ELSEWHERE_S)
    return Scheduled(scheduled_time=soon, name="AwaitingCapableWorker", message=str(reason))


async def _over(runtime: Runtime, reason: ConflictError) -> State[Any]:
    """Returns the state of a run that has nothing to do: as its attempt ended.

    Who did it may not have told Prefect: it died, or Prefect was away.
    """
    over = await patiently(runtime.store.generations.of_run, this_flow_run().id)
    if over is not None and over.generation.status == "failed" and over.generation.error:
        return Failed(message=over.generation.error.detail)
    if over is not None and over.generation.status == "succeeded":
        return Completed(message=f"Nothing to do: {reason}")
    return Cancelled(message=f"Nothing to do: {reason}")


async def _show(runtime: Runtime, attempt: ShownAttempt) -> State[Any]:
    """Show the attempt as it goes, and return how it ended."""
    claim, updates = attempt.claim, ArtifactUpdates()
    shown = request_table(claim, runtime.holder.worker, status_url(runtime, claim))
    updates.start(show(shown))
    if claim.attempt > 1:
        before = await patiently(runtime.store.generations.attempts, claim.generation_id)
        updates.start(show(attempts_table(before)))
    try:
        await _show_stages(attempt, updates)
        outcome = await attempt.outcome()
    except asyncio.CancelledError:
        # By a client, by an operator, or because the worker stops.
        run_id = this_flow_run().id
        await finished(attempt.stop(runtime.stop_reasons.get(run_id, "cancel")))
        raise
    finally:
        retell(get_run_logger(), attempt.record.unread())
    return await _state(runtime, outcome, updates)


async def _show_stages(attempt: ShownAttempt, updates: ArtifactUpdates) -> None:
    """Show each stage as a task. What is to be done about its error, the attempt decides."""
    async for stage in attempt.stages():
        retell(get_run_logger(), attempt.record.unread())
        progress = ProgressArtifact(updates)
        attempt.follow(progress.update)
        try:
            await show_stage(stage)
        except Exception as error:  # noqa: BLE001 - shown by the task run
            _log.debug("%s ended with %r", stage.name, error)
        else:
            progress.complete()


async def _state(runtime: Runtime, outcome: Outcome, updates: ArtifactUpdates) -> State[Any]:
    """Returns the run's state by how the attempt ended, or raises what decides it."""
    if isinstance(outcome, Kept):
        updates.start(show(artefacts_shown(outcome.artefacts, runtime.api_url)))
    state = state_of(outcome)
    if state.is_completed() or state.is_failed():
        await updates.finish()
    return state


def status_url(runtime: Runtime, claim: Claim) -> str:
    """Returns where the API tells how the generation is."""
    return f"{runtime.api_url}/api/v1/generation/status/{claim.generation_id}"
