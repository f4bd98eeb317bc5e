"""A workflow whose choices ComfyUI tells slowly, and another one that is chosen meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from nicegui.testing import User

from api.context import Context
from api.workflows.documents import ChoicesDocument
from api.workflows.facade import WorkflowFacade
from tests.web.kept_schedules import NIGHTLY, KeptSchedules, visitor_of
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from tests.web.workflows import CLIP, ENLARGE


class Slowness:
    """Keeps back the choices of the workflows in ``held``; ``asked`` are those asked for."""

    def __init__(self) -> None:
        self.held: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.told: list[str] = []

    async def wait(self, name: str) -> None:
        self.asked.append(name)
        if name in self.held:
            await self.held[name].wait()
        self.told.append(name)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slowness:
    slowness = Slowness()
    quick = WorkflowFacade.choices

    async def choices(self: WorkflowFacade, name: str) -> ChoicesDocument:
        await slowness.wait(name)
        return await quick(self, name)

    monkeypatch.setattr(WorkflowFacade, "choices", choices)
    return slowness


@pytest.fixture
def kept() -> KeptSchedules:
    return KeptSchedules()


@pytest.fixture
async def user(context: Context, kept: KeptSchedules, slow: Slowness) -> AsyncIterator[User]:
    for workflow in (CLIP, ENLARGE):
        await context.facade.store.workflows.add(workflow)
    async with visitor_of(context, kept) as user:
        yield user


def has(user: User, label: str) -> bool:
    return any(each.props.get("label") == label for each in elements(user))


def offers(user: User, label: str) -> int:
    """How many buttons, fields and parts are called so."""
    names = [str(each.props.get("aria-label")) for each in elements(user)]
    return sum(label in name for name in names)


async def overtake(user: User, slow: Slowness, path: str) -> None:
    """Choose the slow one, then at once the other; both are loaded afterwards."""
    await user.open(path)
    slow.held["clip"] = asyncio.Event()
    write(user, "Workflow", "clip")
    await until(lambda: "clip" in slow.asked)
    write(user, "Workflow", "enlarge")
    await until(lambda: "enlarge" in slow.told)
    await until(lambda: offers(user, "Picture") > 0)
    slow.held["clip"].set()
    await until(lambda: "clip" in slow.told)
    for _ in range(20):  # whatever follows the answer is done
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["/", "/bulk", "/schedules"])
async def test_the_one_that_is_chosen_last_is_shown(user: User, slow: Slowness, path: str) -> None:
    await overtake(user, slow, path)
    assert field(user, "Workflow").value == "enlarge"
    assert offers(user, "Picture") > 0
    assert not has(user, "What happens")
    await user.open(path)
    await until(lambda: offers(user, "Picture") > 0)
    assert field(user, "Workflow").value == "enlarge"


async def test_until_it_is_shown_the_form_is_that_of_the_one_before(
    user: User, slow: Slowness, kept: KeptSchedules
) -> None:
    await user.open("/schedules")
    write(user, "Name", "early")
    write(user, "Prompt", "a fox")
    slow.held["clip"] = asyncio.Event()
    write(user, "Workflow", "clip")
    await until(lambda: "clip" in slow.asked)
    await press(user, "Create schedule")
    await user.should_see("“early” is created and on.", retries=PATIENT)
    [_, made] = await kept.all()
    assert made.parameters["batch"]["defaults"] == {"prompt": "a fox"}
    slow.held["clip"].set()
    await until(lambda: has(user, "What happens"))


@pytest.mark.parametrize(("path", "label"), [("/bulk", "Seed"), ("/schedules", "Name")])
async def test_what_does_not_depend_on_it_is_not_built_anew(
    user: User, path: str, label: str
) -> None:
    await user.open(path)
    before = field(user, label)
    write(user, "Workflow", "clip")
    await until(lambda: has(user, "What happens"))
    assert field(user, label) is before
    write(user, "Workflow", "txt2img")
    await until(lambda: has(user, "Prompt") and not has(user, "What happens"))
    assert field(user, label) is before


def put(kept: KeptSchedules, name: str, batch: Any) -> None:
    parameters = {"batch": batch, "catch_up_minutes": 5}
    kept.put(replace(NIGHTLY, id=UUID(int=7), name=name, in_file=False, parameters=parameters))


async def test_a_second_press_on_save_creates_nothing(
    user: User, slow: Slowness, kept: KeptSchedules
) -> None:
    put(kept, "clips", {"workflow": "clip", "defaults": {"words": "a fox"}})
    await user.open("/schedules")
    write(user, "Name", "half written")
    write(user, "Prompt", "a kept one")
    write(user, "Workflow", "enlarge")
    await until(lambda: offers(user, "Picture") > 0)
    write(user, "Workflow", "clip")
    await until(lambda: has(user, "What happens"))
    write(user, "What happens", "another")
    await press(user, "Edit clips")
    await user.should_see("Change “clips”", retries=PATIENT)
    slow.held["clip"] = asyncio.Event()
    slow.asked.clear()
    write(user, "What happens", "a bear")
    await press(user, "Save changes")
    await press(user, "Save changes")
    await until(lambda: "clip" in slow.asked)
    await press(user, "Save changes")
    slow.held["clip"].set()
    await until(lambda: "New schedule" in texts(user, "side-title"))
    assert {one.name for one in await kept.all()} == {"nightly", "clips"}
    assert field(user, "Name").value == "half written"


async def test_what_is_typed_until_the_other_form_is_shown_stays_with_this_one(
    user: User, slow: Slowness, kept: KeptSchedules
) -> None:
    put(kept, "clips", {"workflow": "clip", "defaults": {"words": "a fox"}})
    await user.open("/schedules")
    write(user, "Name", "half")
    slow.held["clip"] = asyncio.Event()
    await press(user, "Edit clips")
    await until(lambda: "clip" in slow.asked)
    write(user, "Prompt", "an owl")
    slow.held["clip"].set()
    await user.should_see("Change “clips”", retries=PATIENT)
    assert field(user, "What happens").value == "a fox"
    await press(user, "Cancel")
    await until(lambda: "New schedule" in texts(user, "side-title"))
    assert field(user, "Prompt").value == "an owl"
