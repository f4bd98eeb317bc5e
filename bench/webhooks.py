"""``python -m bench.webhooks``: how fast events are delivered, and what callbacks cost others."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, update

from bench import easel
from bench.figures import Figure, percentile, show
from bench.processor import api_of, cpu_s
from bench.receivers import Receivers
from bench.rows import copy_rows
from bench.stack import Stack, free_port, running_stack
from core.callbacks.callback import Callback
from core.callbacks.url import Receiver
from core.ids import new_generation_id
from core.requests import ResolvedRequest
from store.callbacks.events import DELIVER, entry, lane_of
from store.generations.acceptance import adopt
from store.leases import LeaseKeeper
from store.outbox import put
from store.store import Store
from store.tables import deliveries, generations, outbox
from store.values import Claim, Holder

PER_S: Final = 100
GROWN_MB: Final = 50
CREATE_S: Final = 0.001
SLOWER: Final = 1.2
"""By how much the measurements of two equal runs differ, on a machine that others use too."""
QUICK: Final = 9
LEASE_S: Final = 60.0
NO_COMFY: Final = "http://127.0.0.1:9"
_ENDS: Final = ("generation.succeeded", "generation.failed", "generation.cancelled")
_ALLOWED: Final = {"EASEL_WEBHOOKS__ALLOW": '["127.0.0.1"]'}
_LOOK_EVERY_S: Final = 0.1


# --- (a) many events for one receiver


async def pace(stack: Stack, store: Store, receivers: Receivers, count: int) -> list[Figure]:
    """Events of as many generations, written at once."""
    url = receivers.quick[0]
    document = await easel.create(stack, callback_url=url)
    await easel.ended(stack, document["urls"]["events"])
    await _arrived(receivers, 1)
    receivers.arrivals()
    with closing(sqlite3.connect(stack.home / "easel.db")) as database:
        copy_rows(database, count)
        database.commit()
    api = api_of(stack)
    await asyncio.sleep(
        2
    )  # the API's own work on the first event is over: the figures are of the rest
    size, worked = api.memory_info().rss, cpu_s(api)
    began = await _write_events(store, UUID(document["task_id"]), url, count)
    most = size
    while receivers.count() < count:
        most = max(most, api.memory_info().rss)
        await asyncio.sleep(_LOOK_EVERY_S)
    await _delivered(store)
    worked = cpu_s(api) - worked
    arrivals = receivers.arrivals()
    per_s = count / (max(one.at for one in arrivals) - began)
    grown = (max(most, api.memory_info().rss) - size) / 1e6
    return [
        Figure(
            f"(a) {count} events: deliveries per second",
            f"{per_s:.0f}",
            f"≥ {PER_S}",
            per_s >= PER_S,
        ),
        Figure("      arrived", f"{len(arrivals)}, of {len({a.task_id for a in arrivals})}"),
        Figure("      CPU of the API for each", f"{1000 * worked / count:.1f} ms"),
        Figure("      memory of the API before", f"{size / 1e6:.0f} MB"),
        Figure("      … at its peak", f"{grown:+.0f} MB", f"≤ +{GROWN_MB} MB", grown <= GROWN_MB),
    ]


async def _write_events(store: Store, made: UUID, url: str, count: int) -> float:
    """The event of ``made`` once more for each of its copies. Returns when they were committed."""
    receiver = Receiver.of(url)
    now = datetime.now(UTC)

    def write(connection: Connection) -> None:
        of_made = select(deliveries).where(deliveries.c.generation_id == made)
        row = dict(connection.execute(of_made).mappings().one())
        del row["number"]
        row |= {"state": "pending", "body": None, "tries": [], "ended_at": None}
        ids = [(uuid.uuid4(), uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(count)]
        events = [{**row, "id": one, "generation_id": of, "created_at": now} for one, of in ids]
        connection.execute(insert(deliveries), events)
        put(connection, [entry(one, of, receiver) for one, of in ids])

    await store.database.write(write)
    return time.time()


async def _delivered(store: Store) -> None:
    while (await store.deliveries.counts())["pending"]:  # noqa: ASYNC110 - another process
        await asyncio.sleep(_LOOK_EVERY_S)


# --- (b) what a create costs more


async def creates(stack: Stack, receivers: Receivers, count: int) -> list[Figure]:
    """Creates with a callback and without, one after the other; Prefect works on none of them."""
    plain = {**easel.BODY, "width": 64, "height": 64, "steps": 1, "priority": "bulk"}
    bodies = {
        "without": json.dumps(plain).encode(),
        "with": json.dumps({**plain, "callback_url": receivers.quick[0]}).encode(),
    }
    times: dict[str, list[float]] = {name: [] for name in bodies}
    for _ in range(count):
        for name, body in bodies.items():
            times[name].append(await _create(stack, body))
    without, with_one = (percentile(times[name], 0.5) for name in bodies)
    more = with_one - without
    return [
        Figure("(b) create without a callback, p50", _ms(without)),
        Figure("      with one, p50", _ms(with_one)),
        Figure("      more", _ms(more), f"≤ {_ms(CREATE_S)}", more <= CREATE_S),
    ]


async def _create(stack: Stack, body: bytes) -> float:
    url = f"{stack.api_url}/api/v1/generation/create"
    began = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    async with stack.http.post(url, data=body, headers=headers) as response:
        answer = await response.read()
        took = time.perf_counter() - began
        if response.status != 202:
            raise RuntimeError(answer.decode())
    return took


@contextmanager
def _paused(pid: int) -> Iterator[None]:
    """Have Prefect's server stand still: what is made is neither run nor looked after."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# --- (c) a dead receiver among quick ones


@dataclass(frozen=True)
class _Run:
    """A generation that runs, and where its end is told."""

    claim: Claim
    url: str


async def dead(store: Store, receivers: Receivers, rounds: int) -> list[Figure]:
    """From an end's commit to its arrival at each of nine, while a tenth is what it is."""
    request = await _newest(store)
    nine, tenth = receivers.quick[:QUICK], receivers.quick[QUICK]
    refusing = f"http://127.0.0.1:{free_port()}/"
    cases = {
        "a tenth quick one": tenth,
        "one that never answers": receivers.silent,
        "one that refuses": refusing,
    }
    found: list[Figure] = []
    base: tuple[float, float] | None = None
    for name, url in cases.items():
        waits: list[float] = []
        async with LeaseKeeper(store.leases, "bench", LEASE_S) as lease:
            for _ in range(rounds):
                runs = [await _running(store, request, lease, one) for one in (url, *nine)]
                waits += await _round(store, receivers, runs, answering=url == tenth)
        await _forget(store, url)
        measured = percentile(waits, 0.5), percentile(waits, 0.99)
        found += _compared(name, measured, base)
        base = base or measured
    return [Figure(f"(c) end → {QUICK} quick receivers, and", ""), *found]


def _compared(
    name: str, measured: tuple[float, float], base: tuple[float, float] | None
) -> list[Figure]:
    p50, p99 = (f"      {name}, {share}" for share in ("p50", "p99"))
    if base is None:
        return [Figure(p50, _ms(measured[0])), Figure(p99, _ms(measured[1]))]
    return [
        Figure(share, _ms(wait), f"≤ {SLOWER} × {_ms(before)}", wait <= SLOWER * before)
        for share, wait, before in zip((p50, p99), measured, base, strict=True)
    ]


async def _round(
    store: Store, receivers: Receivers, runs: Sequence[_Run], *, answering: bool
) -> list[float]:
    """End all of them, the first's receiver being the tenth. Returns the waits of the nine."""
    ends: dict[str, float] = {}
    for run in runs:
        await store.transitions.succeed(run.claim, [])
        ends[str(run.claim.generation_id)] = time.time()
    await _arrived(receivers, len(runs) if answering else len(runs) - 1)
    first = str(runs[0].claim.generation_id)
    return [one.at - ends[one.task_id] for one in receivers.arrivals() if one.task_id != first]


async def _running(store: Store, request: ResolvedRequest, lease: LeaseKeeper, url: str) -> _Run:
    """As a run that was begun in Prefect does: nothing is to be dispatched."""
    flow_run = uuid.uuid4()
    callback = Callback(url=url, events=_ENDS)
    made = await adopt(store.database, new_generation_id(), request, flow_run, callback)
    claim = await store.transitions.claim(
        made.id,
        flow_run_id=flow_run,
        attempt=None,
        holder=Holder("bench", lease.holder, NO_COMFY),
        rerun=False,
    )
    await store.transitions.start(claim, datetime.now(UTC))
    return _Run(claim, url)


async def _newest(store: Store) -> ResolvedRequest:
    statement = select(generations.c.request).where(generations.c.deleted_at.is_(None)).limit(1)
    request = await store.database.read(
        lambda connection: connection.execute(statement).scalar_one()
    )
    return ResolvedRequest.model_validate(request)


async def _forget(store: Store, url: str) -> None:
    """Give up what a dead receiver has not got: the next measurement is without it."""
    lane = lane_of(Receiver.of(url))

    def write(connection: Connection) -> None:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.url == url, deliveries.c.state == "pending")
            .values(state="failed", ended_at=datetime.now(UTC))
        )
        connection.execute(delete(outbox).where(outbox.c.kind == DELIVER, outbox.c.lane == lane))

    await store.database.write(write)


async def _arrived(receivers: Receivers, count: int) -> None:
    while receivers.count() < count:  # noqa: ASYNC110 - they are in another process
        await asyncio.sleep(0.02)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


@asynccontextmanager
async def _store_of(stack: Stack) -> AsyncIterator[Store]:
    database, images = stack.home / "easel.db", stack.home / "images"
    async with Store(f"sqlite+aiosqlite:///{database}", str(images)) as store:
        yield store


async def measure(given: Any) -> list[Figure]:
    """Everything, on one stack, one after the other."""
    found: list[Figure] = []
    with Receivers(QUICK + 1) as receivers:
        async with (
            running_stack(0.1, count_requests=True, settings=_ALLOWED) as stack,
            _store_of(stack) as store,
        ):
            if "dead" in given.only:
                with _paused(stack.pids[-1]):
                    found += await dead(store, receivers, given.rounds)
            if "pace" in given.only:
                found = await pace(stack, store, receivers, given.events) + found
            if "creates" in given.only:
                with _paused(stack.pids[-1]):
                    found += await creates(stack, receivers, given.creates)
    return found


def main() -> None:
    """Measure and print."""
    everything = ("pace", "creates", "dead")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument("--events", type=int, default=10_000, help="events for (a)")
    parser.add_argument("--creates", type=int, default=500, help="creates of each kind for (b)")
    parser.add_argument("--rounds", type=int, default=60, help="ends for each receiver for (c)")
    show("Callbacks, on the emulator", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
