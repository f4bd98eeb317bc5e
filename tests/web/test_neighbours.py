from __future__ import annotations

from uuid import UUID

from api.generations.facade import Facade
from core.requests import GenerationRequest
from flows.testing import InProcessWorker


async def finished(facade: Facade) -> UUID:
    made = (await facade.create(GenerationRequest(prompt="a fox"))).task_id
    await InProcessWorker(facade.store).finish(made)
    return made


async def test_beside_a_picture_are_the_pictures_made_before_and_after(facade: Facade) -> None:
    oldest, middle, newest = [await finished(facade) for _ in range(3)]
    await facade.create(GenerationRequest(prompt="not yet a picture"))
    beside = await facade.store.generations.neighbours(middle, ())
    assert (beside.newer, beside.older) == (newest, oldest)
    assert (await facade.store.generations.neighbours(newest, ())).newer is None
    assert (await facade.store.generations.neighbours(newest, (middle,))).older == oldest
