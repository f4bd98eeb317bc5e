"""Rows, size and seed in the form of an imported workflow."""

from __future__ import annotations

from typing import Any

import pytest
from nicegui.testing import User

from api.generations.facade import Facade
from tests.web.test_workflow_form import created, generate
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from tests.web.workflows import CLIP
from web.forms.sizes import RATIOS, parts_of, sizes_near
from web.forms.workflow_drafts import WorkflowDraft


@pytest.fixture
async def form(user: User, facade: Facade) -> User:
    await facade.store.workflows.add(CLIP)
    await user.open("/")
    write(user, "Workflow", "clip")
    await user.should_see("What happens", retries=PATIENT)
    write(user, "What happens", "a fox runs")
    return user


def named(user: User, label: str) -> list[Any]:
    """The values of all fields of that label, as they stand."""
    return [each.value for each in elements(user) if each.props.get("label") == label]  # type: ignore[attr-defined]


async def test_rows_are_added_moved_and_removed(form: User, facade: Facade) -> None:
    assert named(form, "File") == ["one"]
    await press(form, "Add to LoRAs")
    await until(lambda: len(named(form, "File")) == 2)
    second = [each for each in elements(form) if each.props.get("label") == "File"][1]
    assert form.client is not None
    with form.client:
        second.value = "two"  # type: ignore[attr-defined]
    await press(form, "Move up 2 of LoRAs")
    await until(lambda: named(form, "File") == ["two", "one"])
    [first] = [one for one in elements(form) if one.props.get("aria-label") == "Move up 1 of LoRAs"]
    assert first.props.get("aria-disabled") == "true"
    assert "disabled" not in first.props  # it keeps the focus
    await press(form, "Add to LoRAs")
    await until(lambda: len(named(form, "File")) == 3)
    full = [
        one for one in elements(form) if "rows-add" in one.classes and one.props.get("disabled")
    ]
    assert len(full) == 1  # the list of this workflow, not those of the form behind it
    await press(form, "Remove 3 of LoRAs")
    await until(lambda: named(form, "File") == ["two", "one"])
    generate(form)
    made = await created(facade)
    assert made.inputs["loras"] == [
        {"name": "two", "strength": 1.0},
        {"name": "one", "strength": 1.0},
    ]


async def test_a_mistake_in_a_row_is_told_there(form: User) -> None:
    write(form, "Strength", 9)
    generate(form)
    await until(lambda: "2" in (field(form, "Strength").error or ""))


async def test_a_ratio_and_its_swap_are_what_is_made(form: User, facade: Facade) -> None:
    assert texts(form, "muted").count("Wide 16:9") >= 1
    await press(form, "Tall 9:16")
    await until(lambda: (field(form, "Wide").value, field(form, "High").value) == (480, 832))
    await press(form, "Swap width and height")
    await until(lambda: (field(form, "Wide").value, field(form, "High").value) == (832, 480))
    await press(form, "Square 1:1")
    await until(lambda: field(form, "Wide").value == 640)
    generate(form)
    made = await created(facade)
    assert made.size == (640, 640)


async def test_a_seed_is_drawn_once_and_kept_or_each_time(form: User, facade: Facade) -> None:
    assert field(form, "Noise seed").value is None
    await press(form, "Draw a seed")
    await until(lambda: field(form, "Noise seed").value is not None)
    drawn = field(form, "Noise seed").value
    generate(form)
    assert (await created(facade)).seed == drawn
    write(form, "Noise seed", -1)
    await until(lambda: field(form, "Noise seed").value is None)
    assert form.client is not None
    with form.client:
        assert "seed" not in WorkflowDraft.load().of("clip")
    write(form, "Noise seed", 7)
    await press(form, "Random")
    await until(lambda: field(form, "Noise seed").value is None)


@pytest.mark.parametrize(("width", "height"), [(832, 480), (480, 832), (512, 512), (1024, 576)])
def test_each_ratio_has_a_size_in_steps_with_about_the_pixels(width: int, height: int) -> None:
    sizes = sizes_near(width, height, 32)
    assert (width, height) in sizes.values()
    for ratio, (wide, high) in sizes.items():
        if (wide, high) in ((width, height), (height, width)):
            continue
        across, down = parts_of(ratio)
        assert wide % 32 == high % 32 == 0
        assert wide * high == pytest.approx(width * height, rel=0.2)
        assert wide / high == pytest.approx(across / down, rel=0.1)
    assert list(sizes) == list(RATIOS)
