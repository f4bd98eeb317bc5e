from __future__ import annotations

from uuid import UUID

import pytest

import web.parts.trash
from api.generations.facade import Facade
from core.requests import GenerationRequest
from tests.web.visiting import until
from web.parts.trash import Trash


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.parts.trash, "UNDO_S", 0.2)


async def a_generation(facade: Facade) -> UUID:
    return (await facade.create(GenerationRequest(prompt="a fox"))).task_id


async def test_what_is_taken_back_stays(facade: Facade) -> None:
    kept, gone = await a_generation(facade), await a_generation(facade)
    trash = Trash(lambda: facade)
    trash.put([kept, gone])
    assert kept in trash
    trash.undo([kept])
    assert kept not in trash
    await until(lambda: gone not in trash)  # its time was up after that of the other
    assert not await facade.store.generations.is_deleted(kept)


async def test_what_is_not_is_gone_for_good(facade: Facade) -> None:
    made = await a_generation(facade)
    trash = Trash(lambda: facade)
    trash.put([made])
    await until(lambda: made not in trash)
    assert await facade.store.generations.is_deleted(made)
