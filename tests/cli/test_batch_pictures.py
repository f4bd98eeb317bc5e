from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api.batches.results_zip import _name
from cli.bulk.pictures import BatchPictures, found_in, picture_names
from cli.client import ApiClient
from store.values import Artefact, BatchItem
from tests.cli.scripted_batches import (
    BATCH,
    ScriptedBatches,
    batch,
    failed_item,
    image,
    item,
    serve_batches,
)
from tests.comfy.data import resolved


@pytest.fixture
async def api() -> AsyncIterator[ScriptedBatches]:
    async with serve_batches(ScriptedBatches()) as api:
        yield api


@pytest.fixture
async def pictures(api: ScriptedBatches, tmp_path: Path) -> AsyncIterator[BatchPictures]:
    async with ApiClient(api.url) as client:
        yield BatchPictures(client, BATCH, tmp_path)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "prompt",
    [
        "a red fox, at dawn [film]",
        "ein Fuchs im Grünen",
        "赤い狐",
        "../../etc/passwd",
        "!!!",
        "x" * 60,
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_files_are_named_as_in_the_zip(prompt: str, number: int) -> None:
    made = BatchItem(
        position=41,
        row=1,
        combination=None,
        generation_id=uuid4(),
        request=resolved(prompt=prompt),
        generation=None,
        again=False,
    )
    kept = Artefact(
        id=uuid4(),
        generation_id=made.generation_id,
        position=number,
        path="41/x.png",
        poster_path="41/x.webp",
        width=8,
        height=8,
        content_type="image/png",
        bytes=1,
        sha256="",
        seed=1,
        created_at=datetime.now(UTC),
    )
    ours = next(picture_names(item(41, b"x", b"y", prompt=prompt), number))
    assert ours == _name(made, kept)


def test_a_deleted_generations_picture_has_a_name_too() -> None:
    assert next(picture_names(item(0, b"x", request=None), 0)) == "00001.png"


def test_there_is_what_has_the_size_and_the_sha(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"right")
    assert found_in(tmp_path, iter(["a.png"]), image(b"right")) == tmp_path / "a.png"
    assert not found_in(tmp_path, iter(["a.png", "b.png"]), image(b"wrong"))
    assert not found_in(tmp_path, iter(["a.png", "b.png"]), image(b"longer"))
    (tmp_path / "b.png").write_bytes(b"wrong")
    assert found_in(tmp_path, iter(["a.png", "b.png"]), image(b"wrong")) == tmp_path / "b.png"


async def test_every_page_is_saved_and_nothing_twice(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    api.page_size = 2
    api.show(
        item(0, b"0"),
        item(1, b"1", b"1b"),
        item(2, b"2"),
        p0_0=b"0",
        p1_0=b"1",
        p1_1=b"1b",
        p2_0=b"2",
    )
    await pictures.sweep()
    assert _files(tmp_path) == {
        "00001-a-red-fox.png": b"0",
        "00002-a-red-fox.png": b"1",
        "00002-2-a-red-fox.png": b"1b",
        "00003-a-red-fox.png": b"2",
    }
    await pictures.sweep()
    assert sorted(api.downloads) == ["0-0", "1-0", "1-1", "2-0"]
    assert (pictures.saved, pictures.there) == (4, 0)


async def test_what_the_folder_has_is_not_fetched(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    (tmp_path / "00001-a-red-fox.png").write_bytes(b"0")
    (tmp_path / "00002-a-red-fox.png").write_bytes(b"of another batch")
    api.show(item(0, b"0"), item(1, b"1"), p1_0=b"1")
    await pictures.sweep()
    assert api.downloads == ["1-0"]
    assert (pictures.saved, pictures.there) == (1, 1)
    assert _files(tmp_path)["00002-a-red-fox-2.png"] == b"1"
    assert _files(tmp_path)["00002-a-red-fox.png"] == b"of another batch"


async def test_two_that_save_at_once_save_once(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    items = [item(number, b"%d" % number) for number in range(20)]
    api.show(*items, **{f"p{number}_0": b"%d" % number for number in range(20)})
    async with ApiClient(api.url) as client:
        await asyncio.gather(pictures.sweep(), BatchPictures(client, BATCH, tmp_path).sweep())
    assert len(_files(tmp_path)) == 20


async def test_pages_that_are_done_are_not_asked_for_again(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    api.page_size = 2
    api.show(*(item(number, b"x") for number in (0, 1, 2, 4)))
    await pictures.sweep()
    assert api.pages == [None, "1"]
    # 3 is made in the meantime: the page that it is on must be looked at, the first must not.
    api.show(*(item(number, b"x") for number in range(5)), p3_0=b"x")
    await pictures.sweep()
    assert api.pages[2:] == ["1", "3"]
    assert list(_files(tmp_path)) == ["00004-a-red-fox.png"]


async def test_a_gap_keeps_its_page_open(api: ScriptedBatches, pictures: BatchPictures) -> None:
    api.page_size = 2
    api.show(*(item(number, b"x") for number in (0, 2, 3, 4)))
    await pictures.sweep()
    api.pages.clear()
    await pictures.sweep()
    assert api.pages == [None, "2"]


async def test_failures_are_no_gap(api: ScriptedBatches, pictures: BatchPictures) -> None:
    api.page_size = 2
    api.show(failed_item(0, "no memory"), item(1), item(2))
    await pictures.sweep()
    api.pages.clear()
    await pictures.sweep()
    assert api.pages == ["1"]


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_gone_is_counted(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path, status: int
) -> None:
    api.show(item(0, b"0"))
    api.pictures = {"0-0": status}
    await pictures.sweep()
    assert (pictures.gone, pictures.saved, _files(tmp_path)) == (1, 0, {})


async def test_what_arrives_damaged_is_told_and_not_saved(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    api.show(item(0, b"whole"), p0_0=b"half")
    await pictures.sweep()
    assert pictures.damaged == ["00001-a-red-fox.png arrived damaged"]
    assert _files(tmp_path) == {}


async def test_a_folder_that_cannot_be_written_is_an_os_error(
    api: ScriptedBatches, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    api.show(item(0, b"0"), p0_0=b"0")
    async with ApiClient(api.url) as client:
        with pytest.raises(OSError, match="file"):
            await BatchPictures(client, BATCH, tmp_path / "file").sweep()


async def test_it_keeps_up_to_the_end(
    api: ScriptedBatches, pictures: BatchPictures, tmp_path: Path
) -> None:
    def made(count: int) -> dict[str, Any]:
        return batch("running", succeeded=count)

    api.show(item(0, b"0"), p0_0=b"0")
    keeping = asyncio.create_task(pictures.keep_up())
    pictures.tell(made(1))
    api.show(item(0, b"0"), item(1, b"1"), p0_0=b"0", p1_0=b"1")
    pictures.tell_end()
    await keeping
    assert sorted(_files(tmp_path)) == ["00001-a-red-fox.png", "00002-a-red-fox.png"]
