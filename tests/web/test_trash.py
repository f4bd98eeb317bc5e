from __future__ import annotations

import asyncio

import pytest

import web.parts.trash
from api.generations.facade import Facade
from core.requests import GenerationRequest
from tests.web.visiting import until
from web.parts.trash import Trash


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.parts.trash, "UNDO_S", 0.2)


async def test_what_is_taken_back_stays(facade: Facade) -> None:
    made = (await facade.create(GenerationRequest(prompt="a fox"), None, b"")).document.task_id
    trash = Trash(lambda: facade)
    trash.put([made])
    assert made in trash
    trash.undo([made])
    assert made not in trash
    await asyncio.sleep(0.4)
    assert not await facade.store.generations.is_deleted(made)


async def test_what_is_not_is_gone_for_good(facade: Facade) -> None:
    made = (await facade.create(GenerationRequest(prompt="a fox"), None, b"")).document.task_id
    trash = Trash(lambda: facade)
    trash.put([made])
    await until(lambda: made not in trash)
    assert await facade.store.generations.is_deleted(made)
