"""A full disk is told apart from every other failure: what is kept waits until there is room."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from core import failpoints
from store.artefacts.files import ArtefactFiles, _is_for_want_of_space
from store.errors import ArtefactStoreError, NoSpaceError
from tests.store.making import a_picture

GENERATION = uuid.UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def files(folder: Path) -> ArtefactFiles:
    return ArtefactFiles(str(folder))


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("moment", ["save.after_temporary", "save.after_rename"])
async def test_a_full_disk_is_told_apart(
    files: ArtefactFiles, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    armed = tmp_path / "failpoints"
    armed.mkdir()
    (armed / moment).write_text("full")
    monkeypatch.setattr(failpoints, "_FOLDER", str(armed))

    with pytest.raises(NoSpaceError, match="No space left"):
        await files.keep(GENERATION, 1, 0, a_picture())

    assert [name for name in names_in(folder) if name.endswith(".tmp")] == []
    kept = await files.keep(GENERATION, 1, 0, a_picture())  # as soon as there is room
    assert names_in(folder) == sorted(kept.paths)


async def test_another_failure_is_no_full_disk(files: ArtefactFiles, folder: Path) -> None:
    (folder / "6f").write_bytes(b"a file where a folder should be")

    with pytest.raises(ArtefactStoreError) as caught:
        await files.keep(GENERATION, 1, 0, a_picture())
    assert not isinstance(caught.value, NoSpaceError)


_KEEP_ON_A_SMALL_DISK = """
import asyncio, io, os, sys, uuid
from PIL import Image
from store.errors import NoSpaceError
from store.artefacts.files import ArtefactFiles, NewPicture
from tests.store.making import a_picture

async def main():
    files = ArtefactFiles(sys.argv[1])
    small, buffer = a_picture(), io.BytesIO()
    Image.frombytes("RGB", (256, 256), os.urandom(3 * 256 * 256)).save(buffer, "PNG")
    large = NewPicture(buffer.getvalue(), 256, 256, "image/png", 1)
    await files.keep(uuid.uuid4(), 1, 0, small)
    try:
        await files.keep(uuid.uuid4(), 1, 0, large)
    except NoSpaceError as error:
        print("no space:", error)
    await files.keep(uuid.uuid4(), 1, 0, small)
    print(len([found async for found in files.stored() if found.is_temporary]), "left")

asyncio.run(main())
"""
_SMALL_DISK = 'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$2" -c "$3" "$4"'


def _may_mount() -> bool:
    try:
        tried = subprocess.run(
            ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="no disk of a size of our own can be mounted here")
@pytest.mark.parametrize("scheme", ["", "file://"])
async def test_a_disk_that_is_really_full(tmp_path: Path, scheme: str) -> None:
    keeping = await asyncio.create_subprocess_exec(
        *("unshare", "-Urm", "sh", "-c", _SMALL_DISK.format(size="96k"), "sh"),
        *(str(tmp_path), sys.executable, _KEEP_ON_A_SMALL_DISK, f"{scheme}{tmp_path}"),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await keeping.communicate()

    assert keeping.returncode == 0
    assert said.startswith(b"no space: cannot write ")
    assert said.endswith(b"0 left\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_the_system_says_of_space_is_understood(number: int) -> None:
    text = f"Generic LocalFileSystem error: {os.strerror(number)} (os error {number})"
    assert _is_for_want_of_space(GenericError(text))
    assert _is_for_want_of_space(OSError(number, os.strerror(number)))
    assert not _is_for_want_of_space(GenericError("Permission denied (os error 13)"))
    assert not _is_for_want_of_space(OSError(errno.EACCES, "Permission denied"))
