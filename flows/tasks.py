"""The four tasks of a generation: the pipeline's steps, each with its retry policy beside it.

Retrying is left to Prefect and shows in its UI. What may be retried is decided by one
predicate, ``comfy.is_transient``; everything else fails the task at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.tasks import Task, exponential_backoff

from comfy import Graph, Output, Submitted, is_transient
from flows import pipeline, submitting
from flows.artifacts import ArtifactUpdates, ProgressArtifact, caption
from flows.runtime import current_runtime
from store.errors import ArtefactStoreError, StoreUnavailableError
from store.values import Artefact, Claim

TRANSIENT_RETRIES: Final = 8
"""With the backoff below: about four minutes of tries before a generation fails."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def _may_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, BaseException) and (
        is_transient(error) or isinstance(error, ArtefactStoreError | StoreUnavailableError)
    )


def _effect(name: str) -> Callable[[Callable[_P, _R]], Task[_P, _R]]:
    """A task with an external effect: retried while its errors are transient."""
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
async def build_workflow(claim: Claim) -> Graph:
    """The ComfyUI graph of the request."""
    return await pipeline.build(current_runtime().store, claim)


@_effect("submit")
async def submit(claim: Claim, graph: Graph) -> Submitted:
    """Make sure that ComfyUI has the prompt, once. The first call joins the early start's."""
    runtime = current_runtime()
    await runtime.session.wait_until_reachable()
    submitted = await runtime.early_starts.join(claim)
    if submitted is None:
        submitted = await submitting.submit(runtime.store, runtime.session, claim, graph)
    get_run_logger().info(_HOW[submitted.how], claim.prompt_id)
    return submitted


_HOW: Final = {
    "posted": "Submitted to ComfyUI as prompt %s",
    "already_queued": "ComfyUI already has prompt %s; following it",
    "already_finished": "ComfyUI has already finished prompt %s; collecting it",
    "found_by_name": "Found the finished files of prompt %s",
}


@_effect("track")
async def track(claim: Claim, graph: Graph, updates: ArtifactUpdates) -> tuple[Output, ...]:
    """Follow the prompt to its end, writing its progress to the row and the run's page."""
    runtime, artifact = current_runtime(), ProgressArtifact(updates)
    outputs = await pipeline.track(runtime.store, runtime.session, claim, graph, artifact.update)
    artifact.complete()
    return outputs


@_effect("save")
async def save(claim: Claim, outputs: Sequence[Output]) -> tuple[Artefact, ...]:
    """Fetch the outputs, keep them, and end the generation as succeeded."""
    runtime, log = current_runtime(), get_run_logger()
    kept = await pipeline.save(runtime.store, runtime.session, claim, outputs, log)
    for artefact in kept:
        log.info(
            "Kept %s (%s, %d kB)",
            f"{runtime.api_url}/api/v1/artefacts/{artefact.id}",
            caption(artefact),
            artefact.bytes // 1000,
        )
    return kept
