"""Rows of a generation, in the caller's transaction: lock, compare, change, publish.

Used by what writes generations (``transitions.py``, ``flow_runs.py``, ``queue.py``), and for the
items of a batch by ``store/batches/transitions.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Connection,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from core.ids import prompt_id
from core.instant import Instant
from core.problems import Problem
from core.requests import ResolvedRequest
from core.status import FINAL, FOLLOWERS, Status
from store.callbacks.events import forget_events, generation_event
from store.database import insert_into, insert_new_into, next_changes
from store.errors import DeletedError, FencedError, HeldError, NotFoundError
from store.generations import dispatches
from store.generations.dispatches import DispatchAction
from store.outbox import put
from store.search.index import unindex
from store.signals import signal
from store.tables import (
    artefacts,
    attempts,
    generations,
    idempotency_keys,
    previews,
    strays,
)
from store.values import Artefact, Claim, Holder, Preview

ACTIVE: Final[tuple[Status, ...]] = ("queued", "running", "cancelling")
PAUSED: Final = "paused"
"""Why a generation waits whose flow run an operator paused: no worker takes it."""
Stages = Sequence[Mapping[str, Any]] | None
"""What Prefect is to be told of an attempt's work; None: nothing."""

# Made once: SQLAlchemy takes longer to make a statement than to carry it out.
_BY_ID: Final = select(generations).where(generations.c.id == bindparam("id")).with_for_update()
HELD: Final = (
    generations.c.id == bindparam("id"),
    generations.c.attempt == bindparam("attempt"),
    generations.c.fence == bindparam("fence"),
    generations.c.deleted_at.is_(None),
)
"""Conditions that a row meets only while the claim of these parameters (``key_of``) holds it."""
_HELD: Final = select(generations).where(*HELD).with_for_update()
_ATTEMPT: Final = select(attempts).where(
    attempts.c.generation_id == bindparam("id"), attempts.c.number == bindparam("number")
)
_NO_STRAY: Final = delete(strays).where(
    strays.c.prompt_id == bindparam("prompt_id"), strays.c.comfy_url == bindparam("comfy_url")
)
_NO_PREVIEW: Final = delete(previews).where(previews.c.generation_id == bindparam("id"))


@cache
def _update(table: Table, key: tuple[str, ...], values: frozenset[str]) -> Update:
    """Returns the statement that sets these columns where the ``key`` columns are as given.

    Its parameters are ``key_`` and ``new_`` with the columns' names.
    """
    return (
        update(table)
        .where(*(table.c[name] == bindparam(f"key_{name}") for name in key))
        .values({name: bindparam(f"new_{name}") for name in values})
    )


def _set(
    connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Set these columns where the ``key`` columns are as given."""
    given = {f"key_{name}": value for name, value in key.items()}
    given.update((f"new_{name}", value) for name, value in values.items())
    connection.execute(_update(table, tuple(key), frozenset(values)), given)


def locked(connection: Connection, generation_id: UUID) -> RowMapping:
    """Returns the row, locked for this transaction. Raises NotFoundError, DeletedError."""
    row = connection.execute(_BY_ID, {"id": generation_id}).mappings().first()
    if row is None:
        raise NotFoundError(f"no generation {generation_id}")
    if row["deleted_at"] is not None:
        raise DeletedError(f"generation {generation_id} was deleted")
    return row


def hold(connection: Connection, claim: Claim) -> RowMapping:
    """Returns the row, locked, if the claim still holds it. Raises FencedError.

    Every write locks its row first and raises the change counter after: two writes that took
    them in different orders would deadlock on PostgreSQL.
    """
    row = connection.execute(_HELD, key_of(claim)).mappings().first()
    if row is None:
        raise FencedError(f"attempt {claim.attempt} is no longer held")
    return row


def key_of(claim: Claim) -> dict[str, Any]:
    """Returns a claim as the parameters of ``HELD``."""
    return {"id": claim.generation_id, "attempt": claim.attempt, "fence": claim.fence}


def free_attempt(connection: Connection, row: RowMapping, holder: Holder) -> RowMapping:
    """Returns the current attempt if ``holder`` may take it. Raises HeldError."""
    attempt = attempt_of(connection, row)
    if attempt["holder"] not in (None, holder.lease):
        raise HeldError(f"attempt {row['attempt']} is done by {attempt['worker']}")
    return attempt


def take(
    connection: Connection,
    row: RowMapping,
    attempt: RowMapping,
    request: ResolvedRequest,
    *,
    flow_run_id: UUID | None,
    holder: Holder,
) -> Claim:
    """Make ``holder`` the holder of the attempt, which must be free; the fence is raised."""
    submitted = attempt["submitted_at"] is not None
    if submitted and attempt["comfy_url"] not in (None, holder.comfy_url):
        # It continues on another ComfyUI. The former one drops the prompt when it is back.
        stray(connection, row["id"], row["attempt"])
        # Its intent stays written: what must not be posted twice is not, wherever it was posted.
        set_attempt(connection, row["id"], row["attempt"], comfy_url=holder.comfy_url)
    unwanted = {"prompt_id": attempt["prompt_id"], "comfy_url": holder.comfy_url}
    connection.execute(_NO_STRAY, unwanted)
    fence = row["fence"] + 1
    write(connection, row, fence=fence, flow_run_id=flow_run_id, waiting=None)
    set_attempt(
        connection,
        row["id"],
        row["attempt"],
        worker=holder.worker,
        holder=holder.lease,
        flow_run_id=flow_run_id,
    )
    return Claim(
        generation_id=row["id"],
        attempt=row["attempt"],
        fence=fence,
        prompt_id=attempt["prompt_id"],
        request=request,
        comfy_url=holder.comfy_url,
        submitted_before=submitted,
        flow_run_id=flow_run_id,
        deployment_id=attempt["deployment_id"],
        batch_id=row["batch_id"],
        created_at=row["created_at"],
        taken=Instant.now(),
    )


def attempt_of(connection: Connection, row: RowMapping) -> RowMapping:
    """Returns the current attempt of a generation's row."""
    key = {"id": row["id"], "number": row["attempt"]}
    return connection.execute(_ATTEMPT, key).mappings().one()


def let_go(connection: Connection, row: RowMapping, **values: Any) -> None:
    """Clear the attempt's holder and fence it out. The attempt waits again."""
    status: Status = "queued" if row["status"] == "running" else row["status"]
    now = {
        "status": status,
        "fence": row["fence"] + 1,
        "progress": None,
        "started_at": None,
        "waiting": None,
        **values,
    }
    write(connection, row, **now)
    set_attempt(connection, row["id"], row["attempt"], worker=None, holder=None)
    if status == "queued" and not is_paused(now["waiting"]):
        signal(connection, "queue")


def resume(connection: Connection, row: RowMapping) -> None:
    """Let a worker take what an operator paused."""
    write(connection, row, waiting=None)
    signal(connection, "queue")


def is_untold(attempt: RowMapping) -> bool:
    """Returns whether an attempt has something to tell Prefect, and has not been told."""
    return attempt["stages"] is not None and attempt["told_at"] is None


def is_paused(waiting: Any) -> bool:
    """Returns whether a generation waits, for this stored reason, until its run is resumed."""
    return isinstance(waiting, Mapping) and waiting.get("code") == PAUSED


def stray(connection: Connection, generation_id: UUID, number: int | None = None) -> None:
    """Record an attempt's prompt as stray: unwanted, but its ComfyUI may still have it.

    Without ``number`` the prompts of all attempts: ComfyUI keeps ended ones in its history.
    """
    statement = select(attempts.c.prompt_id, attempts.c.comfy_url).where(
        attempts.c.generation_id == generation_id,
        attempts.c.submitted_at.is_not(None),
        attempts.c.comfy_url.is_not(None),
    )
    if number is not None:
        statement = statement.where(attempts.c.number == number)
    found = connection.execute(statement)
    for row in found.mappings():
        connection.execute(
            insert_into(connection, strays)
            .values(**row, created_at=datetime.now(UTC))
            .on_conflict_do_nothing()
        )


def begin_attempt(connection: Connection, row: RowMapping, flow_run_id: UUID | None) -> RowMapping:
    """Begin the next attempt at the same request; the last one's holder is fenced out.

    It goes behind everything that waits.
    """
    number = row["attempt"] + 1
    change = next_changes(connection)
    signal(connection, "queue")
    _write(
        connection,
        row,
        change,
        status="queued",
        turn=change,
        attempt=number,
        fence=row["fence"] + 1,
        flow_run_id=flow_run_id,
        progress=None,
        waiting=None,
        error=None,
        started_at=None,
        finished_at=None,
    )
    connection.execute(
        insert(attempts).values(
            generation_id=row["id"],
            number=number,
            prompt_id=prompt_id(row["id"], number),
            flow_run_id=flow_run_id,
            created_at=datetime.now(UTC),
        )
    )
    return locked(connection, row["id"])


def move(connection: Connection, row: RowMapping, to: Status, **values: Any) -> bool:
    """The compare-and-set of a row that is held: only an allowed transition."""
    if row["status"] in FINAL or to not in FOLLOWERS[row["status"]]:
        return False  # only a retry, which is a new attempt, leaves a final status
    _change_status(connection, row, status=to, **values)
    return True


def _change_status(connection: Connection, row: RowMapping, **values: Any) -> None:
    """Write the new status, and the event of it for who wants to hear of it."""
    write(connection, row, **values)
    generation_event(connection, row, values)


def touch(connection: Connection, claim: Claim, **values: Any) -> Status:
    """Write without a transition. Returns the status. FencedError also when the attempt is over."""
    row = hold(connection, claim)
    status: Status = row["status"]
    if status in FINAL:
        raise FencedError(f"attempt {claim.attempt} is {status}")
    write(connection, row, **values)
    return status


def write(connection: Connection, row: RowMapping, **values: Any) -> None:
    """Change a locked row and publish that: ``sequence`` and ``change`` grow."""
    _write(connection, row, next_changes(connection), **values)


def _write(connection: Connection, row: RowMapping, change: int, **values: Any) -> None:
    published = {"sequence": row["sequence"] + 1, "change": change}
    _set(connection, generations, {"id": row["id"]}, {**published, **values})


def end_held(
    connection: Connection,
    claim: Claim,
    to: Status,
    problem: Problem | None,
    stages: Stages = None,
) -> bool:
    """End the attempt for its holder. Returns False when it has ended or has another holder."""
    try:
        row = hold(connection, claim)
    except FencedError:
        return False
    return end(connection, row, to, problem, stages)


def end(
    connection: Connection,
    row: RowMapping,
    to: Status,
    problem: Problem | None,
    stages: Stages,
    **values: Any,
) -> bool:
    """End the attempt of a row that is held. Returns False when it has ended."""
    now = datetime.now(UTC)
    error = problem.model_dump(mode="json", exclude_none=True) if problem else None
    moved = move(connection, row, to, error=error, waiting=None, finished_at=now, **values)
    if moved:
        close_attempt(connection, row["id"], row["attempt"], to, error, now, stages)
    return moved


def end_and_fence(
    connection: Connection, row: RowMapping, to: Status, problem: Problem | None
) -> None:
    """End a row without a holder, or whose holder must stop: the fence is raised."""
    now = datetime.now(UTC)
    error = problem.model_dump(mode="json", exclude_none=True) if problem else None
    stray(connection, row["id"], row["attempt"])
    _change_status(
        connection,
        row,
        status=to,
        fence=row["fence"] + 1,
        error=error,
        waiting=None,
        finished_at=now,
    )
    close_attempt(connection, row["id"], row["attempt"], to, error, now)


def bury(connection: Connection, row: RowMapping) -> None:
    """Make the row a tombstone: all of its content is removed, from ComfyUI's history too."""
    now = datetime.now(UTC)
    stray(connection, row["id"])
    write(
        connection,
        row,
        status=row["status"] if row["status"] in FINAL else "cancelled",
        fence=row["fence"] + 1,
        prompt=None,
        model=None,
        workflow=None,
        request=None,
        needs=None,
        callback=None,
        progress=None,
        waiting=None,
        error=None,
        finished_at=row["finished_at"] or now,
        deleted_at=now,
    )
    forget_events(connection, row["id"])
    unindex(connection, row["seq"])
    connection.execute(
        update(attempts)
        .where(attempts.c.generation_id == row["id"])
        .values(error=None, stages=None)
    )
    # The kept answer repeats the request.
    connection.execute(
        update(idempotency_keys)
        .where(idempotency_keys.c.generation_id == row["id"])
        .values(answer=None)
    )


def close_attempt(
    connection: Connection,
    generation_id: UUID,
    number: int,
    outcome: Status,
    error: dict[str, Any] | None,
    now: datetime,
    stages: Stages = None,
) -> None:
    """Record how an attempt ended and remove its live preview."""
    values: dict[str, Any] = {"outcome": outcome, "error": error, "ended_at": now}
    if stages is not None:
        values["stages"] = [dict(one) for one in stages]
    set_attempt(connection, generation_id, number, **values)
    connection.execute(_NO_PREVIEW, {"id": generation_id})


def set_attempt(connection: Connection, generation_id: UUID, number: int, **values: Any) -> None:
    """Update an attempt's row."""
    _set(connection, attempts, {"generation_id": generation_id, "number": number}, values)


def dispatch(connection: Connection, row: RowMapping, action: DispatchAction) -> None:
    """Write an entry for Prefect to the outbox."""
    entry = dispatches.dispatch(
        action, row["id"], row["attempt"], row["priority"], datetime.now(UTC)
    )
    put(connection, [entry])


def keep_artefact(connection: Connection, artefact: Artefact) -> None:
    """Insert an artefact's row, once: its id is derived from the attempt."""
    connection.execute(insert_new_into(connection, artefacts), asdict(artefact))


def keep_preview(connection: Connection, generation_id: UUID, preview: Preview) -> None:
    """Replace the live preview by the newest one."""
    values = asdict(preview)
    connection.execute(
        insert_into(connection, previews)
        .values(generation_id=generation_id, **values)
        .on_conflict_do_update(index_elements=["generation_id"], set_=values)
    )
