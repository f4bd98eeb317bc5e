"""The events of Prefect that wake the worker."""

from __future__ import annotations

from typing import Final

from prefect.events import Event

_DUE: Final = ("Scheduled", "Late", "AwaitingRetry", "Resuming", "AwaitingConcurrencySlot")
_NOT_DUE: Final = ("Cancelling", "Cancelled", "Paused", "Suspended")
WAKING_EVENTS: Final = [f"prefect.flow-run.{name}" for name in (*_DUE, *_NOT_DUE)]
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


def is_due(event: Event) -> bool:
    """Returns whether the event says that a run became due."""
    return event.event.rpartition(".")[2] in _DUE


def is_of_queue(event: Event, queue: str) -> bool:
    """Returns whether the event is about a run of that work queue."""
    related = event.resource_in_role.get("work-queue")
    return related is not None and related.name == queue
