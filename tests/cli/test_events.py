from __future__ import annotations

from collections.abc import AsyncIterator

from cli.events import ServerEvent, read_events


async def _lines(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


async def _read(text: str) -> list[ServerEvent]:
    return [event async for event in read_events(_lines(text))]


async def test_name_data_and_id_of_each_event() -> None:
    text = 'event: status\ndata: {"a": 1}\nid: 3\n\nevent: progress\ndata: {}\nid: 4\n\n'
    assert await _read(text) == [
        ServerEvent("status", '{"a": 1}', "3"),
        ServerEvent("progress", "{}", "4"),
    ]


async def test_comments_and_unknown_fields_are_nothing() -> None:
    assert await _read(": ping\n\nretry: 100\n\ndata: x\n\n") == [ServerEvent("message", "x", None)]


async def test_several_data_lines_are_one_text() -> None:
    assert await _read("data: a\ndata:b\ndata\n\n") == [ServerEvent("message", "a\nb\n", None)]


async def test_the_last_id_holds_for_later_events() -> None:
    events = await _read("id: 7\ndata: a\n\ndata: b\n\n")
    assert [event.id for event in events] == ["7", "7"]


async def test_an_event_that_is_cut_off_is_no_event() -> None:
    assert await _read("data: whole\n\nevent: status\ndata: ha") == [
        ServerEvent("message", "whole", None)
    ]
