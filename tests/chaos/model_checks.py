"""What must be true of the store and the world: at any time, and when all has come to rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import StateType
from sqlalchemy import select

from core.status import FINAL, Status
from flows.prefect.runs import idempotency_key, parse_idempotency_key
from store.audit import Audit
from store.store import Store
from store.tables import generations
from tests.chaos.model import World
from tests.harness.transactions import open_read

SHOWN_AS: Final = {
    "succeeded": StateType.COMPLETED,
    "failed": StateType.FAILED,
    "cancelled": StateType.CANCELLED,
}


@dataclass(frozen=True)
class Seen:
    """What a client read last of a generation."""

    status: Status
    attempt: int
    sequence: int
    is_deleted: bool


class Witness:
    """Looks on, and remembers what clients were told."""

    def __init__(self, world: World, images: Path) -> None:
        self.accepted: list[UUID] = []
        self.seen: dict[UUID, Seen] = {}
        self._world = world
        self._store: Store = world.store
        self._images = images

    async def check_rows(self) -> None:
        """What was accepted is there, and moves as it may."""
        now = await self.rows()
        assert set(now) == set(self.accepted), "accepted generations and rows differ"
        for generation_id, seen in now.items():
            before = self.seen.get(generation_id)
            if before is not None:
                _check_move(before, seen)
        self.seen = now

    async def check_runs(self, *, all_are_shown: bool) -> None:
        """At rest, what nobody meddled with is shown in Prefect as it ended.

        An attempt that was cancelled before a worker took it may have no run; nor may one whose
        worker's process ended after it, before Prefect was there: not ``all_are_shown``.
        (``flows/worker/telling.py`` tells of such ones, and is not modelled.)
        """
        runs = self._world.prefect.runs
        for generation_id, row in (await self.rows()).items():
            if row.is_deleted:
                continue
            [*_, last] = await self._store.generations.attempts(generation_id)
            run = runs.get(last.flow_run_id) if last.flow_run_id is not None else None
            if run is None:
                assert row.status == "cancelled" or not all_are_shown, (row, last)
                continue
            assert run.idempotency_key == idempotency_key(generation_id, last.number)
            assert run.state_type == SHOWN_AS[row.status], (row, run.state)

    def check_renders(self) -> None:
        twice = {prompt: n for prompt, n in self._world.comfy.renders.items() if n > 1}
        assert not twice, f"rendered more than once: {twice}"

    async def rows(self) -> dict[UUID, Seen]:
        columns = (generations.c.status, generations.c.attempt, generations.c.sequence)
        statement = select(generations.c.id, *columns, generations.c.deleted_at)
        async with open_read(self._store.database) as connection:
            rows = (await connection.execute(statement)).tuples().all()
        return {
            id_: Seen(status, attempt, sequence, deleted_at is not None)
            for id_, status, attempt, sequence, deleted_at in rows
        }

    async def check_at_rest(self) -> None:
        """Pictures and rows fit, and of what was deleted nothing remains."""
        rows = await self.rows()
        for generation_id, row in rows.items():
            kept = await self._store.generations.artefacts(generation_id)
            assert len(kept) == (row.status == "succeeded" and not row.is_deleted)
        audit = Audit(self._store.database, self._store.files)
        async for finding in audit.findings(repair=True, checksums=True, settle_s=0):
            assert finding.kind == "orphan_file", finding
            assert finding.generation_id in self._world.left_behind, finding
        files = {path for path in self._images.rglob("*") if path.is_file()}
        shown = [row for row in rows.values() if row.status == "succeeded" and not row.is_deleted]
        assert len(files) == 2 * len(shown)
        deleted = {generation_id for generation_id, row in rows.items() if row.is_deleted}
        for run in self._world.prefect.runs.values():
            made_for = parse_idempotency_key(run.idempotency_key)
            assert made_for is not None
            assert made_for[0] not in deleted, "Prefect remembers what was deleted"


def _check_move(before: Seen, now: Seen) -> None:
    """From one look to the next: a final status changes by a new attempt only."""
    if now == before:
        return
    assert now.sequence > before.sequence, (before, now)
    assert now.attempt >= before.attempt, (before, now)
    assert now.is_deleted or not before.is_deleted, (before, now)
    if before.status in FINAL and now.attempt == before.attempt:
        assert now.status == before.status, (before, now)
    if now.attempt > before.attempt:
        assert before.status != "succeeded", (before, now)
        assert not before.is_deleted, (before, now)
