"""What the gate is made of, read by one statement: three requests of Prefect's ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from flows.prefect.declared import QUEUES
from flows.prefect.gate_places import GatePlace, GatePlaces
from flows.prefect.private.endpoint.tables import database


async def read_gate_places(pool: str) -> GatePlaces:
    """Returns the pool of that name with Easel's queues, in the order of their names."""
    async with database().session_context() as session:
        rows = (await session.execute(_of_pool(pool))).all()
    return _places(rows)


def _places(rows: Sequence[Any]) -> GatePlaces:
    if not rows:
        return GatePlaces(pool=None)
    first = rows[0]
    return GatePlaces(
        pool=GatePlace(
            name=first.name, is_paused=first.is_paused, concurrency_limit=first.concurrency_limit
        ),
        queues=tuple(
            GatePlace(
                name=row.queue_name, is_paused=row.queue_paused, concurrency_limit=row.queue_limit
            )
            for row in rows
            if row.queue_name is not None
        ),
        has_global_limits=first.has_global_limits,
    )


def _of_pool(name: str) -> sa.Select[Any]:
    db = database()
    pool, queue = db.WorkPool.__table__, db.WorkQueue.__table__
    limits = sa.select(sa.literal(1)).select_from(db.ConcurrencyLimitV2.__table__)
    return (
        sa.select(
            *(pool.c.name, pool.c.is_paused, pool.c.concurrency_limit),
            *(queue.c.name.label("queue_name"), queue.c.is_paused.label("queue_paused")),
            queue.c.concurrency_limit.label("queue_limit"),
            limits.exists().label("has_global_limits"),
        )
        .outerjoin(queue, sa.and_(queue.c.work_pool_id == pool.c.id, queue.c.name.in_(QUEUES)))
        .where(pool.c.name == name)
        .order_by(queue.c.name)
    )
