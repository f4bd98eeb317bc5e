"""Prefect's flow engine, changed to run a flow beside others in one process.

Prefect promises ``run_flow`` only, which supposes that the process belongs to the one run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import anyio
import prefect.flows
import prefect.results
from prefect._flow_run_suspension import (
    FlowRunSuspensionRequest,
    register_flow_run_suspension_request,
)
from prefect.client.schemas.objects import State, StateDetails
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.results import ResultStore
from prefect.states import AwaitingRetry, Pending

from flows.attempts.attempt import StopReason
from flows.errors import TakenOver

ANSWER_S: Final = 10.0
"""How long Prefect may take to let a run begin before the run is looked at more closely."""


class InProcessEngine(AsyncFlowRunEngine[Any, Any]):
    """Runs one flow run as an asyncio task beside others.

    It differs where Prefect's own engine supposes a process of its own: a cancel that was asked
    for ends as Cancelled (not Crashed), and a run that the worker stops is scheduled again.
    """

    stop_reason: StopReason | None = None
    """Why the task that runs ``drive`` is cancelled; None when that is a crash."""

    @property
    def named(self) -> bool:
        """Whether the run has its name: naming it again would cost a request each time."""
        return self._flow_run_name_set

    @named.setter
    def named(self, value: bool) -> None:
        self._flow_run_name_set = value

    async def drive(self) -> None:
        """Run the flow to its end, again for as long as Prefect answers Running."""
        async with self.start():
            while self.is_running():
                async with self.run_context():
                    _ = await self.call_flow_fn()

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
        """Propose a state; a clock that was set back does not delay Running for hours.

        A run is taken when it is due. If the clock is then set back, its time lies ahead: the
        server answers Running with "wait", and the stock engine sleeps until that time.
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
        """End as ``stop_reason`` says; without one this is a crash."""
        if not isinstance(exc, asyncio.CancelledError) or self.stop_reason is None:
            await super().handle_crash(exc)
        elif self.stop_reason == "cancel":
            await self.handle_cancellation(exc)
        else:
            with anyio.CancelScope(shield=True):
                self.logger.warning("The worker is stopping: the run is requeued")
                await self.set_state(AwaitingRetry(message="The worker stopped."), force=True)

    async def handle_exception(
        self, exc: Exception, msg: str | None = None, result_store: ResultStore | None = None
    ) -> State[Any]:
        """Leave the run to the worker that owns it now; any other exception is a failure."""
        if not isinstance(exc, TakenOver):
            return await super().handle_exception(exc, msg, result_store)
        assert self.flow_run is not None
        self.short_circuit = True  # from here on nothing is reported to Prefect
        self._raised = exc
        self.flow_run.state = AwaitingRetry(message="Another worker does it.")
        return self.flow_run.state


def ask_once_where_results_go() -> None:
    """Ask Prefect's server once where results are kept by default, not for each run.

    The stock engine asks before each run, even if no result is kept, with a new client whose TLS
    context alone blocks the loop for 20 ms. A changed default takes effect at the next start.
    """
    ask = prefect.results._read_server_default_result_storage_block_id  # noqa: SLF001
    if not hasattr(ask, "cache_info"):
        prefect.results._read_server_default_result_storage_block_id = cache(ask)  # noqa: SLF001


def keep_parameters_out_of_logs() -> None:
    """Let Prefect not log the parameters of a run that does not take them.

    They have prompts, and perhaps a receiver's URL. The run's state says what is wrong with them.
    """
    prefect.flows.logger.addFilter(_repeats_no_parameters)


def _repeats_no_parameters(record: logging.LogRecord) -> bool:
    return "\nParameters: " not in record.getMessage()
