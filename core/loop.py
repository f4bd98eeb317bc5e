"""The background loop: rounds of work in their own task, which no error ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Self

SAID_EVERY_S: Final = 60.0
"""Seconds between two log lines about expected errors, while no round succeeds."""
_Pause = float | Callable[[], float] | None
_log = logging.getLogger(__name__)


class Loop:
    """Calls ``work`` again and again until it is stopped. Use as an async context manager.

    A round begins ``every_s`` after the end of the last one (``first_s`` after the start,
    ``retry_s`` after a failure; both are ``every_s`` unless given), or at once on ``wake()``.
    With None it begins on ``wake()`` only; a function is asked for the seconds each time. Rounds
    never overlap, and missed ones are not made up for: a process that was stopped for an hour
    begins one.

    ``name`` is the task's name and describes the work in the log. A failure is logged as an error
    with its traceback. One that is ``expected``, such as an unavailable store, is a line at
    ``level``, and repeats within a minute are at DEBUG.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        every_s: _Pause,
        *,
        first_s: float | None = None,
        retry_s: float | None = None,
        expected: tuple[type[Exception], ...] = (),
        level: int = logging.WARNING,
    ) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._first_s: _Pause = every_s if first_s is None else first_s
        self._retry_s: _Pause = every_s if retry_s is None else retry_s
        self._expected = expected
        self._level = level
        self._wanted = asyncio.Event()
        self._said_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.is_ending = False
        """Whether no further round will begin."""

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Start the task. Once only."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Begin a round at once, or another one after the current round."""
        self._wanted.set()

    def end(self) -> None:
        """Begin no further round. The work itself may call this; ``stop()`` also waits."""
        self.is_ending = True
        self._wanted.set()

    async def stop(self, *, grace_s: float = 0.0) -> None:
        """Stop, and return when the task has ended.

        A current round has ``grace_s`` to end by itself before it is cancelled. A write to the
        store is completed all the same (``store.database.Database.write``).
        """
        self.end()
        if self._task is None:
            return
        if grace_s:
            await asyncio.wait([self._task], timeout=grace_s)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._pause(self._first_s)
        while not self.is_ending:
            succeeded = await self._round()
            await self._pause(self._every_s if succeeded else self._retry_s)

    async def _pause(self, pause: _Pause) -> None:
        seconds = pause() if callable(pause) else pause
        # A timer that sets the event, instead of a timeout around the wait: no wake-up can be lost.
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._wanted.set)
        try:
            await self._wanted.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._wanted.clear()

    async def _round(self) -> bool:
        """Returns whether the work succeeded."""
        try:
            await self._work()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._report(error)  # a task that the work awaited was cancelled, not this one
            return False
        except Exception as error:  # noqa: BLE001 - the next round may succeed
            self._report(error)
            return False
        self._said_at = float("-inf")
        return True

    def _report(self, error: BaseException) -> None:
        expected = isinstance(error, self._expected)
        level = self._level_now() if expected else logging.ERROR
        _log.log(
            level,
            "%s failed; retrying: %s",
            self._name,
            str(error) or repr(error),
            exc_info=None if expected else error,
        )

    def _level_now(self) -> int:
        now = asyncio.get_running_loop().time()
        if now - self._said_at < SAID_EVERY_S:
            return logging.DEBUG
        self._said_at = now
        return self._level
