"""The history by kind, and what browsers keep of a generation's page."""

from __future__ import annotations

from nicegui.testing import User
from starlette.datastructures import QueryParams

from api.context import Context
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from tests.web.visiting import PATIENT, elements, until, write_to
from web.history.view import View


def test_the_kind_is_in_the_url() -> None:
    view = View.read(QueryParams("kind=videos&q=fox"))
    assert view.wanted().kind == ("video", "animation")
    assert view.filtered
    assert View.read(QueryParams(view.query)) == view
    assert View.read(QueryParams("kind=rubbish")).wanted().kind == ()


async def test_only_those_of_the_kind_are_shown(user: User, context: Context) -> None:
    made = await context.facade.create(GenerationRequest.model_validate({"prompt": "a red fox"}))
    await InProcessWorker(context.facade.store).finish(made.task_id)
    await user.open("/history?kind=images")
    await until(lambda: _tiles(user) == 1)
    write_to(user, "Kind", "videos")
    await user.should_see("Nothing matches", retries=PATIENT)
    write_to(user, "Kind", "")
    await until(lambda: _tiles(user) == 1)


async def test_the_browser_keeps_no_prompt_in_its_history(user: User, context: Context) -> None:
    made = await context.facade.create(GenerationRequest.model_validate({"prompt": "a red fox"}))
    await InProcessWorker(context.facade.store).finish(made.task_id)
    await user.open(f"/g/{made.task_id}")
    await user.should_see("a red fox", retries=PATIENT)
    assert user.client is not None
    assert user.client.title == "Image · Easel"


def _tiles(user: User) -> int:
    return sum(len(one.props["tiles"]) for one in elements(user) if "tiles" in one.props)
