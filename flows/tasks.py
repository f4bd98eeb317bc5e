"""The four tasks of a generation: effects, each with its retry policy beside it.

Retrying is Prefect's work and shows in its UI. What may be tried again is decided by one
predicate, ``comfy.is_transient``; everything else fails the task at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.tasks import Task, exponential_backoff

import comfy
from comfy import OutputImage, Submitted, Workflow, is_transient
from core.failpoints import reach
from flows.artifacts import Beside, ProgressArtifact
from flows.errors import CancelRequested
from flows.reporter import Reporter
from flows.retries import patiently
from flows.runtime import current_runtime
from store.errors import FencedError, ImageStoreError, NoSpaceError, StoreUnavailableError
from store.images import NewImage
from store.values import Claim, Image, Waiting

TRANSIENT_RETRIES: Final = 8
"""With the backoff below: about four minutes of tries before a generation fails."""
FULL_DISK_LOOK_S: Final = 5.0
"""Seconds between two tries to keep a picture while the disk is full."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def _may_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, BaseException) and (
        is_transient(error) or isinstance(error, ImageStoreError | StoreUnavailableError)
    )


def _effect(name: str) -> Callable[[Callable[_P, _R]], Task[_P, _R]]:
    """A task that does something outside: repeated while what it meets is transient."""
    return task(
        name=name,
        retries=TRANSIENT_RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=1),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_retry,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


@task(name="build workflow", cache_policy=NO_CACHE, persist_result=False)
async def build_workflow(claim: Claim) -> Workflow:
    """The ComfyUI graph of the request: a pure function, so there is nothing to retry."""
    return comfy.build_workflow(claim.request, claim.prompt_id)


@_effect("submit")
async def submit(claim: Claim, workflow: Workflow) -> Submitted:
    """Make sure that ComfyUI has the prompt, once. Repeating it is harmless."""
    runtime = current_runtime()
    await runtime.session.wait_until_reachable()
    submitted = await runtime.submit(claim, workflow)
    get_run_logger().info(_HOW[submitted.how], claim.prompt_id)
    return submitted


_HOW: Final = {
    "posted": "Submitted to ComfyUI as prompt %s",
    "already_queued": "ComfyUI already has prompt %s; following it",
    "already_finished": "ComfyUI has already finished prompt %s; collecting it",
    "found_by_name": "Found the finished files of prompt %s",
}


@_effect("track")
async def track(claim: Claim, workflow: Workflow, beside: Beside) -> tuple[OutputImage, ...]:
    """Follow the prompt to its end, telling the row and the run's page how it goes.

    Raises CancelRequested or FencedError when the row says so, and ComfyUI's own errors.
    """
    reach("track.seen")
    runtime = current_runtime()
    artifact = ProgressArtifact(beside)
    async with Reporter(runtime.store.transitions, claim, artifact) as reporter:
        tracking = asyncio.create_task(
            runtime.session.track(
                claim.prompt_id,
                workflow,
                expected_images=claim.request.batch_size,
                timeout_s=claim.request.timeout_s,
                on_event=reporter.on_event,
            )
        )
        stopping = asyncio.create_task(reporter.stopped.wait())
        try:
            await asyncio.wait([tracking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not tracking.done() and reporter.reason is not None:
                raise reporter.reason
            outputs = await tracking
        finally:
            for task_ in (tracking, stopping):
                task_.cancel()
            await asyncio.wait([tracking, stopping])
    artifact.complete()
    return outputs


@_effect("save")
async def save(claim: Claim, outputs: Sequence[OutputImage]) -> tuple[Image, ...]:
    """Fetch the pictures, keep them, and end the generation as succeeded.

    A repeated save writes the same names again. While the disk is full it waits: the picture is
    made and stays in ComfyUI. A save that finds itself fenced out removes its files only when
    nobody wants this attempt's pictures any more.
    """
    runtime = current_runtime()
    keeping = (_keep(claim, position, output) for position, output in enumerate(outputs))
    kept: list[Image] = []
    # All have ended, well or not, before this goes on: nothing is written behind a failure.
    for outcome in await asyncio.gather(*keeping, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        kept.append(outcome)
    try:
        await patiently(runtime.store.transitions.succeed, claim, kept)
    except FencedError:
        standing = await patiently(runtime.store.transitions.standing, claim)
        if not standing.prompt_wanted:
            await runtime.store.files.remove(kept)
        raise
    for image in kept:
        get_run_logger().info(
            "Kept %s (%d×%d, %d kB)",
            f"{runtime.api_url}/api/v1/images/{image.id}",
            image.width,
            image.height,
            image.bytes // 1000,
        )
    return tuple(kept)


async def _keep(claim: Claim, position: int, output: OutputImage) -> Image:
    runtime = current_runtime()
    fetched = await runtime.session.fetch(output)
    reach("fetch.mid")
    new = NewImage(
        data=fetched.data,
        width=fetched.width,
        height=fetched.height,
        content_type=fetched.content_type,
        seed=claim.request.seed,
    )
    while True:
        try:
            return await runtime.store.files.keep(claim.generation_id, claim.attempt, position, new)
        except NoSpaceError as error:
            await _wait_for_space(claim, error)


async def _wait_for_space(claim: Claim, error: NoSpaceError) -> None:
    """Say why it stands still. The row may be on the same full disk: then nothing is said."""
    waiting = Waiting("disk_full", f"{error}. Free some space: the picture is made and waits.")
    get_run_logger().warning("The picture cannot be kept yet: %s", error)
    with contextlib.suppress(StoreUnavailableError):
        status = await current_runtime().store.transitions.record_waiting(claim, waiting)
        if status == "cancelling":
            raise CancelRequested
    await asyncio.sleep(FULL_DISK_LOOK_S)
