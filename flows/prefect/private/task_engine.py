"""Prefect's task engine, changed to show what runs beside it: a stage of an attempt.

Prefect promises ``Task.__call__`` only, which dates a task run by when Prefect came to it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, cast
from uuid import UUID

from prefect.client.schemas.objects import RunInput, State, TaskRun
from prefect.context import FlowRunContext
from prefect.task_engine import AsyncTaskRunEngine
from prefect.tasks import Task
from prefect.types._datetime import create_datetime_instance
from prefect.utilities.engine import emit_task_run_state_change_event

_TICK: Final = timedelta(microseconds=1)
Moment = datetime | None


class Dated(Protocol):
    """What ran beside a task run."""

    @property
    def began_at(self) -> Moment:
        """When it began; None before."""

    @property
    def ended_at(self) -> Moment:
        """When it ended; None before."""

    def times(self, number: int) -> tuple[Moment, Moment]:
        """Returns when its try of that number (1 is the first) began, and when it ended."""


class StageEngine(AsyncTaskRunEngine[Any, Any]):
    """Runs one task whose states are dated by when its stage, and each try of it, began and ended.

    The task has no tags, whose concurrency slots Prefect would be asked for.
    """

    def __init__(
        self,
        task: Task[..., Coroutine[Any, Any, Any]],
        parameters: dict[str, Any],
        stage: Dated,
    ) -> None:
        super().__init__(task=task, parameters=parameters)
        self._stage = stage

    async def drive(self) -> Any:
        """Run the task to its end, with its retries. Returns its value, or raises its error."""
        async with self.start():
            while self.is_running():
                await self.wait_until_ready()
                async with self.run_context(), self.transaction_context() as transaction:
                    await self.call_task_fn(transaction)
        return await self.result()

    @asynccontextmanager
    async def initialize_run(
        self,
        task_run_id: UUID | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> AsyncGenerator[Any, Any]:
        """Make the task run pending since just before its stage began."""
        began_at = self._stage.began_at
        if began_at is not None:
            self.task_run = await self._new_run()
            assert self.task_run.state is not None
            self.task_run.state.timestamp = began_at - _TICK
        async with super().initialize_run(task_run_id, dependencies):
            if began_at is not None and self.task_run is not None:
                assert self.task_run.state is not None
                self._last_event = emit_task_run_state_change_event(
                    task_run=self.task_run, initial_state=None, validated_state=self.task_run.state
                )
            yield self

    async def _new_run(self) -> TaskRun:
        return await self.task.create_local_run(
            parameters=self.parameters, flow_run_context=FlowRunContext.get()
        )

    @asynccontextmanager
    async def start(
        self,
        task_run_id: UUID | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> AsyncGenerator[None, None]:
        """Begin the run. The stock engine asks for slots of tags first, and calls hooks."""
        async with self.initialize_run(task_run_id, dependencies):
            await self.begin_run()
            yield

    async def can_retry(self, exc_or_state: Exception | State[Any]) -> bool:
        """Returns False for a stage that is over: there is no other try to wait for."""
        return self._stage.ended_at is None and await super().can_retry(exc_or_state)

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        """Date the state by the stage, to whose tries the engine may come late."""
        assert self.task_run is not None
        is_first = state.is_running() and self.task_run.run_count == 0
        at = self._moment_of(state)
        if at is not None:
            state.timestamp = create_datetime_instance(max(at, self.state.timestamp + _TICK))
            if is_first:
                self.task_run.start_time = cast("Any", state.timestamp)
        return await super().set_state(state, force)

    def _moment_of(self, state: State[Any]) -> Moment:
        assert self.task_run is not None
        number = self.task_run.run_count
        if state.is_final():
            return self._stage.ended_at
        if state.is_running():
            return self._stage.times(number + 1)[0]
        return self._stage.times(number)[1]
