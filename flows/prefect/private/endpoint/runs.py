"""A flow run as an account changes it: by Prefect's own rules for states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from prefect.server.schemas.states import StateDetails
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.prefect.accounts import Account, ToldState, WantedRun
from flows.prefect.private.endpoint.events import as_json
from flows.prefect.private.endpoint.places import Place
from flows.prefect.private.endpoint.tables import Row, database, lean_table

_TICK: Final = timedelta(microseconds=1)
_FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
_MAY_BEGIN: Final = frozenset({"Scheduled", "Late"})
"""Names of the states of a run that nobody has begun; an operator's retry has another."""
_DETAILS: Final[dict[str, Any]] = StateDetails().model_dump(mode="json")


@dataclass
class Run:
    """A flow run in the middle of a transaction. ``changes``: columns with other values."""

    id: UUID
    name: str
    deployment_id: UUID | None
    work_queue_id: UUID | None
    tags: Sequence[str]
    run_count: int
    state: ToldState | None
    times: dict[str, Any]
    """Its columns of times, as they are now."""
    made: Row | None = None
    """The row, when it is new."""
    changes: Row = field(default_factory=dict)

    def enter(self, state: ToldState) -> ToldState:
        """Enter a state as Prefect does it; returns the state, later if another has its time."""
        before = self.state
        if before is not None and state.at <= before.at:
            state = state.model_copy(update={"at": before.at + _TICK})
        times = self.times
        if before is not None and before.type == "RUNNING":
            times["total_run_time"] += state.at - before.at
        if before is not None and before.type == "SCHEDULED":
            times["next_scheduled_start_time"] = None
        if state.type == "SCHEDULED":
            times["next_scheduled_start_time"] = state.due_at
        times["expected_start_time"] = times["expected_start_time"] or state.due_at or state.at
        if state.type == "RUNNING":
            self.run_count += 1
        if state.type == "RUNNING" or state.type in _FINAL:
            times["start_time"] = times["start_time"] or state.at
        if state.type in _FINAL:
            times["end_time"] = times["end_time"] or state.at
        self.state = state
        self.changes |= {
            **times,
            "run_count": self.run_count,
            "state_id": state.id,
            "state_type": state.type,
            "state_name": state.name,
            "state_timestamp": state.at,
        }
        return state

    def has_begun_by(self, account: Account) -> bool:
        """Returns whether it is in a state that this account, or an earlier part of it, told."""
        state = self.state
        return state is not None and any(one.id == state.id for one in account.states)

    def accepts(self, account: Account, now: datetime) -> tuple[ToldState, ...] | None:
        """Returns which of the account's states it may enter; None if it is in another state."""
        states, state = account.states, self.state
        if state is None:
            return states
        told = [one.id for one in states]
        if state.id in told:
            return states[told.index(state.id) + 1 :]
        if account.wanted is not None:
            due = self.times["next_scheduled_start_time"]
            waits = state.type == "SCHEDULED" and state.name in _MAY_BEGIN
            if waits and due is not None and due <= now:
                return tuple(one for one in states if one.type != "SCHEDULED")
            return None
        if state.id == account.after or self._may_end_by(states):
            return states
        return None

    def _may_end_by(self, states: Sequence[ToldState]) -> bool:
        """Returns whether a run that an operator is stopping may enter the states."""
        assert self.state is not None
        match self.state.type:
            case "CANCELLING":  # also none: its worker is about to hear of the cancel
                return all(one.type == "CANCELLED" for one in states)
            case "PAUSED":  # too late
                return bool(states) and all(one.type in _FINAL for one in states)
        return False


def state_row(
    table: Literal["flow_run_id", "task_run_id"],
    of: UUID,
    state: ToldState,
    now: datetime,
    **details: Any,
) -> Row:
    """Returns the row of a state of that run."""
    due = as_json(state.due_at) if state.due_at is not None else None
    said = {**_DETAILS, "scheduled_time": due, **details}
    if state.untrackable:
        said["untrackable_result"] = True
    if state.retriable is not None:
        said["retriable"] = state.retriable
    return {
        "id": state.id,
        "created": now,
        "updated": now,
        table: of,
        "type": state.type,
        "timestamp": state.at,
        "name": state.name,
        "message": state.message,
        "state_details": said,
    }


def details_of(run: Run, before: ToldState | None, state: ToldState) -> dict[str, Any]:
    """Returns the details that Prefect gives a state when a run enters it."""
    details: dict[str, Any] = {"flow_run_id": str(run.id)}
    if before is not None:
        details |= {"transition_id": str(uuid4()), "deferred": None}
    if state.type == "PENDING" and before is not None and before.due_at is not None:
        details["scheduled_time"] = as_json(before.due_at)
    return details


async def read_runs(
    connection: AsyncConnection, accounts: Iterable[Account]
) -> tuple[dict[UUID, Run], dict[str, Run]]:
    """Returns the runs that exist, by id and by key, locked until the transaction ends."""
    runs, states = database().FlowRun.__table__, database().FlowRunState.__table__
    ids = [one.run_id for one in accounts]
    keys = [one.wanted.key for one in accounts if one.wanted is not None]
    statement = (
        sa.select(runs, states.c.message.label("said"))
        .outerjoin(states, states.c.id == runs.c.state_id)
        .where(sa.or_(runs.c.id.in_(ids), runs.c.idempotency_key.in_(keys)))
        .with_for_update(of=runs)
    )
    by_id: dict[UUID, Run] = {}
    by_key: dict[str, Run] = {}
    for row in (await connection.execute(statement)).all():
        by_id[row.id] = run = _run(row)
        if row.idempotency_key is not None:
            by_key[row.idempotency_key] = run
    return by_id, by_key


def _run(row: Any) -> Run:
    state = None
    if row.state_id is not None:
        state = ToldState.model_construct(
            id=row.state_id,
            type=getattr(row.state_type, "value", row.state_type),
            name=row.state_name,
            message=row.said,
            at=row.state_timestamp,
            due_at=row.next_scheduled_start_time,
        )
    return Run(
        id=row.id,
        name=row.name,
        deployment_id=row.deployment_id,
        work_queue_id=row.work_queue_id,
        tags=row.tags,
        run_count=row.run_count,
        state=state,
        times={
            "expected_start_time": row.expected_start_time,
            "next_scheduled_start_time": row.next_scheduled_start_time,
            "start_time": row.start_time,
            "end_time": row.end_time,
            "total_run_time": row.total_run_time,
        },
    )


def new_run(account: Account, place: Place, queue: Any, now: datetime) -> Run:
    """Returns the run that an account wants, without a state."""
    wanted = account.wanted
    assert wanted is not None
    found, times = place.found, dict.fromkeys(_TIMES)
    times["total_run_time"] = timedelta(0)
    tags = sorted({*found.tags, *wanted.tags})
    row = {
        "id": account.run_id,
        "created": now,
        "updated": now,
        "name": wanted.name,
        "run_count": 0,
        **times,
        "flow_id": found.flow_id,
        "deployment_id": found.id,
        "deployment_version": found.version,
        "work_queue_name": queue.name,
        "work_queue_id": queue.id,
        "parameters": {**found.parameters, **wanted.parameters},
        "idempotency_key": wanted.key,
        "context": {},
        "job_variables": None,
        "tags": tags,
        "labels": {
            **(found.labels or {}),
            "prefect.flow.id": str(found.flow_id),
            "prefect.deployment.id": str(found.id),
            **wanted.labels,
        },
        "infrastructure_document_id": found.infrastructure_document_id,
        "auto_scheduled": False,
        **begun_columns(wanted),
    }
    return Run(account.run_id, wanted.name, found.id, queue.id, tags, 0, None, times, made=row)


def begun_columns(wanted: WantedRun) -> Row:
    """Returns what Prefect's flow engine says of a run when it begins."""
    return {"flow_version": wanted.flow_version, "empirical_policy": wanted.policy}


_TIMES: Final = (
    *("expected_start_time", "next_scheduled_start_time"),
    *("start_time", "end_time", "total_run_time"),
)
_KIND: Final = "__prefect_kind"
"""In parameters it asks Prefect to put something else in its place."""


def hinders(place: Place | None, wanted: WantedRun) -> str | None:
    """Returns why Prefect itself must make the run, None if nothing does."""
    if place is None:
        return "there is no such deployment, or it has no work pool"
    queue = place.queue(wanted.queue)
    if queue is None:
        return f"there is no work queue {wanted.queue}"
    if _says(place.found.parameters) or _says(wanted.parameters):
        return "a parameter is to be replaced"
    return place.held_back(queue)


def _says(parameters: Any) -> bool:
    if isinstance(parameters, dict):
        return _KIND in parameters or any(map(_says, parameters.values()))
    return isinstance(parameters, list) and any(map(_says, parameters))


def columns() -> set[str]:
    """Returns the columns of flow runs."""
    return set(lean_table("flow_run").c.keys())
