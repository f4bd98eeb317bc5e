"""A result says every value used: asked for again, they give the same values, recipe and graph."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from comfy.workflows import BUILT_IN, missing_value, pixels_of
from core.requests import ResolvedRequest, read_request
from tests.comfy.builtin.asking import CATALOGUE, again, graph, resolved
from tests.comfy.builtin.operations import OPERATIONS, asked_of

_MODEL_INPUT: Final = re.compile(
    r"ckpt_name|unet_name|clip_name\d?|vae_name|lora_name|control_net_name"
)
_OTHERS: Final = {("ModelPatchLoader", "name"), ("UpscaleModelLoader", "model_name")}
_BY_PACK: Final = "Preprocessor"


def written(value: Any) -> str:
    return json.dumps(value)


def files_in(request: ResolvedRequest) -> set[str]:
    """The model files that the graph names."""
    return {
        value
        for node in graph(request).nodes.values()
        for name, value in node.inputs.items()
        if _MODEL_INPUT.fullmatch(name) or (node.class_type, name) in _OTHERS
        if not node.class_type.endswith(_BY_PACK) and isinstance(value, str)
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_values_give_the_same(operation: str) -> None:
    seen = 0
    for family, workflow, inputs in asked_of(operation):
        first = resolved(workflow, **inputs)
        second = again(first)

        assert written(second.inputs) == written(first.inputs), family
        assert written(second.plan.recipe) == written(first.plan.recipe), family
        assert written(graph(second).to_json()) == written(graph(first).to_json()), family
        assert second.plan.models == first.plan.models, family
        assert second.plan.cost == first.plan.cost > 0, family
        seen += 1
    assert seen


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_plan_says_what_the_graph_needs(operation: str) -> None:
    for family, workflow, inputs in asked_of(operation):
        request = resolved(workflow, **inputs)

        used = {node.class_type for node in graph(request).nodes.values()}
        planned = {name for names in request.plan.models.values() for name in names}
        assert request.plan.classes == tuple(sorted(used)), family
        assert files_in(request) - {"pixel_space"} == planned, family
        for folder, names in request.plan.models.items():
            assert set(names) <= set(CATALOGUE.in_folder(folder)), family
        assert request.plan.outputs == graph(request).expected_outputs, family
        assert pixels_of(request) == graph(request).pixels, family


@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_outlives_the_database(operation: str) -> None:
    for family, workflow, inputs in asked_of(operation):
        request = resolved(workflow, **inputs)

        read = read_request(json.loads(json.dumps(request.stored())))

        assert isinstance(read, ResolvedRequest), family
        assert read.plan == request.plan, family
        assert graph(read).to_json() == graph(request).to_json(), family


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_value_is_declared_and_stands_where_it_is(operation: str) -> None:
    """A request of this version is readable by what reads requests of any."""
    for family, workflow, inputs in asked_of(operation):
        request = resolved(workflow, **inputs)
        declared = BUILT_IN[workflow]

        order = [name for name in declared.by_name if name in request.inputs]
        assert list(request.inputs) == order, family
        assert missing_value(declared, request.inputs) is None, family
