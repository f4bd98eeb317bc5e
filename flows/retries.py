"""Waiting for an unavailable store, or a dying worker. Neither costs a generation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, ParamSpec, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from store.errors import HeldError, StoreUnavailableError

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
LET_GO_PAUSE_S: Final = 1.0
_given_up: ContextVar[asyncio.Event | None] = ContextVar("given_up", default=None)
_P = ParamSpec("_P")
_R = TypeVar("_R")


@contextmanager
def until_given_up(given_up: asyncio.Event) -> Iterator[None]:
    """In the tasks that are begun within: once it is set, nothing waits any longer.

    The store's error is raised instead.
    """
    token = _given_up.set(given_up)
    try:
        yield
    finally:
        _given_up.reset(token)


async def patiently(
    call: Callable[_P, Awaitable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    """Call until the store answers, however long that takes; cancel the caller to end it.

    Raises StoreUnavailableError only when that was given up (``until_given_up``).

    Only for what may be repeated: each write of the store is one transaction that compares first.
    """
    return await _until_it_works(LONGEST_PAUSE_S, StoreUnavailableError)(call, *args, **kwargs)


async def once_let_go(
    call: Callable[_P, Awaitable[_R]], /, *args: _P.args, **kwargs: _P.kwargs
) -> _R:
    """As ``patiently``, and also until no other worker holds the attempt.

    Prefect ensures that two workers never run one flow run. So the worker that still holds the
    attempt is ending, or is dead and its lease will lapse.
    """
    retrying = _until_it_works(LET_GO_PAUSE_S, StoreUnavailableError, HeldError)
    return await retrying(call, *args, **kwargs)


def _until_it_works(longest_s: float, *errors: type[Exception]) -> AsyncRetrying:
    given_up = _given_up.get() or asyncio.Event()
    return AsyncRetrying(
        retry=retry_if_exception_type(errors),
        stop=lambda _: given_up.is_set(),
        sleep=lambda seconds: _until_set(given_up, seconds),
        wait=wait_exponential_jitter(multiplier=FIRST_PAUSE_S, max=longest_s),
        reraise=True,
    )


async def _until_set(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, and no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
