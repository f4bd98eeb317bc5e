"""Following a generation to its end, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from httpx_sse import ServerSentEvent

from cli.client import ApiClient, ApiRefusedError, ApiUnreachableError
from core.status import FINAL

PATIENCE_S: Final = 60.0
"""How long the API may be away. Its generations continue or wait meanwhile."""
POLL_S: Final = 1.0
_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0


async def follow(
    client: ApiClient, first: dict[str, Any], patience_s: float = PATIENCE_S
) -> AsyncIterator[dict[str, Any]]:
    """Yields the status document after each change, ending with the final one.

    Listens to the event stream; when that breaks, reads the status and listens again from
    the last event received. Raises ApiUnreachableError after ``patience_s`` without any answer,
    and ApiRefusedError when the generation is gone.
    """
    document, last_id, heard_at, delay = first, None, time.monotonic(), _FIRST_DELAY_S
    countdown = _Countdown()
    while document["status"] not in FINAL:
        with contextlib.suppress(ApiUnreachableError, ApiRefusedError):
            async with contextlib.aclosing(client.events(first["task_id"], last_id)) as events:
                async for event in events:
                    heard_at, delay = time.monotonic(), _FIRST_DELAY_S
                    last_id = event.id or last_id
                    document = _changed(document, event)
                    yield countdown.applied(document, told=event.event == "status")
                    if document["status"] in FINAL:
                        return
        try:
            document = await client.status(first["task_id"])
        except ApiUnreachableError:
            if time.monotonic() - heard_at > patience_s:
                raise
        except ApiRefusedError as error:
            if error.status < 500 or time.monotonic() - heard_at > patience_s:
                raise
        else:
            heard_at, delay = time.monotonic(), min(delay, POLL_S)
            yield document
        if document["status"] not in FINAL:
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)


class _Countdown:
    """Only status documents have ``eta_s``; between them it counts down."""

    def __init__(self) -> None:
        self._due: float | None = None

    def applied(self, document: dict[str, Any], *, told: bool) -> dict[str, Any]:
        """Returns the document with the remaining time as of now."""
        eta_s = document.get("eta_s")
        if told:
            self._due = None if eta_s is None else time.monotonic() + eta_s
        if self._due is None:
            return document
        return {**document, "eta_s": max(0.0, self._due - time.monotonic())}


def _changed(document: dict[str, Any], event: ServerSentEvent) -> dict[str, Any]:
    """Returns the document after an event. Unknown events change nothing."""
    try:
        body = json.loads(event.data)
    except ValueError:
        return document
    if not isinstance(body, dict):
        return document
    if event.event == "status" and "status" in body:
        return body
    if event.event == "progress":
        return {**document, "progress": body}
    return document
