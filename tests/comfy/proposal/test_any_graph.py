"""Whatever a graph holds, a workflow is proposed, and its inputs point at what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfy.importing.proposal import propose
from comfy.workflows.imported import filled
from comfy.workflows.readiness import readiness
from core.workflows.declaration import leaves
from core.workflows.schema import inputs_schema
from tests.comfy.proposal.graphs import CATALOGUE, OBJECT_INFO, imported

IDS = st.sampled_from(["1", "2", "3", "4:5", "4:6", "x"])
NAMED = {name for told in OBJECT_INFO.values() for name in told["input"]["required"]}
FIELDS = st.sampled_from([*sorted(NAMED), "input_id", "default_value", "value", "raw_id", "", "9"])
CLASSES = st.sampled_from(
    [*OBJECT_INFO, "Unknown", "ComfyUIDeployExternalText", "SwarmInputImage", "CPackInputInt"]
)
WORDS = st.sampled_from(
    ["a fox", "%seed%", "${steps:x}", "PARAM_INT_A", "here.png", "a.safetensors"]
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS,
    st.tuples(IDS, st.integers(-2, 3)).map(list), st.lists(st.integers(), max_size=3),
    st.fixed_dictionaries({"__value__": st.lists(st.integers(), max_size=2)}),
)  # fmt: skip
TITLES = st.sampled_from(
    ["", "[input] a", "VC_BASIC_1_b", "width", "Duration", "[output] c", "提示"]
)
NODES = st.fixed_dictionaries(
    {
        "class_type": CLASSES,
        "inputs": st.dictionaries(FIELDS, VALUES, max_size=8),
        "_meta": st.fixed_dictionaries({"title": TITLES}),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(IDS, NODES, max_size=6), st.sampled_from(["api", "ui"]))
def test_a_proposal_is_made_of_any_graph(graph: dict[str, Any], form: Any) -> None:
    found = propose(imported(graph, form), CATALOGUE, "any")

    assert set(found.graph or {}) == set(graph)
    for _, one in leaves(found.inputs):
        assert one.targets
        for target in one.targets:
            assert target.field in graph[target.node]["inputs"]
    inputs_schema(found)
    readiness(found, CATALOGUE)
    values = {one.name: one.default for one in found.inputs}
    assert set(filled(found, values, "mine")) == set(graph)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(IDS, st.one_of(NODES, VALUES), max_size=6))
def test_what_is_no_node_is_left_out(graph: dict[str, Any]) -> None:
    nodes = {
        name: told for name, told in graph.items() if isinstance(told, dict) and "inputs" in told
    }
    malformed = replace(imported(nodes), graph=graph)

    assert set(propose(malformed, CATALOGUE, "any").graph or {}) == set(nodes)
