"""The pictures' bytes: whole or not there, under names that follow from the attempt."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import stat
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from PIL import Image as Pillow

from core.pictures import POSTER_PX, in_small
from store.artefacts.files import ArtefactFiles
from store.errors import ArtefactStoreError
from tests.store.making import a_picture

GENERATION = uuid.UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def files(folder: Path) -> ArtefactFiles:
    return ArtefactFiles(str(folder))


def everything_in(folder: Path, *, folders: bool = False) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if folders or path.is_file()
    )


async def test_what_is_kept_is_what_came(files: ArtefactFiles, folder: Path) -> None:
    picture = a_picture(640, 320)

    kept = await files.keep(GENERATION, 1, 0, picture)

    assert await files.read(kept.path) == picture.data
    assert (folder / kept.path).read_bytes() == picture.data
    assert kept.sha256 == hashlib.sha256(picture.data).hexdigest()
    assert (kept.generation_id, kept.position, kept.seed) == (GENERATION, 0, 42)
    assert (kept.width, kept.height, kept.bytes) == (640, 320, len(picture.data))
    assert kept.content_type == "image/png"
    assert kept.created_at.tzinfo is not None


@pytest.mark.parametrize("size", [(1024, 1024), (2048, 512), (64, 1600), (64, 64), (385, 8)])
async def test_the_thumbnail_is_a_small_webp_of_the_same_shape(
    files: ArtefactFiles, size: tuple[int, int]
) -> None:
    kept = await files.keep(GENERATION, 1, 0, a_picture(*size))

    with Pillow.open(io.BytesIO(await files.read(kept.paths[1]))) as thumbnail:
        assert thumbnail.format == "WEBP"
        assert max(thumbnail.size) == min(POSTER_PX, max(size))
        longer, shorter = max(size), min(size)
        expected = max(1, round(shorter * max(thumbnail.size) / longer))
        assert abs(min(thumbnail.size) - expected) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "I;16", "CMYK"])
async def test_every_kind_of_picture_has_a_thumbnail(files: ArtefactFiles, mode: str) -> None:
    buffer = io.BytesIO()
    Pillow.new(mode, (400, 400)).save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    picture = replace(a_picture(), data=buffer.getvalue())

    kept = await files.keep(GENERATION, 1, 0, picture)

    with Pillow.open(io.BytesIO(await files.read(kept.paths[1]))) as thumbnail:
        assert thumbnail.size == (POSTER_PX, POSTER_PX)


async def test_names_follow_from_generation_attempt_and_position(files: ArtefactFiles) -> None:
    same = [await files.keep(GENERATION, 1, 0, a_picture()) for _ in range(2)]
    others = [
        await files.keep(GENERATION, 1, 1, a_picture()),
        await files.keep(GENERATION, 2, 0, a_picture()),
        await files.keep(uuid.uuid4(), 1, 0, a_picture()),
    ]

    assert same[0].path == f"6f/{GENERATION}/1-0.png"
    assert same[0].poster_path == f"6f/{GENERATION}/1-0.thumbnail.webp"
    assert (same[0].id, same[0].path) == (same[1].id, same[1].path)
    assert len({image.path for image in [same[0], *others]}) == 4
    assert len({image.id for image in [same[0], *others]}) == 4


@pytest.mark.parametrize(
    ("content_type", "suffix"),
    [("image/png", "png"), ("image/jpeg", "jpg"), ("image/webp", "webp"), ("image/x", "bin")],
)
async def test_the_name_tells_the_type(
    files: ArtefactFiles, content_type: str, suffix: str
) -> None:
    kept = await files.keep(GENERATION, 1, 0, replace(a_picture(), content_type=content_type))

    assert kept.path.endswith(f"1-0.{suffix}")


async def test_a_repeated_keep_writes_the_same_files(files: ArtefactFiles, folder: Path) -> None:
    await files.keep(GENERATION, 1, 0, a_picture(shade=1))
    before = everything_in(folder)

    kept = await files.keep(GENERATION, 1, 0, a_picture(shade=200))

    assert everything_in(folder) == before == sorted(kept.paths)
    assert await files.read(kept.path) == a_picture(shade=200).data


async def test_keeps_of_the_same_picture_at_once_do_not_disturb_each_other(
    files: ArtefactFiles, folder: Path
) -> None:
    """A worker that was fenced out may still be saving what the next one saves."""
    again = ArtefactFiles(str(folder))

    kept = await asyncio.gather(
        *(f.keep(GENERATION, 1, 0, a_picture(256, 256)) for f in (files, again) * 6)
    )

    assert everything_in(folder) == sorted(kept[0].paths)
    assert await files.read(kept[0].path) == a_picture(256, 256).data


async def test_a_write_that_fails_leaves_nothing_behind(files: ArtefactFiles, folder: Path) -> None:
    # Given something in the way of the picture, but not of its thumbnail
    kept = await files.keep(GENERATION, 1, 0, a_picture())
    await files.remove([kept])
    (folder / kept.path / "in the way").mkdir(parents=True)

    # When it is kept
    with pytest.raises(ArtefactStoreError):
        await files.keep(GENERATION, 1, 0, a_picture())

    # Then no half of it is there, and it can be done again
    assert [name for name in everything_in(folder) if ".tmp" in name] == []
    assert everything_in(folder) == [kept.poster_path]
    (folder / kept.path / "in the way").rmdir()
    (folder / kept.path).rmdir()
    again = await files.keep(GENERATION, 1, 0, a_picture())
    assert everything_in(folder) == sorted(again.paths)


async def test_a_keep_that_is_cancelled_can_be_done_again(
    files: ArtefactFiles, folder: Path
) -> None:
    for turns in range(12):
        keeping = asyncio.create_task(files.keep(GENERATION, 1, 0, a_picture()))
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.wait([keeping])

    kept = await files.keep(GENERATION, 1, 0, a_picture())

    assert await files.read(kept.path) == a_picture().data
    assert kept.path in everything_in(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
@pytest.mark.parametrize(
    ("of_folder", "of_files"), [(0o700, 0o600), (0o755, 0o644), (0o2770, 0o660)]
)
@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_who_may_read_the_folder_may_read_the_pictures(
    tmp_path: Path, of_folder: int, of_files: int, umask: int
) -> None:
    """The data folder is private; a folder that its user shares stays shared."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    folder.chmod(of_folder)
    before = os.umask(umask)
    try:
        await ArtefactFiles(str(folder)).keep(GENERATION, 1, 0, a_picture())
    finally:
        os.umask(before)
    kept = list(folder.rglob("*"))
    assert len(kept) == 4
    for path in kept:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (of_folder if path.is_dir() else of_files), path


async def test_remove_takes_files_and_empty_folders(files: ArtefactFiles, folder: Path) -> None:
    kept = [await files.keep(GENERATION, 1, position, a_picture()) for position in range(2)]

    await files.remove(kept)
    await files.remove(kept)

    assert everything_in(folder, folders=True) == []
    with pytest.raises(ArtefactStoreError):
        await files.read(kept[0].path)


async def test_remove_leaves_the_others_alone(files: ArtefactFiles, folder: Path) -> None:
    gone, stays = [await files.keep(GENERATION, 1, position, a_picture()) for position in (0, 1)]
    neighbour = await files.keep(uuid.UUID(f"6f{uuid.uuid4().hex[2:]}"), 1, 0, a_picture())

    await files.remove([gone])

    assert everything_in(folder) == sorted([*stays.paths, *neighbour.paths])


@pytest.mark.parametrize("path", ["nothing.png", "", "6f", "../outside.png", "a/../../outside.png"])
async def test_what_cannot_be_read_says_so(files: ArtefactFiles, folder: Path, path: str) -> None:
    (folder.parent / "outside.png").write_bytes(b"not one of ours")
    await files.keep(GENERATION, 1, 0, a_picture())

    with pytest.raises(ArtefactStoreError):
        await files.read(path)


async def test_an_object_store_is_only_another_address() -> None:
    files = ArtefactFiles("memory:///")

    kept = await files.keep(GENERATION, 1, 0, a_picture())
    assert await files.read(kept.path) == a_picture().data

    await files.remove([kept])
    await files.remove([kept])
    with pytest.raises(ArtefactStoreError):
        await files.read(kept.path)


@pytest.fixture(params=["folder", "memory", "file url"])
def kept_anywhere(request: pytest.FixtureRequest, folder: Path) -> ArtefactFiles:
    """The image store on each kind of storage."""
    if request.param == "file url":
        folder.mkdir()
    kinds = {"folder": str(folder), "memory": "memory:///", "file url": folder.as_uri()}
    return ArtefactFiles(kinds[request.param])


async def paths_in(files: ArtefactFiles) -> list[str]:
    return sorted([found.path async for found in files.stored()])


async def test_remove_generation_takes_every_attempt_and_what_was_half_written(
    kept_anywhere: ArtefactFiles,
) -> None:
    files = kept_anywhere
    for attempt, position in ((1, 0), (1, 1), (3, 0)):
        await files.keep(GENERATION, attempt, position, a_picture())
    half = f"6f/{GENERATION}/3-1.png.{uuid.uuid4().hex}.tmp"
    await obstore.put_async(files._store, half, b"half")
    neighbour = await files.keep(uuid.UUID(f"6f{uuid.uuid4().hex[2:]}"), 1, 0, a_picture())
    assert len(await paths_in(files)) == 9

    await files.remove_generation(GENERATION)
    await files.remove_generation(GENERATION)

    assert await paths_in(files) == sorted(neighbour.paths)
    assert await files.read(neighbour.path) == a_picture().data


async def test_remove_generation_leaves_no_empty_folder(files: ArtefactFiles, folder: Path) -> None:
    await files.keep(GENERATION, 1, 0, a_picture())

    await files.remove_generation(GENERATION)
    await files.remove_generation(uuid.uuid4())

    assert everything_in(folder, folders=True) == []


async def test_a_kill_in_the_middle_of_a_save_leaves_what_remove_generation_finds(
    files: ArtefactFiles, folder: Path, tmp_path: Path
) -> None:
    armed = tmp_path / "failpoints"
    armed.mkdir()
    (armed / "save.after_temporary").write_text("kill")
    code = (
        "import asyncio, sys, uuid\n"
        "from store.artefacts.files import ArtefactFiles\n"
        "from tests.store.making import a_picture\n"
        "asyncio.run(ArtefactFiles(sys.argv[1]).keep(uuid.UUID(sys.argv[2]), 1, 0, a_picture()))"
    )
    saving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(folder), str(GENERATION)),
        env={**os.environ, "EASEL_FAILPOINTS": str(armed)},
        cwd=Path(__file__).parents[2],
    )
    assert await saving.wait() < 0
    left = [found async for found in files.stored()]
    assert [found for found in left if found.is_temporary] != []
    assert {found.path for found in left} == set(everything_in(folder))

    await files.remove_generation(GENERATION)

    assert everything_in(folder, folders=True) == []


async def test_what_is_stored_is_listed_with_its_owner(kept_anywhere: ArtefactFiles) -> None:
    files, others = kept_anywhere, uuid.uuid4()
    kept = [await files.keep(owner, 1, 0, a_picture()) for owner in (GENERATION, others)]

    listed = {found.path: found async for found in files.stored()}

    assert len(listed) == 4
    for image in kept:
        assert listed[image.path].generation_id == image.generation_id
        assert listed[image.path].bytes == image.bytes == await files.size(image.path)
        assert listed[image.paths[1]].generation_id == image.generation_id
        age = datetime.now(UTC) - listed[image.path].last_modified
        assert timedelta(minutes=-1) < age < timedelta(hours=1)
        assert not listed[image.path].is_temporary
    assert await files.size(f"6f/{GENERATION}/2-0.png") is None


async def test_what_easel_did_not_name_is_not_listed(files: ArtefactFiles, folder: Path) -> None:
    kept = await files.keep(GENERATION, 1, 0, a_picture())
    strange = (".DS_Store", "6f/notes.txt", f"00/{GENERATION}/1-0.png", f"{GENERATION}/1-0.png")
    for name in (*strange, f"6f/{GENERATION}/deeper/1-0.png", "6f/not-an-id/1-0.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"somebody else's")

    assert await paths_in(files) == sorted(kept.paths)


async def test_many_are_listed_while_they_come_and_go(files: ArtefactFiles) -> None:
    stays = {(await files.keep(uuid.uuid4(), 1, 0, a_picture())).path for _ in range(30)}

    async def come_and_go() -> None:
        while True:
            comes = uuid.uuid4()
            await files.keep(comes, 1, 0, a_picture())
            await files.remove_generation(comes)

    coming = [asyncio.create_task(come_and_go()) for _ in range(3)]
    for _ in range(30):
        assert stays <= set(await paths_in(files))
    for task in coming:
        task.cancel()
    await asyncio.wait(coming)
    assert all(task.cancelled() for task in coming)


async def test_remove_file_takes_one(kept_anywhere: ArtefactFiles) -> None:
    kept = await kept_anywhere.keep(GENERATION, 1, 0, a_picture())

    await kept_anywhere.remove_file(kept.path)
    await kept_anywhere.remove_file(kept.path)

    assert await paths_in(kept_anywhere) == [kept.poster_path]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        a_picture().data[:60],
        a_picture(256, 256).data[:-200],
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        bytes(2000),
    ],
    ids=["nothing", "words", "a header", "cut", "GIF", "an empty PNG", "zeros"],
)
async def test_bytes_that_are_no_picture_are_refused(
    files: ArtefactFiles, folder: Path, data: bytes
) -> None:
    with pytest.raises(ArtefactStoreError, match="no complete image"):
        await files.keep(GENERATION, 1, 0, replace(a_picture(), data=data))

    assert everything_in(folder) == []


_ENDS_AFTER_A_CALL = """
import asyncio, gc, os, sys
from store.artefacts.files import ArtefactFiles

async def main():
    files = ArtefactFiles(sys.argv[1])
    await asyncio.gather(*(files.size("a") for _ in range(8)))

gc.freeze()
sys.setswitchinterval(1e-6)  # threads change places more often: the race is met more often
children = []
for _ in range(60):
    child = os.fork()
    if child == 0:
        asyncio.run(main())
        sys.exit()
    children.append(child)
print({os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children})
"""


def test_a_process_that_ends_right_after_a_call_exits_with_zero(folder: Path) -> None:
    """obstore's own threads aborted one in ten of these, and Easel's worker with them."""
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    command = (sys.executable, "-c", _ENDS_AFTER_A_CALL, str(folder))
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "{0}\n"


def test_a_store_of_an_unknown_kind_is_an_error_without_its_key() -> None:
    with pytest.raises(ArtefactStoreError, match="foo://") as raised:
        ArtefactFiles("foo://key:secretpw@bucket")
    assert "secretpw" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_picture_that_was_decoded_is_not_decoded_again(files: ArtefactFiles) -> None:
    picture = a_picture(640, 320)
    small = in_small(Pillow.new("RGB", (640, 320), (1, 2, 250)))

    kept = await files.keep(GENERATION, 1, 0, replace(picture, data=b"opaque", small=small))

    with Pillow.open(io.BytesIO(await files.read(kept.paths[1]))) as thumbnail:
        assert thumbnail.size == (384, 192)
        assert thumbnail.convert("RGB").getpixel((9, 9))[2] > 200  # type: ignore[index]
    assert await files.read(kept.path) == b"opaque"


async def test_what_is_no_picture_leaves_no_file(files: ArtefactFiles, folder: Path) -> None:
    with pytest.raises(ArtefactStoreError):
        await files.keep(GENERATION, 1, 0, replace(a_picture(), data=b"no picture"))

    assert everything_in(folder) == []
