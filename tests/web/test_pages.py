from __future__ import annotations

from uuid import uuid4

from nicegui import ui
from nicegui.testing import User

from api.generations.facade import Facade
from core.requests import GenerationRequest
from store.values import HistoryFilter
from tests.web.visiting import PATIENT, press


async def newest(facade: Facade) -> GenerationRequest | None:
    page = await facade.history(HistoryFilter(), 1, None)
    return GenerationRequest(**page.items[0].request.model_dump()) if page.items else None


async def test_an_empty_studio_says_what_to_do(user: User) -> None:
    await user.open("/")
    await user.should_see("What would you like to see?")
    await user.should_see("512 × 512")


async def test_generate_creates_what_the_form_says(user: User, facade: Facade) -> None:
    await user.open("/")
    user.find("Prompt").type("a red fox")
    await press(user, "16:9")
    await press(user, "Generate")
    await user.should_see("Waiting for", retries=PATIENT)
    made = await newest(facade)
    assert made is not None
    assert (made.prompt, made.width, made.height) == ("a red fox", 640, 384)
    assert made.sampler == "euler"


async def test_a_blank_prompt_creates_nothing_and_says_so(user: User, facade: Facade) -> None:
    await user.open("/")
    await press(user, "Generate")
    await user.should_see("Describe the picture first.", retries=PATIENT)
    assert await newest(facade) is None


async def test_the_form_is_there_again(user: User) -> None:
    await user.open("/")
    user.find("Prompt").type("half written")
    await user.open("/")
    prompt = next(iter(user.find("Prompt").elements))
    assert isinstance(prompt, ui.textarea)
    assert prompt.value == "half written"


async def test_an_empty_history_leads_to_the_studio(user: User) -> None:
    await user.open("/history")
    await user.should_see("Your pictures will be here")
    await user.open("/history?q=fox&cursor=nonsense&status=odd&days=x")
    await user.should_see("Nothing matches")


async def test_the_picture_page_shows_all_settings_and_cancels(user: User, facade: Facade) -> None:
    created = await facade.create(GenerationRequest(prompt="a red fox", seed=77))
    await user.open(f"/g/{created.task_id}")
    await user.should_see("a red fox")
    await user.should_see("77")
    await press(user, "Cancel")
    await user.should_see("Cancelled", retries=PATIENT)
    await press(user, "Retry")
    await user.should_see("2 attempts", retries=PATIENT)


async def test_what_is_not_there_is_said(user: User) -> None:
    await user.open(f"/g/{uuid4()}")
    await user.should_see("There is nothing here")
    await user.open("/g/nonsense")
    await user.should_see("There is nothing here")
