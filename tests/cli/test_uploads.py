"""Local files as inputs: sent to a real API, each once."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from PIL import Image as Pillow

from cli.client import ApiClient, ApiUnreachableError
from cli.console import CommandError
from cli.uploads import Uploads, files_in, local_file
from tests.api.service import Backstage, Service, closed_port
from tests.harness.databases import a_store
from tests.harness.processes import free_port

UPLOADS: Final = "/api/v1/uploads"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    a_store(tmp_path / "home" / "easel.db")
    with (
        Backstage() as backstage,
        Service(backstage, tmp_path / "home", closed_port(), f"{closed_port()}/api") as service,
    ):
        yield service


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    return a_picture(tmp_path / "fox.png", "red")


def a_picture(path: Path, colour: str) -> Path:
    buffer = io.BytesIO()
    Pillow.new("RGB", (30, 20), colour).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return path


def id_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_file_is_sent_and_referred_to(service: Service, fox: Path) -> None:
    async with ApiClient(service.url) as client:
        reference = await Uploads(client).reference(fox)

    assert reference == f"upload:{id_of(fox)}"
    found = await asyncio.to_thread(service.get, f"{UPLOADS}/{id_of(fox)}")
    assert found.status_code == 200


async def test_a_file_is_sent_once(service: Service, fox: Path, tmp_path: Path) -> None:
    twin = a_picture(tmp_path / "twin.png", "red")
    sent: list[str] = []

    class Counting(ApiClient):
        async def upload(self, pieces: object, name: str) -> str:
            sent.append(name)
            return await super().upload(pieces, name)  # type: ignore[arg-type]

    async with Counting(service.url) as client:
        uploads = Uploads(client)
        found = await asyncio.gather(*(uploads.reference(fox) for _ in range(5)))
        assert await uploads.reference(twin) == found[0]
        assert await Uploads(client).reference(fox) == found[0]

    assert set(found) == {f"upload:{id_of(fox)}"}
    assert sent == ["fox.png"]


async def test_one_that_was_removed_is_sent_again(service: Service, fox: Path) -> None:
    async with ApiClient(service.url) as client:
        reference = await Uploads(client).reference(fox)
        url = f"{UPLOADS}/{id_of(fox)}"
        assert (await asyncio.to_thread(service.client.delete, url)).status_code == 204
        assert await Uploads(client).reference(fox) == reference
    assert (await asyncio.to_thread(service.get, url)).status_code == 200


async def test_a_cell_names_a_file_beside_its_file_of_rows(service: Service, fox: Path) -> None:
    reference = f"upload:{id_of(fox)}"
    other = "artefact:6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
    async with ApiClient(service.url) as client:
        uploads = Uploads(client)
        for text in ("fox.png", "@fox.png", str(fox), reference):
            assert await uploads.cell(text, fox.parent) == reference
        assert await uploads.cell(other, fox.parent) == other
        assert await uploads.cell("", fox.parent) == ""


async def test_a_file_that_cannot_be_read_or_is_not_taken(service: Service, fox: Path) -> None:
    page = fox.with_name("page.html")
    page.write_text("<!doctype html>")
    async with ApiClient(service.url) as client:
        uploads = Uploads(client)
        for name in ("none.png", "."):
            with pytest.raises(CommandError, match="cannot be read"):
                await uploads.reference(fox.parent / name)
        with pytest.raises(CommandError, match=r"page\.html is not taken.*PNG"):
            await uploads.reference(page)


async def test_nobody_there_is_told(fox: Path) -> None:
    async with ApiClient(f"http://127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(ApiUnreachableError):
            await Uploads(nobody).reference(fox)


def test_a_value_with_a_mark_names_a_file() -> None:
    assert local_file("@a/fox.png") == Path("a/fox.png")
    assert local_file("@~/fox.png") == Path.home() / "fox.png"
    assert local_file("a fox") is None
    assert local_file("@") is None
    assert local_file("") is None


def test_the_files_of_a_folder(tmp_path: Path, fox: Path) -> None:
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.png").write_bytes(b"x")
    hen = a_picture(tmp_path / "hen.png", "blue")

    tenth, second = (
        a_picture(tmp_path / "Fox 10.png", "red"),
        a_picture(tmp_path / "fox 2.png", "red"),
    )

    assert files_in(tmp_path) == [second, tenth, fox, hen]
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none", fox):
        with pytest.raises(CommandError):
            files_in(path)
