"""Where runs belong: deployment, flow, work queue and work pool, and what limits them there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.prefect.private.endpoint.tables import database


@dataclass(frozen=True)
class Place:
    """A deployment. Its fields are Prefect's, by their names with what they are of."""

    found: Any
    queues: dict[str, Any]

    def queue(self, name: str | None = None, queue_id: UUID | None = None) -> Any | None:
        """Returns the work queue of that name, or id, in the deployment's pool."""
        if name is not None:
            return self.queues.get(name)
        return next((one for one in self.queues.values() if one.id == queue_id), None)

    def held_back(self, queue: Any) -> str | None:
        """Returns what an operator holds runs back with, which only Prefect itself can heed."""
        found = self.found
        if found.concurrency_limit_id is not None or found.old_limit is not None:
            return "the deployment has a concurrency limit"
        for what, limit, paused in (
            ("work pool", found.pool_limit, found.pool_paused),
            ("work queue", queue.concurrency_limit, queue.is_paused),
            ("deployment", None, found.paused),
        ):
            if limit is not None:
                return f"the {what} has a concurrency limit"
            if paused:
                return f"the {what} is paused"
        return None


async def read_places(
    connection: AsyncConnection, deployments: Iterable[UUID]
) -> dict[UUID, Place]:
    """Returns the deployments that exist and have a pool."""
    found = (await connection.execute(_of_deployments(list(deployments)))).all()
    pools = {one.pool_id for one in found if one.pool_id is not None}
    queues = database().WorkQueue.__table__
    rows = (
        await connection.execute(sa.select(queues).where(queues.c.work_pool_id.in_(pools)))
    ).all()
    return {
        one.id: Place(one, {row.name: row for row in rows if row.work_pool_id == one.pool_id})
        for one in found
        if one.pool_id is not None
    }


def _of_deployments(ids: list[UUID]) -> sa.Select[Any]:
    db = database()
    of, flow = db.Deployment.__table__, db.Flow.__table__
    queue, pool = db.WorkQueue.__table__, db.WorkPool.__table__
    return (
        sa.select(
            *(of.c.id, of.c.name, of.c.tags, of.c.labels, of.c.version, of.c.parameters),
            *(of.c.paused, of.c.concurrency_limit_id, of.c.concurrency_limit.label("old_limit")),
            *(of.c.infrastructure_document_id, of.c.flow_id),
            *(flow.c.name.label("flow_name"), flow.c.tags.label("flow_tags")),
            *(pool.c.id.label("pool_id"), pool.c.name.label("pool_name")),
            *(pool.c.type.label("pool_type"), pool.c.is_paused.label("pool_paused")),
            pool.c.concurrency_limit.label("pool_limit"),
        )
        .join(flow, flow.c.id == of.c.flow_id)
        .outerjoin(queue, queue.c.id == of.c.work_queue_id)
        .outerjoin(pool, pool.c.id == queue.c.work_pool_id)
        .where(of.c.id.in_(ids))
    )
