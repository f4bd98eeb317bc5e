"""Prefect's flow engine, for runs that share one process. Private API of Prefect 3.9.1, pinned;
``tests/flows/test_engine.py`` fails when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import anyio
import prefect.results
from prefect._flow_run_suspension import (
    FlowRunSuspensionRequest,
    register_flow_run_suspension_request,
)
from prefect.client.schemas.objects import FlowRun, State, StateDetails
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.flows import Flow
from prefect.results import ResultStore
from prefect.states import AwaitingRetry, Pending

from flows.errors import TakenOver
from flows.prefect.runs import is_ours
from flows.runtime import StopReason

ANSWER_S: Final = 10.0
"""How long Prefect may take to let a run begin before the run is looked at more closely."""


class InProcessEngine(AsyncFlowRunEngine[Any, Any]):
    """Runs one flow run as an asyncio task beside others.

    Differs from the stock engine where the stock one supposes a process of its own: a cancel that
    was asked for ends as Cancelled (not Crashed), a stop of the worker puts the run back.
    """

    stop_reason: StopReason | None = None

    @property
    def named(self) -> bool:
        """Whether the run has its name: naming it again would cost a request each time."""
        return self._flow_run_name_set

    @named.setter
    def named(self, value: bool) -> None:
        self._flow_run_name_set = value

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[FlowRunSuspensionRequest, None, None]:
        """Register for suspension without the stock observer.

        The stock one opens a websocket in a thread of its own for every run, and holds up the
        loop while it does: measured, it costs a third of the throughput.
        """
        assert self.flow_run is not None
        request = self._get_flow_run_suspension_request()
        with register_flow_run_suspension_request(self.flow_run.id, request):
            request.raise_if_requested()
            yield request

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """As the stock one, but a clock that was set back does not make the run wait for hours.

        A run is taken when it is due. If its time then lies ahead, the server answers Running with
        "wait so long", and the stock engine sleeps so long.
        """
        if not state.is_running():
            return await super().set_state(state, force)
        while True:
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await super().set_state(state, force)
            except TimeoutError:
                await self._make_due()

    async def _make_due(self) -> None:
        assert self.flow_run is not None
        now_there = await self.client.read_flow_run(self.flow_run.id)
        if now_there.state is not None and now_there.state.is_pending():
            due: State[Any] = Pending(
                message="The clock was set back.",
                state_details=StateDetails.model_validate({"scheduled_time": datetime.now(UTC)}),
            )
            await self.client.set_flow_run_state(self.flow_run.id, due, force=True)

    async def handle_crash(self, exc: BaseException) -> None:
        """Tell an asked-for stop from a crash."""
        if not isinstance(exc, asyncio.CancelledError) or self.stop_reason is None:
            await super().handle_crash(exc)
        elif self.stop_reason == "cancel":
            await self.handle_cancellation(exc)
        else:
            with anyio.CancelScope(shield=True):
                self.logger.warning("The worker stops: the run goes back to the queue")
                await self.set_state(AwaitingRetry(message="The worker stopped."), force=True)

    async def handle_exception(
        self, exc: Exception, msg: str | None = None, result_store: ResultStore | None = None
    ) -> State[Any]:
        """Leave the run to whoever does it now; any other exception is a failure."""
        if not isinstance(exc, TakenOver):
            return await super().handle_exception(exc, msg, result_store)
        assert self.flow_run is not None
        self.short_circuit = True  # from here on nothing is told to Prefect
        self._raised = exc
        self.flow_run.state = AwaitingRetry(message="Another worker does it.")
        return self.flow_run.state


def ask_once_where_results_go() -> None:
    """Ask Prefect's server once where results are kept by default, not for each run.

    The stock engine asks before each run, also when nothing is kept, with a new client: its TLS
    context alone stops the loop for 20 ms. Another default is heeded after the worker's restart.
    """
    ask = prefect.results._read_server_default_result_storage_block_id  # noqa: SLF001
    if not hasattr(ask, "cache_info"):
        prefect.results._read_server_default_result_storage_block_id = cache(ask)  # noqa: SLF001


class RunningFlow:
    """A flow run under way. ``stop`` ends it once; later calls change nothing."""

    def __init__(self, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        parameters = dict(flow_run.parameters)
        self.engine = InProcessEngine(flow=flow, parameters=parameters, flow_run=flow_run)
        self.engine.named = is_ours(flow_run.idempotency_key)
        self.id: UUID = flow_run.id
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> BaseException | None:
        """Run to the end; what it raised, if the engine itself did not settle it."""
        self._task = asyncio.create_task(self._drive(), name=f"flow-run-{self.id}")
        if self.engine.stop_reason is not None:
            self._task.cancel()
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return None
        return self._task.exception()

    def stop(self, reason: StopReason) -> None:
        """Ask for the end.

        The task is cancelled once only: our own Cancelling state comes back as an event, and a
        second native cancel would break through anyio's shields while the run settles.
        """
        if self.engine.stop_reason is not None:
            return
        self.engine.stop_reason = reason
        if self._task is not None:
            self._task.cancel()

    @property
    def settled(self) -> bool:
        """Whether Prefect has been told a final state (or that the run is scheduled again)."""
        run = self.engine.flow_run
        state = run.state if run is not None else None
        return state is not None and (state.is_final() or state.is_scheduled())

    @property
    def cancelling(self) -> bool:
        """Whether Prefect answered that the run is to be cancelled, and nobody has done it yet."""
        run = self.engine.flow_run
        return run is not None and run.state is not None and run.state.is_cancelling()

    async def _drive(self) -> None:
        async with self.engine.start():
            while self.engine.is_running():
                async with self.engine.run_context():
                    _ = await self.engine.call_flow_fn()
