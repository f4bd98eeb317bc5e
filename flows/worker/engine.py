"""A flow run that executes in the worker's process."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.flows import Flow

from flows.attempts.attempt import StopReason
from flows.prefect.private.engine import InProcessEngine
from flows.prefect.runs import is_ours


class RunningFlow:
    """A flow run that executes as an asyncio task."""

    def __init__(self, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        parameters = dict(flow_run.parameters)
        self.engine = InProcessEngine(flow=flow, parameters=parameters, flow_run=flow_run)
        self.engine.named = is_ours(flow_run.idempotency_key)
        self.id: UUID = flow_run.id
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> BaseException | None:
        """Run to the end. Returns what was raised, if the engine itself did not settle it."""
        self._task = asyncio.create_task(self.engine.drive(), name=f"flow-run-{self.id}")
        if self.engine.stop_reason is not None:
            self._task.cancel()
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return None
        return self._task.exception()

    def stop(self, reason: StopReason) -> None:
        """Cancel the task. Only the first call counts.

        Our own Cancelling state comes back as an event, and a second native cancel would break
        through anyio's shields while the engine reports the final state.
        """
        if self.engine.stop_reason is not None:
            return
        self.engine.stop_reason = reason
        if self._task is not None:
            self._task.cancel()

    def has_begun_with(self, state_id: UUID) -> bool:
        """Returns whether that is the state of Running with which the flow began here."""
        run = self.engine.flow_run
        state = run.state if run is not None else None
        return state is not None and state.is_running() and state.id == state_id

    @property
    def settled(self) -> bool:
        """Returns whether Prefect has a final state of the run, or has it scheduled again."""
        run = self.engine.flow_run
        state = run.state if run is not None else None
        return state is not None and (state.is_final() or state.is_scheduled())

    @property
    def cancelling(self) -> bool:
        """Returns whether Prefect answered Cancelling and the run is not cancelled yet."""
        run = self.engine.flow_run
        return run is not None and run.state is not None and run.state.is_cancelling()
