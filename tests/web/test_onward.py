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
from tests.web.visiting import PATIENT, elements, press, until, write
from tests.web.workflows import CLIP, ENLARGE
from web.forms.workflow_drafts import WorkflowDraft


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


def buttons(user: User, label: str) -> list[Any]:
    return [
        one
        for one in elements(user)
        if one.tag == "button" and any(getattr(each, "text", None) == label for each in one)
    ]


async def test_with_no_workflow_that_takes_it_nothing_is_offered(
    user: User, made: tuple[str, str]
) -> None:
    await user.open(f"/g/{made[0]}")
    await user.should_see("Reuse settings", retries=PATIENT)
    assert not buttons(user, "Use as input")


async def test_the_only_place_is_taken_at_once(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    await context.facade.store.workflows.add(ENLARGE)
    await user.open(f"/g/{made[0]}")
    await press(user, "Use as input")
    await until(lambda: draft(user).chosen == "enlarge")
    assert draft(user).of("enlarge") == {"picture": f"artefact:{made[1]}"}


async def test_a_change_that_is_shown_already_builds_no_button_anew(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    """A press on a button that is built anew meanwhile would be lost."""
    await context.facade.store.workflows.add(ENLARGE)
    await user.open(f"/g/{made[0]}")
    await until(lambda: bool(buttons(user, "Use as input")))
    before = buttons(user, "Use as input")
    [heard] = context.facade.store.changes._subscriptions
    heard.offer(await context.facade.generation(UUID(made[0])))
    await until(lambda: not heard._something.is_set())  # the page has dealt with it
    assert buttons(user, "Use as input") == before


async def test_of_several_places_one_is_chosen(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    for workflow in (CLIP, ENLARGE):
        await context.facade.store.workflows.add(workflow)
    await user.open(f"/?g={made[0]}")
    write(user, "Prompt", "it runs away")
    await press(user, "Use as input")
    await user.should_see("First picture", retries=PATIENT)
    await press(user, "A clip")
    await until(lambda: draft(user).chosen == "clip")
    values = draft(user).of("clip")
    assert values == {"words": "it runs away", "start": f"artefact:{made[1]}"}
    await user.should_see("From the history", retries=PATIENT)


async def test_an_upload_field_takes_an_earlier_image(
    user: User, context: Context, made: tuple[str, str]
) -> None:
    await context.facade.store.workflows.add(ENLARGE)
    await user.open("/")
    write(user, "Workflow", "enlarge")
    await press(user, "From history…")
    await until(lambda: any("pick" in one.classes for one in elements(user)))
    [pick] = [one for one in elements(user) if "pick" in one.classes]
    UserInteraction(user, {pick}, None).click()
    await until(lambda: draft(user).of("enlarge") == {"picture": f"artefact:{made[1]}"})
