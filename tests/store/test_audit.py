"""The audit finds what does not fit, and removes only what nobody can want."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from core.status import Status
from store.artefacts.files import ArtefactFiles
from store.audit import Audit, AuditFinding
from store.store import Store
from store.tables import artefacts
from store.values import Artefact, Generation
from tests.harness.transactions import open_write
from tests.store.making import a_picture, accepted, an_image, brought_to, claimed, running

DAY_S = 86_400


@pytest.fixture
def audit(store: Store) -> Audit:
    return Audit(store.database, store.files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


async def look(audit: Audit, **how: bool | float) -> list[AuditFinding]:
    given = {"repair": False, **how}
    return [finding async for finding in audit.findings(**given)]  # type: ignore[arg-type]


async def succeeded(store: Store) -> tuple[Generation, Artefact]:
    """A generation with a real picture, written yesterday."""
    generation = await accepted(store)
    claim = await running(store, generation.id)
    kept = await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    await store.transitions.succeed(claim, [kept])
    return await store.generations.get(generation.id), kept


def age(folder: Path) -> None:
    """As if a day had passed since everything was written."""
    then = time.time() - DAY_S
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def kinds(findings: list[AuditFinding]) -> set[tuple[str, uuid.UUID | None, str]]:
    return {(found.kind, found.generation_id, found.path) for found in findings}


async def test_what_is_in_order_is_not_told(store: Store, audit: Audit, folder: Path) -> None:
    for _ in range(3):
        await succeeded(store)
    await brought_to(store, "failed")
    age(folder)

    assert await look(audit, checksums=True, repair=True) == []


async def test_an_empty_store_is_in_order(audit: Audit) -> None:
    assert await look(audit, repair=True) == []


async def test_a_missing_file_is_told_and_stays_told(
    store: Store, audit: Audit, folder: Path
) -> None:
    generation, kept = await succeeded(store)
    (folder / kept.path).unlink()
    (folder / kept.paths[1]).unlink()

    found = await look(audit, repair=True)

    assert kinds(found) == {
        ("missing_file", generation.id, kept.path),
        ("missing_file", generation.id, kept.poster_path),
    }
    assert not any(finding.repaired for finding in found)
    assert await look(audit) == found
    assert await store.generations.artefacts(generation.id) == (kept,)


async def test_other_bytes_are_found_by_their_checksum(
    store: Store, audit: Audit, folder: Path
) -> None:
    _, kept = await succeeded(store)
    data = bytearray((folder / kept.path).read_bytes())
    data[-20] ^= 1
    (folder / kept.path).write_bytes(data)

    assert await look(audit) == []
    [found] = await look(audit, checksums=True, repair=True)
    assert (found.kind, found.path, found.repaired) == ("wrong_bytes", kept.path, False)
    assert (folder / kept.path).read_bytes() == data


async def test_a_file_that_was_cut_needs_no_checksum(
    store: Store, audit: Audit, folder: Path
) -> None:
    _, kept = await succeeded(store)
    (folder / kept.path).write_bytes((folder / kept.path).read_bytes()[:-1])

    [found] = await look(audit)
    assert (found.kind, found.path) == ("wrong_bytes", kept.path)
    assert str(kept.bytes) in found.detail


@pytest.mark.parametrize("checksums", [False, True])
async def test_a_picture_that_cannot_be_read_does_not_hide_the_others(
    store: Store, audit: Audit, folder: Path, checksums: bool
) -> None:
    _, kept = await succeeded(store)
    _, other = await succeeded(store)
    (folder / kept.path).unlink()
    (folder / kept.path).mkdir()  # whatever it is, it is no file
    (folder / other.path).unlink()

    found = await look(audit, checksums=checksums)

    assert {finding.path for finding in found} == {kept.path, other.path}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_files_of_what_did_not_succeed_are_orphans(
    store: Store, audit: Audit, folder: Path, status: Status
) -> None:
    generation, claim = await brought_to(store, status)
    kept = await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    age(folder)

    found = await look(audit)
    assert kinds(found) == {
        ("orphan_file", generation.id, kept.path),
        ("orphan_file", generation.id, kept.poster_path),
    }
    assert status in found[0].detail
    assert (folder / kept.path).exists()

    repaired = await look(audit, repair=True)
    assert kinds(repaired) == kinds(found)
    assert all(finding.repaired for finding in repaired)
    assert files_in(folder) == set()
    assert await look(audit, repair=True) == []


async def test_files_of_deleted_generations_are_orphans(
    store: Store, audit: Audit, folder: Path
) -> None:
    generation, kept = await succeeded(store)
    await store.transitions.delete(generation.id)  # and a crash before its files are removed
    _, stays = await succeeded(store)
    age(folder)

    found = await look(audit, repair=True)

    assert kinds(found) == {
        ("orphan_file", kept.generation_id, path) for path in (kept.path, kept.poster_path)
    }
    assert files_in(folder) == {stays.path, stays.poster_path}


async def test_files_of_generations_that_never_were_here_are_told_and_stay(
    store: Store, audit: Audit, folder: Path
) -> None:
    """Another database, an old backup: the pictures may be all that is left of them."""
    await succeeded(store)
    unknown = await store.files.keep(uuid.uuid4(), 1, 0, a_picture())
    age(folder)

    found = await look(audit, repair=True)

    assert kinds(found) == {
        ("unknown_file", unknown.generation_id, path)
        for path in (unknown.path, unknown.poster_path)
    }
    assert {unknown.path, unknown.poster_path} <= files_in(folder)


async def test_what_an_earlier_attempt_left_is_an_orphan(
    store: Store, audit: Audit, folder: Path
) -> None:
    generation, claim = await brought_to(store, "failed")
    left = await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    await store.transitions.retry(generation.id)
    again = await running(store, generation.id)
    kept = await store.files.keep(generation.id, again.attempt, 0, a_picture())
    age(folder)
    assert await look(audit, repair=True) == []  # it is under way: nothing is touched

    await store.transitions.succeed(again, [kept])
    found = await look(audit, repair=True)

    assert {finding.path for finding in found} == {left.path, left.poster_path}
    assert await store.files.read(kept.path) == a_picture().data


@pytest.mark.parametrize("status", ["queued", "running", "cancelling"])
async def test_files_of_what_is_under_way_are_left_alone(
    store: Store, audit: Audit, folder: Path, status: Status
) -> None:
    generation, claim = await brought_to(store, status)
    kept = await store.files.keep(generation.id, claim.attempt, 0, a_picture())
    half = folder / f"{kept.path}.{uuid.uuid4().hex}.tmp"
    half.write_bytes(b"half")
    age(folder)

    assert await look(audit, repair=True) == []
    assert half.exists()


async def test_young_files_are_left_alone(store: Store, audit: Audit, folder: Path) -> None:
    generation, kept = await succeeded(store)
    await store.transitions.delete(generation.id)

    assert await look(audit, repair=True) == []
    assert len(await look(audit, repair=True, settle_s=0)) == 2
    assert not (folder / kept.path).exists()


async def test_temporary_files_are_told_and_removed(
    store: Store, audit: Audit, folder: Path
) -> None:
    generation, kept = await succeeded(store)
    half = f"{kept.path}.{uuid.uuid4().hex}.tmp"
    (folder / half).write_bytes(b"half")
    age(folder)

    [found] = await look(audit)
    assert (found.kind, found.generation_id, found.path) == ("temporary_file", generation.id, half)
    [repaired] = await look(audit, repair=True)
    assert repaired == replace(found, repaired=True)
    assert not (folder / half).exists()
    assert await store.files.read(kept.path) == a_picture().data


async def test_what_is_wanted_again_when_its_turn_comes_is_not_removed(
    store: Store, audit: Audit, folder: Path
) -> None:
    """Between the look and the removal, somebody retries."""
    files, generations = [], []
    for _ in range(2):
        generation, claim = await brought_to(store, "failed")
        generations.append(generation)
        files.append(await store.files.keep(generation.id, claim.attempt, 0, a_picture()))
    age(folder)

    found = []
    async for finding in audit.findings(repair=True):  # both are judged by now
        found.append(finding)
        for generation in generations:
            if generation.id != finding.generation_id and len(found) == 1:
                await store.transitions.retry(generation.id)

    [gone] = {finding.generation_id for finding in found}
    [stays] = [kept for kept in files if kept.generation_id != gone]
    assert (folder / stays.path).exists()
    assert len(found) == 2


async def test_every_page_of_rows_is_looked_at(store: Store, audit: Audit) -> None:
    generation = await accepted(store)
    claim = await claimed(store, generation.id)
    rows = [
        {**vars(an_image(claim, position)), "path": f"{position}.png"} for position in range(1203)
    ]
    async with open_write(store.database) as connection:
        await connection.execute(insert(artefacts), rows)

    found = await look(audit)

    assert len(found) == 2 * 1203
    assert {f"{position}.png" for position in range(1203)} <= {finding.path for finding in found}


async def test_every_page_of_files_is_looked_at_in_an_object_store(store: Store) -> None:
    files = ArtefactFiles("memory:///")
    owners = [(await accepted(store)).id for _ in range(20)]
    for owner in owners:
        await store.transitions.delete(owner)
    small = a_picture(8, 8)
    for owner in owners:
        for position in range(30):
            await files._put(f"{owner.hex[:2]}/{owner}/1-{position}.png", small.data)

    found = await look(Audit(store.database, files), repair=True, settle_s=0)

    assert {finding.generation_id for finding in found} == set(owners)
    assert len(found) == 600
    assert [file async for file in files.stored()] == []
