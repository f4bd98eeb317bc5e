from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from api.generations.facade import Facade
from core.requests import GenerationRequest
from store.values import Holder


async def finished(facade: Facade) -> UUID:
    made = (await facade.create(GenerationRequest(prompt="a fox"))).task_id
    transitions = facade.store.transitions
    claim = await transitions.claim(
        made, flow_run_id=uuid4(), attempt=None, holder=Holder("test", uuid4(), "http://comfy")
    )
    await transitions.start(claim, datetime.now(UTC))
    await transitions.succeed(claim, [])
    return made


async def test_beside_a_picture_are_the_pictures_made_before_and_after(facade: Facade) -> None:
    oldest, middle, newest = [await finished(facade) for _ in range(3)]
    await facade.create(GenerationRequest(prompt="not yet a picture"))
    beside = await facade.store.generations.neighbours(middle, ())
    assert (beside.newer, beside.older) == (newest, oldest)
    assert (await facade.store.generations.neighbours(newest, ())).newer is None
    assert (await facade.store.generations.neighbours(newest, (middle,))).older == oldest
