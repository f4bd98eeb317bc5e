"""The registry: workers last seen, and what each ComfyUI offered when last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select, update

from store.database import Database, insert_into, notes, reads, writes
from store.leases import LeaseWatch
from store.signals import signal
from store.tables import (
    attempts,
    catalogues,
    gates,
    model_digests,
    model_files,
    node_catalogues,
    offered_sources,
    offers,
    strays,
    workers,
)
from store.values import WorkerRecord

RECENT: Final = timedelta(seconds=15)
"""How old a record may be of a worker whose lease was not watched yet; it writes one every 3 s."""


def is_live(worker: WorkerRecord, watch: LeaseWatch, now: datetime) -> bool:
    """Returns whether a worker lives, by its lease; its clock may differ from this machine's.

    Its record counts only until the lease was seen to be renewed, and for a worker of a version
    that did not record its lease.
    """
    if worker.stopped_at is not None:
        return False
    is_recent = abs(now - worker.seen_at) <= RECENT
    if worker.holder is None:
        return is_recent
    return watch.moves(worker.holder) or (is_recent and watch.lives(worker.holder))


@dataclass(frozen=True)
class KeptCatalogue:
    """What a ComfyUI offered, and when it was asked."""

    data: dict[str, Any]
    fetched_at: datetime


class Registry:
    """Workers report here that they are alive; the API reads here why generations wait."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @notes
    def record_worker(self, connection: Connection, record: WorkerRecord) -> None:
        """Record that a worker is alive, replacing the former record of its name."""
        _upsert(connection, workers, "name", asdict(record))

    @writes
    def worker_stopped(self, connection: Connection, name: str) -> None:
        """Record that a worker has stopped cleanly. It stays registered: it may come again."""
        at = {"stopped_at": datetime.now(UTC)}
        connection.execute(update(workers).where(workers.c.name == name).values(at))

    @writes
    def forget_workers(self, connection: Connection, seen_before: datetime) -> int:
        """Remove workers that were not seen since. Returns how many there were."""
        gone = connection.execute(delete(workers).where(workers.c.seen_at < seen_before))
        return gone.rowcount

    @reads
    def workers(self, connection: Connection) -> tuple[WorkerRecord, ...]:
        """Returns every registered worker, whether it runs or not; see ``is_live``."""
        rows = (connection.execute(select(workers))).mappings()
        return tuple(WorkerRecord.from_row(row) for row in rows)

    async def keep_gate(self, pool: str, value: Mapping[str, Any]) -> bool:
        """Store what an operator holds back in a work pool, unless that is what is there.

        Returns whether it was stored; the signal ``gate`` tells of it then.
        """
        if await self.gate(pool) == value:
            return False

        def write(connection: Connection) -> None:
            _upsert(connection, gates, "pool", {"pool": pool, "value": dict(value)})
            signal(connection, "gate")

        await self._database.write(write)
        return True

    @reads
    def gate(self, connection: Connection, pool: str) -> Any:
        """Returns what was last stored of a work pool, None while there is nothing."""
        statement = select(gates.c.value).where(gates.c.pool == pool)
        return connection.execute(statement).scalar_one_or_none()

    @writes
    def keep_catalogue(self, connection: Connection, comfy_url: str, data: dict[str, Any]) -> None:
        """Store what a ComfyUI offers."""
        values = {"comfy_url": comfy_url, "data": data, "fetched_at": datetime.now(UTC)}
        _upsert(connection, catalogues, "comfy_url", values)

    @reads
    def catalogue(self, connection: Connection, comfy_url: str) -> dict[str, Any] | None:
        """Returns what a ComfyUI offered when last seen."""
        statement = select(catalogues.c.data).where(catalogues.c.comfy_url == comfy_url)
        return (connection.execute(statement)).scalar_one_or_none()

    @writes
    def rename_comfy(self, connection: Connection, old: str, new: str) -> None:
        """Let what is known of the ComfyUI at ``old`` be known of ``new``: it is the same one."""
        for known in (catalogues, node_catalogues, offered_sources, model_files, offers):
            connection.execute(delete(known).where(known.c.comfy_url == old))
        connection.execute(delete(model_digests).where(model_digests.c.subject == old))
        already = select(strays.c.prompt_id).where(strays.c.comfy_url == new)
        connection.execute(
            delete(strays).where(
                strays.c.comfy_url == old, strays.c.prompt_id.in_(already.scalar_subquery())
            )
        )
        for table in (attempts, strays, workers):
            connection.execute(update(table).where(table.c.comfy_url == old).values(comfy_url=new))

    @reads
    def catalogues_at(self, connection: Connection) -> dict[str, datetime]:
        """Returns by ComfyUI's URL when it said what it offers."""
        statement = select(catalogues.c.comfy_url, catalogues.c.fetched_at)
        return {row.comfy_url: row.fetched_at for row in connection.execute(statement)}

    @reads
    def versions(self, connection: Connection) -> dict[str, str]:
        """Returns the versions of ComfyUIs by their URLs, as far as they say them."""
        version = catalogues.c.data["version"].as_string()
        rows = connection.execute(select(catalogues.c.comfy_url, version)).tuples()
        return {url: said for url, said in rows if said}

    @reads
    def comfy_urls(self, connection: Connection) -> frozenset[str]:
        """Returns the URLs of the ComfyUIs of all registered workers."""
        return frozenset(connection.execute(select(workers.c.comfy_url)).scalars())

    @reads
    def kept_catalogue(self, connection: Connection, comfy_url: str) -> KeptCatalogue | None:
        """Returns what a ComfyUI offered when last seen, and when that was."""
        statement = select(catalogues.c.data, catalogues.c.fetched_at).where(
            catalogues.c.comfy_url == comfy_url
        )
        row = (connection.execute(statement)).mappings().first()
        return None if row is None else KeptCatalogue(**row)

    async def keep_nodes(self, comfy_url: str, data: bytes, digest: str) -> bool:
        """Store the node classes of a ComfyUI, unless those of this digest are there already.

        Returns whether they were stored.
        """
        if await self.node_digest(comfy_url) == digest:
            return False
        values = {"data": data, "digest": digest, "fetched_at": datetime.now(UTC)}
        await self._database.write(
            lambda connection: _upsert(
                connection, node_catalogues, "comfy_url", {"comfy_url": comfy_url, **values}
            )
        )
        return True

    @reads
    def node_digests(self, connection: Connection) -> dict[str, str]:
        """Returns the digest of each ComfyUI's node classes by its URL, the newest last."""
        statement = select(node_catalogues.c.comfy_url, node_catalogues.c.digest).order_by(
            node_catalogues.c.fetched_at, node_catalogues.c.comfy_url
        )
        rows = connection.execute(statement)
        return {row.comfy_url: row.digest for row in rows}

    @reads
    def node_digest(self, connection: Connection, comfy_url: str) -> str | None:
        """Returns the digest of a ComfyUI's node classes, None while there are none."""
        statement = select(node_catalogues.c.digest).where(node_catalogues.c.comfy_url == comfy_url)
        return (connection.execute(statement)).scalar_one_or_none()

    @reads
    def kept_nodes(self, connection: Connection, comfy_url: str) -> bytes | None:
        """Returns a ComfyUI's node classes, as they were stored."""
        statement = select(node_catalogues.c.data).where(node_catalogues.c.comfy_url == comfy_url)
        return (connection.execute(statement)).scalar_one_or_none()


def _upsert(connection: Connection, table: Table, key: str, values: dict[str, Any]) -> None:
    connection.execute(
        insert_into(connection, table)
        .values(**values)
        .on_conflict_do_update(index_elements=[key], set_=values)
    )
