"""Group nodes, from before there were subgraphs: rewritten as what is in them."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.errors import WorkflowFileError
from comfy.importing import Place
from comfy.importing.bounds import NODES_MAX
from tests.comfy.importing.workflows import Json, inputs_of, load, node, read, save, socket, ui

_INNER: list[Json] = [
    node(-1, "Scale", [8, 9], [socket("image", "IMAGE")], ["IMAGE"], index=0),
    node(-1, "Scale", [10, 11], [socket("image", "IMAGE")], ["IMAGE"], index=1),
]
_GROUP: Json = {
    "nodes": _INNER,
    "links": [[0, 0, 1, 0, 7, "IMAGE"], [None, 0, 0, 0, 3, "IMAGE"]],
    "external": [[1, 0, "IMAGE"]],
}


def _workflow(group: Json, values: Any, kind: str = "workflow>Twice") -> Json:
    folded = node(5, kind, values, [socket("image", "IMAGE", 1)], ["IMAGE"], title="Two scales")
    links = [[1, 1, 0, 5, 0, "IMAGE"], [2, 5, 0, 99, 0, "IMAGE"]]
    return ui([load(), folded, save(2)], links, extra={"groupNodes": {"Twice": group}})


@pytest.mark.parametrize("kind", ["workflow>Twice", "workflow/Twice"])
def test_the_nodes_of_a_group_node_are_in_the_graph_with_its_values(kind: str) -> None:
    imported = read(_workflow(_GROUP, [80, 90, 100, 110], kind))

    assert inputs_of(imported, "5:0") == {"image": ["1", 0], "width": 80, "height": 90}
    assert inputs_of(imported, "5:1") == {"image": ["5:0", 0], "width": 100, "height": 110}
    assert inputs_of(imported, "99")["images"] == ["5:1", 0]
    assert [each.code for each in imported.notices] == ["converted"]


def test_values_that_do_not_fit_leave_those_of_the_nodes_inside() -> None:
    imported = read(_workflow(_GROUP, [80]))

    assert inputs_of(imported, "5:0")["width"] == 8


def test_what_a_group_node_shows_is_marked_and_what_it_hides_is_not() -> None:
    config = {"1": {"input": {"width": {"visible": False}}}}

    imported = read(_workflow({**_GROUP, "config": config}, [80, 90, 100, 110]))

    shown = [place for each in imported.marks.shared for place in each.targets]
    assert shown == [Place("5:0", "width"), Place("5:0", "height"), Place("5:1", "height")]


def test_each_output_is_that_of_the_inner_node_it_stands_for() -> None:
    group = {**_GROUP, "external": [[0, 0, "IMAGE"], [1, 0, "IMAGE"]]}
    workflow = _workflow(group, [80, 90, 100, 110])

    # The first of the outputs is also taken inside.
    assert inputs_of(read(workflow), "99")["images"] == ["5:0", 0]


def test_group_nodes_of_too_many_nodes_are_refused() -> None:
    inner = [node(-1, "Scale", [8, 9])] * (NODES_MAX // 2 + 1)
    workflow = _workflow({"nodes": inner, "links": [], "external": []}, [])
    workflow["nodes"].append({**workflow["nodes"][1], "id": 6})

    with pytest.raises(WorkflowFileError) as refused:
        read(workflow)

    assert refused.value.code == "too_many_nodes"


@pytest.mark.parametrize(
    "group",
    [
        {"nodes": _INNER, "links": [[5, 0, 9, 0], "x", [0, -1, 1, 0]], "external": [[9], None]},
        {"nodes": [None, {"type": 5}, *_INNER], "links": None, "config": [1]},
        {"nodes": _INNER, "links": [[1, 0, 0, 0, 7, "IMAGE"]], "config": {"0": {"input": 3}}},
    ],
)
def test_malformed_definitions_are_read_as_far_as_they_go(group: Json) -> None:
    imported = read(_workflow(group, {"not": "a list"}))

    assert "99" in imported.graph
