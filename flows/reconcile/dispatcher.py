"""The dispatcher: tells Prefect what the store decided, however long Prefect is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from core.failpoints import reach
from core.requests import UnreadableRequest
from flows.errors import FlowsError
from flows.prefect.runs import FlowRuns
from store.errors import NotFoundError, StoreUnavailableError
from store.store import Store
from store.values import Dispatch

TOGETHER: Final = 4
"""Requests to the Prefect API under way at once; its one process is not quicker with more."""
LOOK_EVERY_S: Final = 0.25
"""Seconds between looks when nobody calls ``wake``: retries fall due, and a batch's flow run, which
is another process, releases items. A look costs well below a millisecond."""
NOT_OVER_DELAY_S: Final = 1.0
FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 15.0
RECORDED_S: Final = 5.0
"""Seconds after a run's end until Prefect has surely recorded its task runs (it does each second).
"""
_log = logging.getLogger(__name__)


class Dispatcher:
    """Use as an async context manager; ``wake()`` after a write makes it look at once.

    ``busy`` tells whether requests of clients are being answered: accepting goes first, since
    both share one processor.
    """

    def __init__(self, store: Store, runs: FlowRuns, busy: Callable[[], bool]) -> None:
        self._store = store
        self._runs = runs
        self._busy = busy
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.waiting_for: str | None = None
        """Why nothing can be dispatched now; None when all is well."""

    async def __aenter__(self) -> Dispatcher:
        self._task = asyncio.create_task(self._run(), name="dispatcher")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def wake(self) -> None:
        """There is something to dispatch."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._drain()
            except StoreUnavailableError as error:
                _log.warning("the dispatcher waits: %s", error)
            except Exception:  # noqa: BLE001 - whatever it was, the next dispatch may go through
                _log.exception("the dispatcher stumbled; it goes on")

    async def _drain(self) -> None:
        while due := await self._store.outbox.due(TOGETHER):
            while self._busy():  # noqa: ASYNC110 - nobody tells when requests end; looking is cheap
                await asyncio.sleep(0.005)
            async with asyncio.TaskGroup() as group:
                for one_generation in _by_generation(due):
                    group.create_task(self._do_in_turn(one_generation))
            if self.waiting_for is not None:
                return  # Prefect is away: the others would only wait for their timeouts

    async def _do_in_turn(self, dispatches: list[Dispatch]) -> None:
        """A cancel must not overtake the start that it cancels."""
        try:
            for dispatch in dispatches:
                await self._do(dispatch)
        except StoreUnavailableError as error:
            self.waiting_for = str(error)

    async def _do(self, dispatch: Dispatch) -> None:
        try:
            await _ACTIONS[dispatch.action](self, dispatch)
        except _NotOverError as error:
            await self._store.outbox.postpone(dispatch.id, str(error), NOT_OVER_DELAY_S)
        except FlowsError as error:
            self.waiting_for = f"{type(error).__name__}: {error}"
            delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(dispatch.tries, 10))
            await self._store.outbox.postpone(dispatch.id, self.waiting_for, delay)
            if dispatch.tries == 0:
                _log.warning("cannot %s %s yet: %s", dispatch.action, dispatch.generation_id, error)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001
            # Of this one only: a file that cannot be removed must not hold up the others.
            _log.exception("cannot %s %s yet", dispatch.action, dispatch.generation_id)
            await self._store.outbox.postpone(dispatch.id, repr(error), LONGEST_DELAY_S)
        else:
            self.waiting_for = None

    async def _start(self, dispatch: Dispatch) -> None:
        try:
            generation = await self._store.generations.get(dispatch.generation_id)
        except NotFoundError:  # deleted since
            await self._store.outbox.done(dispatch.id)
            return
        if isinstance(generation.request, UnreadableRequest):
            await self._store.transitions.fail_unreadable(generation.id, dispatch.attempt)
            await self._store.outbox.done(dispatch.id)
        elif (
            generation.attempt == dispatch.attempt
            and generation.status == "queued"
            and generation.request is not None
        ):
            # Its turn is when it was decided: first come, first served, though several go at once.
            reach("dispatch.before_create")
            batch = (
                await self._store.batches.membership(generation.id) if generation.batch_id else None
            )
            run = await self._runs.start(
                generation.id, dispatch.attempt, generation.request, dispatch.created_at, batch
            )
            reach("dispatch.after_create")
            await self._store.transitions.record_flow_run(
                generation.id, dispatch.attempt, run.id, dispatch.id, run.deployment_id
            )
        else:
            await self._store.outbox.done(dispatch.id)

    async def _cancel(self, dispatch: Dispatch) -> None:
        for run_id in await self._run_ids(dispatch):
            await self._runs.cancel(run_id)
        await self._store.outbox.done(dispatch.id)

    async def _forget(self, dispatch: Dispatch) -> None:
        """Deleting a run does not stop its work (Prefect 3.8), so it must be over first.

        And over for a while: Prefect records task runs later and many at once, and when the flow
        run of one of them is gone already, it loses all of them.
        """
        for run_id in await self._all_run_ids(dispatch.generation_id):
            if not await self._runs.is_over(run_id, for_s=RECORDED_S):
                raise _NotOverError(f"flow run {run_id} has not ended, or not long ago")
            await self._runs.forget(run_id)
        # Again, now that nobody can be writing: the delete itself may have died half-way.
        await self._store.files.remove_generation(dispatch.generation_id)
        await self._store.outbox.done(dispatch.id)

    async def _run_ids(self, dispatch: Dispatch) -> list[UUID]:
        attempts = await self._store.generations.attempts(dispatch.generation_id)
        return [
            attempt.flow_run_id
            for attempt in attempts
            if attempt.flow_run_id is not None and attempt.number == dispatch.attempt
        ]

    async def _all_run_ids(self, generation_id: UUID) -> set[UUID]:
        """Those that its rows tell of, and any that was made but not written down in time."""
        attempts = await self._store.generations.attempts(generation_id)
        written = {one.flow_run_id for one in attempts if one.flow_run_id is not None}
        return written | await self._runs.made_for(generation_id, [one.number for one in attempts])


def _by_generation(due: Iterable[Dispatch]) -> list[list[Dispatch]]:
    groups: dict[UUID, list[Dispatch]] = {}
    for dispatch in due:
        groups.setdefault(dispatch.generation_id, []).append(dispatch)
    return list(groups.values())


class _NotOverError(FlowsError):
    """A run that is to be forgotten still works: look again later."""


_ACTIONS: Final = {
    "start": Dispatcher._start,  # noqa: SLF001 - its own table
    "cancel": Dispatcher._cancel,  # noqa: SLF001
    "forget": Dispatcher._forget,  # noqa: SLF001
}
