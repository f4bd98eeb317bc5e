"""The database is locked, and the disk is full: no 202 without a row, no picture thrown away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.chaos.house import ChaosStack, a_request, post
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
long = pytest.mark.long


@contextmanager
def locked(house: ChaosStack) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with closing(sqlite3.connect(house.home / "easel.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@long
def test_locked_for_longer_than_anybody_waits(house: ChaosStack, seed: int) -> None:
    with house.halfway("beside a lock", seed=seed) as generation, locked(house):
        refused = post(house, a_request(seed))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        house.emulator.fault("release")
        wait_until(lambda: not house.emulator.queue()["running"], "the picture")
    assert house.ends(generation) == "succeeded"
    assert house.history(q=a_request(seed)["prompt"]) == []
    house.check([generation])


@long
def test_a_worker_stands_still_in_the_middle_of_a_commit(house: ChaosStack, seed: int) -> None:
    house.arm("state.before_commit", "stop")
    generation = house.create(**a_request(seed))
    house.wait_until_frozen("worker")
    assert post(house, a_request(seed + 1)).status_code == 503
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    following = house.create(**a_request(seed + 1))
    assert house.ends(following) == "succeeded"
    house.check([generation, following])


def test_the_disk_is_full_when_the_picture_comes(house: ChaosStack, seed: int) -> None:
    house.arm("save.after_temporary", "full")
    generation = house.create(**a_request(seed))
    house.wait_until_struck("save.after_temporary")
    generation.wait_for_reason("disk_full")
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert generation.renders() == 1
