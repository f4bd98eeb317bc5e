"""What many followers of one generation need, read and written once for all of them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from fastapi.sse import format_sse_event
from pydantic_core import to_json

from api.generations.documents import progress_document
from api.generations.facade import Facade
from api.joining import Shared, retrieved
from core.status import is_final
from store.values import Generation

SHARED_FOR_S: Final = 1.0
"""How long the document of an unfinished generation is shared: its place in the queue changes."""
_SHARED_MAX: Final = 256


class EventsOf:
    """One state of a generation as events, each written when it is first asked for."""

    def __init__(self, facade: Facade, generation: Generation) -> None:
        self._facade = facade
        self._generation = generation
        self._written: dict[str, asyncio.Task[bytes]] = {}
        self.ends_at = (
            float("inf") if is_final(generation.status) else time.monotonic() + SHARED_FOR_S
        )

    async def status(self) -> bytes:
        """Returns the event with the status document."""
        return await self._once("status", self._status)

    async def outputs(self) -> bytes:
        """Returns an event for each picture."""
        return await self._once("outputs", self._outputs)

    def progress(self) -> bytes:
        """Returns the event with the progress."""
        return _event("progress", progress_document(self._generation), self._id)

    def preview(self, url: str) -> bytes:
        """Returns the event that names the newest preview."""
        shown = self._generation.progress
        assert shown is not None  # its address came from there
        return _event("preview", {"url": url, "number": shown.preview}, self._id)

    def rendered(self, before: Generation) -> bytes:
        """Returns an event for each output that ComfyUI has finished since, and that can be shown.

        Their id is that of the state before: a stream that goes on after them is told the rest, but
        not them again.
        """
        outputs = self._facade.renderings.announced(self._generation)
        is_same = before.progress is not None and before.attempt == self._generation.attempt
        told = len(before.progress.rendered) if is_same and before.progress else 0
        return b"".join(
            _event("rendered", output, before.sequence)
            for output in outputs
            if output.number > told
        )

    async def _once(self, name: str, render: Callable[[], Awaitable[bytes]]) -> bytes:
        task = self._written.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.ensure_future(render())
            task.add_done_callback(retrieved)
            self._written[name] = task
        return await asyncio.shield(task)

    async def _status(self) -> bytes:
        document = await self._facade.document(self._generation)
        return _event("status", document, self._generation.sequence)

    async def _outputs(self) -> bytes:
        images = await self._facade.images(self._generation.id)
        return b"".join(_event("output", image, self._id) for image in images)

    @property
    def _id(self) -> int:
        """Returns the id of what comes before the ``status``.

        At the end it is not the last one's yet: a stream that is cut in between must go on, and
        there is nothing to go on with after the last one's.
        """
        now = self._generation
        return now.sequence - 1 if is_final(now.status) else now.sequence


class Followed:
    """The reads and the events that are shared by all followers."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade
        self._events: OrderedDict[tuple[UUID, int], EventsOf] = OrderedDict()
        self.generation = Shared(facade.store.generations.get)
        """Returns a generation. Raises NotFoundError, DeletedError."""
        self.is_deleted = Shared(facade.store.generations.is_deleted)

    def events_of(self, generation: Generation) -> EventsOf:
        """Returns this state's events."""
        key = (generation.id, generation.sequence)
        found = self._events.get(key)
        if found is None or found.ends_at < time.monotonic():
            found = self._events[key] = EventsOf(self._facade, generation)
            self._events.move_to_end(key)
            while len(self._events) > _SHARED_MAX:
                self._events.popitem(last=False)
        return found


def _event(name: str, data: Any, sequence: int) -> bytes:
    return format_sse_event(data_str=to_json(data).decode(), event=name, id=str(sequence))
