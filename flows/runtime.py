"""What a flow run needs around it: the store, the session with ComfyUI, the worker's identity.

The worker opens one runtime and every run in its process shares it. A run that finds itself in a
process of its own (`prefect worker start --type process`, a notebook) opens one from the settings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from comfy import ComfySession
from comfy.address import Address
from comfy.paid import PaidServices
from comfy.reachability import ReachableCallback
from core.settings import DEFAULT_COMFY_URL, Settings
from core.workflows.needs import Needs
from flows.attempts.attempt import StopReason
from flows.attempts.attempts import Attempts
from store.generations.dispatches import START_DELAY_S
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Holder

WORKER_LEASE = "worker "
"""Prefix of the names of the workers' leases."""


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
    stop_reasons: dict[UUID, StopReason] = field(default_factory=dict)
    """Why a run's task was cancelled, by flow run id: a client's cancel, or the worker stopping."""
    lacks: Callable[[Needs | None], tuple[str, ...]] = lambda _: ()
    """Returns which model files and node classes its ComfyUI lacks, as far as that is known."""
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = Attempts(self.store, self.session, self.api_url)


def worker_lease(worker: str) -> str:
    """Returns the name of the lease that a worker holds while it lives."""
    return f"{WORKER_LEASE}{worker}"


_current: ContextVar[Runtime | None] = ContextVar("easel_runtime", default=None)


def use_runtime(runtime: Runtime) -> None:
    """Let the flow runs of this context share ``runtime``."""
    _current.set(runtime)


@asynccontextmanager
async def open_runtime(
    settings: Settings, worker: str, on_reachable: ReachableCallback | None = None
) -> AsyncIterator[Runtime]:
    """A new runtime, opened from the settings. Raises StoreUnavailableError.

    ``on_reachable`` is called when ComfyUI stops or begins to answer.
    """
    url = settings.comfy.url or DEFAULT_COMFY_URL
    key = settings.comfy.key_of_paid_services()
    shown = Address.of(url).url
    async with (
        Store(settings.store_url, settings.images_url, start_delay_s=START_DELAY_S) as store,
        LeaseKeeper(store.leases, worker_lease(worker), settings.recovery.lease_s) as lease,
        ComfySession(
            url,
            previews=settings.comfy.previews,
            ca_file=settings.comfy.ca_file,
            file_bytes_max=settings.store.file_max_mb * 1_000_000,
            paid=PaidServices(key) if settings.comfy.paid_nodes else None,
            on_reachable=on_reachable,
        ) as session,
    ):
        if url.rstrip("/") != shown:  # earlier versions stored it with its password
            await store.registry.rename_comfy(url.rstrip("/"), shown)
        yield Runtime(
            store=store,
            session=session,
            lease=lease,
            holder=Holder(worker, lease.holder, shown),
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
    """Returns the runtime of the calling flow run. Raises RuntimeError outside of one."""
    runtime = _current.get()
    if runtime is None:
        raise RuntimeError("this runs only inside a flow run")
    return runtime


def this_flow_run() -> FlowRun:
    """Returns the calling flow run. Raises RuntimeError outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("this runs only inside a flow run")
    return context.flow_run
