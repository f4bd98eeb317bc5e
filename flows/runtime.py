"""What a flow run needs around it: the store, the session with ComfyUI, who and where we are.

The worker opens one runtime and every run in its process shares it. A run that finds itself in a
process of its own (`prefect worker start --type process`, a notebook) opens one from the settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from comfy import ComfySession, Submitted, TransientComfyError, Workflow, build_workflow
from comfy.reachability import ReachableCallback
from core.failpoints import reach
from core.settings import Settings
from flows.retries import patiently
from store.errors import FencedError
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Claim, Holder

DEFAULT_COMFY_URL = "http://127.0.0.1:8188"
"""Where ComfyUI listens unless it is told otherwise."""

WORKER_LEASE = "worker "
"""What the names of the workers' leases begin with."""

IN_TURN_S = 1.0
"""Seconds a submission waits at most for the one before it."""

StopReason = Literal["cancel", "release"]


@dataclass(eq=False)
class HeadStart:
    """A submission that began while Prefect still does its bookkeeping for the run.

    Submitting is idempotent by ``prompt_id``, so it need not wait: the flow's own submit task
    joins it. ``adopted`` turns true when the flow takes the claim over, ``joined`` when its submit
    task takes the submission.
    """

    claim: asyncio.Task[Claim]
    submission: asyncio.Task[Submitted]
    adopted: bool = False
    joined: bool = False

    def is_for(self, claim: Claim) -> bool:
        """Whether the flow that holds ``claim`` took this one over."""
        return self.adopted and self.claim.result().prompt_id == claim.prompt_id


@dataclass(eq=False)
class Runtime:
    """Shared by the flow runs of one process."""

    store: Store
    session: ComfySession
    lease: LeaseKeeper
    holder: Holder
    api_url: str
    default_model: str | None
    wildcards: Path
    """The folder of wildcard lists."""
    head_starts: dict[UUID, HeadStart] = field(default_factory=dict)
    stop_reasons: dict[UUID, StopReason] = field(default_factory=dict)
    """Why a run's task was cancelled, by flow run id: a client's wish, or the worker stopping."""
    on_rendered: Callable[[UUID], None] = field(default=lambda _: None)
    """Hears the id of a flow run whose prompt has left ComfyUI: the GPU is free for the next."""
    _newest_submission: asyncio.Task[Submitted] | None = None

    async def submit(self, claim: Claim, workflow: Workflow) -> Submitted:
        """Make sure that ComfyUI has the prompt, once; the first call joins the head start's.

        Raises FencedError, WorkflowRejectedError, TransientComfyError.
        """
        for head_start in self.head_starts.values():
            if head_start.is_for(claim) and not head_start.joined:
                head_start.joined = True
                return await asyncio.shield(head_start.submission)
        return await self._submit(claim, workflow, fresh=False)

    async def _submit(self, claim: Claim, workflow: Workflow, *, fresh: bool) -> Submitted:
        """Write the intent, then submit. ``fresh`` only where nothing can have been posted yet."""
        await patiently(self.store.transitions.record_submission, claim)
        reach("submit.after_intent")

        async def still_mine() -> None:
            await self.check_hold(claim)

        return await self.session.submit(
            workflow, claim.prompt_id, fresh=fresh, before_post=still_mine
        )

    async def check_hold(self, claim: Claim) -> None:
        """Raise FencedError if the attempt was let go since: this worker slept, or was paused.

        The row alone can tell. A lease that was just renewed cannot: it may have lapsed before.
        """
        await patiently(self.store.transitions.status, claim)

    def begin_head_start(
        self,
        flow_run_id: UUID,
        generation_id: UUID,
        attempt: int,
        *,
        rerun: bool,
        deployment_id: UUID | None = None,
    ) -> HeadStart:
        """Claim and submit now, beside whatever else the run's start needs."""

        async def claim() -> Claim:
            return await self.store.transitions.claim(
                generation_id,
                flow_run_id=flow_run_id,
                deployment_id=deployment_id,
                attempt=attempt,
                holder=self.holder,
                rerun=rerun,
            )

        claiming = asyncio.create_task(claim())
        before = self._newest_submission

        async def submit() -> Submitted:
            held = await asyncio.shield(claiming)
            if before is not None:  # two that were taken together are posted in their order
                await asyncio.wait([before], timeout=IN_TURN_S)
            workflow = build_workflow(held.request, held.prompt_id)
            return await self._submit(held, workflow, fresh=not held.submitted_before)

        head_start = HeadStart(claiming, asyncio.create_task(submit()))
        # Whoever adopts it sees its errors; nobody else must be told of them.
        for task in (head_start.claim, head_start.submission):
            task.add_done_callback(_retrieved)
        self.head_starts[flow_run_id] = head_start
        self._newest_submission = head_start.submission
        return head_start

    async def stop_submission(self, flow_run_id: UUID) -> None:
        """End the head start's submission, so that it cannot post what is being cancelled."""
        head_start = self.head_starts.get(flow_run_id)
        if head_start is not None:
            head_start.submission.cancel()
            await asyncio.wait([head_start.submission])

    async def end_head_start(self, flow_run_id: UUID, *, cancelled: bool) -> None:
        """Undo a head start that no flow took over: the run was stopped before it began.

        ``cancelled`` tells that it is not wanted any more; else another worker may take it.
        """
        head_start = self.head_starts.get(flow_run_id)
        if head_start is None:
            return
        try:
            if not head_start.adopted:
                await self._undo(flow_run_id, head_start, cancelled=cancelled)
        finally:
            del self.head_starts[flow_run_id]

    async def _undo(self, flow_run_id: UUID, head_start: HeadStart, *, cancelled: bool) -> None:
        await asyncio.wait([head_start.claim])
        await self.stop_submission(flow_run_id)
        if head_start.claim.cancelled() or head_start.claim.exception() is not None:
            return
        held = head_start.claim.result()
        if not cancelled:  # whoever takes the attempt next meets its prompt in ComfyUI
            await self.store.transitions.release(held)
            return
        with suppress(FencedError):
            await self.check_hold(held)
            try:
                gone = await self.session.cancel(held.prompt_id)
            except TransientComfyError:
                gone = False
            await patiently(self.store.transitions.cancelled, held, stray=not gone)


def _retrieved(task: asyncio.Task[Claim] | asyncio.Task[Submitted]) -> None:
    if not task.cancelled():
        task.exception()


def worker_lease(worker: str) -> str:
    """The name of the lease that a worker holds while it lives."""
    return f"{WORKER_LEASE}{worker}"


_current: ContextVar[Runtime | None] = ContextVar("easel_runtime", default=None)


def use_runtime(runtime: Runtime) -> None:
    """Let the flow runs of this context share ``runtime``."""
    _current.set(runtime)


@asynccontextmanager
async def open_runtime(
    settings: Settings, worker: str, on_reachable: ReachableCallback | None = None
) -> AsyncIterator[Runtime]:
    """A runtime of its own, opened from the settings. Raises StoreUnavailableError.

    ``on_reachable`` hears when ComfyUI stops or begins to answer.
    """
    url = (settings.comfy.url or DEFAULT_COMFY_URL).rstrip("/")
    async with (
        Store(settings.store_url, settings.images_url) as store,
        LeaseKeeper(store.leases, worker_lease(worker), settings.recovery.lease_s) as lease,
        ComfySession(url, previews=settings.comfy.previews, on_reachable=on_reachable) as session,
    ):
        yield Runtime(
            store=store,
            session=session,
            lease=lease,
            holder=Holder(worker, lease.holder, url),
            api_url=settings.api_url,
            default_model=settings.comfy.default_model,
            wildcards=settings.wildcards,
        )


@asynccontextmanager
async def runtime_of_this_run() -> AsyncIterator[Runtime]:
    """The worker's runtime, or one opened for just this run."""
    shared = _current.get()
    if shared is not None:
        yield shared
        return
    async with open_runtime(Settings(), f"flow run without a worker, {uuid4()}") as runtime:
        use_runtime(runtime)
        yield runtime


def current_runtime() -> Runtime:
    """The runtime of the flow run that calls. RuntimeError outside of one."""
    runtime = _current.get()
    if runtime is None:
        raise RuntimeError("this runs only inside a flow run")
    return runtime


def this_flow_run() -> FlowRun:
    """The flow run that calls. RuntimeError outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("this runs only inside a flow run")
    return context.flow_run
