"""The queue: a worker takes the next generation by one atomic claim.

What waits is read without locks, the worker chooses, and only the chosen row is locked. So the
workers neither wait for each other nor take the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, false, or_, select, update
from sqlalchemy.engine import RowMapping

from core.problems import unreadable
from core.requests import UnreadableRequest, read_request
from core.workflows.needs import Needs
from store.database import Database, reads, writes
from store.generations import rows
from store.generations.dispatches import drop_start
from store.generations.queries import attempts_now, read_under_way
from store.needs import Abilities, read_needs
from store.tables import attempts, generations
from store.values import Claim, Holder, Queued, UnderWay, Untold

PAGE: Final = 64
"""How many of those that wait are offered at a time."""
PAGES: Final = 3
"""How often a page is read again because other workers took all of the last one."""
Choose = Callable[[Sequence[Queued]], Queued | None]
MayPost = Callable[[Queued], bool]
Leads = Callable[[UUID, int], bool]
"""Whether somebody is about to tell Prefect of a generation's attempt of that number."""
_OFFERED: Final = tuple(
    generations.c["id" if name == "generation_id" else name] for name in Queued.__dataclass_fields__
)

_WAITING: Final = (
    select(*_OFFERED)
    .join(
        attempts,
        (attempts.c.generation_id == generations.c.id)
        & (attempts.c.number == generations.c.attempt),
    )
    .where(
        generations.c.status == "queued",
        generations.c.priority == bindparam("priority"),
        generations.c.deleted_at.is_(None),
        generations.c.waiting["code"].as_string().is_distinct_from(rows.PAUSED),
        attempts.c.holder.is_(None),
    )
    .order_by(generations.c.turn)
    .limit(bindparam("most"))
)
_STILL_WAITING: Final = (
    select(generations)
    .where(
        generations.c.id == bindparam("id"),
        generations.c.attempt == bindparam("attempt"),
        generations.c.status == "queued",
        generations.c.deleted_at.is_(None),
    )
    .with_for_update(skip_locked=True)
)


def _no(_: Queued) -> bool:
    return False


def _leads_none(_generation_id: UUID, _attempt: int) -> bool:
    return False


class Queue:
    """Generations that wait for a worker, and what Prefect is told of them afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def hears(self) -> bool:
        """Whether signals arrive now of what other processes put into the queue."""
        return self._database.hears

    def listening(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call it whenever something may be taken that could not, put there by any process."""
        return self._database.hearing.listening("queue", call)

    async def take(
        self,
        holder: Holder,
        choose: Choose,
        priorities: Collection[str],
        may_post: MayPost = _no,
        abilities: Abilities | None = None,
    ) -> Claim | None:
        """Claim for ``holder`` one of those that wait, of these priorities. None: nothing is taken.

        ``choose`` gets what waits, interactive ones first and then by turn, and returns the one to
        take, or None to leave them all: then it gets those behind them, for a few pages. It is
        asked again about the rest when another worker was quicker. With ``abilities`` it gets only
        what they say can be done. Where ``may_post`` agrees, the intent to submit is written with
        the claim, unless there is one. All are called within the transaction, perhaps in another
        thread: they must be quick, and may not use the store.

        An attempt whose request cannot be read fails, and another one is chosen. The attempt's
        start is removed from the outbox unless a runner has it: its flow run is the holder's to
        make. Raises ValueError when ``choose`` returns something that it was not offered,
        StoreUnavailableError.
        """
        if not priorities:
            return None
        return await self._take(holder, choose, _in_order(priorities), may_post, abilities)

    @writes
    def _take(
        self,
        connection: Connection,
        holder: Holder,
        choose: Choose,
        priorities: Sequence[str],
        may_post: MayPost,
        abilities: Abilities | None,
    ) -> Claim | None:
        lost: set[UUID] = set()
        for _ in range(PAGES):
            page = _able_page(connection, priorities, lost, abilities)
            if not page:
                return None
            is_last = len(page) < PAGE
            while page:
                chosen = choose(tuple(page))
                if chosen is None and is_last:
                    return None
                if chosen is None:
                    lost.update(one.generation_id for one in page)
                    break
                page.remove(chosen)
                claim = _taken(connection, chosen, holder, may_post)
                if claim is not None:
                    return claim
                lost.add(chosen.generation_id)
        return None

    @reads
    def needs(self, connection: Connection, generation_ids: Collection[UUID]) -> dict[UUID, Needs]:
        """Returns what these generations need, by id; of others nothing is known to be needed."""
        columns = generations.c.id, generations.c.needs
        rows = connection.execute(
            select(*columns).where(columns[0].in_(generation_ids), columns[1].is_not(None))
        ).tuples()
        digests: dict[UUID, str] = {one: digest for one, digest in rows if digest}
        known = read_needs(connection, set(digests.values()))
        return {one: known[digest] for one, digest in digests.items() if digest in known}

    @reads
    def held_by_others(
        self, connection: Connection, living: Collection[UUID]
    ) -> tuple[UnderWay, ...]:
        """Returns those whose holder's lease is not among ``living``, oldest first."""
        found = connection.execute(_held().where(attempts.c.holder.not_in(living)))
        held = [read_under_way(row) for row in found.mappings()]
        return tuple(sorted(held, key=lambda one: one.generation.seq))

    @writes
    def take_untold(self, connection: Connection, untold: Untold, lease: UUID) -> bool:
        """Make it that lease's to tell Prefect. Returns False when another one was quicker."""
        holder = attempts.c.holder
        taken = connection.execute(
            update(attempts)
            .where(
                attempts.c.generation_id == untold.generation_id,
                attempts.c.number == untold.attempt,
                attempts.c.told_at.is_(None),
                holder.is_(None) if untold.holder is None else holder == untold.holder,
            )
            .values(holder=lease)
        )
        return taken.rowcount == 1

    @reads
    def is_untold(self, connection: Connection, flow_run_id: UUID) -> bool:
        """Returns whether an attempt of that run has ended, and Prefect has not been told of it."""
        found = connection.execute(
            select(attempts.c.number).where(
                attempts.c.flow_run_id == flow_run_id,
                attempts.c.stages.is_not(None),
                attempts.c.told_at.is_(None),
            )
        )
        return found.first() is not None

    @reads
    def untold(
        self,
        connection: Connection,
        limit: int,
        living: Collection[UUID] = (),
        leads: Leads = _leads_none,
    ) -> tuple[Untold, ...]:
        """Returns attempts that ended, of which Prefect has not been told, oldest first.

        Not those whose holder's lease is among ``living``, and not those of which ``leads`` says
        that they are about to be told. It is called within the transaction, as ``choose`` is.
        """
        holder = attempts.c.holder
        found = connection.execute(
            _ended_untold(attempts.c.generation_id, attempts.c.number)
            .where(or_(holder.is_(None), holder.not_in(living)))
            .order_by(attempts.c.ended_at)
        )
        keys = islice((key for key in found.tuples() if not leads(*key)), limit)
        of_key = [
            (attempts.c.generation_id == generation_id) & (attempts.c.number == number)
            for generation_id, number in keys
        ]
        rows_of = _ended_untold(attempts).where(or_(false(), *of_key)).order_by(attempts.c.ended_at)
        return tuple(Untold.from_row(row) for row in connection.execute(rows_of).mappings())


def _ended_untold(*columns: Any) -> Select[Any]:
    return select(*columns).where(
        attempts.c.stages.is_not(None),
        attempts.c.told_at.is_(None),
        attempts.c.outcome.is_not(None),
    )


def _held() -> Select[Any]:
    # No column by itself, and no order, so that what is held is found by its own index: with
    # 10,000 queued and 23 held, 1 ms on SQLite instead of 30.
    is_active = generations.c.status.concat("").in_(rows.ACTIVE)
    return attempts_now().where(
        attempts.c.holder.is_not(None),
        attempts.c.outcome.is_(None),
        generations.c.deleted_at.is_(None),
        is_active,
    )


def _in_order(priorities: Collection[str]) -> list[str]:
    return sorted(priorities, key=lambda priority: (priority != "interactive", priority))


def _able_page(
    connection: Connection,
    priorities: Sequence[str],
    lost: Collection[UUID],
    abilities: Abilities | None,
) -> list[Queued]:
    """Returns the first that wait and can be done; fewer than a page only if there are no more.

    Each needs are judged once: what cannot be done is passed over by the database from then on.
    """
    if abilities is None:
        return _page(connection, priorities, lost)
    while True:
        found = _page(connection, priorities, lost, abilities.unmet)
        able = abilities.judge(connection, found)
        if len(able) == len(found):
            return able


def _page(
    connection: Connection,
    priorities: Sequence[str],
    lost: Collection[UUID],
    unmet: Collection[str] = (),
) -> list[Queued]:
    """Returns the first that wait, except ``lost`` ones. One statement for each priority.

    Held and paused ones at the head are passed over, and ``unmet`` needs.
    """
    # With 10,000 queued, a page took 2 ms on SQLite and 5 on PostgreSQL, on a busy machine: both
    # search ix_generations_queue by status and priority, which gives the order of turns without a
    # sort, look up each one's attempt by its key, and end after 64.
    page: list[Queued] = []
    for priority in priorities:
        if left := PAGE - len(page):
            key = {"priority": priority, "most": left}
            found = connection.execute(waiting(lost, unmet), key)
            page += [Queued.from_row(row) for row in found.mappings()]
    return page


def waiting(lost: Collection[UUID] = (), unmet: Collection[str] = ()) -> Select[Any]:
    """Selects what may be taken, in the order of turns: none of ``lost``, and no such needs.

    Its parameters are the ``priority`` and ``most``, how many.
    """
    statement = _WAITING
    if unmet:
        needs = generations.c.needs
        statement = statement.where(needs.is_(None) | needs.not_in(unmet))
    return statement.where(generations.c.id.not_in(lost)) if lost else statement


def _taken(
    connection: Connection, chosen: Queued, holder: Holder, may_post: MayPost
) -> Claim | None:
    """Returns the claim; None when it cannot be taken any more, or fails."""
    row = _still_waiting(connection, chosen)
    if row is None:
        return None
    # Read with the row locked: nobody else writes its attempt now.
    attempt = rows.attempt_of(connection, row)
    if attempt["holder"] is not None:
        return None
    request = read_request(row["request"])
    if isinstance(request, UnreadableRequest):
        rows.end_and_fence(connection, row, "failed", unreadable("this request", request))
        return None
    drop_start(connection, row["id"], row["attempt"])
    run = row["flow_run_id"]
    claim = rows.take(connection, row, attempt, request, flow_run_id=run, holder=holder)
    if claim.submitted_before or not may_post(chosen):
        return claim
    at = datetime.now(UTC)
    intent = {"submitted_at": at, "comfy_url": holder.comfy_url}
    rows.set_attempt(connection, row["id"], row["attempt"], **intent)
    return replace(claim, submitted_at=at)


def _still_waiting(connection: Connection, chosen: Queued) -> RowMapping | None:
    """Returns the row, locked, unless somebody else has it locked or it waits no more.

    It never waits for a lock: so it may be called after the change counter was raised.
    """
    key = {"id": chosen.generation_id, "attempt": chosen.attempt}
    row = connection.execute(_STILL_WAITING, key).mappings().first()
    return row if row is not None and not rows.is_paused(row["waiting"]) else None
