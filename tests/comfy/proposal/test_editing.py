"""Inputs are added by address, renamed, reordered and dropped."""

from __future__ import annotations

import pytest

from comfy.errors import DeclarationError
from comfy.importing.proposal import arranged, with_input, without_inputs
from core.workflows.declaration import Workflow
from tests.comfy.proposal.graphs import CATALOGUE, node, proposed, targets, txt2img


@pytest.fixture
def workflow() -> Workflow:
    return proposed(txt2img(n10=node("CLIPTextEncode", text="a cat", clip=["4", 1])))


def test_an_input_is_added_for_a_field_with_its_type_and_range(workflow: Workflow) -> None:
    bare = without_inputs(workflow, ["height"])

    found = with_input(bare, CATALOGUE, "5.height", "tall")

    assert targets(found.by_name["tall"]) == ["5.height"]
    assert (found.by_name["tall"].maximum, found.by_name["tall"].role) == (16384, "height")


def test_the_input_that_a_field_has_takes_the_new_name(workflow: Workflow) -> None:
    found = with_input(workflow, CATALOGUE, "6.text", "idea")

    assert (found.inputs[0].name, found.inputs[0].role) == ("idea", "prompt")
    assert len(found.inputs) == len(workflow.inputs)
    assert found.version != workflow.version


def test_a_name_that_is_a_role_takes_the_role_from_another(workflow: Workflow) -> None:
    found = with_input(workflow, CATALOGUE, "10.text", "prompt")

    assert targets(found.of_role("prompt")) == ["10.text"]
    assert targets(found.by_name["prompt_2"]) == ["6.text"]
    assert found.by_name["prompt_2"].role is None


@pytest.mark.parametrize(
    ("address", "name", "code"),
    [
        ("99.text", "a", "unknown_node"),
        ("text", "a", "unknown_node"),
        ("6.txt", "a", "unknown_field"),
        ("6.clip", "a", "linked_field"),
        ("6.text", "Not A Name", "invalid_name"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(
    workflow: Workflow, address: str, name: str, code: str
) -> None:
    with pytest.raises(DeclarationError) as raised:
        with_input(workflow, CATALOGUE, address, name)

    assert raised.value.code == code


def test_inputs_are_put_in_another_order_under_other_names(workflow: Workflow) -> None:
    found = arranged(workflow, {"seed": "chance", "prompt": "prompt"})

    assert [(one.name, one.role) for one in found.inputs] == [
        ("chance", "seed"),
        ("prompt", "prompt"),
    ]
    assert found.graph == workflow.graph


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ({"sed": "a"}, "unknown_input"),
        ({"seed": "a", "prompt": "a"}, "duplicate_input"),
        ({"seed": "1"}, "invalid_name"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    workflow: Workflow, names: dict[str, str], code: str
) -> None:
    with pytest.raises(DeclarationError) as raised:
        arranged(workflow, names)

    assert raised.value.code == code
