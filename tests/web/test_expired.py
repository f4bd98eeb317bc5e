"""Pages of a generation whose pictures were removed because of their age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from nicegui.testing import User
from sqlalchemy import update

from api.generations.facade import Facade
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from store.tables import generations
from tests.harness.transactions import open_write


async def expired(facade: Facade) -> UUID:
    """A generation of 30 days ago, whose picture has just been removed."""
    store = facade.store
    created = await facade.create(GenerationRequest(prompt="a red fox"))
    task_id = created.task_id
    await InProcessWorker(store).finish(task_id)
    async with open_write(store.database) as connection:
        ended = datetime.now(UTC) - timedelta(days=30, hours=1)
        await connection.execute(
            update(generations).where(generations.c.id == task_id).values(finished_at=ended)
        )
    assert await store.retention.expire_pictures(datetime.now(UTC) - timedelta(days=30)) == 1
    return task_id


async def test_the_picture_page_says_so(user: User, facade: Facade) -> None:
    task_id = await expired(facade)
    await user.open(f"/g/{task_id}")
    await user.should_see("The image was removed after 30 days")
    await user.should_see("a red fox")


async def test_the_studio_says_so(user: User, facade: Facade) -> None:
    task_id = await expired(facade)
    await user.open(f"/?g={task_id}")
    await user.should_see("The image was removed after 30 days")


async def test_the_history_still_shows_it(user: User, facade: Facade) -> None:
    await expired(facade)
    await user.open("/history")
    assert user.client is not None
    tiles = [
        tile for element in user.client.elements.values() for tile in element.props.get("tiles", [])
    ]
    assert [(tile["src"], tile["headline"]) for tile in tiles] == [(None, "Image removed")]
