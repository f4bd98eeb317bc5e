"""Server-sent events of a generation: what the status document says, as it changes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT

from api.dependencies import opened
from api.generations.facade import Facade, FacadeOf
from api.generations.shared import Followed
from api.ids import TaskId
from api.openapi import Omittable, problems
from core.status import is_final
from store.changes import Subscription
from store.values import Generation

router = APIRouter(prefix="/api/v1/generation", tags=["generations"])

DELETED_LOOK_EVERY_S: Final = 2.0
"""Seconds without a change after which a stream checks for a delete."""
PING_EVERY_S: Final = 15.0
_SEQUENCE: Final = re.compile("[0-9]{1,18}")
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """A stream of bytes that are events already.

    Not FastAPI's own, which renders each event for each follower, through two tasks and queues.
    """

    media_type = "text/event-stream"


@router.get(
    "/{task_id:id}/events",
    summary="Follow it live",
    response_class=EventStream,
    responses={
        204: {"description": "It has ended, and all was told: do not come again."},
        **problems("not_found", "deleted", "not_available"),
    },
)
async def events(
    request: Request,
    task_id: TaskId,
    facade: FacadeOf,
    last_event_id: Annotated[
        Omittable[str],
        Header(description="Where a broken stream left off; sent by browsers."),
    ] = None,
) -> Response:
    """A stream of `status`, `progress`, `preview`, `rendered` and `output` events.

    Each event's `id` is what to go on from after a break; that of a `status` is the generation's
    `sequence`. The stream ends after the final `status`; the pictures come before it, one `output`
    each. `rendered` is told to who listens then, and never again. The stream ends too when the
    generation is deleted. A comment comes every 15 seconds.
    """
    followed = opened(request, Followed)
    # Read before the stream begins: a missing generation is a 404, not an empty stream.
    first = await followed.generation.get(task_id)
    seen = _sequence(last_event_id)
    if is_final(first.status) and seen == first.sequence:
        return Response(status_code=204)  # a browser comes again after anything else
    return EventStream(_stream(facade, followed, task_id, seen), headers=_HEADERS)


def _sequence(last_event_id: str | None) -> int:
    return int(last_event_id) if _SEQUENCE.fullmatch(last_event_id or "") else 0  # type: ignore[arg-type]


async def _stream(
    facade: Facade, followed: Followed, generation_id: UUID, seen: int
) -> AsyncIterator[bytes]:
    with facade.store.changes.subscribe(generation_id) as subscription:
        # Subscribe first, then read: no change can be missed in between.
        before = await followed.generation.get(generation_id)
        if before.sequence > seen or is_final(before.status):
            yield await _events_between(facade, followed, None, before)
        if is_final(before.status):
            return
        async for now in _changes(followed, subscription, generation_id):
            if now is None:
                yield KEEPALIVE_COMMENT
                continue
            if now.sequence <= before.sequence:
                continue
            yield await _events_between(facade, followed, before, now)
            if is_final(now.status):
                return
            before = now


async def _changes(
    followed: Followed, subscription: Subscription, generation_id: UUID
) -> AsyncIterator[Generation | None]:
    """Yields the changes until a delete, which the change feed does not report.

    None when there has been none for ``PING_EVERY_S``.
    """
    last = time.monotonic()
    while True:
        changes = subscription.changes()
        try:
            while True:
                async with asyncio.timeout(DELETED_LOOK_EVERY_S):
                    now = await anext(changes)
                last = time.monotonic()
                yield now
        except TimeoutError:
            if await followed.is_deleted.get(generation_id):
                return
        if time.monotonic() - last >= PING_EVERY_S:
            last = time.monotonic()
            yield None


async def _events_between(
    facade: Facade, followed: Followed, before: Generation | None, now: Generation
) -> bytes:
    events, found = followed.events_of(now), b""
    if before is not None:
        found += events.rendered(before)
    if now.progress is not None and (before is None or before.progress != now.progress):
        found += events.progress()
        url = facade.links.preview(now)
        was = before.progress.preview if before is not None and before.progress else None
        if url is not None and now.progress.preview != was:
            found += events.preview(url)
    if now.status == "succeeded":
        found += await events.outputs()
    if before is None or _without_progress(before) != _without_progress(now):
        found += await events.status()
    return found


def _without_progress(generation: Generation) -> tuple[object, ...]:
    return (
        generation.status,
        generation.attempt,
        generation.waiting,
        generation.error,
        generation.flow_run_id,
        generation.started_at,
    )
