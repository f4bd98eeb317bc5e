"""Who is there: workers, and what each ComfyUI offered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

from core.problems import problem
from store.leases import Lease, LeaseWatch
from store.store import Store
from store.values import Holder, Stray, WorkerRecord
from store.workers import is_live
from tests.comfy.data import resolved

SEEN = datetime(2025, 3, 30, 1, 59, 59, 123456, tzinfo=UTC)
RECORD = WorkerRecord("gpu-1", "http://gpu:8188", True, None, SEEN, SEEN)


async def test_a_worker_is_recorded_once_and_kept_up_to_date(store: Store) -> None:
    later = replace(
        RECORD, comfy_reachable=False, detail="refused", seen_at=SEEN + timedelta(seconds=5)
    )

    await store.registry.record_worker(RECORD)
    assert await store.registry.workers() == (RECORD,)

    await store.registry.record_worker(later)
    assert await store.registry.workers() == (later,)


async def test_workers_that_come_at_once_are_all_seen(store: Store, second: Store) -> None:
    names = [f"gpu-{number}" for number in range(6)]

    await asyncio.gather(
        *(s.registry.record_worker(replace(RECORD, name=n)) for n in names for s in (store, second))
    )

    assert sorted(worker.name for worker in await store.registry.workers()) == names


async def test_a_worker_that_stopped_stays_registered_until_it_comes_again(store: Store) -> None:
    watch = LeaseWatch(look_every_s=10)
    await store.registry.record_worker(RECORD)
    await store.registry.record_worker(replace(RECORD, name="gpu-2"))

    await store.registry.worker_stopped("gpu-1")
    stopped, other = sorted(await store.registry.workers(), key=lambda one: one.name)

    assert stopped.stopped_at is not None
    assert not is_live(stopped, watch, SEEN)
    assert is_live(other, watch, SEEN)
    assert replace(stopped, stopped_at=None) == RECORD

    await store.registry.record_worker(RECORD)
    assert RECORD in await store.registry.workers()


async def test_a_worker_that_was_not_seen_for_long_is_forgotten(store: Store) -> None:
    later = SEEN + timedelta(days=1)
    await store.registry.record_worker(RECORD)
    await store.registry.record_worker(replace(RECORD, name="gpu-2", seen_at=later))

    assert await store.registry.forget_workers(later) == 1

    assert [worker.name for worker in await store.registry.workers()] == ["gpu-2"]


async def test_times_mean_the_same_moment_wherever_they_were_taken(store: Store) -> None:
    tokyo = timezone(timedelta(hours=9))

    await store.registry.record_worker(replace(RECORD, seen_at=SEEN.astimezone(tokyo)))

    [worker] = await store.registry.workers()
    assert worker.seen_at == SEEN
    assert worker.seen_at.tzinfo is UTC


async def test_a_catalogue_comes_back_as_it_went_in(store: Store, second: Store) -> None:
    url = "http://gpu:8188"
    catalogue = {"checkpoints": ["ä.safetensors", "b"], "nested": {"x": [1, 2.5, None, True]}}
    assert await store.registry.catalogue(url) is None

    await store.registry.keep_catalogue(url, {"checkpoints": []})
    await store.registry.keep_catalogue(url, catalogue)

    assert await second.registry.catalogue(url) == catalogue
    assert await second.registry.catalogue("http://other:8188") is None


def test_a_worker_lives_by_its_lease_and_not_by_its_clock() -> None:
    now = SEEN
    watch, holder = LeaseWatch(look_every_s=10), UUID(int=7)
    behind = replace(RECORD, holder=holder, seen_at=now - timedelta(hours=1))
    ahead = replace(RECORD, holder=holder, seen_at=now + timedelta(hours=1))

    watch.look([Lease("worker gpu-1", holder, 1, 20.0)])
    assert not is_live(behind, watch, now)  # perhaps it died an hour ago
    assert not is_live(ahead, watch, now)
    assert is_live(replace(RECORD, holder=holder), watch, now)

    watch.look([Lease("worker gpu-1", holder, 2, 20.0)])
    assert is_live(behind, watch, now)
    assert is_live(ahead, watch, now)

    watch.look([])
    assert not any(
        is_live(one, watch, now) for one in (replace(RECORD, holder=holder), behind, ahead)
    )


def test_a_worker_whose_lease_stands_still_is_dead_whatever_its_record_says() -> None:
    clock = iter((0.0, 10.0, 20.0))
    watch, holder = LeaseWatch(look_every_s=float("inf"), now=lambda: next(clock)), UUID(int=7)
    worker = replace(RECORD, holder=holder)
    for lives in (True, True, False):
        watch.look([Lease("worker gpu-1", holder, 1, 20.0)])
        assert is_live(worker, watch, SEEN) is lives


def test_without_a_lease_its_record_is_all_there_is() -> None:
    watch = LeaseWatch(look_every_s=10)
    assert is_live(RECORD, watch, SEEN + timedelta(seconds=15))
    assert not is_live(RECORD, watch, SEEN + timedelta(seconds=16))


async def test_what_was_kept_under_an_address_with_a_password_is_kept_under_the_one_without(
    store: Store,
) -> None:
    login, shown = "http://user:secretpw@gpu:8188", "http://gpu:8188"
    await store.registry.record_worker(replace(RECORD, comfy_url=login))
    await store.registry.keep_catalogue(login, {"checkpoints": ["a"]})
    accepted = await store.acceptance.accept(resolved())
    holder = Holder("gpu-1", uuid4(), login)
    claim = await store.transitions.claim(
        accepted.generation.id, flow_run_id=uuid4(), attempt=1, holder=holder
    )
    await store.transitions.record_submission(claim)
    await store.transitions.fail(claim, problem("node_failed", "no"), stray=True)

    await store.registry.rename_comfy(login, shown)

    assert await store.registry.workers() == (RECORD,)
    assert await store.registry.catalogue(login) is None
    assert await store.strays.of(login) == ()
    assert await store.strays.of(shown) == (Stray(claim.prompt_id, shown),)
