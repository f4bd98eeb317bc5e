"""What ComfyUIs offer, and requests for their files: kept, asked, answered, removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import select, update

from store.sources import LEFT_BEHIND, SourceAnswer
from store.store import Store
from store.tables import source_requests
from tests.harness.transactions import open_read, open_write

FOX = [{"kind": "saved", "name": "fox.json"}]


async def test_lists_are_written_when_they_change(store: Store) -> None:
    assert await store.sources.keep("http://one", FOX)
    assert not await store.sources.keep("http://one", FOX)
    assert await store.sources.keep("http://one", [])
    await store.sources.keep("http://two", FOX)

    assert await store.sources.kept(["http://one", "http://three"]) == {"http://one": []}
    await store.registry.rename_comfy("http://two", "http://one")
    assert await store.sources.kept(["http://two"]) == {}


async def test_a_request_is_answered_by_its_comfyuis_worker(store: Store) -> None:
    one, other = await store.sources.ask(["http://one", "http://two"], "saved:fox.json")

    assert await store.sources.asked("http://one") == [(one, "saved:fox.json")]
    assert await store.sources.answers([one, other]) == []
    await store.sources.answer(other, SourceAnswer(problem="away"))
    await store.sources.answer(one, SourceAnswer(b"{}", "fox", "The fox"))

    assert await store.sources.asked("http://one") == []
    assert await store.sources.answers([one, other]) == [
        SourceAnswer(problem="away"),
        SourceAnswer(b"{}", "fox", "The fox"),
    ]
    await store.sources.forget([one, other])
    assert await store.sources.answers([one, other]) == []
    await store.sources.answer(one, SourceAnswer(b"{}"))  # nobody waits any more
    assert await store.sources.answers([one]) == []


async def test_the_first_answer_stands(store: Store) -> None:
    """Two workers of one ComfyUI answer, and one of them loses its connection."""
    [request] = await store.sources.ask(["http://one"], "saved:fox.json")
    await store.sources.answer(request, SourceAnswer(b"{}", "fox", "The fox"))

    await store.sources.answer(request, SourceAnswer(problem="away"))

    assert await store.sources.answers([request]) == [SourceAnswer(b"{}", "fox", "The fox")]


async def test_what_was_left_behind_goes(store: Store) -> None:
    [left] = await store.sources.ask(["http://one"], "saved:fox.json")
    long_ago = datetime.now(UTC) - LEFT_BEHIND - timedelta(minutes=1)
    async with open_write(store.database) as connection:
        await connection.execute(update(source_requests).values(asked_at=long_ago))

    [asked] = await store.sources.ask(["http://one"], "saved:owl.json")

    async with open_read(store.database) as connection:
        found = await connection.execute(select(source_requests.c.id))
    assert found.scalars().all() == [asked]
    assert asked not in (left, uuid4())
