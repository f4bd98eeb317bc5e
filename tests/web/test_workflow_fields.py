"""What a form's fields say: JSON that cannot be read, lists that are added once more, outputs."""

from __future__ import annotations

import pytest
from nicegui.testing import User

from api.context import Context
from store.values import HistoryFilter
from tests.web.test_workflow_form import generate
from tests.web.test_workflows_page import unfold
from tests.web.visiting import PATIENT, elements, field, press, until, write
from tests.web.workflows import a_workflow, an_input

NESTED = a_workflow(
    "nested",
    "Nested",
    "image",
    an_input(
        "grids",
        type="list",
        targets=[],
        default=[[1]],
        items={
            "name": "row",
            "type": "list",
            "items": {"name": "cell", "type": "integer", "targets": [{"node": "1", "field": "x"}]},
        },
    ),
    *(an_input(f"part_{number}", type="integer", default=1) for number in range(11)),
)


@pytest.fixture
async def nested(context: Context) -> Context:
    await context.facade.store.workflows.add(NESTED)
    return context


async def open_form(user: User, path: str) -> None:
    await user.open(path)
    write(user, "Workflow", "nested")
    await until(lambda: has(user, "Grids (JSON)"))


def has(user: User, label: str) -> bool:
    return any(each.props.get("label") == label for each in elements(user))


def names(user: User) -> list[str]:
    return [str(each.props.get("aria-label")) for each in elements(user)]


async def test_nothing_is_generated_while_a_field_cannot_be_read(
    user: User, nested: Context
) -> None:
    await open_form(user, "/")
    write(user, "Grids (JSON)", "[[2]]")
    write(user, "Grids (JSON)", "[[2]")
    generate(user)
    await until(lambda: "correct it" in (field(user, "Grids (JSON)").error or ""))
    assert not (await nested.facade.history(HistoryFilter(), 1, None)).items
    write(user, "Grids (JSON)", "[[3]]")
    assert not field(user, "Grids (JSON)").error


async def test_no_batch_is_started_while_a_field_cannot_be_read(
    user: User, nested: Context
) -> None:
    await open_form(user, "/bulk")
    write(user, "Grids (JSON)", "[[2]")
    await press(user, "Start")
    await until(lambda: "correct it" in (field(user, "Grids (JSON)").error or ""))
    assert not (await nested.batches.page(1, None)).items


@pytest.mark.usefixtures("nested")
async def test_a_list_that_was_removed_can_be_added_again(user: User) -> None:
    await open_form(user, "/bulk")
    for _ in range(2):
        write(user, "Add another list", "part_3")
        await until(lambda: "Remove Part 3" in names(user))
        await press(user, "Remove Part 3")
        await until(lambda: "Remove Part 3" not in names(user))


async def test_nothing_is_saved_while_a_default_cannot_be_read(user: User, nested: Context) -> None:
    await user.open("/workflows")
    await press(user, "Edit Nested")
    await until(lambda: "Take grids" in names(user))
    unfold(user, "grids")
    write(user, "Default of grids (JSON)", "[[7]]")
    write(user, "Default of grids (JSON)", "[[7]")
    await press(user, "Save")
    await user.should_see("This is not JSON: correct it first.", retries=PATIENT)
    stored = await nested.facade.store.workflows.get("nested")
    assert stored.workflow.by_name["grids"].default == [[1]]
