"""What is beside a picture: in the history, in a search, in a batch."""

from __future__ import annotations

from uuid import UUID

import pytest
from starlette.datastructures import QueryParams

from api.context import Context
from api.generations.facade import Facade
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from tests.web.batches import begun, fail, ids, succeed
from web.history.listing import read_listing
from web.parts.layout import Web
from web.parts.trash import Trash


@pytest.fixture
def web(context: Context) -> Web:
    return Web(lambda: context, Trash(lambda: context.facade))


async def finished(facade: Facade, prompt: str = "a fox") -> UUID:
    made = (await facade.create(GenerationRequest(prompt=prompt))).task_id
    await InProcessWorker(facade.store).finish(made)
    return made


async def beside(web: Web, query: str, generation_id: UUID) -> tuple[UUID | None, UUID | None]:
    found = await read_listing(QueryParams(query)).neighbours(web, generation_id)
    return found.before, found.after


async def test_in_the_history_are_the_pictures_made_before_and_after(
    facade: Facade, web: Web
) -> None:
    oldest, middle, newest = [await finished(facade) for _ in range(3)]
    await facade.create(GenerationRequest(prompt="not yet a picture"))
    assert await beside(web, "", middle) == (newest, oldest)
    assert await beside(web, "", newest) == (None, middle)
    web.trash.put([middle])
    assert await beside(web, "", newest) == (None, oldest)


async def test_in_a_search_are_those_that_it_found(facade: Facade, web: Web) -> None:
    first = await finished(facade, "a red fox")
    owl = await finished(facade, "an owl")
    second = await finished(facade, "a silver fox")
    failed = (await facade.create(GenerationRequest(prompt="a fox that fails"))).task_id
    await fail(facade.store, failed)
    assert await beside(web, "q=fox&days=7", first) == (second, None)
    assert await beside(web, "q=fox", second) == (None, first)
    assert await beside(web, "q=owl", second) == (None, owl)
    assert await beside(web, "status=failed", second) == (failed, None)


async def test_in_a_batch_are_its_items_in_its_order(context: Context, web: Web) -> None:
    await finished(context.facade)
    batch_id = await begun(context, release=5, count=5)
    await finished(context.facade)
    items = await ids(context, batch_id)
    for item in (items[4], items[0], items[2]):
        await succeed(context.facade.store, item)
    await fail(context.facade.store, items[1])
    here = f"batch={batch_id}"
    assert await beside(web, here, items[2]) == (items[0], items[4])
    assert await beside(web, f"{here}&order=newest", items[2]) == (items[4], items[0])
    assert await beside(web, f"{here}&show=failed", items[2]) == (items[1], None)
    assert await beside(web, here, items[0]) == (None, items[2])
    web.trash.put([items[2]])
    assert await beside(web, here, items[0]) == (None, items[4])


async def test_what_is_not_in_the_batch_has_none_beside_it(context: Context, web: Web) -> None:
    alone = await finished(context.facade)
    batch_id = await begun(context, release=1)
    await succeed(context.facade.store, (await ids(context, batch_id))[0])
    assert await beside(web, f"batch={batch_id}", alone) == (None, None)


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("", "/history"),
        (
            "i=2&q=a+fox&status=failed&days=7&cursor=ZzU",
            "/history?q=a+fox&status=failed&days=7&cursor=ZzU",
        ),
        ("batch=odd&q=fox", "/history?q=fox"),
        ("batch={0}&show=done&order=rows&i=1", "/b/{0}?show=done&order=rows"),
        ("batch={0}", "/b/{0}"),
    ],
)
def test_the_list_can_be_gone_back_to(query: str, url: str) -> None:
    batch_id = "7e8fa1b2-0000-4000-8000-000000000001"
    listing = read_listing(QueryParams(query.format(batch_id)))
    assert listing.url == url.format(batch_id)
    assert read_listing(QueryParams(listing.query)) == listing
