"""Headers of a ComfyUI's files, read on this machine, and only what really is such a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from comfy.local_model_files import header_here, is_here, measured
from comfy.model_files import ListedFile

from .families.files import SDXL, safetensors

CONTENT = safetensors(SDXL)
NAME = "ink.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    (folder / "styles").mkdir(parents=True)
    return folder


def put(path: Path) -> Path:
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_read_where_it_is(folder: Path) -> None:
    put(folder / NAME)
    put(folder / "styles" / NAME)
    for name in (NAME, f"styles/{NAME}"):
        header = header_here(ListedFile(name, 0, len(CONTENT)), [str(folder)])
        assert header is not None
        assert dict(header.tensors) == SDXL


def test_the_place_that_is_said_counts(folder: Path, tmp_path: Path) -> None:
    put(folder / NAME)
    places = [str(tmp_path / "away"), str(folder)]
    assert header_here(ListedFile(NAME, 1, len(CONTENT)), places) is not None
    assert header_here(ListedFile(NAME, 0, len(CONTENT)), places) is None
    assert header_here(ListedFile(NAME), places) is not None


def test_a_folder_that_is_a_link_is_followed(folder: Path, tmp_path: Path) -> None:
    put(folder / NAME)
    (tmp_path / "link").symlink_to(folder)
    assert header_here(ListedFile(NAME), [str(tmp_path / "link")]) is not None
    (folder / "inside.safetensors").symlink_to(folder / NAME)
    assert header_here(ListedFile("inside.safetensors"), [str(folder)]) is not None


def test_links_to_files_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    """Those who share a library between programs have it linked into each of them."""
    library = tmp_path / "library"
    library.mkdir()
    put(library / NAME)
    (folder / "linked.safetensors").symlink_to(library / NAME)
    (folder / "library").symlink_to(library)
    for name in ("linked.safetensors", f"library/{NAME}"):
        assert header_here(ListedFile(name), [str(folder)]) is not None
        assert measured(ListedFile(name), [str(folder)]).size == len(CONTENT)


def test_nothing_outside_of_the_folder_is_read(folder: Path, tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.safetensors")
    for name in ("../secret.safetensors", "styles/../../secret.safetensors", str(secret)):
        assert header_here(ListedFile(name), [str(folder)]) is None
        assert measured(ListedFile(name), [str(folder)]) == ListedFile(name)


def test_what_is_no_regular_file_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.safetensors")  # opening it would wait for ever
    (folder / "circle.safetensors").symlink_to(folder / "circle.safetensors")
    for name in ("pipe.safetensors", "circle.safetensors", "styles", "nope", "", "a\0b", "a" * 300):
        assert header_here(ListedFile(name), [str(folder)]) is None


def test_a_file_of_another_size_is_another_one(folder: Path) -> None:
    put(folder / NAME)
    assert header_here(ListedFile(NAME, 0, len(CONTENT) + 1), [str(folder)]) is None


def test_a_file_without_a_header_has_none(folder: Path) -> None:
    (folder / NAME).write_bytes(b"nonsense")
    assert header_here(ListedFile(NAME), [str(folder)]) is None


@pytest.mark.parametrize("place", ["", "loras", "/no/such/folder", "a\0b", "/" + "a" * 5000])
def test_a_place_that_is_not_here(place: str) -> None:
    assert not is_here([place])
    assert header_here(ListedFile(NAME), [place]) is None


def test_a_place_that_is_here(folder: Path) -> None:
    assert is_here(["/no/such/folder", str(folder)])
    assert not is_here([str(put(folder / NAME))])
    assert not is_here([])


def test_a_file_that_is_listed_by_name_only_is_measured(folder: Path) -> None:
    about = put(folder / NAME).stat()
    found = ListedFile(NAME, 1, len(CONTENT), about.st_mtime)
    assert measured(ListedFile(NAME), ["/no/such/folder", str(folder)]) == found
    assert measured(ListedFile(NAME), ["/no/such/folder"]) == ListedFile(NAME)
    told = ListedFile(NAME, 0, 5, 1.0)
    assert measured(told, [str(folder)]) == told
