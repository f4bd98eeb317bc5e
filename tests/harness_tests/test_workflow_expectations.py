"""What the measuring of imports calls right and wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.workflow_expectations import Expectation, Imported, Problem, differences, table
from core.workflows.declaration import Input, Output, Target, Workflow

GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 1}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}},
    "9": {"class_type": "SaveImage", "inputs": {}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
}


def place(node: str, *fields: str, text: str = "") -> dict[str, Any]:
    return {"node": node, "fields": list(fields), "text": text}


EXPECTED: dict[str, Any] = {
    "prompts": [place("6", "text", text="a fox")],
    "seeds": [place("3", "seed")],
    "widths": [place("5", "width")],
    "heights": [place("5", "height")],
    "uploads": [place("10", "image") | {"kinds": ["image"]}],
    "outputs": [place("9", "*") | {"kinds": ["image"]}],
    "missing": ["Foreign"],
}
PROMPT = Input(name="prompt", type="longtext", role="prompt", default="a fox at dawn",
               targets=(Target(node="6", field="text"),))  # fmt: skip
SEED = Input(name="seed", type="seed", role="seed", targets=(Target(node="3", field="seed"),))
WIDTH = Input(name="width", type="integer", role="width",
              targets=(Target(node="5", field="width"),))  # fmt: skip
HEIGHT = Input(name="height", type="integer", role="height",
               targets=(Target(node="5", field="height"),))  # fmt: skip
IMAGE = Input(name="image", type="image", targets=(Target(node="10", field="image"),))
INPUTS = (PROMPT, SEED, WIDTH, HEIGHT, IMAGE)
SAVED = Output(node="9", kind="image", name="image", primary=True)


def imported(*inputs: Input, outputs: tuple[Output, ...] = (SAVED,)) -> Imported:
    workflow = Workflow(name="one", title="One", inputs=inputs, outputs=outputs, graph=GRAPH)
    return Imported(workflow, missing=frozenset({"Foreign"}))


def told(found: Imported, **changed: Any) -> list[str]:
    return differences(Expectation.from_json(EXPECTED | changed), found)


def test_what_is_as_expected_has_no_difference() -> None:
    assert told(imported(*INPUTS)) == []


@pytest.mark.parametrize("left_out", INPUTS)
def test_an_input_that_is_not_there_is_told(left_out: Input) -> None:
    found = imported(*(one for one in INPUTS if one is not left_out))

    assert any(left_out.targets[0].node in reason for reason in told(found))


def test_a_text_that_begins_otherwise_is_told() -> None:
    other = PROMPT.model_copy(update={"default": "a cat"})

    assert told(imported(other, *INPUTS[1:])) == ["the prompt 6.text begins 'a cat'"]


def test_a_role_that_goes_elsewhere_too_is_told_unless_it_may() -> None:
    wide = (*SEED.targets, Target(node="5", field="batch"))
    found = imported(PROMPT, SEED.model_copy(update={"targets": wide}), *INPUTS[2:])

    assert told(found) == ["seed (seed) goes to 5.batch"]
    assert told(found, may={"seeds": [place("5", "batch")]}) == []


def test_an_upload_too_many_and_one_of_another_type_are_told() -> None:
    video = IMAGE.model_copy(update={"type": "video"})
    mask = Input(name="mask", type="mask", targets=(Target(node="9", field="mask"),))

    assert told(imported(*INPUTS[:4], video, mask)) == [
        "the upload 10.image (image) is of type video",
        "mask (upload) goes to 9.mask",
    ]


def test_viewers_are_no_outputs_and_save_nodes_are() -> None:
    viewer = Output(node="10", kind="image", name="preview", optional=True)
    saved = viewer.model_copy(update={"optional": False})

    assert told(imported(*INPUTS, outputs=(SAVED, viewer))) == []
    assert told(imported(*INPUTS, outputs=(SAVED, saved))) == ["the output 10 (image) is too many"]


def test_where_only_viewers_are_any_output_of_the_kind_will_do() -> None:
    any_node = [place("*", "*") | {"kinds": ["audio"]}]

    assert told(imported(*INPUTS), outputs=any_node) == ["no output of kind audio"]


def test_missing_classes_are_told_exactly() -> None:
    found = replace(imported(*INPUTS), missing=frozenset({"Other"}))

    assert told(found) == ["missing class not told: Foreign", "missing class told wrongly: Other"]


def test_what_comfyui_would_refuse_is_told() -> None:
    found = replace(imported(*INPUTS), problems=(Problem("3", "model", "node 3: no model"),))

    assert told(found) == ["ComfyUI refuses node 3: no model"]
    assert told(found, may={"refused": [place("3", "model")]}) == []


def test_another_primary_output_than_the_expected_one_is_told() -> None:
    second = Output(node="10", kind="image", name="other")
    found = imported(*INPUTS, outputs=(SAVED, second))
    both = [*EXPECTED["outputs"], place("10", "*") | {"kinds": ["image"]}]

    assert told(found, outputs=both, primary="9") == []
    assert told(found, outputs=both, primary="10") == ["the primary output is 9, not 10"]


def test_a_file_to_be_refused_is_right_when_it_is_or_when_the_reason_is_told() -> None:
    refused = {"refused": "group_node"}

    assert told(Imported(None, error="no"), **refused) == []
    assert told(replace(imported(*INPUTS), told=frozenset({"group_node"})), **refused) == []
    assert told(imported(*INPUTS), **refused) == ["should be told: group_node"]
    assert told(Imported(None, error="no nodes")) == ["not imported: no nodes"]


def test_the_table_has_each_file_its_reasons_and_the_sum() -> None:
    assert table([("a.json", []), ("b.json", ["no seed for 3.seed"])]).splitlines() == [
        "right  a.json",
        "wrong  b.json",
        "         no seed for 3.seed",
        "wholly right: 1 of 2",
    ]
