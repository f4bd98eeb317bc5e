"""The pipeline of a generation as plain functions: claim, build, track, save.

A run that was started from Prefect has its row made before: ``adoption.py``.

Between the second and the third the prompt is submitted: ``submitting.py``.
Each step takes what it needs as values and returns a value. An attempt calls them in turn
(``flows/attempts/attempt.py``). They know nothing of Prefect: what a caller wants to show there it
passes as a logger or a callback. An attempt that yields no pictures goes back with ``release``, or
ends with ``end``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import comfy
from comfy import (
    ComfyClient,
    FetchedFile,
    FetchedImage,
    Graph,
    OutOfMemoryComfyError,
    Output,
    OutputFile,
    PromptLostError,
    TransientComfyError,
    WorkflowRejectedError,
)
from comfy.errors import ComfyError, ExecutionFailedError, ExecutionTimeoutError
from comfy.events import TrackEvent
from core.artefacts import primary
from core.failpoints import reach
from core.problems import Problem
from core.workflows.declaration import Output as DeclaredOutput
from core.workflows.needs import Needs
from flows.arrivals import Arrivals
from flows.errors import CancelRequested
from flows.keeping import Keeping, Log, check_declared, owners_of
from flows.models import list_files
from flows.nodes import (
    kept_catalogue,
    look_at_nodes,
    paid_classes_of,
    recent_catalogue,
)
from flows.problems import problem_of
from flows.reporter import OnProgress, Reporter
from flows.retries import patiently
from flows.submitting import RESUBMISSIONS, SubmitSession, check_hold
from flows.workflows import workflow_of
from store.completion import finished
from store.errors import (
    ArtefactStoreError,
    FencedError,
    StoreUnavailableError,
)
from store.store import Store
from store.values import Artefact, Claim, Holder, Standing, Waiting

RELEASE_S: Final = 2.0
"""Maximum seconds to remove an unwanted prompt when its attempt is released."""
DISCARD_S: Final = 2.0
"""Maximum seconds to remove the files of an attempt that ended without pictures."""
PAUSED: Final = Waiting("paused", "It is paused in Prefect. Resume it there.")
_log = logging.getLogger(__name__)
WrittenStages = Callable[[], Sequence[Mapping[str, Any]] | None]


def _none() -> None:
    """Prefect is told by who runs the steps."""


class Session(SubmitSession, Protocol):
    """What the steps need of ComfyUI; implemented and documented by ``comfy.ComfySession``."""

    async def track(
        self,
        prompt_id: str,
        graph: Graph,
        *,
        expected_outputs: int | None,
        timeout_s: float,
        on_event: Callable[[TrackEvent], None],
    ) -> tuple[Output, ...]:
        """Follow the prompt to its end. Returns its outputs."""
        ...

    async def cancel(self, prompt_id: str) -> bool:
        """Remove the prompt from ComfyUI. Returns whether it is certainly gone."""
        ...

    async def forget(self, prompt_id: str) -> None:
        """Drop an ended prompt from ComfyUI's history."""
        ...

    async def free_memory(self) -> None:
        """Unload the models."""
        ...

    def open(
        self, file: OutputFile, pixels: int
    ) -> AbstractAsyncContextManager[FetchedImage | FetchedFile]:
        """Fetch a finished file: a picture whole and verified, any other in chunks."""
        ...


@dataclass(frozen=True)
class Assignment:
    """The attempt that a flow run is to execute.

    ``attempt`` is None when the run was not made by Easel. ``rerun``: the run has run
    before.
    """

    generation_id: UUID
    flow_run_id: UUID
    attempt: int | None
    deployment_id: UUID | None = None
    rerun: bool = False


@dataclass(frozen=True)
class Ended:
    """How an attempt ended that yields no pictures. ``detail`` is for the flow run's state.

    ``given_up``: it was over already. ``taken_over``: another worker runs it now.
    """

    how: Literal["cancelled", "given_up", "taken_over", "failed"]
    detail: str


# --- the steps, in their order


async def claim(store: Store, assignment: Assignment, holder: Holder) -> Claim:
    """Take the attempt for ``holder``.

    Raises HeldError while another worker holds it, StoreUnavailableError; NotFoundError,
    ConflictError or FencedError when there is nothing to do.
    """
    return await store.transitions.claim(
        assignment.generation_id,
        flow_run_id=assignment.flow_run_id,
        attempt=assignment.attempt,
        holder=holder,
        deployment_id=assignment.deployment_id,
        rerun=assignment.rerun,
    )


async def build(store: Store, claim: Claim) -> Graph:
    """Returns the ComfyUI graph of the request, of the workflow as it was when it was accepted.

    It is fitted to the node classes that its ComfyUI is known to have, and which of its nodes are
    paid is as it is known now. Raises UnreadableRequestError when this
    version of Easel cannot build what was asked for.
    """
    workflow = await patiently(workflow_of, store, claim.request)
    # What of an imported one may be paid is as it is known this very moment.
    known = recent_catalogue if workflow.graph is None else kept_catalogue
    nodes = await patiently(known, store, claim.comfy_url)
    graph = comfy.build_graph(claim.request, claim.prompt_id, workflow, nodes)
    paid = paid_classes_of(workflow, nodes)
    return replace(graph, paid=paid) if paid else graph


async def track(
    store: Store,
    session: Session,
    claim: Claim,
    graph: Graph,
    on_progress: OnProgress | None = None,
    arrivals: Arrivals | None = None,
) -> tuple[Output, ...]:
    """Follow the prompt to its end and write its progress to the row.

    ``on_progress`` gets the percentage as it was written. ``arrivals`` fetches pictures as soon as
    they are finished. Raises CancelRequested or FencedError
    when the row says so, and ComfyUI's own errors.
    """
    reach("track.seen")
    async with Reporter(store.transitions, claim, on_progress) as reporter:

        def on_event(event: TrackEvent) -> None:
            reporter.on_event(event)
            if arrivals is not None:
                arrivals.on_event(event, reporter.announced)  # clients see it sooner

        tracking = asyncio.create_task(
            session.track(
                claim.prompt_id,
                graph,
                expected_outputs=graph.expected_outputs,
                timeout_s=claim.request.timeout_s,
                on_event=on_event,
            )
        )
        stopping = asyncio.create_task(reporter.stopped.wait())
        try:
            await asyncio.wait([tracking, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not tracking.done() and reporter.reason is not None:
                raise reporter.reason
            return await tracking
        finally:
            for task in (tracking, stopping):
                task.cancel()
            await asyncio.wait([tracking, stopping])


async def render(
    session: Session,
    claim: Claim,
    submit: Callable[[], Awaitable[object]],
    track: Callable[[], Awaitable[tuple[Output, ...]]],
    log: Log = _log,
    has_lost_an_input: Callable[[], Awaitable[bool]] | None = None,
    *,
    once: bool = False,
) -> tuple[Output, ...]:
    """Submit and track; repeat when ComfyUI lost the prompt, and once when memory ran out.

    ``submit`` and ``track`` are the two steps as the caller runs them: in a flow, as its tasks.
    A node that failed because ComfyUI lost a file meanwhile (``has_lost_an_input``) executes again.
    ``once``: what failed is not executed again, as it may have been paid.
    """
    freed, lost = False, 0
    while True:
        await submit()
        try:
            return await track()
        except PromptLostError:
            lost += 1
            if lost > RESUBMISSIONS:
                raise
            log.warning("ComfyUI restarted and lost the prompt; submitting it again")
        except OutOfMemoryComfyError:
            if freed or once:
                raise
            freed = True
            log.warning("The GPU ran out of memory; freeing ComfyUI's memory, trying again")
            await session.free_memory()
            await session.forget(claim.prompt_id)
        except ExecutionFailedError:
            lost += 1
            if once or lost > RESUBMISSIONS or has_lost_an_input is None:
                raise
            if not await has_lost_an_input():
                raise
            log.warning("ComfyUI lost a file that the graph needs; sending it again")
            await session.forget(claim.prompt_id)


async def save(
    store: Store,
    session: Session,
    claim: Claim,
    outputs: Sequence[Output],
    log: Log = _log,
    stages: WrittenStages = _none,
    arrivals: Arrivals | None = None,
) -> tuple[Artefact, ...]:
    """Fetch the outputs, keep them, and end the generation as succeeded.

    ``stages`` returns what Prefect is to be told of the attempt, when it ends. ``arrivals`` has
    what was fetched early; only what is among ``outputs`` is kept of it.

    Large pictures are fetched one after the other (``arrivals.PIXELS_AT_ONCE``). A repeated save
    writes the same names again. While the disk is full or the storage away it waits, however long:
    the output stays in ComfyUI. A save that finds itself fenced out removes its files only when
    this attempt's artefacts are not wanted any more.

    Raises NoOutputError when nothing of what the workflow declares is among the outputs.
    """
    workflow = await patiently(workflow_of, store, claim.request)
    check_declared(outputs, workflow.outputs)
    arrivals = arrivals or Arrivals(session, claim)
    keeping = (
        Keeping(store, session, claim, position, output, workflow, log, arrivals).keep()
        for position, output in enumerate(outputs)
    )
    kept: list[Artefact] = []
    # Wait for all, successful or not: nothing may be written after a failure was handled.
    for outcome in await asyncio.gather(*keeping, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        kept.append(outcome)
    kept = _with_primary(kept, workflow.outputs)
    try:
        nodes = (await build(store, claim)).node_count
        await patiently(
            store.transitions.succeed,
            claim,
            kept,
            nodes=nodes,
            stages=stages(),
            filenames=[one.filename if isinstance(one, OutputFile) else "" for one in outputs],
        )
    except FencedError:
        standing = await patiently(store.flow_runs.standing, claim)
        if not standing.prompt_wanted:
            await store.files.remove(kept)
        raise
    return tuple(kept)


def _with_primary(kept: Sequence[Artefact], declared: Sequence[DeclaredOutput]) -> list[Artefact]:
    """Returns the artefacts, one of them marked as the main one: as declared, else by its kind."""
    if not kept:
        return []
    nodes = {each.node for each in declared if each.primary}
    first = next((at for at, each in enumerate(kept) if nodes & owners_of(each.node or "")), None)
    main = primary([each.kind for each in kept]) if first is None else first
    return [replace(each, primary=index == main) for index, each in enumerate(kept)]


# --- the other ends of an attempt


async def end(
    store: Store,
    session: Session,
    claim: Claim,
    error: Exception,
    flow_run_id: UUID | None = None,
    log: Log = _log,
    stages: WrittenStages = _none,
) -> Ended:
    """End an attempt whose steps raised ``error``. ``stages`` is as for ``save``."""
    match error:
        case CancelRequested():
            # Shielded: the caller may be cancelled in this moment, by the same request.
            await finished(cancel(store, session, claim, log, stages))
            return Ended("cancelled", "Cancelled through Easel.")
        case FencedError():
            standing = await finished(leave(store, session, claim, flow_run_id, log))
            if standing.run_wanted:
                log.warning(
                    "Another worker runs this attempt now (%s); this worker leaves it", error
                )
                return Ended("taken_over", str(error))
            return Ended("given_up", f"Given up: {error}")
        case _:
            problem = await fail(store, session, claim, error, log, stages)
            return Ended("failed", problem.detail)


async def cancel(
    store: Store,
    session: Session,
    claim: Claim,
    log: Log = _log,
    stages: WrittenStages = _none,
) -> None:
    """End the attempt as cancelled, if this worker still holds it.

    Otherwise its prompt belongs to another worker and is left alone.
    """
    with contextlib.suppress(FencedError):
        await check_hold(store, claim)
        gone = await _stop_in_comfy(session, claim, log)
        if await patiently(store.transitions.cancelled, claim, stray=not gone, stages=stages()):
            await _discard_files(store, claim, log)


async def release(store: Store, session: Session, claim: Claim, log: Log = _log) -> None:
    """Give the attempt back unfinished: queued again, for any worker. No-op when fenced out.

    The prompt stays in ComfyUI, where the next claim of the attempt finds it. An attempt that is
    being cancelled ends as ``cancel`` does, as no other worker would finish it; if ComfyUI or the
    store takes longer than ``RELEASE_S``, its prompt is left to be removed as a stray.
    """
    await _cancel_if_asked_to(store, session, claim, log)
    await store.transitions.unclaim(claim)  # no-op if it has ended


async def pause(store: Store, session: Session, claim: Claim, log: Log = _log) -> None:
    """As ``release``, but no worker takes it until it is resumed in Prefect.

    Its worker lives: no lapsed lease would say so while the store is away.
    """
    await patiently(_cancel_if_asked_to, store, session, claim, log)
    await patiently(store.transitions.unclaim, claim, PAUSED)


async def _cancel_if_asked_to(store: Store, session: Session, claim: Claim, log: Log) -> None:
    with contextlib.suppress(FencedError, TimeoutError):
        if await store.transitions.status(claim) == "cancelling":
            async with asyncio.timeout(RELEASE_S):
                await cancel(store, session, claim, log)


async def fail(
    store: Store,
    session: Session,
    claim: Claim,
    error: Exception,
    log: Log = _log,
    stages: WrittenStages = _none,
) -> Problem:
    """End the attempt as failed. Returns the problem that clients read."""
    problem = problem_of(error)
    log.error("Failed: %s", problem.detail)
    # A prompt that timed out still executes. Write the row first: it shows whether this worker
    # may stop the prompt.
    executes = isinstance(error, ExecutionTimeoutError)
    ours = await patiently(store.transitions.fail, claim, problem, stray=executes, stages=stages())
    if ours and executes:
        await finished(_stop_in_comfy(session, claim, log))
    if ours:
        await finished(_discard_files(store, claim, log))
    return problem


async def look_again(store: Store, client: ComfyClient, error: Exception) -> None:
    """Look at what ComfyUI offers when it refused a name of that: a model file was removed."""
    if isinstance(error, WorkflowRejectedError) and any(
        problem.code == "value_not_in_list" for problem in error.problems
    ):
        with contextlib.suppress(TransientComfyError, StoreUnavailableError):
            await look_at_nodes(store, client)
            await list_files(store, client)


async def lacking(
    store: Store, client: ComfyClient, claim: Claim, error: Exception
) -> tuple[str, ...]:
    """Returns what ComfyUI lacks now for an attempt of which it refused a name."""
    needs = Needs.of(claim.request.plan)
    if needs is None or not isinstance(error, WorkflowRejectedError):
        return ()
    offer = await patiently(store.offers.of, client.base_url)
    return () if offer is None else offer.lacks(needs)


async def leave(
    store: Store, session: Session, claim: Claim, flow_run_id: UUID | None, log: Log = _log
) -> Standing:
    """Give up an attempt that this worker does not hold any more; touch nothing still wanted.

    Returns what another worker still wants.
    """
    standing = await patiently(store.flow_runs.standing, claim, flow_run_id)
    if not standing.prompt_wanted:
        await _stop_in_comfy(session, claim, log)
    return standing


async def _discard_files(store: Store, claim: Claim, log: Log) -> None:
    """Remove what a save has written of an attempt that this worker has just ended.

    A put to the storage completes though its caller is cancelled. What cannot be removed now is
    found by the daily audit.
    """
    try:
        async with asyncio.timeout(DISCARD_S):
            await store.files.remove_attempt(claim.generation_id, claim.attempt)
    except (ArtefactStoreError, TimeoutError) as error:
        log.debug("Files of attempt %d are left to the audit: %s", claim.attempt, error)


async def _stop_in_comfy(session: Session, claim: Claim, log: Log) -> bool:
    """Remove the prompt from ComfyUI. Returns whether it is certainly gone."""
    try:
        gone = await session.cancel(claim.prompt_id)
    except ComfyError as error:
        log.warning("Stopping the prompt in ComfyUI failed: %s", error)
        return False
    if not gone:
        log.warning("ComfyUI still executes the prompt: its node cannot be interrupted")
    return gone
