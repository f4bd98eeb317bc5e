from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.generate.saving import SLUG_MAX, DamagedError, names, save, slug, suffix


def saved(folder: Path, candidates: Iterator[str], data: bytes, *, once: bool = False) -> Path:
    async def download() -> AsyncIterator[bytes]:
        for start in range(len(data)):
            yield data[start : start + 1]

    digest = hashlib.sha256(data).hexdigest()
    return asyncio.run(save(folder, candidates, download, digest, once=once))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red fox, at dawn [film]", "a-red-fox-at-dawn-film"),
        ("ein Fuchs im Grünen", "ein-fuchs-im-grünen"),
        ("赤い狐", "赤い狐"),
        ("../../etc/passwd", "etc-passwd"),
        ("snake_case", "snake-case"),
        ("!!! ...", "picture"),
    ],
)
def test_slugs(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected


@given(st.text())
def test_a_slug_is_always_a_short_file_name(prompt: str) -> None:
    name = slug(prompt)
    assert 0 < len(name.encode()) <= SLUG_MAX
    assert not set(name) & set('/\\:*?"<>|\0. ')


def test_one_picture_has_no_number_and_several_do() -> None:
    assert list(islice(names("fox-7", ".png"), 3)) == ["fox-7.png", "fox-7-2.png", "fox-7-3.png"]
    assert list(islice(names("fox-7", ".png", 2), 2)) == ["fox-7-2.png", "fox-7-3.png"]


def test_the_suffix_follows_the_content_type() -> None:
    assert suffix("image/webp") == ".webp"
    assert suffix("image/jpeg; q=1") == ".jpg"
    assert suffix("video/mp4") == ".mp4"
    assert suffix("audio/mpeg") == ".mp3"
    assert suffix("text/plain; charset=utf-8", "text") == ".txt"
    assert suffix("application/octet-stream", "mesh_00001_.fbx") == ".fbx"
    assert suffix("application/octet-stream", "../..") == ".bin"


def test_what_arrives_different_twice_is_not_kept(tmp_path: Path) -> None:
    async def download() -> AsyncIterator[bytes]:
        yield b"other"

    with pytest.raises(DamagedError, match="fox"):
        asyncio.run(save(tmp_path, names("fox", ".png"), download, "0" * 64))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fox-7.png").write_text("mine")
    assert saved(tmp_path, names("fox-7", ".png"), b"new") == tmp_path / "fox-7-2.png"
    assert (tmp_path / "fox-7.png").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"fox-7-2.png", "fox-7.png"}


def test_savers_that_race_all_keep_their_picture(tmp_path: Path) -> None:
    contents = [bytes([number]) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda data: saved(tmp_path, names("fox", ".png"), data), contents))
    assert len(set(paths)) == len(contents)
    assert [path.read_bytes() for path in paths] == contents


def test_once_is_enough_for_the_same_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path, names("fox", ".png"), b"one", once=True)
    other = saved(tmp_path, names("fox", ".png"), b"two", once=True)
    assert saved(tmp_path, names("fox", ".png"), b"two", once=True) == other
    assert saved(tmp_path, names("fox", ".png"), b"one", once=True) == first
    assert {path.name for path in tmp_path.iterdir()} == {"fox.png", "fox-2.png"}
    assert saved(tmp_path, names("fox", ".png"), b"one").name == "fox-3.png"


def test_the_folder_is_made_and_the_file_is_as_readable_as_any(tmp_path: Path) -> None:
    path = saved(tmp_path / "a" / "b", names("fox", ".png"), b"x")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_folder_that_is_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        saved(tmp_path / "file", names("fox", ".png"), b"x")
