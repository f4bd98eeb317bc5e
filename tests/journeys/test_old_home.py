"""A home that an earlier Easel left behind: what waited in it is done, what was planned begins.

``tests/data/home_0.1.0.tar.xz`` was made by commit cd74293 with Prefect 3.8.8: a generation that
waits for a worker, and a schedule of two pictures each ten seconds, whose deployments have the
entrypoints ``flows.generate.generate`` and ``flows.bulk.bulk``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

HOME = Path(__file__).parents[1] / "data" / "home_0.1.0.tar.xz"
WAITING = "8504a174-2ab4-49e8-b57d-f00785247308"
SCHEDULE = "6aa9636f-a311-430c-97d6-5cd631133903"

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with tarfile.open(HOME) as kept:
        kept.extractall(tmp_path, filter="data")
    stack = Stack(tmp_path)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def test_what_waited_is_made_and_what_was_planned_begins(stack: Stack) -> None:
    waiting = stack.generation(WAITING)
    assert waiting.wait_for("succeeded")["request"]["prompt"] == "a waiting fox"

    def made_by_the_schedule() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = stack.api.get("/api/v1/batches").json()["items"]
        return next((one for one in found if one["status"] == "succeeded"), None)

    batch = wait_until(made_by_the_schedule, "a batch of the schedule", within=120)
    assert batch is not None
    assert (batch["schedule"], batch["counts"]["succeeded"]) == ("foxes", 2)
    assert stack.api.delete(f"/api/v1/schedules/{SCHEDULE}").status_code == 204
