"""The four tasks of a generation: each joins a stage of the attempt, and ends as it ends.

The stages run without them (``flows/attempts``); what fails in passing is repeated there, and
shows here as the task's retry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.tasks import Task, exponential_backoff

from flows.attempts.record import Line
from flows.attempts.stage import TRIES, Stage, StageName, is_passing
from flows.errors import StoppedError
from flows.prefect.private.task_engine import StageEngine

_StageTask = Task[[Stage], Coroutine[Any, Any, None]]


async def _may_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, BaseException) and is_passing(error)


def _with_effect(name: StageName) -> Callable[[Callable[[Stage], Any]], _StageTask]:
    """A task of a stage that has an external effect: it is retried while its errors are passing."""
    return task(
        name=name,
        retries=TRIES - 1,
        retry_delay_seconds=exponential_backoff(backoff_factor=1),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_retry,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


@task(name="build workflow", cache_policy=NO_CACHE, persist_result=False)
async def build_workflow(stage: Stage) -> None:
    """Make the ComfyUI graph of the request."""
    await _join(stage)


@_with_effect("submit")
async def submit(stage: Stage) -> None:
    """Make sure that ComfyUI has the prompt, once."""
    await _join(stage)


@_with_effect("poll")
async def poll(stage: Stage) -> None:
    """Follow the prompt to its end, writing its progress to the row and the run's page."""
    await _join(stage)


@_with_effect("save")
async def save(stage: Stage) -> None:
    """Fetch the outputs, keep them, and end the generation as succeeded."""
    await _join(stage)


_TASKS: Final[Mapping[StageName, _StageTask]] = {
    "build workflow": build_workflow,
    "submit": submit,
    "poll": poll,
    "save": save,
}


def task_of(name: StageName) -> Task[..., Any]:
    """Returns the task that shows the stages of that name."""
    return _TASKS[name]


async def show(stage: Stage) -> None:
    """Show a stage as its task of the calling flow run. Raises the error that it ended with."""
    engine = StageEngine(_TASKS[stage.name], {"stage": stage}, stage)
    await engine.drive()


async def _join(stage: Stage) -> None:
    """Repeat the stage's log, and wait for the end of its next try; of its last, if it is over."""
    log, number = get_run_logger(), _number_of_try()
    while True:
        retell(log, stage.record.unread())
        outcome = stage.outcome(len(stage.tries) if stage.is_over else number)
        if outcome is not None:
            break
        await stage.changed()
    if isinstance(outcome.error, asyncio.CancelledError):
        raise StoppedError
    if outcome.error is not None:
        raise outcome.error


def _number_of_try() -> int:
    context = TaskRunContext.get()
    assert context is not None
    return context.task_run.run_count


def retell(log: logging.Logger | logging.LoggerAdapter[Any], lines: list[Line]) -> None:
    """Write lines into a run's log, with the times at which they were logged first."""
    assert isinstance(log, logging.LoggerAdapter)
    for line in lines:
        text, extra = log.process(line.text, {})
        name = log.logger.name
        record = log.logger.makeRecord(name, line.level, "", 0, text, (), None, **extra)
        record.created = line.at.timestamp()
        log.logger.handle(record)
