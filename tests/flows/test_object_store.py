"""Pictures in an object store: it may go away for as long as it likes, and no generation fails."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from core.artefacts import type_of
from flows import keeping, pipeline
from flows.errors import CancelRequested
from flows.testing import InProcessWorker
from store.artefacts.files import SLICE_BYTES, ArtefactFiles, NewFile, NewPicture
from store.audit import Audit
from store.errors import ArtefactStoreError, StorageAwayError
from store.store import Store
from store.values import Claim, Generation
from tests.comfy.data import resolved
from tests.harness.databases import a_store
from tests.harness.s3 import S3Server


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def store(s3: S3Server, tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(a_store(tmp_path / "easel.db"), s3.url) as store:
        yield store


@pytest.fixture
async def worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> InProcessWorker:
    monkeypatch.setattr(keeping, "STORAGE_LOOK_S", 0.05)
    return InProcessWorker(store)


async def started(worker: InProcessWorker, **request: int) -> Claim:
    accepted = await worker.store.acceptance.accept(resolved(**request))
    return await worker.start(accepted.generation.id)


async def waiting(store: Store, claim: Claim) -> Generation:
    """The generation once it says that it waits."""
    async with asyncio.timeout(60):
        while (found := await store.generations.get(claim.generation_id)).waiting is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def arrival(s3: S3Server) -> None:
    assert await asyncio.to_thread(s3.puts.acquire, timeout=60)


async def test_what_is_kept_is_read_listed_and_removed(store: Store, s3: S3Server) -> None:
    worker = InProcessWorker(store)
    claim = await started(worker, batch_size=2)
    kept = await worker.succeed(claim)

    assert len(s3.objects) == 4  # each with its thumbnail
    assert {one.path async for one in store.files.stored()} == {
        path for image in kept for path in (image.path, image.poster_path)
    }
    first = kept[0]
    whole = await store.files.read(first.path)
    assert len(whole) == first.bytes == await store.files.size(first.path)
    part = [piece async for piece in await store.files.stream(first.path, 3, 20)]
    assert b"".join(part) == whole[3:20]
    assert [
        found async for found in Audit(store.database, store.files).findings(repair=False)
    ] == []

    await store.files.remove_generation(claim.generation_id)
    assert s3.objects == {}
    assert await store.files.size(first.path) is None


async def test_a_file_on_its_way_leaves_the_machines_temporary_folder_as_it_is(
    store: Store, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written there first; who may read is set for its own folders only."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    async def text() -> AsyncIterator[bytes]:
        yield b"a text"

    new = NewFile(type_of(b"a text", "a.txt"), text(), 1)
    kept = await store.files.keep_file(UUID(int=7), 1, 0, new)

    assert s3.objects[f"easel/{kept.path}"] == b"a text"
    assert temporary.stat().st_mode & 0o7777 == 0o1777
    assert list(temporary.iterdir()) == []


async def test_a_file_of_many_slices_arrives_whole(store: Store, s3: S3Server) -> None:
    data = bytes(range(256)) * (SLICE_BYTES // 256) + b"end"
    s3.objects["easel/big"] = data

    pieces = [piece async for piece in await store.files.stream("big", 0, len(data))]

    assert b"".join(pieces) == data
    assert len(pieces) == 2


async def test_it_goes_away_and_comes_back_and_the_first_attempt_succeeds(
    worker: InProcessWorker, s3: S3Server
) -> None:
    claim = await started(worker)
    with s3.away():
        saving = asyncio.create_task(worker.succeed(claim))
        seen = await waiting(worker.store, claim)
        assert seen.waiting is not None
        assert seen.waiting.code == "storage_away"
        assert "Debug source" not in seen.waiting.detail
        assert seen.status == "running"
        assert not saving.done()

    [kept] = await saving

    done = await worker.store.generations.get(claim.generation_id)
    assert (done.status, done.attempt, done.waiting) == ("succeeded", 1, None)
    assert len(await worker.store.files.read(kept.path)) == kept.bytes


async def test_a_bucket_that_is_gone_is_away_too(worker: InProcessWorker, s3: S3Server) -> None:
    await worker.store.files.look()
    s3.has_bucket = False

    with pytest.raises(StorageAwayError, match="NoSuchBucket"):
        await worker.store.files.look()


async def test_a_cancel_ends_the_wait_for_it(worker: InProcessWorker, s3: S3Server) -> None:
    claim = await started(worker)
    with s3.away():
        saving = asyncio.create_task(worker.succeed(claim))
        await waiting(worker.store, claim)
        await worker.store.transitions.request_cancel(claim.generation_id)
        with pytest.raises(CancelRequested):
            await saving


@pytest.mark.parametrize("ends", ["cancel", "fail"])
async def test_a_put_whose_attempt_ends_meanwhile_leaves_no_object(
    worker: InProcessWorker, s3: S3Server, ends: str
) -> None:
    claim = await started(worker)
    s3.may_put.clear()
    saving = asyncio.create_task(worker.succeed(claim))
    await arrival(s3)
    await arrival(s3)

    saving.cancel()
    s3.may_put.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert len(s3.objects) == 2  # what was begun is completed
    if ends == "cancel":
        await pipeline.cancel(worker.store, worker.comfy, claim)
    else:
        await pipeline.fail(worker.store, worker.comfy, claim, ArtefactStoreError("no picture"))

    assert s3.objects == {}


async def test_a_worker_that_is_fenced_out_removes_nothing(
    worker: InProcessWorker, s3: S3Server
) -> None:
    """Its files have the names of those that its successor keeps."""
    claim = await started(worker)
    await worker.store.transitions.unclaim(claim)
    again = await InProcessWorker(worker.store, worker.comfy, name="next").start(
        claim.generation_id
    )
    await worker.succeed(again)

    await pipeline.cancel(worker.store, worker.comfy, claim)

    assert len(s3.objects) == 2


async def test_bytes_that_are_no_picture_fail_at_once(s3: S3Server) -> None:
    new = NewPicture(b"no picture", 64, 64, "image/png", 1)

    with pytest.raises(ArtefactStoreError) as caught:
        await ArtefactFiles(s3.url).keep(UUID(int=1), 1, 0, new)

    assert not isinstance(caught.value, StorageAwayError)
