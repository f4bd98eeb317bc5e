"""Group nodes, from before there were subgraphs: rewritten as what is in them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from comfy.errors import WorkflowFileError
from comfy.importing import Place
from comfy.importing.bounds import LINKS_MAX, NODES_MAX
from comfy.importing.ui.group_nodes import unfolded
from comfy.importing.ui.group_values import HeldValues, shared_out
from tests.comfy.importing.workflows import (
    CATALOGUE,
    Json,
    inputs_of,
    load,
    node,
    read,
    save,
    socket,
    ui,
)
from tests.harness.steps import grows_linearly

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


_SHOWN: list[Json] = [socket(name, "INT", widget=True) for name in ("width", "height")]


@pytest.mark.parametrize(
    ("sockets", "more", "values", "held"),
    [
        ([], {"config": {"1": {"input": {"width": {"visible": False}}}}}, [80, 90, 110], 10),
        (_SHOWN[:1], {}, [80, 90, 110], 10),
        (_SHOWN, {"links": [[0, 0, 1, 0], [0, 0, 1, 1]]}, [80, 90, 110], ["5:0", 0]),
    ],
)
def test_widgets_that_a_group_node_does_not_show_keep_their_values(
    sockets: list[Json], more: Json, values: list[int], held: Any
) -> None:
    second = {**_INNER[1], "inputs": [*_INNER[1]["inputs"], *sockets]}

    imported = read(_workflow({**_GROUP, "nodes": [_INNER[0], second], **more}, values))

    assert inputs_of(imported, "5:0") == {"image": ["1", 0], "width": 80, "height": 90}
    assert inputs_of(imported, "5:1") == {"image": ["5:0", 0], "width": held, "height": 110}
    assert [each.code for each in imported.notices] == ["converted"]


def test_of_two_ways_that_fit_the_one_counts_that_keeps_texts_texts() -> None:
    one = HeldValues(
        ["euler", 8],
        ("sampler", "steps"),
        frozenset({"sampler"}),
        frozenset({"steps"}),
        frozenset(),
    )

    assert shared_out([9], [one]) == [["euler", 9]]
    assert shared_out(["heun"], [one]) == [["heun", 8]]


@pytest.mark.parametrize("values", [[80], [80, 90, 100, 110, 120], {"width": 80}])
def test_values_that_do_not_fit_are_told(values: Any) -> None:
    imported = read(_workflow(_GROUP, values))

    (notice,) = [each for each in imported.notices if each.code == "group_node_values"]
    assert "Two scales" in notice.message
    assert inputs_of(imported, "5:0")["width"] == 8


def test_a_group_node_inside_another_is_told_as_what_it_is() -> None:
    inside = node(-1, "workflow>Other", None, None, ["IMAGE"])
    workflow = _workflow({**_GROUP, "nodes": [_INNER[0], inside]}, [80, 90])
    workflow["nodes"].append(node(6, "workflow>Unheard", None, None, ["IMAGE"]))
    workflow["extra"]["groupNodes"]["Other"] = _GROUP

    imported = read(
        {
            **workflow,
            "nodes": [*workflow["nodes"], load(7), save(9, 98)],
            "links": [*workflow["links"], [9, 7, 0, 98, 0, "IMAGE"]],
        }
    )

    told = [each.message for each in imported.notices if each.code == "group_node"]
    assert [each.partition(":")[0] for each in told] == [
        '"Unheard" is a group node that the file does not define',
        '"Other" is a group node inside a subgraph or another group node',
    ]


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
    "more",
    [
        {"links": [[0, 0, 1, 0, 7, "IMAGE"]] * 1001},
        {"external": [[1, 0, "IMAGE"]] * 1001},
        {"nodes": [node(-1, "Scale", [8, 9], [socket("image", "IMAGE")] * 1001)]},
    ],
)
def test_group_nodes_with_too_many_links_or_sockets_are_refused(more: Json) -> None:
    workflow = _workflow({**_GROUP, **more}, [])
    folded = {**workflow["nodes"][1], "inputs": []}
    workflow["nodes"] += [{**folded, "id": 1000 + n} for n in range(LINKS_MAX // 1000)]

    with pytest.raises(WorkflowFileError) as refused:
        unfolded(workflow, CATALOGUE)

    assert refused.value.code == "too_large"
    assert "links and sockets" in str(refused.value)


def test_the_work_for_a_group_node_grows_with_its_size() -> None:
    def unfolding(count: int) -> Any:
        inner = [node(-1, "Scale", [8, 9], [socket("image", "IMAGE")], ["IMAGE"])] * count
        outer = [socket(f"image {n}", "IMAGE", 1) for n in range(count)]
        folded = node(5, "workflow>Twice", [], outer, ["IMAGE"])
        group = {"nodes": inner, "links": [[0, 0, n, 1] for n in range(count)], "external": []}
        workflow = ui([load(), folded, save(2)], [], extra={"groupNodes": {"Twice": group}})
        return partial(unfolded, workflow, CATALOGUE)

    assert grows_linearly(unfolding, 40)


@pytest.mark.parametrize(
    ("kind", "fed"), [("*", ["5:0", "5:1"]), ("IMAGE", ["5:0", "5:1"]), ("MODEL", ["5:1", None])]
)
def test_inputs_stand_for_the_first_inside_whose_type_fits(
    kind: str, fed: list[str | None]
) -> None:
    inner = [
        node(-1, "Scale", [8, 9], [socket("image", "IMAGE")], ["IMAGE"]),
        node(-1, "Scale", [8, 9], [socket("image", "*")], ["IMAGE"]),
    ]
    outer = [socket("first", kind, 1), socket("second", kind, 3)]
    folded = node(5, "workflow>Two", [8, 9, 8, 9], outer, ["IMAGE", "IMAGE"])
    links = [[1, 1, 0, 5, 0, kind], [3, 7, 0, 5, 1, kind]]
    links += [[2, 5, 0, 99, 0, "IMAGE"], [4, 5, 1, 98, 0, "IMAGE"]]
    group = {"nodes": inner, "links": [], "external": []}
    nodes = [load(1), load(7), folded, save(2), save(4, 98)]
    imported = read(ui(nodes, links, extra={"groupNodes": {"Two": group}}))

    for node_id, origin in zip(fed, ("1", "7"), strict=True):
        assert node_id is None or inputs_of(imported, node_id)["image"] == [origin, 0]


@pytest.mark.parametrize(
    "group",
    [
        {"nodes": [{**_INNER[0], "inputs": [{"name": ["x"], "type": {}}]}, _INNER[1]]},
        {"nodes": _INNER, "links": [[5, 0, 9, 0], "x", [0, -1, 1, 0]], "external": [[9], None]},
        {"nodes": [None, {"type": 5}, *_INNER], "links": None, "config": [1]},
        {"nodes": _INNER, "links": [[1, 0, 0, 0, 7, "IMAGE"]], "config": {"0": {"input": 3}}},
    ],
)
def test_malformed_definitions_are_read_as_far_as_they_go(group: Json) -> None:
    imported = read(_workflow(group, {"not": "a list"}))

    assert "99" in imported.graph
