"""A stage of an attempt: what it does, and the record of it that a flow run shows.

A stage runs whether or not anybody looks on. Who does (a task of the flow run) joins it, at any
time, and finds when it began and ended, what was logged, and how each of its tries ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from comfy import is_transient
from flows.attempts.record import Line, Record, read_moment
from flows.errors import PastError
from store.errors import ArtefactStoreError, StoreUnavailableError

StageName = Literal["build workflow", "submit", "poll", "save"]
TRIES: Final = 9
"""With the pauses below: about four minutes of tries before a generation fails."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 128.0


@dataclass(frozen=True)
class Try:
    """How one try of a stage ended: with a value, or with ``error``.

    ``began_at``: None for one that was kept, of which only the end is known.
    """

    ended_at: datetime
    value: Any = None
    error: BaseException | None = None
    began_at: datetime | None = None


def is_passing(error: BaseException) -> bool:
    """Returns whether another try may help."""
    return is_transient(error) or isinstance(error, ArtefactStoreError | StoreUnavailableError)


_NAMES: Final[Mapping[str, StageName]] = {name: name for name in get_args(StageName)}


class Stage:
    """Use from one event loop. ``record`` is its log."""

    def __init__(self, name: StageName, tries: int = TRIES) -> None:
        self.name: Final = name
        self.record: Final = Record(f"easel.{name}", self._tell)
        self.began_at: datetime | None = None
        self.tries: list[Try] = []
        self.resumes: list[datetime] = []
        """When each try after the first was to begin."""
        self.try_began_at: datetime | None = None
        """When the newest try began."""
        self.is_over = False
        self._tries_max = tries
        self._changed = asyncio.Event()

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None before."""
        return self.tries[-1].ended_at if self.is_over and self.tries else None

    async def run(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Run the step, again while its errors are passing. Returns its value, or raises."""
        self.began_at = datetime.now(UTC)
        retrying = AsyncRetrying(
            retry=retry_if_exception(is_passing),
            stop=stop_after_attempt(self._tries_max),
            wait=wait_exponential_jitter(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            before_sleep=self._pause,
            reraise=True,
        )
        try:
            return await retrying(self._try, step)
        finally:
            self.is_over = True
            self._tell()

    def _pause(self, retrying: RetryCallState) -> None:
        self.resumes.append(datetime.now(UTC) + timedelta(seconds=retrying.upcoming_sleep))

    async def _try(self, step: Callable[[], Awaitable[Any]]) -> Any:
        self.try_began_at = datetime.now(UTC)
        try:
            value = await step()
        except BaseException as error:
            self._end_try(error=error)
            raise
        self._end_try(value=value)
        return value

    def _end_try(self, *, value: Any = None, error: BaseException | None = None) -> None:
        self.tries.append(Try(datetime.now(UTC), value, error, self.try_began_at))
        self._tell()

    def outcome(self, number: int) -> Try | None:
        """Returns how its try of that number (1 is the first) ended, None while it has not.

        Of a stage that is over, how its last one ended for each later number.
        """
        if number <= len(self.tries):
            return self.tries[number - 1]
        return self.tries[-1] if self.is_over and self.tries else None

    def times(self, number: int) -> tuple[datetime | None, datetime | None]:
        """Returns when its try of that number began and ended, None for what has not happened yet.

        The first one begins with the stage. Of a stage that is over, the times of its last one for
        each later number.
        """
        ended = self.outcome(number)
        if number == 1:
            began_at = self.began_at
        elif ended is not None:
            began_at = ended.began_at
        else:
            is_next = len(self.tries) == number - 1
            began_at = self.try_began_at if is_next and self._goes_on else None
        return began_at, ended.ended_at if ended is not None else None

    @property
    def _goes_on(self) -> bool:
        """Whether a try is under way now: not a pause between two of them."""
        last = self.tries[-1].ended_at if self.tries else None
        return self.try_began_at is not None and (last is None or self.try_began_at >= last)

    def to_json(self) -> dict[str, Any]:
        """Returns what is known of it by now, for ``from_json``."""
        last = self.tries[-1] if self.is_over and self.tries else None
        error = last.error if last is not None else None
        return {
            "name": self.name,
            "began_at": self.began_at.isoformat() if self.began_at else None,
            "ended_at": last.ended_at.isoformat() if last is not None else None,
            "error": f"{type(error).__name__}: {error}" if error is not None else None,
            "lines": [line.to_json() for line in self.record.lines],
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any], ended_at: datetime) -> Stage | None:
        """Returns the stage, which is over; None for what this version does not know.

        Without an end of its own it has ended at ``ended_at``, with its attempt.
        """
        name, began_at = _NAMES.get(str(written.get("name"))), read_moment(written.get("began_at"))
        if name is None or began_at is None:
            return None
        stage = cls(name)
        stage.began_at = began_at
        lines = written.get("lines")
        found = (Line.from_json(one) for one in lines) if isinstance(lines, list) else ()
        stage.record.lines.extend(line for line in found if line is not None)
        error = written.get("error")
        failure = PastError(str(error)) if error is not None else None
        stage.tries.append(Try(read_moment(written.get("ended_at")) or ended_at, error=failure))
        stage.is_over = True
        return stage

    async def changed(self) -> None:
        """Wait until there is something new: a line of its log, the end of a try, or its end."""
        await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
