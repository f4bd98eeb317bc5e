from __future__ import annotations

import stat
from pathlib import Path

import httpx

from core.settings import Settings
from web.app import _secret, create_app


async def test_the_page_can_be_switched_off(settings: Settings) -> None:
    off = settings.model_validate({**settings.model_dump(), "web": {"enabled": False}})
    app = create_app(off)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_cookies_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "storage-secret"
    first = _secret(path)
    assert len(first) >= 32
    assert _secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
