"""What is old goes: pictures alone, or everything; what is young or under way stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from core.batches.request import BatchOptions
from core.status import Status
from core.workflows.plan import Plan
from store.artefacts.files import ArtefactFiles
from store.audit import Audit
from store.batches.dispatches import FORGET_BATCH, flow_run_of, run_number_of
from store.errors import ConflictError, DeletedError, FilesGoneError, NotFoundError
from store.generations.acceptance import IdempotencyKey
from store.generations.dispatches import LANE
from store.retention import Retention, Swept
from store.store import Store
from store.tables import generations
from store.values import Artefact, Generation, NewItem
from tests.harness.transactions import open_write
from tests.store.batch_making import being_accepted, new_items
from tests.store.making import (
    OUT_OF_MEMORY,
    a_picture,
    a_request,
    accepted,
    brought_to,
    dispatched,
    running,
    wait_until,
)

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=400)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def succeeded(store: Store, *, days_ago: float = 0) -> Artefact:
    generation = await accepted(store)
    claim = await running(store, generation.id)
    kept = await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    await store.transitions.succeed(claim, [kept])
    await ended(store, generation.id, days_ago)
    return kept


async def ended(store: Store, generation_id: UUID, days_ago: float) -> None:
    """As if it had ended so long ago."""
    async with open_write(store.database) as connection:
        await connection.execute(
            update(generations)
            .where(generations.c.id == generation_id)
            .values(finished_at=NOW - timedelta(days=days_ago))
        )


async def test_old_pictures_go_and_their_generation_stays(store: Store, folder: Path) -> None:
    old, young = await succeeded(store, days_ago=31), await succeeded(store, days_ago=29)
    before = await store.generations.get(old.generation_id)
    await store.files._put(f"{old.path}.cafe.tmp", b"half")

    swept = await store.retention.sweep(NOW, pictures_days=30, generations_days=None)

    assert swept == Swept(pictures=1, generations=0, batches=0)
    assert files_in(folder) == {young.path, young.poster_path}
    after = await store.generations.get(old.generation_id)
    assert after.expired_at is not None
    assert before.expired_at is None
    assert (after.status, after.request) == ("succeeded", before.request)
    assert (after.sequence, after.change > before.change) == (before.sequence + 1, True)
    assert await store.generations.artefacts(old.generation_id) == ()
    assert await store.generations.artefacts(young.generation_id) == (young,)
    assert (await store.generations.get(young.generation_id)).expired_at is None


async def test_pictures_expire_once(store: Store) -> None:
    old = await succeeded(store, days_ago=31)
    assert await store.retention.expire_pictures(NOW) == 1
    expired = await store.generations.get(old.generation_id)

    assert await store.retention.expire_pictures(LATER) == 0
    assert await store.generations.get(old.generation_id) == expired


async def test_watchers_hear_of_it(store: Store) -> None:
    old = await succeeded(store, days_ago=31)
    with store.changes.subscribe(old.generation_id) as subscription:
        changes = subscription.changes()
        await store.retention.expire_pictures(NOW)
        heard = await anext(changes)
        while heard.expired_at is None:
            heard = await anext(changes)
    assert heard.status == "succeeded"


@pytest.mark.parametrize("status", ["queued", "running", "cancelling", "failed", "cancelled"])
async def test_only_what_succeeded_expires(store: Store, status: Status) -> None:
    generation, _ = await brought_to(store, status)
    assert await store.retention.expire_pictures(LATER) == 0
    assert await store.generations.get(generation.id) == generation


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
async def test_old_generations_become_tombstones(
    store: Store, folder: Path, status: Status
) -> None:
    generation, claim = await brought_to(store, status)
    await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    await ended(store, generation.id, days_ago=91)
    young, _ = await brought_to(store, status)

    swept = await store.retention.sweep(NOW, pictures_days=30, generations_days=90)

    assert swept == Swept(pictures=0, generations=1, batches=0)
    with pytest.raises(DeletedError):
        await store.generations.get(generation.id)
    assert files_in(folder) == set()
    assert ("forget", 1) in await dispatched(store, generation.id)
    assert await store.generations.get(young.id) == young


@pytest.mark.parametrize("status", ["queued", "running", "cancelling"])
async def test_what_is_under_way_is_never_removed(store: Store, status: Status) -> None:
    generation, _ = await brought_to(store, status)
    assert await store.retention.remove_generations(LATER) == 0
    assert await store.generations.get(generation.id) == generation


async def test_without_periods_everything_is_kept(store: Store, folder: Path) -> None:
    kept = await succeeded(store, days_ago=10_000)

    swept = await store.retention.sweep(LATER, pictures_days=None, generations_days=None)

    assert swept == Swept(0, 0, 0)
    assert files_in(folder) == {kept.path, kept.poster_path}


async def test_more_than_a_page_goes_in_one_sweep(store: Store) -> None:
    made = [(await accepted(store)).id for _ in range(205)]
    for generation_id in made:
        await store.transitions.request_cancel(generation_id)

    assert await store.retention.remove_generations(LATER) == 205

    async def none_left() -> bool:
        return all([await store.generations.is_deleted(each) for each in made])

    await wait_until(none_left)


async def test_what_was_retried_when_its_turn_came_stays(store: Store) -> None:
    generation, _ = await brought_to(store, "failed")
    await store.transitions.retry(generation.id)

    with pytest.raises(ConflictError):
        await store.transitions.delete(generation.id, ended_before=LATER)
    assert await store.retention.remove_generations(LATER) == 0
    assert (await store.generations.get(generation.id)).status == "queued"


async def test_a_crash_before_the_files_went_is_found_by_the_audit(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    kept = await succeeded(store, days_ago=31)
    elsewhere = Retention(store.database, ArtefactFiles(str(tmp_path / "nothing here")))
    assert await elsewhere.expire_pictures(NOW) == 1  # the rows went, the files did not
    assert files_in(folder) == {kept.path, kept.poster_path}

    audit = Audit(store.database, store.files)
    found = [finding async for finding in audit.findings(repair=True, settle_s=0)]

    assert {finding.path for finding in found} == {kept.path, kept.poster_path}
    assert files_in(folder) == set()


async def test_old_batches_go_with_their_items_and_active_ones_stay(store: Store) -> None:
    old, active = uuid4(), uuid4()
    for batch_id in (old, active):
        await store.batch_transitions.begin(batch_id, "a batch", BatchOptions(), 1)
        await store.batch_transitions.add(batch_id, [NewItem(0, 0, 1, a_request())])
        await store.batch_transitions.accept(batch_id, 1, 1.0)
    await store.batch_transitions.finish(old, "cancelled")

    swept = await store.retention.sweep(LATER, pictures_days=None, generations_days=1)

    assert swept.batches == 1
    await store.leases.take("runner", holder := uuid4(), 600)
    [entry] = await store.outbox.claim(LANE, [FORGET_BATCH], holder, 10)
    assert (entry.subject, run_number_of(entry), flow_run_of(entry)) == (old, 1, None)
    assert [batch.id for batch in await store.batches.active()] == [active]
    with pytest.raises(NotFoundError):
        await store.batches.get(old)
    assert (await store.batches.items(old, 10, None)).items == ()


async def test_what_a_crash_left_half_accepted_is_forgotten(store: Store) -> None:
    key = IdempotencyKey("once", "0" * 64)
    await store.batch_transitions.begin(uuid4(), "half", BatchOptions(), 1, key=key)
    with pytest.raises(ConflictError):
        await store.batch_transitions.begin(uuid4(), "again", BatchOptions(), 1, key=key)

    await store.retention.sweep(LATER, pictures_days=None, generations_days=None)

    await store.batch_transitions.begin(uuid4(), "again", BatchOptions(), 1, key=key)


async def sweep_all(store: Store, *, pictures: bool) -> Swept:
    """As if everything that has ended were old."""
    later = datetime.now(UTC) + timedelta(days=10)
    periods = {"pictures_days": 1.0 if pictures else None}
    periods["generations_days"] = None if pictures else 1.0
    return await Retention(store.database, store.files).sweep(later, **periods)


@pytest.mark.parametrize("pictures", [True, False])
async def test_what_is_under_way_keeps_the_artefacts_that_it_takes(
    store: Store, pictures: bool
) -> None:
    artefact = await succeeded(store)
    taking = Plan(files=(f"artefact:{artefact.id}",))
    claim = await running(store, (await accepted(store, plan=taking)).id)

    swept = await sweep_all(store, pictures=pictures)

    assert (swept.pictures, swept.generations) == (0, 0)
    assert await store.generations.artefact(artefact.id) == artefact
    await store.transitions.fail(claim, OUT_OF_MEMORY)
    swept = await sweep_all(store, pictures=pictures)
    assert max(swept.pictures, swept.generations) >= 1
    with pytest.raises(NotFoundError):
        await store.generations.artefact(artefact.id)


async def test_a_batch_keeps_the_artefacts_of_items_that_are_not_released(store: Store) -> None:
    artefact = await succeeded(store)
    items = new_items(1, plan=Plan(files=(f"artefact:{artefact.id}",)))
    batch = await store.batch_transitions.accept(await being_accepted(store, items), 1, 1)

    assert (await sweep_all(store, pictures=True)).pictures == 0

    await store.batch_transitions.remove(batch.id)
    assert (await sweep_all(store, pictures=True)).pictures == 1


async def test_a_request_never_gets_in_without_its_artefact(store: Store) -> None:
    artefact = await succeeded(store)
    plan = Plan(files=(f"artefact:{artefact.id}",))

    outcomes = await asyncio.gather(
        sweep_all(store, pictures=True), accepted(store, plan=plan), return_exceptions=True
    )

    assert isinstance(outcomes[0], Swept)
    if isinstance(outcomes[1], Generation):
        assert await store.generations.artefact(artefact.id) == artefact
    else:
        assert isinstance(outcomes[1], FilesGoneError)
        assert outcomes[0].pictures == 1
