"""Acceptance: requests become rows. Creates that arrive together share one transaction.

A 202 is sent only after the commit, and a commit waits for the disk; sharing it keeps two hundred
concurrent creates as fast as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from core.callbacks.callback import Callback
from core.failpoints import reach
from core.ids import new_generation_id
from core.loop import Loop
from core.requests import ResolvedRequest
from store.completion import finished
from store.database import Database, reads
from store.errors import DeletedError, IdempotencyMismatchError, StoreUnavailableError
from store.generations.inserts import insert_dispatches, insert_generations
from store.tables import generations, idempotency_keys
from store.values import Generation, NewGeneration

MOST_TOGETHER: Final = 500
"""The most creates that share one transaction."""
# Made once: SQLAlchemy takes longer to make a statement than to carry it out.
_QUEUED_BY_PRIORITY: Final = (
    select(generations.c.priority, func.count(), func.sum(generations.c.cost))
    .where(generations.c.status == "queued")
    .group_by(generations.c.priority)
)


@dataclass(frozen=True)
class IdempotencyKey:
    """The caller's key, and the hash of the body sent with it."""

    key: str
    body_sha256: str


@dataclass(frozen=True)
class Accepted:
    """A stored generation. ``ahead`` counts those that will start before it.

    ``cost_ahead`` is their total work (``cost``).
    ``answer`` is the first answer's body when the request carried an idempotency key.
    """

    generation: Generation
    ahead: int
    answer: dict[str, Any] | None
    replayed: bool
    cost_ahead: float = 0.0


@dataclass(frozen=True)
class _Queued:
    """How many generations are queued, and their total work (``cost``)."""

    count: int = 0
    cost: float = 0.0

    def __add__(self, other: _Queued) -> _Queued:
        return _Queued(self.count + other.count, self.cost + other.cost)


@dataclass(frozen=True)
class _Create:
    request: ResolvedRequest
    key: IdempotencyKey | None
    callback: Callback | None
    render: Callable[[Generation, int], dict[str, Any]] | None
    done: asyncio.Future[Accepted] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Acceptance:
    """Writes requests. Use as an async context manager; ``accept`` waits for the commit.

    ``start_delay_s`` is as for ``Store``.
    """

    def __init__(self, database: Database, start_delay_s: float = 0.0) -> None:
        self._database = database
        self._start_delay_s = start_delay_s
        self._waiting: list[_Create] = []
        self._loop = Loop("accepting requests", self._settle_waiting, every_s=None)

    async def __aenter__(self) -> Acceptance:
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._loop.stop()
        for create in self._waiting:
            if not create.done.done():
                create.done.set_exception(StoreUnavailableError("the store is closing"))

    async def accept(
        self,
        request: ResolvedRequest,
        key: IdempotencyKey | None = None,
        render: Callable[[Generation, int], dict[str, Any]] | None = None,
        callback: Callback | None = None,
    ) -> Accepted:
        """Write the row, its first attempt and the intent to start it; return after the commit.

        ``render`` makes the answer that is stored with ``key`` and replayed for it.
        Raises IdempotencyMismatchError, DeletedError (what the key made was deleted),
        FilesGoneError, StoreUnavailableError (nothing was written then).
        """
        if self._loop.is_ending:
            raise StoreUnavailableError("the store is closed")
        create = _Create(request, key, callback, render)
        self._waiting.append(create)
        self._loop.wake()
        return await create.done

    @reads
    def replay(self, connection: Connection, key: IdempotencyKey) -> Accepted | None:
        """Returns the key's stored answer, None for a new key.

        Raises IdempotencyMismatchError, DeletedError, StoreUnavailableError.
        """
        known = _known_keys(connection, [key.key])
        if key.key not in known:
            return None
        answered = _answered(key, *known[key.key])
        if isinstance(answered, Exception):
            raise answered
        return answered

    async def _settle_waiting(self) -> None:
        while self._waiting:
            batch = self._waiting[:MOST_TOGETHER]
            del self._waiting[:MOST_TOGETHER]
            await finished(self._settle(batch))

    async def _settle(self, batch: list[_Create]) -> None:
        try:
            outcomes = await self._write(batch)
        except Exception as error:  # noqa: BLE001 - each caller must receive it
            if len(batch) > 1 and not isinstance(error, StoreUnavailableError):
                for create in batch:  # one of them is the cause: the others must not fail with it
                    await self._settle([create])
                return
            outcomes = [error] * len(batch)
        for create, outcome in zip(batch, outcomes, strict=True):
            if create.done.done():
                continue  # the caller was cancelled; the row stays
            if isinstance(outcome, Exception):
                create.done.set_exception(outcome)
            else:
                create.done.set_result(outcome)

    async def _write(self, batch: list[_Create]) -> list[Accepted | Exception]:
        def write(connection: Connection) -> list[Accepted | Exception]:
            written = _write_batch(connection, batch, self._start_delay_s)
            reach("accept.before_commit")
            return written

        try:
            written = await self._database.write(write)
        except IntegrityError:
            # Another process has just used one of the keys: it can be read now.
            written = await self._database.write(write)
        reach("accept.after_commit")
        return written


async def adopt(
    database: Database,
    generation_id: UUID,
    request: ResolvedRequest,
    flow_run_id: UUID,
    callback: Callback | None = None,
) -> Generation:
    """Make the row of a run that was started from Prefect; there is nothing to dispatch.

    Returns the existing row when the run was adopted before. Raises FilesGoneError.
    """
    new = NewGeneration(generation_id, request, callback)
    try:
        return await _adopt(database, new, flow_run_id)
    except IntegrityError:  # another process has just made it: it can be read now
        return await _adopt(database, new, flow_run_id)


async def _adopt(database: Database, new: NewGeneration, flow_run_id: UUID) -> Generation:
    def write(connection: Connection) -> Generation:
        found = connection.execute(select(generations).where(generations.c.id == new.id))
        row = found.mappings().first()
        if row is not None:
            return Generation.from_row(row)
        [generation] = insert_generations(connection, [new], flow_run_id=flow_run_id)
        return generation

    return await database.write(write)


def _write_batch(
    connection: Connection, batch: list[_Create], start_delay_s: float
) -> list[Accepted | Exception]:
    known = _known_keys(connection, [c.key.key for c in batch if c.key is not None])
    fresh: list[_Create] = []
    first_use: dict[str, _Create] = {}
    for create in batch:
        if create.key is None:
            fresh.append(create)
        elif create.key.key not in known and create.key.key not in first_use:
            first_use[create.key.key] = create
            fresh.append(create)
    queued = _queued(connection)
    made = insert_generations(
        connection,
        [NewGeneration(new_generation_id(), create.request, create.callback) for create in fresh],
    )
    accepted = {
        id(create): _accepted(create, generation, queued)
        for create, generation in zip(fresh, made, strict=True)
    }
    insert_dispatches(connection, made, delay_s=start_delay_s)
    _insert_keys(connection, fresh, accepted)
    return [
        accepted.get(id(create)) or _replay(create, known, first_use, accepted) for create in batch
    ]


def _accepted(create: _Create, generation: Generation, queued: dict[str, _Queued]) -> Accepted:
    priority = create.request.priority
    ahead = queued["interactive"]
    if priority == "bulk":
        ahead += queued["bulk"]
    queued[priority] += _Queued(1, generation.cost)
    answer = create.render(generation, ahead.count) if create.key and create.render else None
    return Accepted(generation, ahead.count, answer, replayed=False, cost_ahead=ahead.cost)


def _replay(
    create: _Create,
    known: dict[str, tuple[str, Accepted]],
    first_use: dict[str, _Create],
    accepted: dict[int, Accepted],
) -> Accepted | Exception:
    assert create.key is not None
    if create.key.key in known:
        body_sha256, first = known[create.key.key]
    else:
        creator = first_use[create.key.key]
        assert creator.key is not None
        body_sha256, first = creator.key.body_sha256, accepted[id(creator)]
    return _answered(create.key, body_sha256, first)


def _answered(key: IdempotencyKey, body_sha256: str, first: Accepted) -> Accepted | Exception:
    """Returns the stored answer to a key that was used before with a body of this hash."""
    if body_sha256 != key.body_sha256:
        return IdempotencyMismatchError("the key was used before, with another body")
    if first.generation.deleted_at is not None:
        return DeletedError(f"generation {first.generation.id} was deleted")
    return Accepted(first.generation, first.ahead, first.answer, replayed=True)


def _known_keys(connection: Connection, keys: list[str]) -> dict[str, tuple[str, Accepted]]:
    if not keys:
        return {}
    joined = idempotency_keys.join(
        generations, generations.c.id == idempotency_keys.c.generation_id
    )
    statement = (
        select(generations, idempotency_keys.c.key, idempotency_keys.c.body_sha256)
        .add_columns(idempotency_keys.c.answer)
        .select_from(joined)
        .where(idempotency_keys.c.key.in_(keys))
    )
    rows = (connection.execute(statement)).mappings()
    return {
        row["key"]: (
            row["body_sha256"],
            Accepted(Generation.from_row(row), 0, row["answer"], replayed=True),
        )
        for row in rows
    }


def _queued(connection: Connection) -> dict[str, _Queued]:
    """Returns what is queued, by priority."""
    found = {"interactive": _Queued(), "bulk": _Queued()}
    for priority, count, cost in connection.execute(_QUEUED_BY_PRIORITY).tuples():
        found[priority] = _Queued(count, float(cost))
    return found


def _insert_keys(
    connection: Connection, fresh: list[_Create], accepted: dict[int, Accepted]
) -> None:
    rows = [
        {
            "key": create.key.key,
            "body_sha256": create.key.body_sha256,
            "generation_id": accepted[id(create)].generation.id,
            "answer": accepted[id(create)].answer,
            "created_at": accepted[id(create)].generation.created_at,
        }
        for create in fresh
        if create.key is not None
    ]
    if rows:
        connection.execute(insert(idempotency_keys), rows)


__all__ = [
    "Acceptance",
    "Accepted",
    "IdempotencyKey",
    "StoreUnavailableError",
    "adopt",
]
