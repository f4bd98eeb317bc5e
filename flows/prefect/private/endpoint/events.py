"""The events of what an account tells: their rows, and who hears them.

Prefect writes an event as JSON to a queue, from which four services read and validate it: the
one that writes events, the one that makes task runs of them, the automations, and those who
listen. Here the rows are written with the run, and only the other two are told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID, uuid4

import prefect
from prefect.server.events import messaging, stream, triggers
from prefect.server.events.ordering import EventArrivedEarly, get_triggers_causal_ordering
from prefect.server.events.schemas.events import ReceivedEvent, RelatedResource, Resource
from prefect.server.models.events import TRUNCATE_STATE_MESSAGES_AT
from prefect.settings.context import get_current_settings
from prefect.types import DateTime
from prefect.utilities.text import truncated_to

from flows.prefect.accounts import ToldArtifact, ToldBeat, ToldState, ToldTask
from flows.prefect.private.endpoint.tables import Row

_TIGHT: Final = timedelta(minutes=5)
"""Prefect names the event before one only if it happened within this time."""
_IN_MEMORY: Final = "prefect.server.utilities.messaging.memory"
_log = logging.getLogger(__name__)
Labels = dict[str, str]


@dataclass(frozen=True)
class Happened:
    """An event."""

    id: UUID
    occurred: datetime
    event: str
    resource: Labels
    related: list[Labels]
    payload: dict[str, Any]
    follows: UUID | None = None

    def row(self, received: datetime) -> Row:
        """Returns its row."""
        return {
            "id": self.id,
            "created": received,
            "updated": received,
            "occurred": self.occurred,
            "event": self.event,
            "resource_id": self.resource["prefect.resource.id"],
            "resource": self.resource,
            "related_resource_ids": [one["prefect.resource.id"] for one in self.related],
            "related": self.related,
            "payload": self.payload,
            "received": received,
            "recorded": received,
            "follows": self.follows,
        }

    def resource_rows(self, received: datetime) -> list[Row]:
        """Returns the rows of what it involves."""
        return [
            {
                "id": uuid4(),
                "created": received,
                "updated": received,
                "occurred": self.occurred,
                "resource_id": labels["prefect.resource.id"],
                "resource_role": labels.get("prefect.resource.role", ""),
                "resource": {
                    name: value
                    for name, value in labels.items()
                    if name not in {"prefect.resource.id", "prefect.resource.role"}
                },
                "event_id": self.id,
            }
            for labels in (self.resource, *self.related)
        ]

    def as_received(self, received: datetime) -> ReceivedEvent:
        """Returns it as those who listen get it. It is not validated: it is made here."""
        return ReceivedEvent.model_construct(
            id=self.id,
            occurred=cast("DateTime", self.occurred),
            event=self.event,
            resource=Resource.model_construct(self.resource),
            related=[RelatedResource.model_construct(labels) for labels in self.related],
            payload=self.payload,
            follows=self.follows,
            received=cast("DateTime", received),
        )


@dataclass(frozen=True)
class Involved:
    """What the events of a run involve. Made once for all of them."""

    by_server: list[Labels]
    """As the server names it in the events of flow runs."""
    by_client: list[Labels]
    """As Prefect's client names it in the events of task runs and artifacts."""
    by_beat: list[Labels]
    """As Prefect's flow engine names it in its heartbeats."""

    @classmethod
    def of(cls, run: Any, place: Any, queue: Any) -> Involved:
        """``run``: with id, name and tags."""
        flow = _labels("flow", place.flow_id, place.flow_name)
        deployment = _labels("deployment", place.id, place.name)
        tags = [_tag(one) for one in sorted({*run.tags, *place.flow_tags, *place.tags})]
        queued = [_labels("work-queue", queue.id, queue.name)] if queue is not None else []
        pool = _labels("work-pool", place.pool_id, place.pool_name)
        pools = [pool] if queue is not None else []
        typed = [{**one, "prefect.work-pool.type": place.pool_type} for one in pools]
        nameless = {k: v for k, v in deployment.items() if k != "prefect.resource.name"}
        of_run = _labels("flow-run", run.id, run.name)
        own = [_tag(one) for one in sorted(run.tags)]
        return cls(
            [flow, deployment, *queued, *typed, *tags],
            [of_run, flow, deployment, *queued, *pools, *tags],
            [flow, nameless, *own, *queued, *pools],
        )


def _labels(kind: str, of: UUID, name: str) -> Labels:
    return {
        "prefect.resource.id": f"prefect.{kind}.{of}",
        "prefect.resource.role": kind,
        "prefect.resource.name": name,
    }


def _tag(tag: str) -> Labels:
    return {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}


def of_flow_run(
    run: Any, before: ToldState | None, state: ToldState, involved: Involved
) -> Happened:
    """The event of a flow run's new state. ``run``: with id, name and run_count."""
    return Happened(
        id=state.id,
        occurred=state.at,
        event=f"prefect.flow-run.{state.name}",
        resource={
            "prefect.resource.id": f"prefect.flow-run.{run.id}",
            "prefect.resource.name": run.name,
            "prefect.run-count": str(run.run_count),
            **_of_state(state),
        },
        related=involved.by_server,
        payload={
            "intended": _intended(before, state),
            "initial_state": _short(before) if before is not None else None,
            "validated_state": _short(state),
        },
        follows=_follows(before, state),
    )


def of_task_run(
    task: ToldTask, row: Row, before: ToldState | None, state: ToldState, involved: Involved
) -> Happened:
    """The event of a task run's new state. ``row``: the task run as it was then."""
    return Happened(
        id=state.id,
        occurred=state.at,
        event=f"prefect.task-run.{state.name}",
        resource={
            "prefect.resource.id": f"prefect.task-run.{task.id}",
            "prefect.resource.name": task.name,
            "prefect.run-count": str(row["run_count"]),
            **_of_state(state),
            "prefect.orchestration": "client",
        },
        related=involved.by_client,
        payload={
            "intended": _intended(before, state),
            "initial_state": _long(before) if before is not None else None,
            "validated_state": {**_long(state), "data": None},
            "task_run": _of_task(task, row),
        },
        follows=_follows(before, state),
    )


def _of_task(task: ToldTask, row: Row) -> dict[str, Any]:
    said = {
        "name": task.name,
        "task_key": task.task_key,
        "dynamic_key": task.dynamic_key,
        "empirical_policy": {k: v for k, v in task.policy.items() if v is not None},
        "tags": [],
        "labels": {},
        "task_inputs": {name: [] for name in task.inputs},
        "run_count": row["run_count"],
        # The engine says it when the task begins.
        "flow_run_run_count": task.flow_run_count if row["run_count"] else 0,
        "expected_start_time": as_json(task.expected_at),
        "total_run_time": row["total_run_time"].total_seconds(),
    }
    for name in ("start_time", "end_time"):
        if row[name] is not None:
            said[name] = as_json(row[name])
    return said


def of_artifact(artifact: ToldArtifact, at: datetime, involved: Involved) -> Happened:
    """The event of an artifact that was made, or changed."""
    made = {"type": artifact.type, "description": artifact.description}
    return Happened(
        id=artifact.event_id,
        occurred=at,
        event=f"prefect.artifact.{'updated' if artifact.is_known else 'created'}",
        resource={"prefect.resource.id": f"prefect.artifact.{artifact.id}"},
        related=involved.by_client,
        payload={"data": artifact.data} if artifact.is_known else made,
    )


def of_beat(run: Any, beat: ToldBeat, involved: Involved) -> Happened:
    """The heartbeat of a flow run."""
    return Happened(
        id=beat.id,
        occurred=beat.at,
        event="prefect.flow-run.heartbeat",
        resource={
            "prefect.resource.id": f"prefect.flow-run.{run.id}",
            "prefect.resource.name": run.name,
            "prefect.version": prefect.__version__,
        },
        related=involved.by_beat,
        payload={},
    )


def _of_state(state: ToldState) -> Labels:
    return {
        "prefect.state-message": truncated_to(TRUNCATE_STATE_MESSAGES_AT, state.message),
        "prefect.state-name": state.name,
        "prefect.state-timestamp": state.at.isoformat(),
        "prefect.state-type": state.type,
    }


def _intended(before: ToldState | None, state: ToldState) -> dict[str, Any]:
    return {"from": before.type if before is not None else None, "to": state.type}


def _short(state: ToldState) -> dict[str, Any]:
    said = {"type": state.type, "name": state.name}
    if state.message:
        said["message"] = truncated_to(TRUNCATE_STATE_MESSAGES_AT, state.message)
    return said


def _long(state: ToldState) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if state.due_at is not None:
        details["scheduled_time"] = as_json(state.due_at)
    if state.untrackable:
        details["untrackable_result"] = True
    if state.retriable is not None:
        details["retriable"] = state.retriable
    message = truncated_to(TRUNCATE_STATE_MESSAGES_AT, state.message)
    return {"type": state.type, "name": state.name, "message": message, "state_details": details}


def _follows(before: ToldState | None, state: ToldState) -> UUID | None:
    if before is not None and -_TIGHT < state.at - before.at < _TIGHT:
        return before.id
    return None


def as_json(at: datetime) -> str:
    """Returns a moment as Prefect writes it into JSON."""
    return at.isoformat().replace("+00:00", "Z")


# --- who hears of it

_evaluating: set[asyncio.Task[None]] = set()


async def tell(happened: Iterable[Happened], received: datetime) -> None:
    """Tell automations and listeners, once the rows are there to be read."""
    events = [one.as_received(received) for one in happened]
    if get_current_settings().server.events.messaging_broker != _IN_MEMORY:
        await messaging.publish(events)  # who hears of it may be another process
        return
    for event in events:
        _tell_listeners(event)
    if events:
        task = asyncio.create_task(_evaluate(events), name="automations hear of accounts")
        _evaluating.add(task)
        task.add_done_callback(_evaluating.discard)


def _tell_listeners(event: ReceivedEvent) -> None:
    for queue in tuple(stream.subscribers):
        wanted = stream.filters[queue]
        if wanted.event is not None and not wanted.event.includes(event):
            continue  # the quick question first: most listeners want few events
        if wanted.includes(event):
            with suppress(asyncio.QueueFull):  # it loses events, as it does in Prefect's hands
                queue.put_nowait(event)


async def _evaluate(events: list[ReceivedEvent]) -> None:
    if not triggers.automations_by_id:
        ordering = get_triggers_causal_ordering()
        for event in events:  # another one may follow it
            await ordering.record_event_as_seen(event)
        return
    for event in events:
        try:
            await triggers.reactive_evaluation(event)
        except EventArrivedEarly:
            pass
        except Exception:  # noqa: BLE001 - the others are to be heard of
            _log.exception("the automations did not hear of event %s", event.id)
