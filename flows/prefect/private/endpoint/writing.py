"""Accounts written into Prefect's database: as one transaction, or each by itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from prefect.server.logs import messaging as logs
from prefect.server.schemas.core import Log
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.prefect.accounts import Account, Answer, ToldLine, ToldState, ToldTask
from flows.prefect.private.endpoint import events
from flows.prefect.private.endpoint.events import Happened, Involved
from flows.prefect.private.endpoint.places import Place, read_places
from flows.prefect.private.endpoint.runs import (
    Run,
    begun_columns,
    details_of,
    hinders,
    new_run,
    read_runs,
    state_row,
)
from flows.prefect.private.endpoint.tables import Row, Rows, database, write

_log = logging.getLogger(__name__)
_IDS_AT_ONCE: Final = 10_000
"""SQLite and PostgreSQL take about 32,000 values in a statement."""
_FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass
class _Outcome:
    """What became of accounts: the answers, and what is to be told of when it is committed."""

    now: datetime
    answers: list[Answer] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    happened: list[Happened] = field(default_factory=list)


async def write_accounts(accounts: Sequence[Account]) -> list[Answer]:
    """Write them, and tell who listens. Returns an answer to each, in their order.

    One that cannot be written does not hold up the others. Raises what the database raises when
    it is away, or busy for too long.
    """
    try:
        outcome = await _written_together(accounts)
    except Exception as error:
        if await _is_away(error):
            raise
        _log.info("%d accounts cannot be written together: %r", len(accounts), error)
        return [answer for one in accounts for answer in await _alone(one)]
    await _tell(outcome)
    return outcome.answers


async def _alone(account: Account) -> list[Answer]:
    # Prefect's client repeats a request by itself, without the worker's knowing of it.
    account = account.model_copy(update={"is_repeated": True})
    try:
        outcome = await _written_together([account])
    except Exception as error:
        if await _is_away(error):
            raise
        _log.exception("an account cannot be written")  # its worker has another way
        return [Answer(run_id=account.run_id, verdict="refused", why=repr(error)[:300])]
    await _tell(outcome)
    return outcome.answers


async def _is_away(error: Exception) -> bool:
    """Returns whether the database is away or busy: then no account is to blame for the error.

    It is asked, for the error does not tell: with PostgreSQL a lost connection may be any error of
    the driver, or of the operating system, and a value that it cannot encode an InterfaceError.
    """
    if isinstance(error, sa.exc.OperationalError):
        return True
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    try:
        async with database().session_context() as session:
            await session.execute(sa.text("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever it is
        return True
    return False


async def _tell(outcome: _Outcome) -> None:
    """Tell who listens. They may miss it, but what is written stays written."""
    try:
        await events.tell(outcome.happened, outcome.now)
        await logs.publish_logs([Log.model_validate(row) for row in outcome.rows.log])
    except Exception:  # noqa: BLE001 - a second try would find it written, and refuse it
        _log.exception("accounts were written, and their listeners were not told")


async def _written_together(accounts: Sequence[Account]) -> _Outcome:
    now = datetime.now(UTC)
    outcome = _Outcome(now)
    async with database().session_context(begin_transaction=True) as session:
        connection = await session.connection()
        await _Transaction(connection, now).read(accounts, outcome)
        rows = outcome.rows
        for one in outcome.happened:
            rows.events.append(one.row(now))
            rows.event_resources.extend(one.resource_rows(now))
        await write(connection, rows)
    return outcome


class _Transaction:
    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._places: dict[UUID, Place] = {}
        self._known: set[UUID] = set()

    async def read(self, accounts: Sequence[Account], outcome: _Outcome) -> None:
        """Work out what is to be written of each."""
        by_id, by_key = await read_runs(self._connection, accounts)
        wanted = {one.wanted.deployment_id for one in accounts if one.wanted is not None}
        of_runs = {run.deployment_id for run in by_id.values() if run.deployment_id is not None}
        self._places = await read_places(self._connection, wanted | of_runs)
        self._known = await self._told_before([one for one in accounts if one.is_repeated])
        for account in accounts:
            run = by_id.get(account.run_id)
            if run is None and account.wanted is not None:
                run = by_key.get(account.wanted.key)
            answer, run = self._judge(account, run, outcome)
            outcome.answers.append(answer)
            if run is not None:  # another account of it may follow
                by_id[run.id] = run

    async def _told_before(self, repeated: Sequence[Account]) -> set[UUID]:
        ids = [one for account in repeated for one in _ids_of(account)]
        found: set[UUID] = set()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE]
            for table in (database().Event.__table__, database().Log.__table__):
                statement = sa.select(table.c.id).where(table.c.id.in_(some))
                found.update((await self._connection.scalars(statement)).all())
        return found

    def _judge(
        self, account: Account, run: Run | None, outcome: _Outcome
    ) -> tuple[Answer, Run | None]:
        wanted = account.wanted
        if wanted is not None and (run is None or not run.has_begun_by(account)):
            place = self._places.get(wanted.deployment_id)
            why = hinders(place, wanted)
            if why is not None:
                return Answer(run_id=account.run_id, verdict="refused", why=why), run
            if run is None and not wanted.is_made:
                assert place is not None
                run = new_run(account, place, place.queue(wanted.queue), self._now)
        if run is None:
            return Answer(run_id=account.run_id, verdict="gone"), None
        states = run.accepts(account, self._now)
        if states is None and wanted is not None:
            return Answer(run_id=run.id, verdict="refused", why=_is_in(run)), run
        said = _is_in(run)
        self._write(account, run, states or (), outcome)
        if states is None:
            return Answer(run_id=run.id, verdict="refused", why=said), run
        return Answer(run_id=run.id, verdict="written"), run

    def _write(
        self, account: Account, run: Run, states: Sequence[ToldState], outcome: _Outcome
    ) -> None:
        rows, now = outcome.rows, self._now
        involved = self._involved(run)
        happened: list[Happened] = []
        for state in states:
            before = run.state
            entered = run.enter(state)
            details = details_of(run, before, entered)
            rows.flow_run_state.append(state_row("flow_run_id", run.id, entered, now, **details))
            happened.append(events.of_flow_run(run, before, entered, involved))
        if run.made is not None:
            rows.flow_run.append(run.made)
            run.made = None
        elif account.wanted is not None:
            run.changes |= begun_columns(account.wanted)
        if run.changes:
            rows.run_changes.append({"id_": run.id, "updated": now, **run.changes})
        for task in account.tasks:
            happened += self._write_task(run, task, involved, rows)
        lines = [one for one in account.lines if one.id not in self._known]
        rows.log += [_line_row(run, one, now) for one in lines]
        for artifact in account.artifacts:
            rows.artifact.append(_artifact_row(run, artifact, now))
            happened.append(events.of_artifact(artifact, now, involved))
        happened += [events.of_beat(run, one, involved) for one in account.beats]
        outcome.happened += [one for one in happened if one.id not in self._known]

    def _involved(self, run: Run) -> Involved:
        place = self._places.get(run.deployment_id) if run.deployment_id is not None else None
        if place is None:
            return Involved([], [], [])
        return Involved.of(run, place.found, place.queue(queue_id=run.work_queue_id))

    def _write_task(
        self, run: Run, task: ToldTask, involved: Involved, rows: Rows
    ) -> list[Happened]:
        row = _task_row(run, task, self._now)
        happened: list[Happened] = []
        before: ToldState | None = None
        for number, state in enumerate(task.states):
            _enter(row, before, state)
            if number >= task.known:
                of = {"flow_run_id": str(run.id), "task_run_id": str(task.id)}
                rows.task_run_state.append(
                    state_row("task_run_id", task.id, _with_words(state), self._now, **of)
                )
                happened.append(events.of_task_run(task, row, before, state, involved))
            before = state
        rows.task_run.append(row)
        return happened


def _is_in(run: Run) -> str:
    return f"the run is {run.state.name}" if run.state is not None else ""


def _ids_of(account: Account) -> list[UUID]:
    return [
        *(one.id for one in account.states),
        *(state.id for task in account.tasks for state in task.states),
        *(one.id for one in account.lines),
        *(one.event_id for one in account.artifacts),
        *(one.id for one in account.beats),
    ]


def _with_words(state: ToldState) -> ToldState:
    """Prefect makes task runs of events, in which a state without a message has an empty one."""
    return state if state.message is not None else state.model_copy(update={"message": ""})


def _task_row(run: Run, task: ToldTask, now: datetime) -> Row:
    return {
        "id": task.id,
        "created": now,
        "updated": now,
        "name": task.name,
        "run_count": 0,
        "expected_start_time": task.expected_at,
        "start_time": None,
        "end_time": None,
        "total_run_time": timedelta(0),
        "task_key": task.task_key,
        "dynamic_key": task.dynamic_key,
        "empirical_policy": task.policy,
        "task_inputs": {name: [] for name in task.inputs},
        "tags": [],
        "labels": {},
        "flow_run_id": run.id,
        "flow_run_run_count": task.flow_run_count,
    }


def _enter(row: Row, before: ToldState | None, state: ToldState) -> None:
    """Enter a state as Prefect's task engine does it."""
    if before is not None and before.type == "RUNNING":
        row["total_run_time"] += state.at - before.at
    if state.type == "RUNNING":
        row["run_count"] += 1
        row["start_time"] = row["start_time"] or state.at
    if state.type in _FINAL:
        row["end_time"] = state.at
    row |= {
        "state_id": state.id,
        "state_type": state.type,
        "state_name": state.name,
        "state_timestamp": state.at,
    }


def _line_row(run: Run, line: ToldLine, now: datetime) -> Row:
    of = "prefect.flow_runs" if line.task_run_id is None else "prefect.task_runs"
    return {
        "id": line.id,
        "created": now,
        "updated": now,
        "name": of,
        "level": line.level,
        "flow_run_id": run.id,
        "task_run_id": line.task_run_id,
        "message": line.text,
        "timestamp": line.at,
    }


def _artifact_row(run: Run, artifact: Any, now: datetime) -> Row:
    return {
        "id": artifact.id,
        "created": now,
        "updated": now,
        "type": artifact.type,
        "data": artifact.data,
        "description": artifact.description,
        "metadata_": None,
        "flow_run_id": run.id,
    }
