"""Awaiting work to its end, also when the caller is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

_R = TypeVar("_R")


async def finished(work: Coroutine[Any, Any, _R]) -> _R:
    """Await ``work`` until it is done, even if the caller is cancelled; then raise the cancel."""
    caller = asyncio.current_task()
    # Under the caller's name: by it logs and tests tell whose work it is.
    task = asyncio.create_task(work, name=caller.get_name() if caller is not None else None)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await patiently(asyncio.wait([task]))
        if not task.cancelled():
            task.exception()  # retrieved: the caller gets the cancel instead
        raise


async def patiently(waiting: Awaitable[Any]) -> None:
    """Await it. A second cancel must not cut short the wait of the first."""
    future = asyncio.ensure_future(waiting)
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            continue
