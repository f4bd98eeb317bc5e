"""The events of Prefect that a worker hears, and what each of them tells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import State, StateType
from prefect.events import Event

from flows.prefect.foreign_runs import was_ended_elsewhere

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
