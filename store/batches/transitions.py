"""Every change of a batch: one transaction each, compared before it is written.

A batch is first written item by item, hidden from readers, and then accepted as a whole. From then
on its flow run releases items in order: a released item is a generation like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from core.batches.grid import Grid
from core.batches.request import BatchOptions
from core.callbacks.callback import Callback, read_callback
from core.ids import item_id
from core.problems import FieldProblem, Problem
from core.requests import read_request
from core.status import BATCH_ACTIVE, RETRYABLE, BatchStatus
from store.batches.dispatches import forget_batch
from store.batches.queries import ACCEPTING
from store.callbacks.events import batch_event, forget_events
from store.database import Database, next_changes, writes
from store.errors import ConflictError, NotFoundError
from store.generations import rows
from store.generations.acceptance import IdempotencyKey
from store.generations.inserts import insert_dispatches, insert_generations, stored_callback
from store.outbox import put
from store.signals import signal
from store.tables import batch_items, batches, generations
from store.uploads.references import confirm, refer
from store.values import Batch, NewGeneration, NewItem, Waiting

ACCEPTED_WITHIN: Final = timedelta(minutes=2)
"""An acceptance older than this is abandoned: the process that ran it has died."""
SKIPPED_KEPT: Final = 1000
"""How many of the skipped rows are kept with the batch."""
PAUSED: Final = "paused"
"""Why a batch that a client paused waits."""
PAUSED_IN_PREFECT: Final = "paused_in_prefect"
"""Why a batch whose flow run an operator paused waits."""


class BatchTransitions:
    """The one writer of batches. All raise StoreUnavailableError."""

    def __init__(self, database: Database, start_delay_s: float = 0.0) -> None:
        self._database = database
        self._start_delay_s = start_delay_s

    # --- acceptance

    async def begin(
        self,
        batch_id: UUID,
        name: str,
        options: BatchOptions,
        seed: int,
        *,
        grid: Grid | None = None,
        key: IdempotencyKey | None = None,
        flow_run_id: UUID | None = None,
        schedule: str | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Create a batch whose items come next. It is hidden from readers until it is accepted.

        Raises ConflictError when the same batch, or one with the same key, already exists.
        """
        values = {
            "id": batch_id,
            "status": ACCEPTING,
            "name": name,
            "options": options.model_dump(mode="json"),
            "grid": grid.model_dump(mode="json") if grid is not None else None,
            "seed": seed,
            "total": 0,
            "cost": 0.0,
            "released": 0,
            "to_retry": 0,
            "run_number": 1,
            "flow_run_id": flow_run_id,
            "schedule": schedule,
            "callback": stored_callback(callback),
            "idempotency_key": key.key if key is not None else None,
            "body_sha256": key.body_sha256 if key is not None else None,
            "created_at": datetime.now(UTC),
        }
        try:
            await self._begin(values)
        except IntegrityError as error:
            raise ConflictError("a batch with this key is being created; try again") from error

    @writes
    def _begin(self, connection: Connection, values: dict[str, Any]) -> None:
        if values["idempotency_key"] is not None:  # a create that died must not hold it for long
            connection.execute(
                delete(batches).where(
                    batches.c.idempotency_key == values["idempotency_key"],
                    batches.c.status == ACCEPTING,
                    batches.c.created_at < datetime.now(UTC) - ACCEPTED_WITHIN,
                )
            )
        connection.execute(insert(batches).values(**values))

    @writes
    def add(self, connection: Connection, batch_id: UUID, items: Sequence[NewItem]) -> None:
        """Write some of the items.

        Raises NotFoundError when the batch was discarded, FilesGoneError.
        """
        _accepting(connection, batch_id)
        _write(connection, batch_id, created_at=datetime.now(UTC))  # still alive
        if items:
            values = [_item_values(batch_id, item) for item in items]
            connection.execute(insert(batch_items), values)
            confirm(connection, [each["request"] for each in values])
            refer(connection, [(batch_id, each["request"]) for each in values])

    @writes
    def accept(
        self,
        connection: Connection,
        batch_id: UUID,
        total: int,
        cost: float,
        skipped: Sequence[FieldProblem] = (),
    ) -> Batch:
        """All items are written: make the batch visible and have it run.

        ``skipped`` are rows that were left out; the first ``SKIPPED_KEPT`` are kept for later
        answers. Raises NotFoundError when it was discarded.
        """
        _accepting(connection, batch_id)
        signal(connection, "batches")
        seq = next_changes(connection)
        left_out = [_left_out(one) for one in skipped[:SKIPPED_KEPT]] or None
        values = {"status": "queued", "total": total, "cost": cost, "skipped": left_out}
        _write(connection, batch_id, seq=seq, **values)
        return Batch.from_row(_locked(connection, batch_id))

    async def discard(self, batch_id: UUID) -> None:
        """Remove a batch that is not to be accepted after all. No-op when there is none."""
        await self._discard(batches.c.id == batch_id)

    async def discard_stale(self, begun_before: datetime) -> int:
        """Remove batches that a crash left half accepted. Returns how many."""
        return await self._discard(batches.c.created_at < begun_before)

    @writes
    def _discard(self, connection: Connection, which: Any) -> int:
        gone = connection.execute(delete(batches).where(which, batches.c.status == ACCEPTING))
        return gone.rowcount

    # --- the flow run's side

    @writes
    def record_flow_run(
        self,
        connection: Connection,
        batch_id: UUID,
        run_number: int,
        flow_run_id: UUID,
        deployment_id: UUID | None,
    ) -> None:
        """Record the batch's flow run. No-op when a later one was begun since."""
        connection.execute(
            update(batches)
            .where(
                batches.c.id == batch_id,
                batches.c.run_number == run_number,
                batches.c.flow_run_id.is_(None),
            )
            .values(flow_run_id=flow_run_id, deployment_id=deployment_id)
        )

    @writes
    def start(
        self,
        connection: Connection,
        batch_id: UUID,
        *,
        flow_run_id: UUID,
        deployment_id: UUID | None,
        holder: UUID,
        window_ends_at: datetime | None,
        rerun: bool = False,
    ) -> Batch:
        """A flow run takes the batch over; ``holder`` is the lease that shows it is alive.

        ``rerun``: the run has run before. When it comes back for a batch that it ended without
        success (Prefect's own Retry), failed items are made again.

        Raises NotFoundError; ConflictError when it has ended, is being cancelled, or another run
        has it.
        """
        row = _locked(connection, batch_id)
        if row["flow_run_id"] not in (None, flow_run_id):
            raise ConflictError("another flow run does this batch")
        if row["status"] in ("failed", "cancelled") and rerun:
            _retry(connection, row)
            row = _locked(connection, batch_id)
        if row["status"] not in ("queued", "running", "paused"):
            raise ConflictError(f"the batch is {row['status']}")
        values: dict[str, Any] = {
            "flow_run_id": flow_run_id,
            "deployment_id": deployment_id,
            "holder": holder,
            "started_at": row["started_at"] or datetime.now(UTC),
            "window_ends_at": row["window_ends_at"] or window_ends_at,
        }
        by_operator = (row["waiting"] or {}).get("code") == PAUSED_IN_PREFECT
        if row["status"] != "paused" or by_operator:
            values.update(status="running", waiting=None)
        _write(connection, batch_id, **values)
        if "status" in values:
            batch_event(connection, row, values)
        return Batch.from_row(_locked(connection, batch_id))

    @writes
    def release(self, connection: Connection, batch_id: UUID, most: int) -> int:
        """Turn up to ``most`` of its next items into generations to start. Returns how many.

        First those never begun, in order, then those to be retried. Returns 0 unless the batch
        is running. However often and from wherever it is called, an item is made once.
        """
        row = _locked(connection, batch_id)
        if row["status"] != "running":
            return 0
        fresh = _fresh_items(connection, row, most)
        again = _items_to_retry(connection, row, most - len(fresh))
        # Every row is locked before the change counter is raised, as everywhere.
        unmade = [_unmade(connection, item["generation_id"]) for item in again]
        _release_fresh(connection, row, fresh, self._start_delay_s)
        return len(fresh) + _begin_again(connection, row, again, unmade)

    @writes
    def finish(
        self,
        connection: Connection,
        batch_id: UUID,
        to: BatchStatus,
        problem: Problem | None = None,
    ) -> bool:
        """End the batch. Returns False when it had ended already."""
        row = _locked(connection, batch_id)
        if row["status"] not in BATCH_ACTIVE:
            return False
        values = {
            "status": to,
            "error": problem.model_dump(mode="json", exclude_none=True) if problem else None,
            "waiting": None,
            "holder": None,
            "finished_at": datetime.now(UTC),
        }
        _write(connection, batch_id, **values)
        batch_event(connection, row, values)
        return True

    @writes
    def let_go(self, connection: Connection, batch_id: UUID, holder: UUID | None) -> bool:
        """Clear the holder. Returns False if another run or holder has taken over."""
        done = connection.execute(
            update(batches)
            .where(batches.c.id == batch_id, batches.c.holder == holder)
            .values(holder=None)
        )
        return done.rowcount == 1

    # --- the clients' and operators' side

    @writes
    def pause(self, connection: Connection, batch_id: UUID, waiting: Waiting) -> Batch:
        """Release nothing more for now; released generations continue.

        No-op when it is paused. Raises NotFoundError, ConflictError (ended, being cancelled).
        """
        row = _locked(connection, batch_id)
        if row["status"] not in ("queued", "running", "paused"):
            raise ConflictError(f"the batch is {row['status']}")
        if row["status"] != "paused":
            _write(connection, batch_id, status="paused", waiting=asdict(waiting))
        return Batch.from_row(_locked(connection, batch_id))

    @writes
    def resume(
        self, connection: Connection, batch_id: UUID, window_ends_at: datetime | None
    ) -> Batch:
        """Resume releasing, until ``window_ends_at`` if there is one. No-op when it is not paused.

        Raises NotFoundError, ConflictError (ended, being cancelled).
        """
        row = _locked(connection, batch_id)
        if row["status"] not in ("queued", "running", "paused"):
            raise ConflictError(f"the batch is {row['status']}")
        if row["status"] == "paused":
            status: BatchStatus = "running" if row["started_at"] else "queued"
            values = {"status": status, "waiting": None, "window_ends_at": window_ends_at}
            _write(connection, batch_id, **values)
            batch_event(connection, row, values)
        return Batch.from_row(_locked(connection, batch_id))

    @writes
    def request_cancel(self, connection: Connection, batch_id: UUID) -> Batch:
        """Request its cancellation: no further releases, and its generations are cancelled singly.

        No-op while it is being cancelled. Raises NotFoundError, ConflictError (it has ended).
        """
        row = _locked(connection, batch_id)
        if row["status"] not in BATCH_ACTIVE:
            raise ConflictError(f"the batch is {row['status']}")
        if row["status"] != "cancelling":
            _write(connection, batch_id, status="cancelling", waiting=None)
        return Batch.from_row(_locked(connection, batch_id))

    @writes
    def retry(self, connection: Connection, batch_id: UUID) -> Batch:
        """Make the failed, cancelled and never begun items in a new flow run.

        Raises NotFoundError; ConflictError unless it ended as failed or cancelled.
        """
        row = _locked(connection, batch_id)
        if row["status"] not in ("failed", "cancelled"):
            raise ConflictError(f"the batch is {row['status']}")
        _retry(connection, row)
        _begin_run(connection, row)
        return Batch.from_row(_locked(connection, batch_id))

    @writes
    def lose_run(self, connection: Connection, batch_id: UUID, run_number: int) -> bool:
        """Prefect has lost its flow run: request a new one. Returns False when that was done."""
        row = _locked(connection, batch_id)
        if row["run_number"] != run_number or row["status"] not in BATCH_ACTIVE:
            return False
        _write(connection, batch_id, flow_run_id=None, holder=None)
        return True

    @writes
    def remove(self, connection: Connection, batch_id: UUID) -> None:
        """Remove a batch with its items and flow runs; its generations stay. For retention."""
        found = connection.execute(
            delete(batches).where(batches.c.id == batch_id).returning(batches)
        )
        put(connection, [forget_batch(row) for row in found.mappings()])
        forget_events(connection, batch_id)


def _left_out(found: FieldProblem) -> dict[str, Any]:
    """Returns a skipped row as later answers show it."""
    return {
        "row": found.row,
        "column": found.column,
        "code": found.code,
        "message": found.message,
    }


def _item_values(batch_id: UUID, item: NewItem) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "position": item.position,
        "turn": item.turn,
        "row": item.row,
        "combination": item.combination,
        "generation_id": item_id(batch_id, item.position),
        "request": item.request.stored(),
        "callback": stored_callback(item.callback),
        "again": False,
    }


def _locked(connection: Connection, batch_id: UUID) -> RowMapping:
    found = connection.execute(
        select(batches)
        .where(batches.c.id == batch_id, batches.c.status != ACCEPTING)
        .with_for_update()
    )
    row = found.mappings().first()
    if row is None:
        raise NotFoundError(f"no batch {batch_id}")
    return row


def _accepting(connection: Connection, batch_id: UUID) -> None:
    found = connection.execute(
        select(batches.c.id)
        .where(batches.c.id == batch_id, batches.c.status == ACCEPTING)
        .with_for_update()
    )
    if found.first() is None:
        raise NotFoundError(f"batch {batch_id} is not being accepted")


def _write(connection: Connection, batch_id: UUID, **values: Any) -> None:
    connection.execute(update(batches).where(batches.c.id == batch_id).values(**values))


def _fresh_items(connection: Connection, row: RowMapping, most: int) -> Sequence[RowMapping]:
    found = connection.execute(
        select(batch_items)
        .where(batch_items.c.batch_id == row["id"], batch_items.c.turn >= row["released"])
        .order_by(batch_items.c.turn)
        .limit(most)
    )
    return found.mappings().all()


def _release_fresh(
    connection: Connection, row: RowMapping, items: Sequence[RowMapping], start_delay_s: float
) -> None:
    if not items:
        return
    new = [
        NewGeneration(
            item["generation_id"],
            read_request(item["request"]),
            read_callback(item["callback"]),
        )
        for item in items
    ]
    made = insert_generations(connection, new, batch_id=row["id"])
    insert_dispatches(connection, made, delay_s=start_delay_s)
    released = items[-1]["turn"] + 1
    connection.execute(
        update(batch_items)
        .where(
            batch_items.c.batch_id == row["id"],
            batch_items.c.turn >= row["released"],
            batch_items.c.turn < released,
        )
        .values(request=None, callback=None)
    )
    _write(connection, row["id"], released=released)


def _items_to_retry(connection: Connection, row: RowMapping, most: int) -> Sequence[RowMapping]:
    if row["to_retry"] == 0 or most <= 0:
        return []
    found = connection.execute(
        select(batch_items)
        .where(batch_items.c.batch_id == row["id"], batch_items.c.again.is_(True))
        .order_by(batch_items.c.position)
        .limit(most)
    )
    return found.mappings().all()


def _unmade(connection: Connection, generation_id: UUID) -> RowMapping | None:
    """Returns the row, locked, unless a client has retried or deleted it meanwhile."""
    try:
        row = rows.locked(connection, generation_id)
    except NotFoundError:
        return None
    return row if row["status"] in RETRYABLE else None


def _begin_again(
    connection: Connection,
    row: RowMapping,
    items: Sequence[RowMapping],
    unmade: Sequence[RowMapping | None],
) -> int:
    """Begin new attempts at the items whose rows are in ``unmade``. Returns how many."""
    if row["to_retry"] == 0:
        return 0
    for generation in filter(None, unmade):
        begun = rows.begin_attempt(connection, generation, None)
        rows.dispatch(connection, begun, "start")
    for item in items:
        connection.execute(
            update(batch_items)
            .where(batch_items.c.batch_id == row["id"], batch_items.c.position == item["position"])
            .values(again=False)
        )
    if items:
        left = max(0, row["to_retry"] - len(items))
        _write(connection, row["id"], to_retry=left)
    return sum(generation is not None for generation in unmade)


def _retry(connection: Connection, row: RowMapping) -> None:
    """Mark what is to be retried and make the batch active again."""
    signal(connection, "batches")
    connection.execute(  # marks left over from an earlier, interrupted retry
        update(batch_items)
        .where(batch_items.c.batch_id == row["id"], batch_items.c.again.is_(True))
        .values(again=False)
    )
    unmade = select(generations.c.id).where(
        generations.c.batch_id == row["id"],
        generations.c.status.in_(RETRYABLE),
        generations.c.deleted_at.is_(None),
    )
    marked = connection.execute(
        update(batch_items)
        .where(batch_items.c.batch_id == row["id"], batch_items.c.generation_id.in_(unmade))
        .values(again=True)
    )
    _write(
        connection,
        row["id"],
        status="queued",
        to_retry=marked.rowcount,
        error=None,
        waiting=None,
        window_ends_at=None,
        finished_at=None,
    )


def _begin_run(connection: Connection, row: RowMapping) -> None:
    _write(
        connection,
        row["id"],
        run_number=row["run_number"] + 1,
        flow_run_id=None,
        holder=None,
    )
