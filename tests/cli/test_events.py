"""What the client makes of an event stream."""

from __future__ import annotations

import pytest
from aiohttp import web

from cli.client import ApiClient, ApiUnreachableError
from tests.cli.scripted_api import TASK, ScriptedApi, serve


async def _events(stream: str, content_type: str = "text/event-stream") -> list[tuple[str, ...]]:
    """Name, data and id of each event that the client gives."""

    async def send(response: web.StreamResponse, _last_id: str | None) -> None:
        await response.write(stream.encode())

    scripted = ScriptedApi(streams=[send], content_type=content_type)
    async with serve(scripted) as api, ApiClient(api.url) as client:
        events = client.events(TASK, None)
        return [(event.event, event.data, event.id) async for event in events]


async def test_name_data_and_id_of_each_event() -> None:
    text = 'event: status\ndata: {"a": 1}\nid: 3\n\nevent: progress\ndata: {}\nid: 4\n\n'
    assert await _events(text) == [("status", '{"a": 1}', "3"), ("progress", "{}", "4")]


async def test_a_comment_is_no_event_even_behind_an_id() -> None:
    assert await _events("id: 7\ndata: a\n\n: ping\n\n: ping\n\n") == [("message", "a", "7")]


async def test_an_event_that_is_cut_off_is_no_event() -> None:
    assert await _events("data: whole\n\nevent: status\ndata: ha") == [("message", "whole", "")]


async def test_another_program_at_the_address_is_told() -> None:
    with pytest.raises(ApiUnreachableError, match="Content-Type"):
        await _events("<html></html>", content_type="text/html")
