"""Files as streams: a slice at a time, of a local folder, of memory, and of what speaks S3."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import obstore
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from store.artefacts.files import SLICE_BYTES, ArtefactFiles
from store.errors import ArtefactStoreError

PATH: Final = "6f/a picture.bin"
DATA: Final = random.Random(7).randbytes(2 * SLICE_BYTES + 1000)
SIZE: Final = len(DATA)


@dataclass
class Shelf:
    """An image store, and how a file gets there without it."""

    files: ArtefactFiles
    folder: Path | None

    async def put(self, data: bytes) -> None:
        if self.folder is None:
            await obstore.put_async(self.files._store, PATH, data)
        else:
            (self.folder / PATH).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / PATH).write_bytes(data)

    async def remove(self) -> None:
        if self.folder is None:
            await obstore.delete_async(self.files._store, PATH)
        else:
            (self.folder / PATH).unlink()


@pytest.fixture(params=["folder", "memory", "s3"])
async def shelf(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shelf]:
    if request.param == "folder":
        yield Shelf(ArtefactFiles(str(tmp_path)), tmp_path)
    elif request.param == "memory":
        yield Shelf(ArtefactFiles("memory:///"), None)
    else:
        # For reads of what is public, S3's protocol is HTTP with ranges and nothing more.
        app = web.Application()
        app.router.add_static("/bucket", tmp_path)
        async with TestServer(app) as server:
            monkeypatch.setenv("AWS_ENDPOINT", str(server.make_url("")).rstrip("/"))
            monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
            monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            yield Shelf(ArtefactFiles("s3://bucket"), tmp_path)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, SIZE),
        (0, 1),
        (SIZE - 1, SIZE),
        (0, SLICE_BYTES),
        (1, SLICE_BYTES + 1),
        (SLICE_BYTES - 1, 2 * SLICE_BYTES + 1),
        (700, 700),
    ],
)
async def test_a_part_comes_in_slices(shelf: Shelf, start: int, end: int) -> None:
    await shelf.put(DATA)

    slices = [part async for part in await shelf.files.stream(PATH, start, end)]

    assert b"".join(slices) == DATA[start:end]
    assert max(len(part) for part in slices) <= SLICE_BYTES
    assert len(slices) == max(1, -((start - end) // SLICE_BYTES))


async def test_what_is_not_there_is_said_at_once(shelf: Shelf) -> None:
    with pytest.raises(ArtefactStoreError, match="cannot read"):
        await shelf.files.stream(PATH, 0, 10)


async def test_a_file_that_is_much_too_short_is_refused_at_once(shelf: Shelf) -> None:
    await shelf.put(DATA[:10])

    with pytest.raises(ArtefactStoreError, match="ends at 10"):
        await shelf.files.stream(PATH, 0, SIZE)


@pytest.mark.parametrize("missing", [1, 1000, SIZE])
async def test_a_file_that_is_too_short_is_never_a_whole_one(shelf: Shelf, missing: int) -> None:
    await shelf.put(DATA[: SIZE - missing])

    with pytest.raises(ArtefactStoreError):
        await read_all(shelf)


async def read_all(shelf: Shelf) -> bytes:
    return b"".join([part async for part in await shelf.files.stream(PATH, 0, SIZE)])


async def test_a_file_that_goes_meanwhile_ends_the_stream(shelf: Shelf) -> None:
    await shelf.put(DATA)
    stream = await shelf.files.stream(PATH, 0, SIZE)
    assert await anext(stream) == DATA[:SLICE_BYTES]

    await shelf.remove()

    with pytest.raises(ArtefactStoreError, match="cannot read"):
        await anext(stream)


@pytest.mark.parametrize("path", ["", "6f", "../outside.bin", "a/../../outside.bin"])
async def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    files = ArtefactFiles(str(tmp_path / "images"))
    (tmp_path / "images" / "6f").mkdir(parents=True)
    (tmp_path / "outside.bin").write_bytes(b"not one of ours")

    with pytest.raises(ArtefactStoreError):
        await files.stream(path, 0, 3)
