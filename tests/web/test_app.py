from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from nicegui import ui

from core.settings import Settings
from web.app import _secret, create_app
from web.batches.sheet import Sheet
from web.history.gallery import Gallery
from web.parts.drop import Drop


@pytest.mark.parametrize("element", [Drop, Gallery, Sheet])
def test_an_element_of_ours_has_its_javascript(element: type[ui.element]) -> None:
    """NiceGUI says nothing about a file that is not there; the page stays empty at that place."""
    assert element.component is not None
    assert element.component.path.name == f"{element.__name__.lower()}.js"
    assert element.component.path.is_file()


async def test_the_page_can_be_switched_off(settings: Settings) -> None:
    off = settings.model_validate({**settings.model_dump(), "web": {"enabled": False}})
    app = create_app(off)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_cookies_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "storage-secret"
    first = _secret(path)
    assert len(first) >= 32
    assert _secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_is_too_long_is_not_taken_in(settings: Settings) -> None:
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        url = "/_nicegui/client/somebody/upload/7"
        said = {"Content-Length": str(settings.api.max_manifest_bytes + 20_000)}
        assert (await client.post(url, headers=said, content=b"")).status_code == 413
        assert (await client.post(url, content=_unannounced())).status_code == 411
        assert (await client.post(url, content=b"prompt")).status_code == 404  # no such visitor


async def _unannounced() -> AsyncIterator[bytes]:
    yield b"prompt"
