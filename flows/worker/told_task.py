"""A stage of an attempt, told as the task run that shows it: as ``flows/tasks.py`` would."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from prefect.client.schemas.objects import TaskRunPolicy
from prefect.states import exception_to_failed_state

from flows.attempts.record import Line
from flows.attempts.stage import Stage, Try
from flows.prefect.accounts import ToldLine, ToldState, ToldTask
from flows.prefect.private.ids import new_id
from flows.tasks import task_of

_TICK: Final = timedelta(microseconds=1)
INFO: Final = 20
ERROR: Final = 40
CUT: Final = "Execution was cancelled by the runtime environment."
"""What Prefect says of a task that was stopped."""


class StageTeller:
    """Collects what there is to tell of one stage; ``told`` when it has arrived."""

    def __init__(self, stage: Stage, flow_run_count: int) -> None:
        self._stage = stage
        self._task = task_of(stage.name)
        self._count = flow_run_count
        self._id = new_id()
        self._dynamic_key = str(uuid4())
        self._states: list[ToldState] = []
        self._tries = 0
        self._lines_read = 0
        self._told = 0
        self._offered = 0

    @property
    def id(self) -> UUID:
        """The id of the task run."""
        return self._id

    async def look(self) -> list[ToldLine]:
        """Collect what is new. Returns the new lines of the task's log."""
        stage = self._stage
        if stage.began_at is None:
            return []
        if not self._states:
            self._add("PENDING", "Pending", stage.began_at - _TICK)
            self._add("RUNNING", "Running", stage.began_at)
        lines = [self._line(one) for one in self._unread()]
        while self._tries < len(stage.tries):
            number = self._tries
            is_last = stage.is_over and number == len(stage.tries) - 1
            if not is_last and number >= len(stage.resumes):
                break  # whether there will be another try is known in a moment
            lines += [
                self._line(one) async for one in self._end_try(stage.tries[number], number, is_last)
            ]
            self._tries += 1
        if (
            self._states[-1].name == "AwaitingRetry"
            and len(stage.tries) == self._tries
            and stage.try_began_at is not None
            and stage.try_began_at >= stage.tries[-1].ended_at
        ):
            self._add("RUNNING", "Retrying", stage.try_began_at)
        return lines

    async def _end_try(self, ended: Try, number: int, is_last: bool) -> AsyncIterator[Line]:
        error = ended.error
        if self._states[-1].name == "AwaitingRetry":
            self._add("RUNNING", "Retrying", ended.began_at or self._states[-1].at + _TICK)
        if error is None:
            self._add("COMPLETED", "Completed", ended.ended_at, untrackable=True)
            yield Line(ended.ended_at, INFO, "Finished in state Completed()")
            return
        if isinstance(error, asyncio.CancelledError):
            self._add("CRASHED", "Crashed", ended.ended_at, message=CUT)
            yield Line(ended.ended_at, ERROR, f"Crash detected! {CUT}")
            yield Line(ended.ended_at, ERROR, f"Finished in state Crashed({CUT!r})")
            return
        retries = int(self._task.retries or 0)
        if not is_last:
            due = self._stage.resumes[number]
            pause = (due - ended.ended_at).total_seconds()
            self._add("SCHEDULED", "AwaitingRetry", ended.ended_at, due_at=due)
            yield Line(
                ended.ended_at,
                INFO,
                f"Task run failed with exception: {error!r} - Retry {number + 1}/{retries} will "
                f"start {pause} second(s) from now",
            )
            return
        state = await exception_to_failed_state(error, message="Task run encountered an exception")
        if number >= retries:
            exhausted = " - Retries are exhausted" if retries else ""
            said = "".join(traceback.format_exception(error)).rstrip()
            text = f"Task run failed with exception: {error!r}{exhausted}\n{said}"
            yield Line(ended.ended_at, ERROR, text)
        retriable = state.state_details.retriable
        self._add("FAILED", "Failed", ended.ended_at, message=state.message, retriable=retriable)
        yield Line(ended.ended_at, ERROR, f"Finished in state {state}")

    def _add(self, kind: Any, name: str, at: datetime, **more: Any) -> None:
        if self._states:
            at = max(at, self._states[-1].at + _TICK)
        more.setdefault("message", None)
        self._states.append(ToldState(id=new_id(), type=kind, name=name, at=at, **more))

    def _unread(self) -> Iterator[Line]:
        lines = self._stage.record.lines
        found, self._lines_read = lines[self._lines_read :], len(lines)
        yield from found

    def _line(self, line: Line) -> ToldLine:
        return ToldLine(
            id=new_id(), at=line.at, level=line.level, text=line.text, task_run_id=self._id
        )

    @property
    def is_new(self) -> bool:
        """Whether there is a state that was not told."""
        return len(self._states) > self._told

    def news(self) -> ToldTask | None:
        """Returns the task run if there is something new of it."""
        self._offered = len(self._states)
        if self._offered == self._told:
            return None
        task = self._task
        policy = TaskRunPolicy(
            retries=task.retries,
            retry_delay=task.retry_delay_seconds,
            retry_jitter_factor=task.retry_jitter_factor,
        )
        return ToldTask(
            id=self._id,
            name=f"{task.name}-{self._dynamic_key[:3]}",
            task_key=task.task_key,
            dynamic_key=self._dynamic_key,
            flow_run_count=self._count,
            policy=policy.model_dump(mode="json"),
            inputs=("stage",),
            expected_at=self._states[0].at,
            known=self._told,
            states=tuple(self._states),
        )

    def told(self) -> None:
        """What ``news`` returned last has arrived."""
        self._told = self._offered
