"""The first picture of a new home: it must not be in the way of what a user asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from cli.client import ApiClient
from cli.up.checks import has_gpu
from cli.up.welcome import REQUEST, GaveWayError, Welcome, render_welcome
from comfy.address import Address
from core.settings import Settings
from tests.cli.scripted_api import TASK, ScriptedApi, document, send, serve

OTHER = "33333333-3333-4333-8333-333333333333"


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with serve(ScriptedApi()) as api:
        yield api


async def _for_ever(response: web.StreamResponse, _last_id: str | None) -> None:
    await send(response, "status", document("running"), 2)
    await asyncio.Event().wait()


async def _to_the_end(response: web.StreamResponse, _last_id: str | None) -> None:
    await send(response, "status", document("succeeded"), 2)


async def _welcome(api: ScriptedApi) -> tuple[Welcome | None, list[str]]:
    """The welcome, and what was announced."""
    told: list[str] = []
    async with ApiClient(api.url) as client:
        settings = Settings(store={"images_url": "s3://elsewhere"})
        return await render_welcome(client, settings, lambda: told.append("begun")), told


def _in_history(status: str, metadata: dict[str, Any], task_id: str = TASK) -> dict[str, Any]:
    return document(status, task_id=task_id, request={"metadata": metadata})


async def test_it_is_made_while_nothing_else_is_asked_for(api: ScriptedApi) -> None:
    api.streams = [_to_the_end]
    welcome, told = await _welcome(api)
    assert welcome is not None
    assert told == ["begun"]
    assert api.requests == [REQUEST]
    assert not api.deleted


async def test_it_gives_way_to_the_first_request(api: ScriptedApi) -> None:
    api.streams = [_for_ever]
    making = asyncio.create_task(_welcome(api))
    await api.asked.wait()
    api.history = [document("queued", task_id=OTHER), document("running")]
    with pytest.raises(GaveWayError):
        await making
    assert api.deleted


async def test_there_is_none_in_a_home_with_a_history(api: ScriptedApi) -> None:
    api.history = [_in_history("succeeded", {}, OTHER)]
    assert await _welcome(api) == (None, [])
    assert api.requests == []


async def test_one_that_a_stop_interrupted_is_followed_again(api: ScriptedApi) -> None:
    """Else it would be rendered with nothing that lets it give way."""
    api.history = [_in_history("queued", REQUEST["metadata"])]
    api.streams = [_to_the_end]
    welcome, told = await _welcome(api)
    assert welcome is not None
    assert told == ["begun"]
    assert api.requests == []


@pytest.mark.parametrize(
    ("devices", "emulator", "expected"),
    [(["cpu"], False, False), (["cuda"], False, True), (["cpu"], True, True)],
)
async def test_a_comfyui_without_a_gpu_is_known(
    devices: list[str], emulator: bool, expected: bool
) -> None:
    async def stats(_request: web.Request) -> web.Response:
        said = {"comfyui_version": "0.24.0", "easel_emulator": emulator}
        return web.json_response({"system": said, "devices": [{"type": one} for one in devices]})

    app = web.Application()
    app.router.add_get("/system_stats", stats)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert await has_gpu(Address.of(f"http://127.0.0.1:{runner.addresses[0][1]}")) is expected
    finally:
        await runner.cleanup()
