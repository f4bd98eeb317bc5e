"""The generate flow: one generation from its request to its kept pictures.

It is started three ways (the API's dispatcher, the Prefect UI, `prefect deployment run`), and in
each it works on one row of the store: a run that comes without one makes it first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from functools import partial
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from comfy.errors import ComfyError
from core.requests import FlowRequest
from flows import pipeline, submitting
from flows.adoption import adopt
from flows.artifacts import ArtifactUpdates, caption, show_artefacts, show_attempts, show_request
from flows.errors import CallbackRefusedError, InputGoneError, PaidUnknownError, TakenOver
from flows.pipeline import Assignment
from flows.prefect.foreign_runs import PAUSE_S, put_back_for
from flows.prefect.forms import GenerateRequest
from flows.prefect.runs import parse_idempotency_key, workflow_of_tags
from flows.retries import once_let_go, patiently
from flows.runtime import Runtime, runtime_of_this_run, this_flow_run
from flows.tasks import build_workflow, save, submit, track
from store.completion import finished
from store.errors import (
    ConflictError,
    DeletedError,
    NotFoundError,
    StoreUnavailableError,
    UnreadableRequestError,
)
from store.values import Artefact, Claim


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
            claim = await _claim(runtime, request, generation_id)
        except (CallbackRefusedError, UnreadableRequestError) as error:
            return Failed(message=str(error))
        except DeletedError as reason:
            return Cancelled(message=f"Nothing to do: {reason}")
        except NotFoundError:
            return put_back_for(PAUSE_S)  # another store's: its worker has the row
        except ConflictError as reason:
            return Cancelled(message=f"Nothing to do: {reason}")
        return await _carry_out(runtime, claim)


async def _claim(runtime: Runtime, request: FlowRequest, generation_id: UUID | None) -> Claim:
    """Take the attempt; take over the worker's early start when there is one."""
    run = this_flow_run()
    claim = await runtime.early_starts.take_over(run.id)
    if claim is not None:
        return claim  # from here on _carry_out is responsible for its end
    made_for = parse_idempotency_key(run.idempotency_key)
    if generation_id is None:
        request = _of_its_deployment(request, run.tags)
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
    return await once_let_go(pipeline.claim, runtime.store, assignment, runtime.holder)


def _of_its_deployment(request: FlowRequest, tags: Collection[str]) -> FlowRequest:
    """Returns the request of a run that was started by hand, for its deployment's workflow."""
    name = workflow_of_tags(tags)
    if name is None or "workflow" in request.model_fields_set:
        return request
    return request.model_copy(update={"workflow": name})


async def _carry_out(runtime: Runtime, claim: Claim) -> State[Any]:
    """Execute the attempt, and record in the row how it ended."""
    updates = ArtifactUpdates()
    updates.start(show_request(claim, runtime.holder.worker, _status_url(runtime, claim)))
    if claim.attempt > 1:
        before = await patiently(runtime.store.generations.attempts, claim.generation_id)
        updates.start(show_attempts(before))
    try:
        artefacts = await _make_artefacts(runtime, claim, updates)
    except asyncio.CancelledError:
        await finished(_stopped(runtime, claim))
        raise
    except Exception as error:  # noqa: BLE001 - raised again unless it was foreseen
        return await _end(runtime, claim, error, updates)
    updates.start(show_artefacts(artefacts, runtime.api_url))
    await updates.finish()
    return Completed(message=_summary(artefacts))


async def _make_artefacts(
    runtime: Runtime, claim: Claim, updates: ArtifactUpdates
) -> tuple[Artefact, ...]:
    """Build, submit, track, save: the whole generation."""
    graph = await build_workflow(claim)
    outputs = await pipeline.render(
        runtime.session,
        claim,
        partial(submit, claim, graph),
        partial(track, claim, graph, updates),
        get_run_logger(),
        partial(submitting.has_lost_an_input, runtime.store, runtime.session, graph),
        once=bool(graph.paid),
    )
    runtime.on_rendered(this_flow_run().id)
    return await save(claim, outputs)


async def _stopped(runtime: Runtime, claim: Claim) -> None:
    """Handle the cancelled task: by a client, by an operator, or because the worker stops."""
    run_id, log = this_flow_run().id, get_run_logger()
    await runtime.early_starts.stop(run_id)
    if runtime.stop_reasons.get(run_id) != "release":
        await pipeline.cancel(runtime.store, runtime.session, claim, log)
        return
    # If the store is unavailable, the lease expires soon, with the same effect.
    with contextlib.suppress(StoreUnavailableError):
        await pipeline.release(runtime.store, runtime.session, claim, log)


async def _end(
    runtime: Runtime, claim: Claim, error: Exception, updates: ArtifactUpdates
) -> State[Any]:
    """End the attempt without artefacts. Returns the run's state, or raises what decides it."""
    run_id, log = this_flow_run().id, get_run_logger()
    ended = await pipeline.end(runtime.store, runtime.session, claim, error, run_id, log)
    if ended.how == "taken_over":
        raise TakenOver(ended.detail) from error
    if ended.how != "failed":
        return Cancelled(message=ended.detail)
    if not isinstance(error, ComfyError | InputGoneError | PaidUnknownError):
        raise error
    await pipeline.look_again(runtime.store, runtime.session.client, error)
    await updates.finish()
    return Failed(message=ended.detail)


def _status_url(runtime: Runtime, claim: Claim) -> str:
    return f"{runtime.api_url}/api/v1/generation/status/{claim.generation_id}"


def _summary(artefacts: tuple[Artefact, ...]) -> str:
    kind = "image" if all(each.kind == "image" for each in artefacts) else "output"
    many = f"1 {kind}" if len(artefacts) == 1 else f"{len(artefacts)} {kind}s"
    return f"{many}, {caption(artefacts[0])}"
