"""What was made goes on as the file of an input."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.context import Context
from core.requests import GenerationRequest
from flows.testing import InProcessWorker
from tests.web.visiting import PATIENT, elements, press, texts, until, write
from tests.web.workflows import CLIP, ENLARGE
from web.forms.batch_drafts import Axis, BulkDraft
from web.forms.workflow_drafts import WorkflowDraft
from web.history.gallery import Gallery


@pytest.fixture
async def made(context: Context) -> tuple[str, str]:
    """A generation that is finished, and its image's id."""
    facade = context.facade
    created = await facade.create(GenerationRequest.model_validate({"prompt": "a red fox"}))
    await InProcessWorker(facade.store).finish(created.task_id)
    [kept] = await facade.outputs(created.task_id)
    return str(created.task_id), str(kept.artefact_id)


def draft(user: User) -> WorkflowDraft:
    assert user.client is not None
    with user.client:
        return WorkflowDraft.load()


def gallery(user: User) -> Gallery:
    [found] = [one for one in elements(user) if isinstance(one, Gallery)]
    return found


async def in_studio(user: User, chosen: str) -> None:
    """Wait until the studio has come with that workflow: a page on its way is not left behind."""
    await until(lambda: draft(user).chosen == chosen)
    await until(lambda: any(one.props.get("label") == "Prompt" for one in elements(user)))


def buttons(user: User, label: str) -> list[Any]:
    return [
        one
        for one in elements(user)
        if one.tag == "button" and any(getattr(each, "text", None) == label for each in one)
    ]


async def test_an_image_goes_on_to_the_form_of_an_operation_with_what_it_was_made_with(
    user: User, made: tuple[str, str]
) -> None:
    await user.open(f"/g/{made[0]}")
    await press(user, "Upscale")
    await in_studio(user, "upscale")
    values = draft(user).of("upscale")
    assert values["init_image"] == f"artefact:{made[1]}"
    assert values["prompt"] == "a red fox"
    assert values["detail_model"] == "dreamshaper_8.safetensors"


async def test_the_rest_is_in_a_sheet_added_workflows_last(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    await context.facade.store.workflows.add(ENLARGE)
    await user.open(f"/g/{made[0]}")
    await press(user, "Use as…")
    await until(lambda: len(texts(user, "place-workflow")) > 1)
    assert texts(user, "place-workflow") == [
        "Upscale",
        "Edit",
        "Use as start image",
        "Inpaint",
        "Outpaint",
        "Use as reference",
        "Enlarge",
    ]
    await press(user, "Enlarge")
    await in_studio(user, "enlarge")
    assert draft(user).of("enlarge") == {"picture": f"artefact:{made[1]}"}


async def test_a_change_that_is_shown_already_builds_no_button_anew(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    """A press on a button that is built anew meanwhile would be lost."""
    await user.open(f"/g/{made[0]}")
    await until(lambda: bool(buttons(user, "Use as…")))
    before = buttons(user, "Use as…")
    [heard] = context.facade.store.changes._subscriptions
    heard.offer(await context.facade.generation(UUID(made[0])))
    await until(lambda: not heard._something.is_set())  # the page has dealt with it
    assert buttons(user, "Use as…") == before


async def test_in_the_studio_the_form_changes_in_place_and_back(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    await user.open("/")
    await press(user, "Upscale")
    await until(lambda: draft(user).chosen == "upscale")
    assert draft(user).of("upscale")["init_image"] == f"artefact:{made[1]}"
    other = await context.facade.create(GenerationRequest(prompt="an owl"))
    await InProcessWorker(context.facade.store).finish(other.task_id)
    await until(lambda: "an owl" in texts(user, "made-prompt"))
    await press(user, "Upscale")
    await until(lambda: draft(user).of("upscale").get("prompt") == "an owl")
    await press(user, "Undo")
    await until(lambda: draft(user).of("upscale").get("prompt") == "a red fox")


async def test_an_added_workflows_input_keeps_what_was_typed(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    for workflow in (CLIP, ENLARGE):
        await context.facade.store.workflows.add(workflow)
    await user.open(f"/?g={made[0]}")
    write(user, "Prompt", "it runs away")
    await press(user, "Use as…")
    await user.should_see("First picture", retries=PATIENT)
    await press(user, "A clip")
    await until(lambda: draft(user).chosen == "clip")
    values = draft(user).of("clip")
    assert values == {"words": "it runs away", "start": f"artefact:{made[1]}"}
    await user.should_see("From the history", retries=PATIENT)


async def test_in_the_history_an_image_is_used_and_several_together(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    other = await context.facade.create(GenerationRequest(prompt="an owl"))
    await InProcessWorker(context.facade.store).finish(other.task_id)
    [owl] = await context.facade.outputs(other.task_id)
    await user.open("/history")
    await until(lambda: len(gallery(user).props["tiles"]) == 2)
    assert all(tile["usable"] for tile in gallery(user).props["tiles"])
    UserInteraction(user, {gallery(user)}, None).trigger("use", made[0])
    await press(user, "Edit")
    await in_studio(user, "edit")
    assert draft(user).of("edit") == {"reference_images": [f"artefact:{made[1]}"]}
    await user.open("/history")
    await until(lambda: len(gallery(user).props["tiles"]) == 2)
    for task_id in (made[0], str(other.task_id)):
        UserInteraction(user, {gallery(user)}, None).trigger(
            "pick", {"id": task_id, "picked": True}
        )
    await user.should_see("2 selected", retries=PATIENT)
    await press(user, "Use as…")
    await press(user, "Edit")
    assert "Upscale each" in texts(user, "place-workflow")
    both = [f"artefact:{owl.artefact_id}", f"artefact:{made[1]}"]  # in the order of the page
    await until(lambda: draft(user).of("edit") == {"reference_images": both})
    await in_studio(user, "edit")


async def test_several_images_are_the_rows_of_a_batch(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    other = await context.facade.create(GenerationRequest(prompt="an owl"))
    await InProcessWorker(context.facade.store).finish(other.task_id)
    [owl] = await context.facade.outputs(other.task_id)
    await user.open("/history")
    await until(lambda: len(gallery(user).props["tiles"]) == 2)
    for task_id in (made[0], str(other.task_id)):
        picked = {"id": task_id, "picked": True}
        UserInteraction(user, {gallery(user)}, None).trigger("pick", picked)
    await user.should_see("2 selected", retries=PATIENT)
    await press(user, "Use as…")
    await press(user, "Upscale each")
    await user.should_see("New batch", retries=PATIENT)
    await until(lambda: "2 images" in " ".join(texts(user, "bulk-sum")))
    assert user.client is not None
    with user.client:
        begun = BulkDraft.load()
    both = [f"artefact:{owl.artefact_id}", f"artefact:{made[1]}"]
    assert begun.workflow == "upscale"
    assert begun.lists == {"upscale": [Axis(field="init_image", chosen=both)]}


async def test_an_upload_field_takes_an_earlier_image(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    await context.facade.store.workflows.add(ENLARGE)
    await user.open("/")
    await until(lambda: any(one.props.get("label") == "Workflow" for one in elements(user)))
    write(user, "Workflow", "enlarge")
    await press(user, "From history…")
    await until(lambda: any("pick" in one.classes for one in elements(user)))
    [pick] = [one for one in elements(user) if "pick" in one.classes]
    UserInteraction(user, {pick}, None).click()
    await until(lambda: draft(user).of("enlarge") == {"picture": f"artefact:{made[1]}"})
