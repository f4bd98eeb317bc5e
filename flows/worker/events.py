"""The events of Prefect that wake the worker."""

from __future__ import annotations

from typing import Final

from prefect.events import Event

_DUE: Final = ("Scheduled", "Late", "AwaitingRetry", "Resuming", "AwaitingConcurrencySlot")
_NOT_DUE: Final = ("Cancelling", "Cancelled", "Paused", "Suspended")
WAKING_EVENTS: Final = [f"prefect.flow-run.{name}" for name in (*_DUE, *_NOT_DUE)]
"""Runs that become due, and runs that were due and are not wanted any more."""


def is_due(event: Event) -> bool:
    """Whether a run became due."""
    return event.event.rpartition(".")[2] in _DUE


def is_of_queue(event: Event, queue: str) -> bool:
    """Whether the event is about a run of that work queue."""
    related = event.resource_in_role.get("work-queue")
    return related is not None and related.name == queue
