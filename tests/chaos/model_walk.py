"""Work that goes on step by step, and can be stopped for good between any two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any


class Walk:
    """``step()`` goes on to the next ``step_ends()`` of the work, or to its end.

    Nothing of it happens between two steps. Raises what the work raises.
    """

    def __init__(self, work: Coroutine[Any, Any, object]) -> None:
        self._work = work
        self._task: asyncio.Task[object] | None = None
        self._resting: asyncio.Future[None] | None = None
        self._going_on: asyncio.Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self._task is not None and self._task.done()

    async def step(self) -> None:
        """One step; nothing once it is over."""
        if self.is_over:
            return
        self._resting = asyncio.get_running_loop().create_future()
        if self._task is None:
            context = copy_context()
            context.run(_here.set, self)
            self._task = asyncio.create_task(self._work, context=context)
        elif self._going_on is not None:
            self._going_on.set_result(None)
        either: list[asyncio.Future[Any]] = [self._task, self._resting]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()

    async def leave(self) -> None:
        """It ends where it is, as when its process is killed."""
        if self._task is None:
            self._work.close()
            return
        self._task.cancel()
        await asyncio.wait([self._task])

    async def rest(self) -> None:
        """Go on in the next step."""
        assert self._resting is not None
        self._going_on = asyncio.get_running_loop().create_future()
        self._resting.set_result(None)
        await self._going_on


_here: ContextVar[Walk | None] = ContextVar("walk", default=None)


async def step_ends() -> None:
    """In work that goes on step by step: a step ends here. Anywhere else: nothing."""
    walk = _here.get()
    if walk is not None:
        await walk.rest()
