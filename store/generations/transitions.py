"""How a generation goes through its states: each change a compare-and-set, in one transaction.

What its flow run has to do with it is in ``flow_runs.py``, how a worker takes it in ``queue.py``.
A worker's writes name its attempt and fence. The next claim of the attempt raises the fence, so a
worker that was stopped and resumes is fenced out and can change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.engine import RowMapping

from core.failpoints import reach
from core.problems import Problem, unreadable
from core.requests import ResolvedRequest, UnreadableRequest, read_request
from core.status import FINAL, RETRYABLE, Status
from store.database import Database, notes, reads, writes
from store.errors import (
    ConflictError,
    DeletedError,
    FencedError,
    UnreadableRequestError,
)
from store.generations import rows
from store.generations.flow_runs import is_retried
from store.tables import artefacts, attempts, generations, previews
from store.uploads.references import are_wanted
from store.values import (
    Artefact,
    Claim,
    Generation,
    Holder,
    Preview,
    ProgressRecord,
    Waiting,
    rendered_as_kept,
)

_STATUS: Final = select(generations.c.status).where(*rows.HELD)


class Transitions:
    """What a worker does with its attempt, and what clients and operators ask for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- the worker's side

    async def claim(
        self,
        generation_id: UUID,
        *,
        flow_run_id: UUID,
        attempt: int | None,
        holder: Holder,
        deployment_id: UUID | None = None,
        rerun: bool = False,
    ) -> Claim:
        """Claim the current attempt for ``holder``. It must have no other holder.

        ``attempt`` is the one the flow run was made for, None when the run was not made by Easel.
        ``rerun``: the flow run has run before. When it comes back for a generation that it ended
        (Prefect's own Retry), a new attempt begins.

        Raises NotFoundError, DeletedError; ConflictError when it has succeeded or is to be
        cancelled; FencedError when the run belongs to an attempt that is over; HeldError;
        UnreadableRequestError, after failing the attempt with that problem.
        """
        claimed = await self._claim(
            generation_id, flow_run_id, attempt, holder, deployment_id, rerun=rerun
        )
        if isinstance(claimed, Problem):
            raise UnreadableRequestError(claimed.detail)
        return claimed

    @writes
    def _claim(
        self,
        connection: Connection,
        generation_id: UUID,
        flow_run_id: UUID,
        attempt: int | None,
        holder: Holder,
        deployment_id: UUID | None,
        *,
        rerun: bool,
    ) -> Claim | Problem:
        row = rows.locked(connection, generation_id)
        if is_retried(connection, row, flow_run_id, attempt, rerun=rerun):
            row = rows.begin_attempt(connection, row, flow_run_id)
        if deployment_id is not None:
            rows.set_attempt(connection, generation_id, row["attempt"], deployment_id=deployment_id)
        free = rows.free_attempt(connection, row, holder)
        request = read_request(row["request"])
        if isinstance(request, ResolvedRequest):
            return rows.take(connection, row, free, request, flow_run_id=flow_run_id, holder=holder)
        problem = unreadable("this request", request)
        rows.end_and_fence(connection, row, "failed", problem)
        return problem

    @writes
    def fail_unreadable(self, connection: Connection, generation_id: UUID, attempt: int) -> bool:
        """Fail a waiting attempt whose request cannot be read: no worker can do it.

        Returns False when its request can be read, or it does not wait. Raises NotFoundError,
        DeletedError.
        """
        row = rows.locked(connection, generation_id)
        request = read_request(row["request"])
        waits = row["status"] == "queued" and row["attempt"] == attempt
        if not waits or not isinstance(request, UnreadableRequest):
            return False
        rows.end_and_fence(connection, row, "failed", unreadable("this request", request))
        return True

    @writes
    def unclaim(self, connection: Connection, claim: Claim, waiting: Waiting | None = None) -> None:
        """Give the attempt back unfinished: queued again, for any worker. No-op when fenced out.

        ``waiting`` is why it waits now: for that of a pause no worker takes it.
        One that is being cancelled ends as cancelled: no other worker would finish it.
        """
        try:
            row = rows.hold(connection, claim)
        except FencedError:
            return
        if row["status"] == "cancelling":
            rows.end_and_fence(connection, row, "cancelled", None)
        elif row["status"] not in FINAL:
            rows.let_go(connection, row, waiting=asdict(waiting) if waiting else None)

    @writes
    def record_submission(
        self, connection: Connection, claim: Claim, at: datetime | None = None
    ) -> bool:
        """Write the intent to submit, before the POST. Returns whether it is the attempt's first.

        ``at`` is its time, by which it is known: who repeats the call with it, as the answer was
        lost, gets the same answer. Raises FencedError.
        """
        at = at or datetime.now(UTC)
        of_attempt = (
            attempts.c.generation_id == claim.generation_id,
            attempts.c.number == claim.attempt,
        )
        rows.hold(connection, claim)
        connection.execute(
            update(attempts)
            .where(*of_attempt, attempts.c.submitted_at.is_(None))
            .values(submitted_at=at, comfy_url=claim.comfy_url)
        )
        written = connection.execute(select(attempts.c.submitted_at).where(*of_attempt))
        return bool(written.scalar_one() == at)

    @writes
    def withdraw_submission(self, connection: Connection, claim: Claim, at: datetime) -> None:
        """Take back the intent of that time: nothing was posted, certainly. No-op for another one.

        Raises FencedError.
        """
        rows.hold(connection, claim)
        connection.execute(
            update(attempts)
            .where(
                attempts.c.generation_id == claim.generation_id,
                attempts.c.number == claim.attempt,
                attempts.c.submitted_at == at,
            )
            .values(submitted_at=None, comfy_url=None)
        )

    @notes
    def start(self, connection: Connection, claim: Claim, at: datetime) -> Status:
        """ComfyUI has executed the prompt since ``at``. Returns the status (perhaps cancelling).

        Raises FencedError.
        """
        row = rows.hold(connection, claim)
        if row["status"] == "queued":
            rows.move(connection, row, "running", started_at=at, waiting=None)
            rows.set_attempt(connection, claim.generation_id, claim.attempt, started_at=at)
            return "running"
        status: Status = row["status"]
        return status

    @reads
    def status(self, connection: Connection, claim: Claim) -> Status:
        """Returns the current status, without a write. Raises FencedError."""
        found = connection.execute(_STATUS, rows.key_of(claim))
        status: Status | None = found.scalar_one_or_none()
        if status is None:
            raise FencedError(f"attempt {claim.attempt} is no longer held")
        return status

    @notes
    def record_progress(
        self,
        connection: Connection,
        claim: Claim,
        progress: ProgressRecord | None,
        preview: Preview | None,
        waiting: Waiting | None,
    ) -> Status:
        """Record the attempt's progress. Returns the status, which shows a cancel.

        Raises FencedError when the caller no longer holds the attempt, or it is over.
        """
        status = rows.touch(
            connection,
            claim,
            progress=asdict(progress) if progress else None,
            waiting=asdict(waiting) if waiting else None,
        )
        if preview is not None:
            rows.keep_preview(connection, claim.generation_id, preview)
        return status

    @notes
    def record_waiting(
        self, connection: Connection, claim: Claim, waiting: Waiting | None
    ) -> Status:
        """Record why the attempt waits. Returns the status. Raises FencedError."""
        return rows.touch(connection, claim, waiting=asdict(waiting) if waiting else None)

    async def succeed(
        self,
        claim: Claim,
        kept: Sequence[Artefact],
        *,
        nodes: int = 0,
        stages: rows.Stages = None,
        filenames: Sequence[str] = (),
    ) -> None:
        """Insert rows for the kept artefacts and end the attempt. Raises FencedError.

        ``nodes`` is how many nodes the workflow had, all of them done now. ``stages``, plain JSON,
        is what Prefect is to be told of the work (``store.flow_runs.told``); None: nothing.
        ``filenames`` are the artefacts' in ComfyUI, by which those that were announced as rendered
        are found.
        No-op when this claim has succeeded before: the answer to its commit may have been lost.
        """
        await self._succeed(claim, kept, nodes, stages, filenames)
        reach("state.after_commit")

    @writes
    def _succeed(
        self,
        connection: Connection,
        claim: Claim,
        kept: Sequence[Artefact],
        nodes: int,
        stages: rows.Stages,
        filenames: Sequence[str],
    ) -> None:
        row = rows.hold(connection, claim)
        if row["status"] == "succeeded":
            return
        for artefact in kept:
            rows.keep_artefact(connection, artefact)
        rendered = rendered_as_kept(row["progress"], filenames)
        done = ProgressRecord(100.0, nodes_done=nodes, nodes_total=nodes, rendered=rendered)
        progress = asdict(done)
        if not rows.end(connection, row, "succeeded", None, stages, progress=progress):
            raise FencedError("the attempt ended in another way")
        reach("state.before_commit")

    async def fail(
        self,
        claim: Claim,
        problem: Problem,
        *,
        stray: bool = False,
        stages: rows.Stages = None,
    ) -> bool:
        """The attempt failed. Returns False when it had ended already or has another holder.

        ``stray``: ComfyUI still has its prompt. ``stages`` are as for ``succeed``.
        """
        ended = await self._end_unfinished(claim, "failed", problem, stages, stray=stray)
        reach("state.after_failure")
        return ended

    async def cancelled(
        self, claim: Claim, *, stray: bool = False, stages: rows.Stages = None
    ) -> bool:
        """The attempt was cancelled. The result, ``stray`` and ``stages`` are as for ``fail``."""
        ended = await self._end_unfinished(claim, "cancelled", None, stages, stray=stray)
        reach("state.after_failure")
        return ended

    @writes
    def _end_unfinished(
        self,
        connection: Connection,
        claim: Claim,
        to: Status,
        problem: Problem | None,
        stages: rows.Stages,
        *,
        stray: bool,
    ) -> bool:
        ended = rows.end_held(connection, claim, to, problem, stages)
        if ended and stray:
            rows.stray(connection, claim.generation_id, claim.attempt)
        return ended

    # --- the clients' and operators' side

    @writes
    def request_cancel(self, connection: Connection, generation_id: UUID) -> Generation:
        """Request the cancel: at once when no worker holds it, else ``cancelling``.

        Raises NotFoundError, DeletedError, ConflictError (it has ended).
        """
        row = rows.locked(connection, generation_id)
        if row["status"] in FINAL:
            raise ConflictError(f"the generation is {row['status']}")
        if row["status"] != "cancelling":
            if (rows.attempt_of(connection, row))["worker"] is not None:
                rows.write(connection, row, status="cancelling")
            else:
                rows.end_and_fence(connection, row, "cancelled", None)
            rows.dispatch(connection, row, "cancel")
        return Generation.from_row(rows.locked(connection, generation_id))

    @writes
    def retry(self, connection: Connection, generation_id: UUID) -> Generation:
        """A new attempt at the same request, to be dispatched.

        A request that cannot be read needs no flow run to fail: its attempt has failed when this
        returns. Raises NotFoundError, DeletedError, ConflictError (not failed or cancelled).
        """
        row = rows.locked(connection, generation_id)
        if row["status"] not in RETRYABLE:
            raise ConflictError(f"the generation is {row['status']}")
        row = rows.begin_attempt(connection, row, None)
        request = read_request(row["request"])
        if isinstance(request, UnreadableRequest):
            problem = unreadable("this request", request)
            rows.end_and_fence(connection, row, "failed", problem)
            row = rows.locked(connection, generation_id)
        else:
            rows.dispatch(connection, row, "start")
        return Generation.from_row(row)

    async def delete(
        self, generation_id: UUID, *, ended_before: datetime | None = None
    ) -> list[Artefact]:
        """Make it a tombstone: content and artefacts' rows go now, its run is cancelled, forgotten.

        Returns the artefacts whose files are to be removed, [] when it was deleted before.
        Raises NotFoundError; with ``ended_before``, ConflictError when it has not ended before that
        or something that is under way takes its artefacts.
        """
        gone = await self._delete(generation_id, ended_before)
        if gone is None:
            return []
        reach("delete.after_tombstone")
        return gone

    @writes
    def _delete(
        self, connection: Connection, generation_id: UUID, ended_before: datetime | None
    ) -> list[Artefact] | None:
        """Returns None when it was deleted before."""
        try:
            row = rows.locked(connection, generation_id)
        except DeletedError:
            return None
        if ended_before is not None and not _ended_before(row, ended_before):
            raise ConflictError("it has not ended so long ago")
        if ended_before is not None and are_wanted(connection, generation_id):
            raise ConflictError("a generation that has not ended takes its artefacts")
        found = connection.execute(
            select(artefacts).where(artefacts.c.generation_id == generation_id)
        )
        gone = [Artefact.from_row(each) for each in found.mappings()]
        for table in (artefacts, previews):
            connection.execute(delete(table).where(table.c.generation_id == generation_id))
        rows.bury(connection, row)
        if row["status"] not in FINAL:
            rows.dispatch(connection, row, "cancel")
        rows.dispatch(connection, row, "forget")
        return gone


def _ended_before(row: RowMapping, moment: datetime) -> bool:
    return row["status"] in FINAL and row["finished_at"] < moment
