"""Server-sent events of a generation: what the status document says, as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.generations.documents import progress_document
from api.generations.facade import Facade, FacadeOf
from api.ids import TaskId
from api.openapi import problems
from core.status import is_final
from store.changes import Subscription
from store.values import Generation

router = APIRouter(prefix="/api/v1/generation", tags=["generations"])

DELETED_LOOK_EVERY_S: Final = 2.0
"""Seconds without a change after which a stream checks for a delete."""


async def _existing(task_id: TaskId, facade: FacadeOf) -> Generation:
    """Read before the stream begins: a missing generation is a 404, not an empty stream."""
    return await facade.store.generations.get(task_id)


@router.get(
    "/{task_id:id}/events",
    summary="Follow it live",
    response_class=EventSourceResponse,
    responses=problems(404, 410),
)
async def events(
    first: Annotated[Generation, Depends(_existing)],
    facade: FacadeOf,
    last_event_id: Annotated[
        str | None, Header(description="Where a broken stream left off; sent by browsers.")
    ] = None,
) -> AsyncIterator[ServerSentEvent]:
    """A stream of `status`, `progress`, `preview` and `output` events.

    Each event's `id` is the generation's `sequence`. The stream ends after the final `status`;
    the pictures come before it, one `output` each. It ends too when the generation is deleted.
    A comment comes every 15 seconds.
    """
    seen = int(last_event_id) if last_event_id and last_event_id.isdigit() else 0
    with facade.store.changes.subscribe(first.id) as subscription:
        # Subscribe first, then read: no change can be missed in between.
        before = await facade.store.generations.get(first.id)
        if before.sequence > seen or is_final(before.status):
            for event in await _events_between(facade, None, before):
                yield event
        if is_final(before.status):
            return
        async for now in _changes(facade, subscription, first.id):
            if now.sequence <= before.sequence:
                continue
            for event in await _events_between(facade, before, now):
                yield event
            if is_final(now.status):
                return
            before = now


async def _changes(
    facade: Facade, subscription: Subscription, generation_id: UUID
) -> AsyncIterator[Generation]:
    """Yields the changes until a delete, which the change feed does not report."""
    while True:
        changes = subscription.changes()
        try:
            while True:
                async with asyncio.timeout(DELETED_LOOK_EVERY_S):
                    now = await anext(changes)
                yield now
        except TimeoutError:
            if await facade.store.generations.is_deleted(generation_id):
                return


async def _events_between(
    facade: Facade, before: Generation | None, now: Generation
) -> list[ServerSentEvent]:
    found: list[ServerSentEvent] = []
    if now.progress is not None and (before is None or before.progress != now.progress):
        found.append(_event(now, "progress", progress_document(now)))
        url = facade.links.preview(now)
        was = before.progress.preview if before is not None and before.progress else None
        if url is not None and now.progress.preview != was:
            found.append(_event(now, "preview", {"url": url, "number": now.progress.preview}))
    if now.status == "succeeded":
        found.extend(_event(now, "output", image) for image in await facade.images(now.id))
    if before is None or _without_progress(before) != _without_progress(now):
        found.append(_event(now, "status", await facade.document(now)))
    return found


def _event(generation: Generation, name: str, data: Any) -> ServerSentEvent:
    return ServerSentEvent(data=data, event=name, id=str(generation.sequence))


def _without_progress(generation: Generation) -> tuple[object, ...]:
    return (
        generation.status,
        generation.attempt,
        generation.waiting,
        generation.error,
        generation.flow_run_id,
        generation.started_at,
    )
