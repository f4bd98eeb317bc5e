"""Prefect's server does what is due, though it looks for it less often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from docket import Docket
from prefect.server.api import background_workers

from flows.prefect.private.docket import LOOK_EVERY_S, CalmWorker, look_less_often

_done: list[str] = []


async def note(what: str) -> None:
    _done.append(what)


async def test_what_is_due_now_and_soon_is_done() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.1)
    async with Docket(name="calm", url="memory://") as docket, CalmWorker(docket) as worker:
        docket.register(note)
        await docket.add(note, when=soon)("soon")
        await docket.add(note)("now")
        await worker.run_until_finished()
    assert sorted(_done) == ["now", "soon"]  # on a busy machine both may be due by then
    assert worker.scheduling_resolution.total_seconds() == LOOK_EVERY_S
    assert worker.minimum_check_interval.total_seconds() == LOOK_EVERY_S


def test_the_server_is_given_it() -> None:
    former = vars(background_workers)["Worker"]
    try:
        look_less_often()
        assert vars(background_workers)["Worker"] is CalmWorker
    finally:
        vars(background_workers)["Worker"] = former
