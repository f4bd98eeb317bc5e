"""The studio's form of an imported workflow, made from its declaration."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction

from api.generations.facade import Facade
from core.requests import ResolvedRequest
from core.workflows.declaration import Workflow
from store.values import HistoryFilter
from tests.web.visiting import DEADLINE_S, PATIENT, elements, field, press, until, write
from web.forms.upload_field import SentFile
from web.forms.workflow_drafts import WorkflowDraft, by_role, carried

_NODE: Final = {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "color": 0}}


def _input(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "targets": [{"node": "1", "field": name}], **values}


FILM: Final = Workflow.model_validate(
    {
        "name": "film",
        "title": "A film",
        "inputs": [
            _input("words", type="longtext", role="prompt", required=True, label="What happens"),
            _input("start", type="image", role="init_image", label="First picture"),
            _input("seed", type="seed", role="seed"),
            _input("width", type="integer", role="width", default=512, minimum=64, maximum=1024),
            _input("shade", type="choice", choices=["red", "blue"], default="red", group="Look"),
            _input("loop", type="boolean", default=False),
            _input("shift", type="number", default=3.0, minimum=0, maximum=10, advanced=True),
        ],
        "outputs": [{"node": "2", "kind": "image", "name": "image", "primary": True}],
        "graph": {
            "1": _NODE,
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        },
    }
)


@pytest.fixture
async def film(facade: Facade) -> None:
    await facade.store.workflows.add(FILM)


async def choose_film(user: User) -> None:
    await user.open("/")
    write(user, "Workflow", "film")
    await user.should_see("What happens", retries=PATIENT)


def generate(user: User) -> None:
    """Press the last Generate: that of the form that is shown."""
    made = [element for element in elements(user) if "data-generate" in element.props]
    UserInteraction(user, {made[-1]}, None).click()


async def created(facade: Facade) -> ResolvedRequest:
    async with asyncio.timeout(DEADLINE_S):
        while not (page := await facade.history(HistoryFilter(), 1, None)).items:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    request = page.items[0].request
    assert isinstance(request, ResolvedRequest)
    return request


async def test_easels_own_workflows_are_offered_first(user: User, facade: Facade) -> None:
    await facade.store.workflows.add(FILM)
    await user.open("/")
    picker = field(user, "Workflow")
    assert isinstance(picker, ui.select)
    assert list(dict(picker.options).values()) == [
        *("Text to image", "Image to image", "Inpaint", "Outpaint", "Edit", "Upscale"),
        "A film",
    ]


@pytest.mark.usefixtures("film")
async def test_a_link_chooses_the_workflow(user: User) -> None:
    await user.open("/?workflow=film")
    await user.should_see("What happens", retries=PATIENT)
    await user.open("/?workflow=nonsense")
    await user.should_see("There is no such workflow any more.", retries=PATIENT)
    assert field(user, "Workflow").value == "film"


@pytest.mark.usefixtures("film")
async def test_the_form_creates_what_it_says(user: User, facade: Facade) -> None:
    await choose_film(user)
    write(user, "What happens", "a fox runs")
    write(user, "Shade", "blue")
    write(user, "Shift", 4.5)
    generate(user)
    made = await created(facade)
    assert made.workflow == "film"
    told = {name: made.inputs[name] for name in ("words", "shade", "shift", "width")}
    assert told == {"words": "a fox runs", "shade": "blue", "shift": 4.5, "width": 512}


@pytest.mark.usefixtures("film")
async def test_mistakes_are_told_at_the_fields(user: User, facade: Facade) -> None:
    await choose_film(user)
    write(user, "Shift", 99)
    generate(user)
    await until(lambda: bool(field(user, "What happens").error))
    assert "10" in (field(user, "Shift").error or "")
    assert not (await facade.history(HistoryFilter(), 1, None)).items


@pytest.mark.usefixtures("film")
async def test_the_prompt_goes_along_and_what_was_entered_is_there_again(user: User) -> None:
    await user.open("/")
    write(user, "Prompt", "a red fox")
    write(user, "Workflow", "film")
    await until(lambda: _value(user, "What happens") == "a red fox")
    write(user, "Shift", 4.5)
    write(user, "What happens", "a blue fox")
    await user.open("/")
    await until(lambda: _value(user, "What happens") == "a blue fox")
    assert _value(user, "Shift") == 4.5
    write(user, "Workflow", "txt2img")
    await until(lambda: _value(user, "Prompt") == "a blue fox")


def _value(user: User, label: str) -> Any:
    try:
        return field(user, label).value
    except AssertionError:
        return None


@pytest.mark.usefixtures("film")
async def test_a_file_that_was_sent_can_be_removed(user: User) -> None:
    await choose_film(user)
    [zone] = [element for element in elements(user) if isinstance(element, SentFile)]
    UserInteraction(user, {zone}, None).trigger("sent", "a" * 64)
    await until(lambda: any("chosen-thumb" in each.classes for each in elements(user)))
    await press(user, "Remove: First picture")
    await until(lambda: not any("chosen-thumb" in each.classes for each in elements(user)))


def test_only_what_the_other_workflow_takes_goes_along() -> None:
    roles = by_role(FILM, {"words": "a fox", "seed": 7, "width": 512, "shift": 4.5})
    assert roles == {"prompt": "a fox", "seed": 7, "width": 512}
    assert carried(FILM, {"prompt": "x", "width": 4096, "height": 64}) == {"words": "x"}


@pytest.mark.usefixtures("film")
async def test_the_picture_page_tells_the_inputs_by_their_labels(
    user: User, facade: Facade
) -> None:
    fields = {"workflow": "film", "words": "a fox runs", "shade": "blue", "shift": 4.5}
    made = await facade.create(await facade.read_request(fields))
    await user.open(f"/g/{made.task_id}")
    for said in ("a fox runs", "Shade", "blue", "Shift", "4.5"):
        await user.should_see(said, retries=PATIENT)


@pytest.mark.usefixtures("film")
async def test_each_tab_has_its_own_workflow_after_a_reload(user: User) -> None:
    await choose_film(user)
    write(user, "What happens", "of the first")
    first, user.tab_id = user.tab_id, "another tab"
    await user.open("/")
    await until(lambda: _value(user, "What happens") == "of the first")
    write(user, "What happens", "of the other")
    user.tab_id = first
    await user.open("/")
    await until(lambda: _value(user, "What happens") == "of the first")
    user.tab_id = "another tab"
    await user.open("/")
    await until(lambda: _value(user, "What happens") == "of the other")
    write(user, "Workflow", "txt2img")
    await until(lambda: _value(user, "What happens") is None)
    user.tab_id = first
    await user.open("/")
    await until(lambda: _value(user, "What happens") == "of the first")
    assert field(user, "Workflow").value == "film"


@pytest.mark.usefixtures("film")
async def test_a_link_chooses_the_workflow_in_a_tab_that_had_another_one(user: User) -> None:
    await choose_film(user)
    write(user, "Workflow", "txt2img")
    await until(lambda: _value(user, "What happens") is None)
    user.tab_id = "another tab"
    await user.open("/")
    write(user, "Prompt", "of the newest")
    await user.open("/?workflow=film")
    await user.should_see("What happens", retries=PATIENT)
    await until(lambda: field(user, "Workflow").value == "film")


def kept_inputs(user: User) -> dict[str, Any]:
    assert user.client is not None
    with user.client:
        return WorkflowDraft.load().of("film")


@pytest.mark.usefixtures("film")
async def test_inputs_taken_over_can_be_undone(user: User, facade: Facade) -> None:
    fields = {"workflow": "film", "words": "a red fox", "shift": 4.5}
    made = await facade.create(await facade.read_request(fields))
    await choose_film(user)
    for button in ("Reuse settings", "Seed only", "Prompt only"):
        write(user, "What happens", f"half written before {button}")
        write(user, "Shift", 1.5)
        before = kept_inputs(user)
        await user.open(f"/g/{made.task_id}")
        await press(user, button)  # leads to the studio
        await user.should_see("The settings are in the form", retries=PATIENT)
        await press(user, "Undo")
        await until(lambda: kept_inputs(user) == before)  # noqa: B023
        assert _value(user, "What happens") == f"half written before {button}"
        assert _value(user, "Shift") == 1.5


@pytest.mark.usefixtures("film")
async def test_inputs_taken_over_in_the_studio_can_be_undone(user: User, facade: Facade) -> None:
    fields = {"workflow": "film", "words": "a red fox", "shift": 4.5}
    made = await facade.create(await facade.read_request(fields))
    await facade.cancel(made.task_id)
    await choose_film(user)
    write(user, "What happens", "half written")
    await user.open(f"/?g={made.task_id}")
    await press(user, "Reuse settings")
    await until(lambda: _value(user, "What happens") == "a red fox")
    await user.should_see("The settings are in the form", retries=PATIENT)
    await press(user, "Undo")
    await until(lambda: _value(user, "What happens") == "half written")
