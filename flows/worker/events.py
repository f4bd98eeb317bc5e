"""The events of Prefect that a worker hears, and what each of them tells."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import State, StateType
from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter

from core.loop import Loop
from flows.prefect.foreign_runs import was_ended_elsewhere
from flows.prefect.private.worker import PrefectWorker

_RUN: Final = "prefect.flow-run."
_FIRST_DUE: Final = frozenset({"Scheduled", "Late"})
_DUE: Final = ("Scheduled", "Late", "AwaitingRetry", "Resuming", "AwaitingConcurrencySlot")
_ENDED: Final = ("Cancelling", "Cancelled")
_PAUSED: Final = ("Paused", "Suspended")
RUN_EVENTS: Final = [f"{_RUN}{name}" for name in (*_DUE, *_ENDED, *_PAUSED)]
"""A run becomes due, or a due run must not be taken any more."""

GATE_EVENTS: Final = frozenset(
    {
        *(
            f"prefect.{place}.{name}"
            for place in ("work-pool", "work-queue")
            for name in ("paused", "ready", "not-ready", "updated")
        ),
        "prefect.deployment.updated",
    }
)
"""An operator has paused, limited or let go something; see ``flows.worker.gate``."""


class EventStream:
    """What Prefect tells of a worker's pool and its runs, from ``start()`` on.

    ``on_open`` is called after each connection: what happened before was not heard. ``hear`` gets
    each event. ``pool_id`` is the pool that it hears of, None before the first connection.
    """

    def __init__(
        self,
        worker: PrefectWorker,
        on_open: Callable[[], None],
        hear: Callable[[Event], None],
    ) -> None:
        self.pool_id: UUID | None = None
        self._worker = worker
        self._on_open = on_open
        self._hear = hear
        self._loop = self._new_loop()

    def start(self) -> None:
        """Hear from now on, again after each loss of the connection."""
        self._loop.start()

    async def stop(self) -> None:
        """Hear nothing more. No-op unless it was started."""
        await self._loop.stop()

    async def renew(self) -> None:
        """Start, or hear of the pool that is the worker's now."""
        former, self._loop = self._loop, self._new_loop()
        self._loop.start()
        await former.stop()

    def _new_loop(self) -> Loop:
        return Loop(
            "the event stream", self._listen, every_s=1.0, first_s=0.0, expected=(Exception,)
        )

    async def _listen(self) -> None:
        self.pool_id = self._worker.work_pool.id
        names = EventNameFilter(name=[*RUN_EVENTS, *GATE_EVENTS])
        wanted = EventFilter(event=names, any_resource=self._worker.this_pool)
        async with get_events_subscriber(filter=wanted) as arriving:
            self._on_open()
            async for event in arriving:
                self._hear(event)


def flow_run_of(event: Event) -> UUID | None:
    """Returns the flow run that the event is about."""
    kind, _, value = event.resource.id.rpartition(".")
    try:
        return UUID(value) if f"{kind}." == _RUN else None
    except ValueError:
        return None


def waits_in_the_store(event: Event, priorities: Collection[str]) -> bool:
    """Returns whether the run that became due was made for a generation, which waits already.

    Such a run has its priority as a tag. One that an operator retries or resumes is not meant.
    """
    tags = {one.id.removeprefix("prefect.tag.") for one in event.related if one.role == "tag"}
    return _name(event) in _FIRST_DUE and not tags.isdisjoint(priorities)


def is_cancelled(event: Event) -> bool:
    """Returns whether a run was cancelled, though not by a worker that knew no such generation."""
    said: Any = event.payload.get("validated_state") or {}
    message = said.get("message") if isinstance(said, dict) else None
    state: State[Any] = State(type=StateType.CANCELLED, message=str(message or ""))
    return _name(event) == "Cancelled" and not was_ended_elsewhere(state)


def is_paused(event: Event) -> bool:
    """Returns whether a run was paused."""
    return _name(event) in _PAUSED


def is_of_queue(event: Event, queue: str) -> bool:
    """Returns whether the event is about a run of that work queue."""
    related = event.resource_in_role.get("work-queue")
    return related is not None and related.name == queue


def _name(event: Event) -> str:
    return event.event.rpartition(".")[2]
