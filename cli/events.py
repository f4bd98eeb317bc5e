"""Server-sent events: the lines of a stream, read as events."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event. ``id`` is what ``Last-Event-ID`` gives back to go on behind it."""

    name: str
    data: str
    id: str | None


async def read_events(lines: AsyncIterable[str]) -> AsyncIterator[ServerEvent]:
    """The events of a stream's lines; an event that the end cuts off is no event."""
    name, data, last_id = "", list[str](), None
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name or "message", "\n".join(data), last_id)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
