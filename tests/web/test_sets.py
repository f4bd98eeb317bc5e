"""Lists and groups of several values in a batch: fields, not JSON."""

from __future__ import annotations

from typing import Any

from nicegui.testing import User

from comfy.workflows.builtin.declarations import BUILT_IN
from tests.web.visiting import PATIENT, elements, press, texts, until, write
from tests.web.workflows import CLIP
from web.forms.batch_drafts import Axis, BulkDraft
from web.forms.sets_field import has_sets, values_of, within_sets
from web.forms.workflow_batch import axis_of, rows_of
from web.forms.workflow_inputs import Offered

INK = [{"name": "ink.safetensors", "strength": 0.8}]
INPUTS = BUILT_IN["img2img"].by_name


def grid(*axes: Axis) -> dict[str, Any]:
    draft = BulkDraft(prompt="a red fox")
    found: dict[str, Any] = rows_of(draft, BUILT_IN["img2img"], {}, axes)["grid"]
    return found


def test_each_set_is_a_value_and_an_empty_one_is_none_of_it() -> None:
    axis = Axis(field="loras", chosen=[INK, []])
    assert grid(axis) == {"loras": [INK, []]}
    assert axis_of(INPUTS["loras"], [INK, []]) == axis


def test_json_of_an_earlier_form_is_read_and_shown_as_fields() -> None:
    axis = Axis(field="loras", text='[{"name": "ink.safetensors", "strength": 0.8}]\n[]\n')
    assert grid(axis) == {"loras": [INK, []]}
    assert values_of(axis) == [INK, []]
    assert values_of(Axis(field="loras", text="[1\n[]")) == [[]]


def test_all_lists_and_groups_of_built_in_workflows_have_fields() -> None:
    for workflow in BUILT_IN.values():
        nested = [one for one in workflow.inputs if one.type in ("list", "group")]
        assert all(has_sets(one) for one in nested)
    assert not has_sets(INPUTS["steps"])


def test_pickers_in_sets_offer_what_the_input_itself_does() -> None:
    offered = Offered({"loras.*.name": ["ink"], "hires.model": ["4x"], "model": ["sd"]})
    names = within_sets(offered, BUILT_IN["img2img"].inputs).names
    assert names["loras.*.loras.*.name"] == ["ink"]
    assert names["hires.*.model"] == ["4x"]
    assert names["model"] == ["sd"]


def lists(user: User) -> dict[str, Any]:
    assert user.client is not None
    with user.client:
        found = BulkDraft.load().lists.get("clip", [])
        return {axis.field: axis.chosen for axis in found}


async def test_sets_are_added_and_counted(user: User, context: Any) -> None:
    await context.facade.store.workflows.add(CLIP)
    await user.open("/bulk")
    await until(lambda: any(one.props.get("label") == "Workflow" for one in elements(user)))
    write(user, "Workflow", "clip")
    await user.should_see("What happens", retries=PATIENT)
    write(user, "What happens", "it runs away")
    await press(user, "LoRAs")
    await press(user, "Add to Sets of LoRAs")
    await until(lambda: lists(user) == {"loras": [[]]})
    await press(user, "Add to Sets of LoRAs")
    await until(lambda: lists(user) == {"loras": [[], []]})
    await press(user, "Add to LoRAs")  # of the first set
    write(user, "File", "ink.safetensors")
    await until(lambda: lists(user)["loras"][0] == [{"name": "ink.safetensors", "strength": 1.0}])
    assert any("2 LoRAs values" in said for said in texts(user, "bulk-sum"))
