"""The history by kinds of what was made."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args
from uuid import UUID

import pytest

from core.artefacts import ArtefactKind
from store.generations.queries import _matching
from store.store import Store
from store.tables import generations
from store.values import HistoryFilter
from tests.harness.statements import plan_of
from tests.store.making import accepted, an_image, running


async def made(store: Store, *kinds: ArtefactKind) -> UUID:
    generation = await accepted(store)
    claim = await running(store, generation.id)
    kept = [replace(an_image(claim, at), kind=kind) for at, kind in enumerate(kinds)]
    await store.transitions.succeed(claim, kept, nodes=1)
    return generation.id


async def found(store: Store, *kinds: ArtefactKind) -> list[UUID]:
    page = await store.generations.history(HistoryFilter(kind=kinds), 100, None)
    return [generation.id for generation in page.items]


async def test_those_with_any_of_the_kinds_are_found_once(store: Store) -> None:
    picture = await made(store, "image", "image")
    film = await made(store, "video", "image", "video")
    text = await made(store, "text")
    waits = await accepted(store)

    assert await found(store, "image") == [film, picture]
    assert await found(store, "video") == [film]
    assert await found(store, "text", "video") == [text, film]
    assert await found(store, "audio") == []
    assert await found(store) == [waits.id, text, film, picture]


@pytest.mark.parametrize("count", [1, len(get_args(ArtefactKind))])
async def test_an_index_answers(fresh_store: Store, count: int) -> None:
    database = fresh_store.database
    kinds = get_args(ArtefactKind)[:count]
    wanted = _matching(HistoryFilter(kind=kinds), is_sqlite=database.is_sqlite)
    page = wanted.order_by(generations.c.seq.desc()).limit(51)

    plan = await plan_of(database, page)

    assert "ix_artefacts_generation_id" in plan
    assert "SCAN artefacts" not in plan
    if database.is_sqlite:
        assert "COVERING INDEX ix_artefacts_generation_id" in plan
