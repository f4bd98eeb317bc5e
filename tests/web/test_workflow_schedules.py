"""Schedules of imported workflows are created, shown, and changed; those of txt2img too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from nicegui.testing import User

from api.context import Context
from flows.prefect.schedules import Timing
from tests.web.kept_schedules import NIGHTLY, KeptSchedules, visitor_of
from tests.web.visiting import PATIENT, elements, field, press, texts, tick, until, write
from tests.web.workflows import CLIP, ENLARGE


@pytest.fixture
def kept() -> KeptSchedules:
    return KeptSchedules()


@pytest.fixture
async def user(context: Context, kept: KeptSchedules) -> AsyncIterator[User]:
    for workflow in (CLIP, ENLARGE):
        await context.facade.store.workflows.add(workflow)
    async with visitor_of(context, kept) as user:
        yield user


def put(kept: KeptSchedules, name: str, batch: Any, timing: Timing | None = None) -> UUID:
    """Keep a schedule as if it had been created elsewhere."""
    made = replace(
        NIGHTLY,
        id=UUID(int=7),
        name=name,
        in_file=False,
        timing=timing or NIGHTLY.timing,
        parameters={"batch": batch, "catch_up_minutes": 5},
    )
    kept.put(made)
    return made.id


def has(user: User, label: str) -> bool:
    return any(each.props.get("label") == label for each in elements(user))


async def test_one_is_created_shown_and_changed(user: User, kept: KeptSchedules) -> None:
    await user.open("/schedules")
    write(user, "Workflow", "clip")
    await until(lambda: has(user, "Videos per prompt"))
    write(user, "Name", "clips")
    write(user, "What happens", "a fox\nan owl")
    tick(user, "Each line is its own prompt")
    write(user, "Wide", 640)
    write(user, "Videos per prompt", 2)
    await press(user, "Create schedule")
    await user.should_see("“clips” is created and on.", retries=PATIENT)
    await user.should_see("4 videos · A clip", retries=PATIENT)
    assert "“a fox” and 1 more" in texts(user, "schedule-makes")
    [_, made] = await kept.all()
    batch = made.parameters["batch"]
    assert (batch["workflow"], batch["defaults"]) == ("clip", {"wide": 640})
    assert batch["grid"] == {"words": ["a fox", "an owl"]}

    await press(user, "Edit clips")
    await user.should_see("Change “clips”", retries=PATIENT)
    assert field(user, "What happens").value == "a fox\nan owl"
    write(user, "What happens", "a bear")
    write(user, "Time", "03:15")
    await press(user, "Save changes")
    await user.should_see("“clips” is changed.", retries=PATIENT)
    [_, made] = await kept.all()
    assert made.timing.cron == "15 3 * * *"
    assert made.parameters["batch"]["defaults"] == {"wide": 640, "words": "a bear"}
    await until(lambda: "New schedule" in texts(user, "side-title"))


async def test_one_of_txt2img_is_changed_and_what_the_form_does_not_show_stays(
    user: User, kept: KeptSchedules
) -> None:
    batch = {
        "defaults": {"prompt": "a fox", "steps": 9, "clip_skip": 2},
        "count": 3,
        "vary_seed": True,
    }
    put(kept, "foxes", batch, Timing(None, 7200.0, "UTC"))
    await user.open("/schedules")
    await press(user, "Edit foxes")
    await user.should_see("Change “foxes”", retries=PATIENT)
    assert (field(user, "Every").value, field(user, "Images per prompt").value) == (2, 3)
    assert (field(user, "Steps").value, field(user, "Clip skip").value) == (9, 2)
    write(user, "Prompt", "an owl")
    write(user, "Steps", 12)
    await press(user, "Save changes")
    await user.should_see("“foxes” is changed.", retries=PATIENT)
    made = await kept.get(UUID(int=7))
    defaults = {"prompt": "an owl", "steps": 12, "clip_skip": 2}
    assert made.parameters["batch"]["defaults"] == defaults
    assert made.parameters["batch"]["vary_seed"] is True
    assert made.parameters["catch_up_minutes"] == 5
    assert made.timing.interval_s == 7200


@pytest.mark.parametrize(
    "batch",
    [
        {"items": [{"prompt": "a fox"}]},
        {"defaults": {"prompt": "a fox", "init_image": f"upload:{'a' * 64}"}},
        {"defaults": {"prompt": "a fox"}, "grid": {"steps": [1, 2]}},
        {"workflow": "gone", "defaults": {}},
        {"defaults": {"prompt": "a fox"}, "seed": 7},
    ],
)
async def test_what_the_form_cannot_show_is_not_changed_in_it(
    user: User, kept: KeptSchedules, batch: dict[str, Any]
) -> None:
    put(kept, "odd", batch)
    await user.open("/schedules")
    await press(user, "Edit odd")
    await user.should_see("The form cannot show all of this schedule", retries=PATIENT)
    assert "New schedule" in texts(user, "side-title")


async def test_a_change_is_left_with_the_form_of_a_new_one_as_it_was(
    user: User, kept: KeptSchedules
) -> None:
    put(kept, "foxes", {"defaults": {"prompt": "a fox"}})
    await user.open("/schedules")
    write(user, "Name", "half written")
    await press(user, "Edit foxes")
    await user.should_see("Change “foxes”", retries=PATIENT)
    await press(user, "Cancel")
    await until(lambda: "New schedule" in texts(user, "side-title"))
    assert field(user, "Name").value == "half written"


async def test_a_workflow_without_a_prompt_is_named(user: User, kept: KeptSchedules) -> None:
    batch = {"workflow": "enlarge", "defaults": {"picture": f"upload:{'a' * 64}"}, "count": 2}
    put(kept, "larger", batch)
    put_gone = {"workflow": "gone", "defaults": {"prompt": "x"}}
    kept.put(replace(NIGHTLY, id=UUID(int=8), name="of a gone one", parameters={"batch": put_gone}))
    await user.open("/schedules")
    await user.should_see("2 images · Enlarge", retries=PATIENT)
    assert "Enlarge" in texts(user, "schedule-makes")
    await user.should_see("1 file · the workflow gone is gone")
