"""Prefect's worker, changed to run flows in its own process, and opened for a subclass.

Prefect documents ``run`` only, for a worker that starts a process or a container for each run.
Which runs the worker takes, when, and what it does before and after ``run`` is private.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import os
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar
from uuid import UUID

import anyio.abc
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.filters import EventAnyResourceFilter
from prefect.workers.base import (
    BaseJobConfiguration,
    BaseVariables,
    BaseWorker,
    BaseWorkerResult,
)

from flows.prefect.private.cancels import Cancels

T = TypeVar("T")


class PrefectWorkerResult(BaseWorkerResult):
    """Says that a run was carried out. How it ended, Prefect knows."""


# A direct `abc.ABC` keeps Prefect from registering this class as a worker type.
class PrefectWorker(BaseWorker[BaseJobConfiguration, BaseVariables, PrefectWorkerResult], abc.ABC):
    """Polls one work pool. Its subclass chooses among the due runs and executes them.

    A chosen run is under way until the subclass calls ``finish``, at the end of ``carry_out``.
    Until then a cancel of the run calls ``on_cancelling``.
    """

    job_configuration = BaseJobConfiguration

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._under_way: set[UUID] = set()
        self._cancels: Cancels | None = None
        self.idle = asyncio.Event()
        """Set while no run is under way."""
        self.idle.set()

    # --- what the subclass defines

    @abc.abstractmethod
    async def find_due(self) -> list[WorkerFlowRunResponse]:
        """Returns runs that may be taken now. Called by ``get_and_submit_flow_runs``."""

    @abc.abstractmethod
    async def choose(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        """Returns the runs to take, in their order; none of ``due`` is under way."""

    @abc.abstractmethod
    async def carry_out(self, flow_run: FlowRun) -> None:
        """Propose Pending, execute the run, clean up, and call ``finish``."""

    @abc.abstractmethod
    def on_cancelling(self, flow_run_id: UUID) -> None:
        """Called when a run that is under way is to be cancelled."""

    # --- what the subclass uses

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
        """Returns the current logger: Prefect replaces it once the worker has an id."""
        return self._logger

    @property
    def pool_name(self) -> str:
        """Returns the name of the work pool, known before Prefect answers."""
        return self._work_pool_name

    @property
    def this_pool(self) -> EventAnyResourceFilter:
        """Returns the filter for events of this worker's pool and of its runs."""
        return EventAnyResourceFilter(id=[f"prefect.work-pool.{self.work_pool.id}"])

    @property
    def under_way(self) -> AbstractSet[UUID]:
        """Returns the runs that were taken, or are led, and are not finished."""
        return self._under_way

    async def keep_open(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter a context that is left when the worker is torn down."""
        return await self._exit_stack.enter_async_context(context)

    def enter(self, context: AbstractContextManager[object]) -> None:
        """Enter a context that is left when the worker is torn down."""
        self._exit_stack.enter_context(context)

    async def close_opened(self) -> None:
        """Leave the contexts of ``keep_open``: for a set-up that cannot be finished."""
        await self._exit_stack.aclose()

    async def ask_for_due(self) -> list[WorkerFlowRunResponse]:
        """Returns what Prefect lists as due in the worker's queues, in its order."""
        return await super()._get_scheduled_flow_runs()

    def take(self, flow_run: FlowRun) -> None:
        """Carry out a run beside the others. No-op for one that is under way."""
        if flow_run.id in self._under_way:
            return
        self.watch(flow_run.id)
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self.carry_out, flow_run)

    def watch(self, flow_run_id: UUID) -> None:
        """Count the run as under way, and hear of a cancel of it, until ``finish``."""
        self._under_way.add(flow_run_id)
        self.idle.clear()
        # Before Pending is proposed: else a cancel in that moment would be missed.
        if self._cancelling_observer is not None:
            self._cancelling_observer.add_in_flight_flow_run_id(flow_run_id)

    def use_pool(self, pool: WorkPool) -> None:
        """Work for this pool of the same name: Prefect has lost the former one.

        A synchronisation alone does not ask for the pool while the worker's channel is connected.
        """
        self._record_work_pool_snapshot(pool)
        if self._cancels is not None:
            self._cancels.renew()

    async def propose_pending(self, flow_run: FlowRun) -> bool:
        """Returns whether Prefect accepted Pending; if not, the run must not be executed."""
        return await self._propose_pending_state(flow_run)

    async def propose_crashed(self, flow_run: FlowRun, error: BaseException) -> None:
        """Report the run to Prefect as crashed. A failure to report is only logged."""
        await self._propose_crashed_state(flow_run, f"{type(error).__name__}: {error}")

    def finish(self, flow_run_id: UUID) -> None:
        """End the run for this worker: it is not under way, and hears of no cancel."""
        if self._cancelling_observer is not None:
            self._cancelling_observer.remove_in_flight_flow_run_id(flow_run_id)
        self._under_way.discard(flow_run_id)
        if not self._under_way:
            self.idle.set()

    # --- what Prefect calls

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """Returns a template without job variables: runs share the worker's process.

        Prefect refuses a template of which a part is empty.
        """
        variables = {"type": "object", "properties": {}}
        return {"job_configuration": {"env": {}}, "variables": variables}

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,  # noqa: ARG002 - the base class's signature
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> PrefectWorkerResult:
        """Run a flow run here. (The worker itself takes the shorter way, ``carry_out``.)"""
        if task_status is not None:
            task_status.started(os.getpid())
        await self.carry_out(flow_run)
        return PrefectWorkerResult(status_code=0, identifier=f"{os.getpid()}:{flow_run.id}")

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        return await self.find_due()

    async def _submit_scheduled_flow_runs(
        self, flow_run_response: list[WorkerFlowRunResponse]
    ) -> list[FlowRun]:
        due = [entry for entry in flow_run_response if entry.flow_run.id not in self._under_way]
        taken = await self.choose(due)
        for flow_run in taken:
            self.take(flow_run)
        return taken

    async def _setup_cancellation_observer(self) -> None:
        """Watch for cancels of this pool's runs (Prefect's own handler kills processes)."""
        if self._cancelling_observer is not None or self._work_pool is None:
            return
        self._cancels = await self.keep_open(Cancels(self.on_cancelling, lambda: self.this_pool))
        for flow_run_id in self._under_way:  # begun while Prefect was away
            self._cancels.add_in_flight_flow_run_id(flow_run_id)
        self._cancelling_observer = self._cancels  # type: ignore[assignment]
