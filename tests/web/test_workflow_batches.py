"""Batches and schedules of imported workflows: the form, what it asks for, and the form again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction
from pydantic import ValidationError

from api.context import Context
from api.errors import ProblemError
from core.batches.request import BatchOptions, FlowBatchRequest
from core.requests import ResolvedRequest
from tests.web.batches import begun
from tests.web.test_bulk_page import upload
from tests.web.visiting import PATIENT, elements, field, press, tick, until, write
from tests.web.workflows import CLIP, ENLARGE, a_workflow, an_input
from web.forms.batch_again import workflow_draft_of
from web.forms.batch_drafts import Axis, BulkDraft
from web.forms.file import sample_of
from web.forms.manifests import Manifests
from web.forms.mistakes import mistakes_of
from web.forms.upload_field import SentFile
from web.forms.workflow_batch import axis_of, rows_of

ODD = a_workflow("odd", "Odd", "audio", an_input("priority", type="text"))


def rows(axes: list[Axis], **draft: Any) -> dict[str, Any]:
    made = BulkDraft(workflow="clip", **draft)
    return rows_of(made, CLIP, made.of("clip"), axes)


@pytest.fixture
async def clip(context: Context) -> Context:
    for workflow in (CLIP, ENLARGE):
        await context.facade.store.workflows.add(workflow)
    return context


async def choose(user: User, path: str, workflow: str) -> None:
    await user.open(path)
    write(user, "Workflow", workflow)


async def made_by(context: Context) -> list[ResolvedRequest]:
    [batch] = (await context.batches.page(10, None)).items
    items = (await context.batches.items(batch.batch_id, 100, None)).items
    return [item.request for item in items if isinstance(item.request, ResolvedRequest)]


def test_each_line_is_a_prompt_and_lists_are_read_by_their_types() -> None:
    found = rows(
        [
            Axis(field="length", text="41, 81"),
            Axis(field="shift", text="4.5 6"),
            Axis(field="loop", chosen=[True, False]),
            Axis(field="shade", chosen=["blue"]),
        ],
        prompt="a fox\nan owl",
        each_line=True,
        values={"clip": {"shade": "red", "wide": 640, "gone": 1}},
    )
    assert found == {
        "workflow": "clip",
        "defaults": {"wide": 640, "shade": "blue"},
        "grid": {
            "words": ["a fox", "an owl"],
            "length": [41, 81],
            "shift": [4.5, 6.0],
            "loop": [True, False],
        },
    }


def test_an_input_named_as_a_field_of_every_request_is_told_apart() -> None:
    draft = BulkDraft(workflow="odd", values={"odd": {"priority": "high"}})
    assert rows_of(draft, ODD, draft.of("odd"))["defaults"] == {"inputs": {"priority": "high"}}
    several = rows_of(draft, ODD, {}, [Axis(field="priority", text="high\nlow")])
    assert several["grid"] == {"inputs.priority": ["high", "low"]}


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        (Axis(field="length", text="81 many"), "Length: “many” is not a whole number"),
        (Axis(field="shift", text="x"), "Shift: “x” is not a number"),
        (Axis(field="shade"), "Shade: add a value"),
        (Axis(field="loras", text="[1"), "LoRAs: each line must be JSON"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_list(axis: Axis, said: str) -> None:
    with pytest.raises(ProblemError, match=said) as told:
        rows([axis], prompt="a fox")
    assert list(mistakes_of(told.value, CLIP)) == [axis.field]


def test_without_the_prompt_that_it_needs_nothing_is_asked() -> None:
    with pytest.raises(ProblemError, match="What happens: write something first"):
        rows([])


def test_lists_that_are_paired_up_must_be_equally_long(tmp_path: Path) -> None:
    draft = BulkDraft(workflow="clip", prompt="a\nb", each_line=True, combine="zip")
    found = rows_of(draft, CLIP, {}, [Axis(field="length", text="1 2 3")])
    with pytest.raises(ValidationError, match="equally long"):
        draft.manifest(Manifests(tmp_path, 1000), None, rows=found)


def test_a_text_that_no_line_can_say_has_no_list() -> None:
    words = CLIP.by_name["words"]
    assert axis_of(words, ["a", "b"]) == Axis(field="words", text="a\nb")
    assert axis_of(words, ["a\nb", "c"]) is None


def test_a_sample_has_the_columns_that_matter() -> None:
    assert sample_of(CLIP) == "words,wide,high,count\na red fox at dawn,832,480,1\n"
    assert sample_of(ENLARGE) == "picture,count\nupload:…,1\n"


async def test_a_batch_of_an_imported_workflow(user: User, clip: Context) -> None:
    await choose(user, "/bulk", "clip")
    await until(lambda: _has(user, "Videos per combination"))
    write(user, "What happens", "a fox\nan owl")
    tick(user, "Each line is its own prompt")
    await press_add(user, "Shade")
    write(user, "Shade", ["red", "blue"])
    await user.should_see("2 prompts × 2 Shade values = 4 videos", retries=PATIENT)
    await press(user, "Preview")
    await user.should_see("4 videos. How long they take is not known yet.", retries=PATIENT)
    await press(user, "Start")
    await user.should_see("0 of 4", retries=PATIENT)
    made = await made_by(clip)
    assert {one.workflow for one in made} == {"clip"}
    assert [(one.prompt, one.inputs["shade"]) for one in made] == [
        ("a fox", "red"),
        ("a fox", "blue"),
        ("an owl", "red"),
        ("an owl", "blue"),
    ]


async def test_a_mistake_in_a_list_is_told_there(user: User, clip: Context) -> None:
    await choose(user, "/bulk", "clip")
    await until(lambda: _has(user, "Videos per combination"))
    write(user, "What happens", "a fox")
    await press_add(user, "Length")
    write(user, "Length", "81, 900")
    await press(user, "Preview")
    await until(lambda: "161" in (field(user, "Length").error or ""))
    assert not (await clip.batches.page(1, None)).items


async def test_a_file_has_the_columns_of_the_workflow(user: User, clip: Context) -> None:
    await choose(user, "/bulk", "clip")
    await until(lambda: _has(user, "Videos per combination"))
    await press(user, "From a file")
    await user.should_see("words,wide,high,count", retries=PATIENT)
    await upload(user, "clips.csv", b"words,length\na fox,41\nan owl,81\n")
    await press(user, "Start")
    await user.should_see("0 of 2", retries=PATIENT)
    made = await made_by(clip)
    assert [(one.workflow, one.prompt, one.inputs["length"]) for one in made] == [
        ("clip", "a fox", 41),
        ("clip", "an owl", 81),
    ]


@pytest.mark.usefixtures("clip")
async def test_several_files_are_a_list_of_an_input(user: User) -> None:
    await choose(user, "/bulk", "enlarge")
    await user.should_see("Images per combination", retries=PATIENT)
    await press_add(user, "Picture")
    zone = [element for element in elements(user) if isinstance(element, SentFile)][-1]
    for digit in "ab":
        UserInteraction(user, {zone}, None).trigger("sent", digit * 64)
    await user.should_see("2 Picture values = 2 images", retries=PATIENT)
    await press(user, "Remove 1 of Picture")
    await user.should_see("1 image", retries=PATIENT)


@pytest.mark.usefixtures("clip")
async def test_the_chosen_workflow_is_there_again(user: User) -> None:
    await choose(user, "/bulk", "clip")
    await until(lambda: _has(user, "What happens"))
    write(user, "What happens", "a fox")
    write(user, "Wide", 640)
    await user.open("/bulk")
    await until(lambda: _has(user, "What happens"))
    assert (field(user, "What happens").value, field(user, "Wide").value) == ("a fox", 640)


async def test_settings_of_its_batch_are_in_the_form_again(clip: Context) -> None:
    batch_id = await begun(
        clip,
        workflow="clip",
        defaults={"words": "a fox", "wide": 640},
        grid={"shade": ["red", "blue"], "length": [41, 81]},
        count=2,
    )
    page = await clip.batches.item_page(batch_id, 100, None)
    options = (await clip.batches.status(batch_id)).options
    assert isinstance(options, BatchOptions)
    draft = workflow_draft_of(CLIP, options, [item.request for item in page.items], None)
    assert draft is not None
    assert (draft.workflow, draft.prompt, draft.count) == ("clip", "a fox", 2)
    assert draft.of("clip") == {"wide": 640}
    assert draft.lists["clip"] == [
        Axis(field="length", text="41, 81"),
        Axis(field="shade", chosen=["red", "blue"]),
    ]
    again = rows_of(draft, CLIP, draft.of("clip"), draft.lists["clip"])
    assert FlowBatchRequest.model_validate(again).grid == {
        "length": [41, 81],
        "shade": ["red", "blue"],
    }


def _has(user: User, label: str) -> bool:
    return any(each.props.get("label") == label for each in elements(user))


async def press_add(user: User, name: str) -> None:
    """Add a list of an input."""
    await press(user, name)
    gone = f"Remove {name}"
    await until(lambda: any(each.props.get("aria-label") == gone for each in elements(user)))
