"""Following a batch to its end, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from core.status import BATCH_ACTIVE

PATIENCE_S: Final = 600.0
"""How long the API may be away, for an update perhaps. Batches continue or wait meanwhile."""
POLL_S: Final = 0.5
AWAY: Final = "no_answer"
"""Why a batch "waits" while the API is away."""
_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0
_GOES_ON_WITH: Final = {"failed": "retry-failed", "cancelled": "retry-failed", "paused": "resume"}
_T = TypeVar("_T")

Show = Callable[[Mapping[str, Any]], None]


async def patiently(
    call: Callable[[], Awaitable[_T]],
    patience_s: float = PATIENCE_S,
    away: Callable[[BaseException], None] | None = None,
) -> _T:
    """Returns the call's answer, retried while the API is away, for ``patience_s`` at most.

    ``away`` is called with each transient failure. Raises ApiUnreachableError, ApiRefusedError.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential(multiplier=_FIRST_DELAY_S, max=_LONGEST_DELAY_S),
        stop=stop_after_delay(patience_s),
        before_sleep=None if away is None else partial(_tell, away),
        reraise=True,
    )
    return await retrying(call)


async def follow_batch(
    client: ApiClient, first: dict[str, Any], show: Show, patience_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Show the document repeatedly until the batch stops. Returns the last one.

    Raises ApiUnreachableError after ``patience_s`` without any answer, ApiRefusedError when the
    batch is gone.
    """
    document = first
    show(document)
    while not is_over(document):
        await asyncio.sleep(POLL_S)
        ask = partial(client.batch, first["batch_id"])
        document = await patiently(ask, patience_s, partial(_show_away, show, document))
        show(document)
    return document


async def take_up(client: ApiClient, document: dict[str, Any]) -> dict[str, Any]:
    """Continue a batch that existed before. Returns its document then.

    What failed or was cancelled is retried, a pause ends. Raises as ``follow_batch`` does.
    """
    ask = partial(client.batch, document["batch_id"])
    while document["status"] == "cancelling":  # only what has ended can be retried
        await asyncio.sleep(POLL_S)
        document = await patiently(ask)
    change = _GOES_ON_WITH.get(document["status"])
    if change is None:
        return document
    try:
        return await patiently(partial(client.change_batch, document["batch_id"], change))
    except ApiRefusedError as error:
        if error.status != 409:
            raise
        return await patiently(ask)  # another client was faster, or an answer was lost


def is_over(document: Mapping[str, Any]) -> bool:
    """Returns whether the batch stopped for good: it has ended, or its window has."""
    if document["status"] not in BATCH_ACTIVE:
        return True
    counts = document["counts"]
    under_way = counts["queued"] + counts["running"] + counts["cancelling"]
    return is_past_its_window(document) and not under_way


def is_past_its_window(document: Mapping[str, Any]) -> bool:
    """Returns whether it was paused because of its ``not_after``."""
    waiting = document.get("waiting") or {}
    return document["status"] == "paused" and waiting.get("code") == "outside_window"


def _may_pass(error: BaseException) -> bool:
    refused = isinstance(error, ApiRefusedError) and error.status >= 500
    return refused or isinstance(error, ApiUnreachableError)


def _tell(away: Callable[[BaseException], None], tried: RetryCallState) -> None:
    error = tried.outcome.exception() if tried.outcome is not None else None
    if error is not None:
        away(error)


def _show_away(show: Show, document: Mapping[str, Any], error: BaseException) -> None:
    detail = f"{error}; trying again"
    show({**document, "eta_s": None, "waiting": {"code": AWAY, "detail": detail}})
