"""What ties a generation to its flow run: which one it is, and what becomes of either by the other.

Each change is a compare-and-set in one transaction, as in ``transitions.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from core.problems import Problem
from core.status import RETRYABLE, Status
from store.database import Database, notes, reads, writes
from store.errors import ConflictError, DeletedError, FencedError, NotFoundError
from store.generations import rows
from store.generations.dispatches import attempt_of, drop_start, is_pending
from store.generations.rows import ACTIVE
from store.outbox import remove
from store.tables import attempts, generations
from store.values import Claim, Entry, Standing, Waiting

Rejoined = Literal["joined", "waits", "over"]
"""What became of a flow run that came due: see ``FlowRunTransitions.rejoin``."""


@dataclass(frozen=True)
class Ended:
    """The generation of a flow run that came due has ended with this attempt, as Prefect knows."""

    attempt: int


class FlowRunTransitions:
    """Which flow run a generation has; what it does when that comes due, ends or is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @writes
    def rejoin(
        self,
        connection: Connection,
        generation_id: UUID,
        flow_run_id: UUID,
        attempt: int | None,
        *,
        rerun: bool,
    ) -> Rejoined | Ended:
        """A flow run came due in Prefect: an operator retried or resumed it, or made it.

        ``attempt`` and ``rerun`` are as for ``Transitions.claim``, which this is without the claim.
        "joined": its generation was put back into the queue for it, after a pause. "waits": it is
        in the queue or being done already; the run is recorded if the attempt has none. "over": the
        run has nothing more to do. Ended: it is an operator's retry, if it is due still (see
        ``begin_again``). Raises NotFoundError, DeletedError.
        """
        row = rows.locked(connection, generation_id)
        try:
            if is_retried(connection, row, flow_run_id, attempt, rerun=rerun):
                return Ended(row["attempt"])
        except ConflictError:
            return "over"
        if row["status"] != "queued":
            return "waits"
        if rows.is_paused(row["waiting"]):
            rows.resume(connection, row)
            return "joined"
        if row["flow_run_id"] is None:
            rows.write(connection, row, flow_run_id=flow_run_id)
            rows.set_attempt(connection, generation_id, row["attempt"], flow_run_id=flow_run_id)
        return "waits"

    @writes
    def begin_again(
        self, connection: Connection, generation_id: UUID, flow_run_id: UUID, ended: Ended
    ) -> bool:
        """Put the generation into the queue as a new attempt: an operator retried its flow run.

        Returns False when anything happened since ``rejoin`` returned ``ended``.
        Raises NotFoundError, DeletedError.
        """
        row = rows.locked(connection, generation_id)
        is_the_same = row["attempt"] == ended.attempt and row["flow_run_id"] == flow_run_id
        if not is_the_same or row["status"] not in RETRYABLE:
            return False
        rows.begin_attempt(connection, row, flow_run_id)
        return True

    @writes
    def record_run(
        self,
        connection: Connection,
        generation_id: UUID,
        attempt: int,
        flow_run_id: UUID,
        deployment_id: UUID | None,
    ) -> bool:
        """Record the flow run that a worker made for an attempt, which needs no dispatch then.

        A repeated call changes nothing more. Returns False when the generation was deleted
        meanwhile: the run may have been made after the others were deleted, so that is done again.
        Raises NotFoundError.
        """
        found = connection.execute(
            select(generations).where(generations.c.id == generation_id).with_for_update()
        )
        row = found.mappings().first()
        if row is None:
            raise NotFoundError(f"no generation {generation_id}")
        drop_start(connection, generation_id, attempt)
        run = {"flow_run_id": flow_run_id, "deployment_id": deployment_id}
        rows.set_attempt(connection, generation_id, attempt, **run)
        if row["deleted_at"] is not None:
            rows.dispatch(connection, row, "forget")
            return False
        if row["attempt"] == attempt and row["flow_run_id"] != flow_run_id:
            rows.write(connection, row, flow_run_id=flow_run_id)
        return True

    @writes
    def record_flow_run(
        self,
        connection: Connection,
        entry: Entry,
        flow_run_id: UUID,
        deployment_id: UUID | None = None,
    ) -> bool:
        """Record the flow run of a dispatch's attempt, which completes the dispatch.

        No-op when the attempt is over. Returns False when the caller has lost the dispatch: the
        runner that took it over records the run. Only when the generation was deleted meanwhile
        may this run have been made after the others were deleted; then it is to be deleted too.
        """
        attempt = attempt_of(entry)
        is_ours = remove(connection, entry)
        found = connection.execute(
            select(generations).where(generations.c.id == entry.subject).with_for_update()
        )
        row = found.mappings().first()
        if not is_ours:
            if row is not None and row["deleted_at"] is not None:
                rows.dispatch(connection, row, "forget")
            return False
        if row is not None and row["attempt"] == attempt:
            rows.write(connection, row, flow_run_id=flow_run_id)
        rows.set_attempt(
            connection,
            entry.subject,
            attempt,
            flow_run_id=flow_run_id,
            deployment_id=deployment_id,
        )
        return True

    @writes
    def dispatch_again(
        self, connection: Connection, generation_id: UUID, attempt: int, fence: int
    ) -> bool:
        """Request a new flow run for the attempt: Prefect lost the former one.

        Returns False when anything changed since ``fence`` was read, or a dispatch is pending.
        """
        try:
            row = rows.locked(connection, generation_id)
        except DeletedError:
            return False
        if row["attempt"] != attempt or row["fence"] != fence:
            return False
        if row["status"] not in ("queued", "running"):
            return False
        if is_pending(connection, row, "start"):
            return False
        rows.let_go(connection, row, flow_run_id=None)
        rows.set_attempt(connection, generation_id, attempt, flow_run_id=None)
        rows.dispatch(connection, row, "start")
        return True

    @notes
    def told(self, connection: Connection, generation_id: UUID, attempt: int) -> None:
        """Prefect was told of the attempt's work: its stages are no longer ``Queue.untold``."""
        rows.set_attempt(connection, generation_id, attempt, told_at=datetime.now(UTC))

    @reads
    def standing(
        self, connection: Connection, claim: Claim, flow_run_id: UUID | None = None
    ) -> Standing:
        """Returns what is still wanted, which a fenced-out worker must not touch."""
        columns = (generations.c.attempt, generations.c.status, generations.c.flow_run_id)
        statement = select(*columns).where(
            generations.c.id == claim.generation_id, generations.c.deleted_at.is_(None)
        )
        row = (connection.execute(statement)).mappings().first()
        wanted = row is not None and row["status"] in (*ACTIVE, "succeeded")
        return Standing(
            prompt_wanted=wanted and row is not None and row["attempt"] == claim.attempt,
            run_wanted=wanted and row is not None and row["flow_run_id"] == flow_run_id,
        )

    @writes
    def settle(
        self,
        connection: Connection,
        generation_id: UUID,
        flow_run_id: UUID | None,
        to: Status,
        problem: Problem | None,
        *,
        fence: int | None = None,
    ) -> bool:
        """End a generation whose flow run ended without reporting (an operator, a crash).

        Returns False when it has ended, was deleted, or has another run now; with ``fence``, also
        when anything changed since that was read. Raises the fence, so that a worker still working
        on it stops.
        """
        row = _active(connection, generation_id, flow_run_id)
        if row is None or fence not in (None, row["fence"]):
            return False
        rows.end_and_fence(connection, row, to, problem)
        return True

    @writes
    def let_go(
        self,
        connection: Connection,
        generation_id: UUID,
        flow_run_id: UUID | None,
        fence: int,
        waiting: Waiting | None = None,
    ) -> bool:
        """Release the attempt from a holder that is dead (or whose run was paused).

        ``flow_run_id`` None: the attempt has no flow run yet.
        Returns False when anything changed since ``fence`` was read: then a worker is alive.
        """
        row = _active(connection, generation_id, flow_run_id)
        if row is None or row["fence"] != fence:
            return False
        rows.let_go(connection, row, waiting=asdict(waiting) if waiting else None)
        return True

    @writes
    def give_back(self, connection: Connection, flow_run_id: UUID, lease: UUID) -> bool:
        """Release what that run still holds under that lease. Returns whether there was anything.

        For a worker at the end of each run: nothing may stay held without being worked on.
        """
        found = connection.execute(
            select(generations)
            .join(
                attempts,
                (attempts.c.generation_id == generations.c.id)
                & (attempts.c.number == generations.c.attempt),
            )
            .where(
                generations.c.flow_run_id == flow_run_id,
                generations.c.status.in_(ACTIVE),
                generations.c.deleted_at.is_(None),
                attempts.c.holder == lease,
            )
            .with_for_update()
        )
        row = found.mappings().first()
        if row is not None:
            rows.let_go(connection, row)
        return row is not None


def is_retried(
    connection: Connection,
    row: RowMapping,
    flow_run_id: UUID,
    attempt: int | None,
    *,
    rerun: bool,
) -> bool:
    """Returns whether a flow run is to have a new attempt done; False: the row's own.

    Raises ConflictError when there is nothing to do for it, FencedError when its attempt is over.
    """
    if row["flow_run_id"] != flow_run_id and attempt not in (None, row["attempt"]):
        raise FencedError(f"attempt {attempt} is over; now it is {row['attempt']}")
    if row["status"] in ("succeeded", "cancelling"):
        raise ConflictError(f"the generation is {row['status']}")
    if row["status"] not in RETRYABLE:
        return False
    if not rerun or row["flow_run_id"] != flow_run_id:
        raise ConflictError(f"the generation is {row['status']}")
    if is_pending(connection, row, "cancel"):
        raise ConflictError("it was cancelled; its run does not know yet")
    # The worker that tells of it puts the run back first: that is no operator's retry.
    if rows.is_untold(rows.attempt_of(connection, row)):
        raise ConflictError(f"the generation is {row['status']}; its run does not know yet")
    return True


def _active(
    connection: Connection, generation_id: UUID, flow_run_id: UUID | None
) -> RowMapping | None:
    """Returns the row, locked, if that run (None: no run yet) has yet to end it."""
    found = connection.execute(
        select(generations)
        .where(
            generations.c.id == generation_id,
            generations.c.flow_run_id == flow_run_id,
            generations.c.status.in_(ACTIVE),
            generations.c.deleted_at.is_(None),
        )
        .with_for_update()
    )
    return found.mappings().first()
