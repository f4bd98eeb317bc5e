"""The generate flow: one generation from its request to its kept pictures.

It is started three ways (the API's dispatcher, the Prefect UI, `prefect deployment run`), and in
each it works on one row of the store: a run that comes without one makes it first.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from comfy import Catalogue, OutOfMemoryComfyError, OutputImage, PromptLostError, Workflow, resolve
from comfy.errors import ComfyError, ExecutionTimeoutError
from core.problems import Problem
from core.requests import GenerationRequest
from flows.artifacts import Beside, show_attempts, show_pictures, show_request
from flows.errors import CancelRequested, TakenOver
from flows.prefect.runs import parse_idempotency_key, run_name
from flows.problems import problem_of
from flows.retries import once_let_go, patiently
from flows.runtime import Runtime, current_runtime, runtime_of_this_run, this_flow_run
from flows.tasks import build_workflow, save, submit, track
from store.database import finished
from store.errors import (
    ConflictError,
    FencedError,
    HeldError,
    NotFoundError,
    StoreUnavailableError,
    UnreadableRequestError,
)
from store.generations.acceptance import adopt
from store.values import Claim, Image

RESUBMISSIONS: Final = 3
"""How often a prompt that ComfyUI lost in a restart is submitted again."""


def _name_of_run() -> str:
    context = FlowRunContext.get()
    parameters = context.parameters if context else None
    request = (parameters or {}).get("request")
    return run_name(request.prompt if isinstance(request, GenerationRequest) else "generation")


@flow(
    name="generate",
    flow_run_name=_name_of_run,
    persist_result=False,
    validate_parameters=True,
    log_prints=False,
)
async def generate(request: GenerationRequest, generation_id: UUID | None = None) -> State[Any]:
    """Make the pictures of one request with ComfyUI and keep them.

    Args:
        request: What to draw. Only the prompt is required; what is left out gets the defaults
            of the model's family, and the run's artifacts show every value as it is used.
        generation_id: Set by Easel when the run was asked for through its API. Leave it empty.
    """
    async with runtime_of_this_run() as runtime:
        try:
            claim = await _claim(runtime, request, generation_id)
        except UnreadableRequestError as error:
            return Failed(message=str(error))
        except (ConflictError, NotFoundError) as reason:
            return Cancelled(message=f"Nothing to do: {reason}")
        return await _carry_out(runtime, claim)


async def _carry_out(runtime: Runtime, claim: Claim) -> State[Any]:
    """Do the attempt, and let it end in the row as it ends here."""
    beside = Beside()
    beside.start(show_request(claim, runtime.holder.worker, _status_url(runtime, claim)))
    if claim.attempt > 1:
        before = await patiently(runtime.store.generations.attempts, claim.generation_id)
        beside.start(show_attempts(before))
    try:
        images = await _make_pictures(claim, beside)
    except asyncio.CancelledError:
        await finished(_stopped(runtime, claim))
        raise
    except CancelRequested:
        # To its end: Prefect's own Cancelling arrives a moment later and cancels this task.
        await finished(_cancelled(runtime, claim))
        return Cancelled(message="Cancelled through Easel.")
    except FencedError as reason:
        return await finished(_fenced_out(runtime, claim, reason))
    except ComfyError as error:
        problem = await _failed(runtime, claim, error)
        await beside.finish()
        return Failed(message=problem.detail)
    except Exception as error:
        await _failed(runtime, claim, error)
        raise
    beside.start(show_pictures(images, runtime.api_url))
    await beside.finish()
    return Completed(message=_summary(images))


async def _make_pictures(claim: Claim, beside: Beside) -> tuple[Image, ...]:
    """Build, submit, track, save: the whole of a generation."""
    workflow = await build_workflow(claim)
    outputs = await _render(claim, workflow, beside)
    current_runtime().on_rendered(this_flow_run().id)
    return await save(claim, outputs)


async def _render(claim: Claim, workflow: Workflow, beside: Beside) -> tuple[OutputImage, ...]:
    """Submit and track; again when ComfyUI lost the prompt, once more when memory ran out."""
    freed = False
    for round_ in range(RESUBMISSIONS + 1):
        await submit(claim, workflow)
        try:
            return await track(claim, workflow, beside)
        except PromptLostError:
            if round_ == RESUBMISSIONS:
                raise
            get_run_logger().warning("ComfyUI restarted and lost the prompt; submitting it again")
        except OutOfMemoryComfyError:
            if freed:
                raise
            freed = True
            await _free_memory(claim)
    raise PromptLostError(claim.prompt_id)


async def _free_memory(claim: Claim) -> None:
    session = current_runtime().session
    get_run_logger().warning("The GPU ran out of memory; freeing ComfyUI's memory, trying again")
    await session.client.free()
    await session.forget(claim.prompt_id)


async def _claim(runtime: Runtime, request: GenerationRequest, generation_id: UUID | None) -> Claim:
    """Take the attempt; join the worker's head start when there is one."""
    run = this_flow_run()
    head_start = runtime.head_starts.get(run.id)
    if head_start is not None:
        with contextlib.suppress(HeldError, StoreUnavailableError):
            claim = await asyncio.shield(head_start.claim)
            head_start.adopted = True  # from here on _carry_out ends what was begun
            return claim
    made_for = parse_idempotency_key(run.idempotency_key)
    if generation_id is None:
        generation_id = run.id
        await _adopt(runtime, request, run)
    return await once_let_go(
        runtime.store.transitions.claim,
        generation_id,
        flow_run_id=run.id,
        deployment_id=run.deployment_id,
        attempt=made_for[1] if made_for else None,
        holder=runtime.holder,
        rerun=run.run_count > 1,
    )


async def _adopt(runtime: Runtime, request: GenerationRequest, run: FlowRun) -> None:
    """Make the row of a run that was started from Prefect. Its id is the run's own."""
    known = await runtime.store.registry.catalogue(runtime.session.client.base_url)
    catalogue = Catalogue.from_json(known) if known else await runtime.session.client.catalogue()
    resolved = resolve(request, catalogue, runtime.default_model)
    await patiently(adopt, runtime.store.database, run.id, resolved, run.id)
    get_run_logger().info("Started from Prefect: kept as generation %s", run.id)


async def _stopped(runtime: Runtime, claim: Claim) -> None:
    """The run's task was cancelled: by a client, by an operator, or because the worker stops."""
    reason = runtime.stop_reasons.get(this_flow_run().id)
    if reason == "release":
        # The prompt stays in ComfyUI: whoever takes the attempt next meets it there. When the
        # store is away, the lease lapses soon, which says the same.
        with contextlib.suppress(StoreUnavailableError):
            await runtime.store.transitions.release(claim)
        return
    await _cancelled(runtime, claim)


async def _cancelled(runtime: Runtime, claim: Claim) -> None:
    """End as cancelled, if the attempt is still ours: else its prompt is not ours to stop."""
    await runtime.stop_submission(this_flow_run().id)
    with contextlib.suppress(FencedError):
        await runtime.check_hold(claim)
        gone = await _stop_in_comfy(runtime, claim)
        await patiently(runtime.store.transitions.cancelled, claim, stray=not gone)


async def _fenced_out(runtime: Runtime, claim: Claim, reason: FencedError) -> State[Any]:
    """The attempt is not ours any more. What somebody else wants is left as it is."""
    run_id = this_flow_run().id
    await runtime.stop_submission(run_id)
    standing = await patiently(runtime.store.transitions.standing, claim, run_id)
    if not standing.prompt_wanted:
        await _stop_in_comfy(runtime, claim)
    if standing.run_wanted:
        get_run_logger().warning("Another worker does this now (%s); this one leaves it", reason)
        raise TakenOver(str(reason))
    return Cancelled(message=f"Given up: {reason}")


async def _failed(runtime: Runtime, claim: Claim, error: Exception) -> Problem:
    problem = problem_of(error)
    get_run_logger().error("Failed: %s", problem.detail)
    # After its time the prompt still executes. The row first: it tells whether it is ours to stop.
    executes = isinstance(error, ExecutionTimeoutError)
    ours = await patiently(runtime.store.transitions.fail, claim, problem, stray=executes)
    if ours and executes:
        await finished(_stop_in_comfy(runtime, claim))
    return problem


async def _stop_in_comfy(runtime: Runtime, claim: Claim) -> bool:
    """Take the prompt out of ComfyUI; whether it is surely gone."""
    try:
        gone = await runtime.session.cancel(claim.prompt_id)
    except ComfyError as error:
        get_run_logger().warning("ComfyUI could not be told to stop: %s", error)
        return False
    if not gone:
        get_run_logger().warning("ComfyUI still executes the prompt: its node cannot be stopped")
    return gone


def _status_url(runtime: Runtime, claim: Claim) -> str:
    return f"{runtime.api_url}/api/v1/generation/status/{claim.generation_id}"


def _summary(images: tuple[Image, ...]) -> str:
    first = images[0]
    many = "1 picture" if len(images) == 1 else f"{len(images)} pictures"
    return f"{many}, {first.width}×{first.height}, seed {first.seed}"
