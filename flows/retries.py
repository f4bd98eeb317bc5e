"""Waiting: for a store that is away, and for a worker that is dying. Neither costs a generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

import stamina

from store.errors import HeldError, StoreUnavailableError

LONGEST_PAUSE_S: Final = 5.0
LET_GO_PAUSE_S: Final = 1.0
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def patiently(
    call: Callable[_P, Awaitable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    """Call it until the store answers, however long that takes; cancel the caller to end it.

    Only for what may be repeated: each write of the store is one transaction that compares first.
    """
    async for attempt in stamina.retry_context(
        on=StoreUnavailableError, attempts=None, timeout=None, wait_max=LONGEST_PAUSE_S
    ):
        with attempt:
            return await call(*args, **kwargs)
    raise AssertionError("unreachable")


async def once_let_go(
    call: Callable[_P, Awaitable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    """As ``patiently``, and also until nobody else does the attempt any more.

    Two cannot do one flow run: Prefect sees to that. So whoever still holds it is winding up, or
    is dead and will be found to be.
    """
    async for attempt in stamina.retry_context(
        on=(StoreUnavailableError, HeldError), attempts=None, timeout=None, wait_max=LET_GO_PAUSE_S
    ):
        with attempt:
            return await call(*args, **kwargs)
    raise AssertionError("unreachable")
