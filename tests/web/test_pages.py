from __future__ import annotations

import asyncio
from uuid import uuid4
from zoneinfo import ZoneInfo

from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.generations.facade import Facade
from core.requests import GenerationRequest
from store.values import HistoryFilter
from tests.inputs import picked
from tests.web.visiting import DEADLINE_S, PATIENT, elements, field, press, until, write


async def newest(facade: Facade) -> GenerationRequest | None:
    page = await facade.history(HistoryFilter(), 1, None)
    return GenerationRequest(**page.items[0].request.model_dump()) if page.items else None


async def created(facade: Facade) -> GenerationRequest:
    """What the page creates."""
    async with asyncio.timeout(DEADLINE_S):
        while (made := await newest(facade)) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    return made


async def test_an_empty_studio_says_what_to_do(user: User) -> None:
    await user.open("/")
    await user.should_see("What would you like to see?")
    await until(lambda: field(user, "Width").value == field(user, "Height").value == 512)


async def test_generate_creates_what_the_form_says(user: User, facade: Facade) -> None:
    await user.open("/")
    user.find("Prompt").type("a red fox")
    await press(user, "16:9")
    await press(user, "Generate")
    made = await created(facade)
    assert picked(made, "prompt", "width", "height") == (
        "a red fox",
        688,
        384,
    )
    assert made.inputs.get("sampler") == "euler"


async def test_a_blank_prompt_creates_nothing_and_says_so(user: User, facade: Facade) -> None:
    await user.open("/")
    await press(user, "Generate")
    await user.should_see("Describe the image first.", retries=PATIENT)
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
    await user.should_see("Your images will appear here")
    await user.open("/history?q=fox&cursor=nonsense&status=odd&days=²")
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


async def test_the_visitors_zone_changes_the_time_in_place(user: User, facade: Facade) -> None:
    """A button that is built anew meanwhile loses the press of a visitor who is quick."""
    made = await facade.create(GenerationRequest(prompt="a fox"))
    await user.open(f"/g/{made.task_id}")
    buttons = [element for element in elements(user) if element.tag == "button"]
    assert user.client is not None

    UserInteraction(user, {user.client.layout}, None).trigger("zone", "Asia/Tokyo")

    there = made.created_at.astimezone(ZoneInfo("Asia/Tokyo"))
    await user.should_see(f"{there:%H:%M} (", retries=PATIENT)
    assert not any(button.is_deleted for button in buttons)


async def test_what_is_not_there_is_said(user: User) -> None:
    await user.open(f"/g/{uuid4()}")
    await user.should_see("There is no such generation")
    await user.open("/g/nonsense")
    await user.should_see("There is no such generation")


async def test_mistakes_are_told_at_their_fields_and_nothing_is_created(
    user: User, facade: Facade
) -> None:
    await user.open("/")
    write(user, "Steps", 900)
    write(user, "CFG", 31)
    await press(user, "Generate")
    await until(lambda: field(user, "Prompt").error == "Describe the image first.")
    assert "1 to 150" in (field(user, "Steps").error or "")
    assert "0 to 30" in (field(user, "CFG").error or "")
    assert field(user, "Steps").value == 900
    write(user, "Steps", 30)
    assert field(user, "Steps").error is None
    assert await newest(facade) is None


async def test_a_size_of_ones_own_and_a_seed_of_minus_one(user: User, facade: Facade) -> None:
    await user.open("/")
    write(user, "Prompt", "a red fox")
    write(user, "Width", 640)
    write(user, "Height", 360)
    write(user, "Seed", 7)
    write(user, "Seed", -1)
    await press(user, "Generate")
    made = await created(facade)
    assert picked(made, "width", "height") == (640, 360)
    assert made.inputs.get("seed") not in (7, -1)


async def test_what_the_model_gets_as_plain_text_is_told(user: User) -> None:
    await user.open("/")
    write(user, "Prompt", "a {red|blue} fox, <hypernet:ink:0.8>")
    await user.should_see("“{red|blue}” goes to the model as it is written")
    await user.should_see("“<hypernet:ink:0.8>” goes to the model as plain text")
    write(user, "Prompt", "a red fox (sharp:1.2) <lora:ink:0.8>")
    await user.should_not_see("goes to the model")


async def test_settings_taken_over_can_be_undone(user: User, facade: Facade) -> None:
    created = await facade.create(GenerationRequest(prompt="a red fox", seed=77))
    await user.open("/")
    write(user, "Prompt", "half written")
    await user.open(f"/g/{created.task_id}")
    await press(user, "Reuse settings")  # leads to the studio, which offers once to take it back
    await user.should_see("The settings are in the form", retries=PATIENT)
    assert field(user, "Prompt").value == "a red fox"
    await press(user, "Undo")
    await until(lambda: field(user, "Prompt").value == "half written")


async def test_two_tabs_keep_their_own_forms(user: User) -> None:
    await user.open("/")
    write(user, "Prompt", "prompt of the first tab")
    first, user.tab_id = user.tab_id, "another tab"
    await user.open("/")
    write(user, "Prompt", "prompt of the second tab")
    user.tab_id = first
    await user.open("/")
    await until(lambda: field(user, "Prompt").value == "prompt of the first tab")
