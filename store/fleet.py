"""The fleet: every registered worker, and what each of them works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from core.workflows.needs import Needs
from store.database import Database, reads
from store.generations import rows
from store.leases import Lease
from store.needs import read_needs
from store.offers import read_digests
from store.tables import attempts, generations, leases, workers
from store.values import WorkerRecord


@dataclass(frozen=True)
class Held:
    """An attempt that a lease holds; ``started_at`` is None until its ComfyUI executes it."""

    lease: UUID
    model: str | None
    cost: float
    started_at: datetime | None


@dataclass(frozen=True)
class Registered:
    """The workers, the leases by which they live, and what is held, at one moment.

    ``offers`` has the digest of each ComfyUI's offer, by its URL, as far as it is wholly known:
    another one after each change.
    """

    workers: tuple[WorkerRecord, ...]
    leases: tuple[Lease, ...]
    held: tuple[Held, ...]
    offers: Mapping[str, str]


@dataclass(frozen=True)
class WaitingFor:
    """How many generations wait that need the same; None: nothing that is known."""

    needs: Needs | None
    count: int


class FleetQueries:
    """Queries. Nothing here writes; each raises StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @reads
    def registered(self, connection: Connection) -> Registered:
        """Returns every registered worker with what it holds."""
        records = connection.execute(select(workers)).mappings()
        columns = (leases.c.name, leases.c.holder, leases.c.beat, leases.c.length_s)
        alive = connection.execute(select(*columns)).mappings()
        # As in queue.py: no column by itself, so that what is held is found by its own index.
        is_active = generations.c.status.concat("").in_(rows.ACTIVE)
        held = connection.execute(
            select(
                attempts.c.holder, generations.c.model, generations.c.cost, generations.c.started_at
            )
            .join(
                generations,
                (generations.c.id == attempts.c.generation_id)
                & (generations.c.attempt == attempts.c.number),
            )
            .where(attempts.c.holder.is_not(None), attempts.c.outcome.is_(None), is_active)
        ).tuples()
        return Registered(
            tuple(WorkerRecord.from_row(row) for row in records),
            tuple(Lease(**row) for row in alive),
            tuple(Held(*row) for row in held),
            read_digests(connection),
        )

    @reads
    def waiting(self, connection: Connection) -> tuple[WaitingFor, ...]:
        """Returns how many generations wait for a worker, by what they need."""
        held = select(attempts.c.generation_id).where(
            attempts.c.holder.is_not(None), attempts.c.outcome.is_(None)
        )
        counted = connection.execute(
            select(generations.c.needs, func.count())
            .where(generations.c.status == "queued", generations.c.id.not_in(held))
            .group_by(generations.c.needs)
        )
        counts: dict[str | None, int] = {row[0]: row[1] for row in counted}
        found = read_needs(connection, {one for one in counts if one is not None})
        return tuple(
            WaitingFor(found.get(digest) if digest else None, count)
            for digest, count in counts.items()
        )
