"""An input more is a change in one place: the declaration. Everything else is made from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from api.workflows.documents import schema_of, workflow_document
from cli.client import ApiClient
from cli.generate.command import _repeated
from cli.generate.inputs import Inputs
from comfy import TXT2IMG
from core.batches.columns import Columns
from core.batches.expansion import Item, expand
from core.batches.lists import Lists
from core.batches.manifest import Row, read_manifest
from core.batches.request import FlowBatchRequest
from core.fields import SEED_MAX
from core.problems import FieldProblem
from core.requests import GenerationRequest, read_request_of
from core.workflows.declaration import Input, Workflow
from flows.generate import generate
from flows.prefect.forms import form_of

SHARPNESS: Final = Input(
    name="sharpness", type="integer", label="Sharpness", minimum=1, maximum=12, default=1
)
GROWN: Final = Workflow.model_validate(
    TXT2IMG.model_copy(update={"inputs": (*TXT2IMG.inputs, SHARPNESS)}).model_dump()
)


def items(
    batch: dict[str, Any], rows: Iterable[Row | FieldProblem] | None = None
) -> list[dict[str, Any]]:
    """Returns the inputs of a batch's items."""
    request = FlowBatchRequest.model_validate(batch)
    found = list(expand(request, rows, 7, Lists.of({}), GROWN))
    assert all(isinstance(one, Item) for one in found), found
    return [one.request.inputs for one in found if isinstance(one, Item)]


def test_the_api_takes_it_and_describes_it() -> None:
    asked = read_request_of(GenerationRequest, {"prompt": "a fox", "sharpness": 2}, GROWN)
    assert asked.inputs == {"prompt": "a fox", "sharpness": 2}
    with pytest.raises(ValidationError, match="12"):
        read_request_of(GenerationRequest, {"prompt": "a fox", "sharpness": 13}, GROWN)
    schema = schema_of(GROWN)
    assert schema["properties"]["sharpness"]["maximum"] == 12
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"prompt": "a fox", "sharpness": 13}, schema)
    document = workflow_document(GROWN, "http://easel.test", None)
    assert document.inputs[-1] == SHARPNESS


def test_it_is_a_column(tmp_path: Path) -> None:
    file = tmp_path / "foxes.csv"
    file.write_text("prompt,sharpness\na fox, 2.0\nan owl,\n")
    found = items({}, read_manifest(file, "csv", Columns(GROWN)))
    assert [one.get("sharpness") for one in found] == [2, None]


def test_it_is_an_axis_of_grids() -> None:
    found = items({"defaults": {"prompt": "a fox"}, "grid": {"sharpness": [1, 2, 3]}})
    assert [one["sharpness"] for one in found] == [1, 2, 3]


async def test_it_is_an_option_of_the_command() -> None:
    async with ApiClient("http://127.0.0.1:9") as client:
        found = await Inputs(GROWN).of_settings(client, ["sharpness=2"])
    assert found.rows == ({"sharpness": 2},)


def test_prefects_form_has_it() -> None:
    form = form_of(generate.parameters.model_dump(), GROWN)
    assert form["definitions"]["GenerateRequest"]["properties"]["sharpness"]["title"] == "Sharpness"
    assert form["required"] == ["request"]


def test_an_input_may_have_any_name() -> None:
    """Those that pydantic's models have for themselves too."""
    names = ("copy", "copy_", "json", "schema", "model_config", "model_fields", "dict")
    odd = Workflow(
        name="odd", title="Odd", inputs=tuple(Input(name=one, type="integer") for one in names)
    )
    values = {name: number for number, name in enumerate(names)}
    assert read_request_of(GenerationRequest, {"workflow": "odd", **values}, odd).inputs == values
    assert set(names) <= schema_of(odd)["properties"].keys()
    with pytest.raises(ValidationError, match="copy"):
        read_request_of(GenerationRequest, {"workflow": "odd", "copy": "x"}, odd)


SMALL: Final = Workflow(
    name="own",
    title="Own",
    inputs=(
        Input(name="noise", type="seed", role="seed", maximum=9),
        Input(name="other", type="seed", maximum=2**64 - 1),
    ),
)


def test_a_seed_grows_up_to_the_largest_that_its_input_takes() -> None:
    batch = FlowBatchRequest(defaults={"workflow": "own", "noise": 8}, count=4)

    found = list(expand(batch, None, 7, Lists.of({}), SMALL))

    made = [one.request.inputs for one in found if isinstance(one, Item)]
    assert [one["noise"] for one in made] == [8, 9, 0, 1]
    assert all(0 <= one["other"] <= SEED_MAX for one in made)
    [problem] = expand(
        FlowBatchRequest(defaults={"workflow": "own", "noise": 10}), None, 7, Lists.of({}), SMALL
    )
    assert isinstance(problem, FieldProblem)
    assert problem.code == "less_than_equal"


def test_the_command_counts_up_to_the_same_seed() -> None:
    names = Inputs(SMALL).names
    assert (names.seed, names.seed_max) == ("noise", 9)
    made = _repeated({"noise": 8}, 4, names)
    assert [one["noise"] for one in made] == [8, 9, 0, 1]


LORAS: Final = Workflow(
    name="own",
    title="Own",
    inputs=(
        Input(name="prompt", type="text"),
        Input(
            name="loras",
            type="list",
            items=Input(
                name="lora",
                type="group",
                fields=(Input(name="name", type="text"), Input(name="strength", type="number")),
            ),
        ),
    ),
)
DOTTED: Final = {"loras.0.name": "a", "loras.0.strength": 0.5, "metadata.order": "7"}


def loras_of(batch: dict[str, Any], rows: Iterable[Row | FieldProblem] | None = None) -> list[Any]:
    request = FlowBatchRequest.model_validate({"workflow": "own", **batch})
    request.check_names(Columns(LORAS))
    found = expand(request, rows, 7, Lists.of({}), LORAS)
    return [
        (one.request.inputs.get("loras"), one.request.metadata) if isinstance(one, Item) else one
        for one in found
    ]


@pytest.mark.parametrize("kind", ["jsonl", "items", "defaults"])
def test_dotted_names_are_taken_in_json_as_in_columns(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(DOTTED))
    rows = read_manifest(file, "jsonl", Columns(LORAS)) if kind == "jsonl" else None
    batches: dict[str, dict[str, Any]] = {
        "jsonl": {},
        "items": {"items": [DOTTED]},
        "defaults": {"defaults": DOTTED},
    }

    assert loras_of(batches[kind], rows) == [([{"name": "a", "strength": 0.5}], {"order": "7"})]


def test_an_entry_whose_predecessor_is_missing_is_named() -> None:
    [problem] = loras_of({"items": [{"loras.1.name": "a"}]})
    assert (problem.row, problem.code) == (1, "missing")
    assert "loras.0" in problem.message
    with pytest.raises(ValidationError, match=r"loras\.0 is missing"):
        loras_of({"defaults": {"loras.1.name": "a"}})


PRIORITY: Final = Workflow(
    name="own",
    title="Own",
    inputs=(
        Input(name="prompt", type="text"),
        Input(name="priority", type="integer"),
        Input(name="metadata", type="list", items=Input(name="one", type="text")),
    ),
)
"""Its inputs are named as fields of the envelope."""


def test_an_input_named_as_a_field_of_the_envelope_is_an_axis_a_column_and_a_setting(
    tmp_path: Path,
) -> None:
    axes = {"inputs.priority": [1, 2], "prompt": ["a", "b"], "inputs.metadata.0": ["x"]}
    batch = {"defaults": {"workflow": "own", "metadata": {"order": "7"}}, "grid": axes}
    request = FlowBatchRequest.model_validate(batch)
    request.check_names(Columns(PRIORITY))
    file = tmp_path / "rows.csv"
    file.write_text("prompt,inputs.priority,priority\na,1,interactive\n")

    crossed = list(expand(request, None, 7, Lists.of({}), PRIORITY))
    rows = read_manifest(file, "csv", Columns(PRIORITY))
    read = list(
        expand(FlowBatchRequest(defaults={"workflow": "own"}), rows, 7, Lists.of({}), PRIORITY)
    )

    made = [one.request for one in crossed if isinstance(one, Item)]
    assert [one.inputs for one in made] == [
        {"priority": number, "prompt": text, "metadata": ["x"]}
        for number in (1, 2)
        for text in "ab"
    ]
    assert {(one.priority, one.metadata["order"]) for one in made} == {("bulk", "7")}
    assert [one.combination for one in crossed if isinstance(one, Item)] == [0, 1, 2, 3]
    [only] = [one.request for one in read if isinstance(one, Item)]
    assert (only.inputs, only.priority) == ({"prompt": "a", "priority": 1}, "interactive")


async def test_a_setting_names_an_input_named_as_a_field_of_the_envelope() -> None:
    async with ApiClient("http://127.0.0.1:9") as client:
        given = await Inputs(PRIORITY).of_settings(client, ["inputs.priority=5", "prompt=a"])
    [found] = given.rows
    asked = read_request_of(GenerationRequest, {"workflow": "own", **found}, PRIORITY)
    assert (asked.inputs, asked.priority) == ({"prompt": "a", "priority": 5}, "interactive")
