"""A batch's page without a browser."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from nicegui.testing import User

from api.context import Context
from core.problems import problem
from core.requests import GenerationRequest
from tests.web.batches import begun, fail, ids, succeed
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from web.batches import contact
from web.batches.sheet import Sheet


def tiles(user: User) -> list[tuple[str, str]]:
    """The number and status of each cell, as a browser that opens the page gets them."""
    [sheet] = [one for one in elements(user) if isinstance(one, Sheet)]
    return [(tile["number"], tile["status"]) for tile in sheet.props["tiles"]]


async def test_it_shows_how_far_it_is_and_every_item(user: User, context: Context) -> None:
    batch_id = await begun(context, release=2, count=4)
    made = await ids(context, batch_id)
    await succeed(context.facade.store, made[0])
    await user.open(f"/b/{batch_id}")
    await user.should_see("foxes")
    await user.should_see("1 of 4")
    await user.should_see("2 to come")
    assert tiles(user) == [
        ("1", "succeeded"),
        ("2", "queued"),
        ("3", "waiting"),
        ("4", "waiting"),
    ]


async def test_pictures_arrive_on_the_open_page(user: User, context: Context) -> None:
    batch_id = await begun(context, release=3)
    made = await ids(context, batch_id)
    await user.open(f"/b/{batch_id}")
    for number, generation_id in enumerate(made, 1):
        await succeed(context.facade.store, generation_id)
        await user.should_see(f"{number} of 3", retries=PATIENT)
    await until(lambda: "Running" in texts(user, "batch-state"))  # its flow run ends it
    await context.facade.store.batch_transitions.finish(batch_id, "succeeded")
    await user.should_see("All images are finished.", retries=PATIENT)
    await until(lambda: {status for _, status in tiles(user)} == {"succeeded"})


async def test_failures_say_why_and_can_be_made_again(user: User, context: Context) -> None:
    batch_id = await begun(context, release=3)
    made = await ids(context, batch_id)
    await fail(context.facade.store, made[1])
    await user.open(f"/b/{batch_id}")
    await user.should_see("The GPU ran out of memory.")
    await user.should_see("Choose a smaller size")
    within = f"/g/{made[1]}?batch={batch_id}&show=failed"
    assert any(one.props.get("href") == within for one in elements(user))
    for generation_id in (made[0], made[2]):
        await succeed(context.facade.store, generation_id)
    ended = problem("batch_incomplete", "Of 3, 1 failed.")
    await context.facade.store.batch_transitions.finish(batch_id, "failed", ended)
    await user.should_see("Of 3, 1 failed.", retries=PATIENT)
    await press(user, "Retry 1 failed")
    await user.should_see("Queued", retries=PATIENT)
    await user.should_not_see("The GPU ran out of memory.", retries=PATIENT)


async def test_it_is_paused_and_resumed(user: User, context: Context) -> None:
    batch_id = await begun(context)
    await user.open(f"/b/{batch_id}")
    await press(user, "Pause")
    await user.should_see("The batch is paused. Resume it to continue.", retries=PATIENT)
    await press(user, "Resume")
    await until(lambda: "Running" in texts(user, "batch-state"))


async def test_a_cancel_asks_first(user: User, context: Context) -> None:
    batch_id = await begun(context, release=1)
    await user.open(f"/b/{batch_id}")
    await press(user, "Cancel")
    await user.should_see("3 images will not be generated.", retries=PATIENT)
    assert (await context.batches.status(batch_id)).status == "running"
    await press(user, "Cancel the batch")
    await user.should_see("Cancelling", retries=PATIENT)
    assert (await context.batches.status(batch_id)).status == "cancelling"


async def test_only_failures_may_be_shown(user: User, context: Context) -> None:
    batch_id = await begun(context, release=2)
    made = await ids(context, batch_id)
    await fail(context.facade.store, made[1])
    await user.open(f"/b/{batch_id}?show=failed")
    assert tiles(user) == [("2", "failed")]
    await user.open(f"/b/{batch_id}?show=odd&order=odd&cursor=odd")
    assert len(tiles(user)) == 3


async def test_a_long_one_is_shown_page_by_page(user: User, context: Context) -> None:
    batch_id = await begun(context, release=3, count=300)
    await user.open(f"/b/{batch_id}")
    assert tiles(user) == [("", "queued")] * 3  # the newest, while it is under way
    await press(user, "In order")
    await until(lambda: tiles(user)[0][0] == "1")
    assert len(tiles(user)) == contact.PAGE
    await press(user, "Next")
    await until(lambda: tiles(user)[0][0] == "121")
    await press(user, "Back")
    await until(lambda: tiles(user)[0][0] == "1")
    third = context.batches.cursor_of_item(240)
    await user.open(f"/b/{batch_id}?order=rows&cursor={third}")
    assert tiles(user)[0][0] == "241"
    await press(user, "Back")
    await until(lambda: tiles(user)[0][0] == "121")
    await press(user, "Back")
    await until(lambda: tiles(user)[0][0] == "1")


async def test_the_newest_of_a_long_one_come_by_themselves(user: User, context: Context) -> None:
    batch_id = await begun(context, release=1, count=300)
    await user.open(f"/b/{batch_id}")
    assert len(tiles(user)) == 1
    await context.facade.store.batch_transitions.release(batch_id, 4)
    await user.should_see("295 to come", retries=PATIENT)
    await until(lambda: len(tiles(user)) == 5)


async def test_what_is_not_there_is_said(user: User) -> None:
    for batch_id in (uuid4(), "nonsense"):
        await user.open(f"/b/{batch_id}")
        await user.should_see("There is no such batch")


async def test_its_settings_are_in_the_form_again(user: User, context: Context) -> None:
    await user.open("/bulk")
    write(user, "Prompt", "a fox with its settings")
    await press(user, "Start")
    await user.should_see("0 of 1", retries=PATIENT)
    [made] = (await context.batches.page(1, None)).items
    await context.batches.cancel(made.batch_id)
    await context.facade.store.batch_transitions.finish(made.batch_id, "cancelled")
    await user.open("/bulk")
    write(user, "Prompt", "something else")
    await user.open(f"/b/{made.batch_id}")
    await user.should_see("Cancelled with 0 of 1 image finished.")
    await press(user, "Reuse settings")
    await user.should_see("Preview", retries=PATIENT)
    assert field(user, "Prompt").value == "a fox with its settings"
    await press(user, "Undo")
    await until(lambda: field(user, "Prompt").value == "something else")
    await user.open("/bulk")
    assert field(user, "Prompt").value == "something else"


async def test_the_settings_of_a_batch_that_was_created_elsewhere(
    user: User, context: Context
) -> None:
    grid = {"prompt": ["a fox", "an owl"], "cfg": [4.5, 7], "sampler": ["euler", "dpmpp_2m"]}
    defaults = {"negative_prompt": "blurry", "width": 512, "height": 768, "steps": 12}
    options = {"count": 2, "max_in_flight": 3, "stop_at_failure_share": 0.25, "not_after": "06:30"}
    batch_id = await begun(context, release=2, defaults=defaults, grid=grid, **options)
    await context.batches.cancel(batch_id)
    await context.facade.store.batch_transitions.finish(batch_id, "cancelled")
    await user.open(f"/b/{batch_id}")
    await press(user, "Reuse settings")
    await user.should_see("Preview", retries=PATIENT)
    assert field(user, "Prompt").value == "a fox\nan owl"
    await user.should_see("2 prompts × 2 CFG values × 2 samplers × 2 each = 16 images")
    assert field(user, "Sizes").value == ["512 × 768"]
    assert field(user, "Steps").value == "12"
    assert field(user, "Sampler").value == ["euler", "dpmpp_2m"]
    assert field(user, "Name").value == "foxes"
    assert field(user, "Parallel jobs").value == 3
    assert field(user, "Stop at % failed").value == 25
    assert field(user, "Stop starting at").value == "06:30"


@pytest.mark.parametrize(
    "batch",
    [
        {"items": [{"prompt": "a fox", "steps": 10}, {"prompt": "an owl", "steps": 20}]},
        {"grid": {"steps": [20, 30], "cfg": [4.5, 7]}, "combine": "zip", "count": 2},
        {"defaults": {"prompt": "a fox", "batch_size": 2}},
    ],
)
async def test_what_no_form_can_say_is_not_made_up(
    user: User, context: Context, batch: dict[str, Any]
) -> None:
    batch_id = await begun(context, **{"defaults": {"prompt": "a fox"}, "count": 1, **batch})
    await context.batches.cancel(batch_id)
    await context.facade.store.batch_transitions.finish(batch_id, "cancelled")
    await user.open(f"/b/{batch_id}")
    await press(user, "Reuse settings")
    await until(lambda: any("cannot show these rows" in said for said in user.notify.messages))


async def test_a_picture_leads_to_its_batch(user: User, context: Context) -> None:
    batch_id = await begun(context, release=1)
    generation_id = (await ids(context, batch_id))[0]
    for url in (f"/g/{generation_id}", f"/?g={generation_id}"):
        await user.open(url)
        assert any(one.props.get("href") == f"/b/{batch_id}" for one in elements(user)), url
    await user.open(f"/g/{generation_id}")
    await user.should_see("1 of 3 in “foxes”")


async def test_other_pictures_belong_to_none(user: User, context: Context) -> None:
    alone = await context.facade.create(GenerationRequest(prompt="a fox"))
    await user.open(f"/g/{alone.task_id}")
    assert texts(user, "of-batch") == []
    assert not any("/b/" in str(one.props.get("href")) for one in elements(user))
