"""The UI form converted: links, modes, widgets, subgraphs, page-only nodes."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.errors import WorkflowFileError
from comfy.importing import ImportedGraph, Place
from tests.comfy.importing.workflows import (
    API,
    UI,
    inputs_of,
    load,
    node,
    read,
    save,
    scale,
    socket,
    ui,
)


def test_both_forms_of_a_workflow_give_the_same_graph() -> None:
    from_ui, from_api = read(UI), read(API)

    for node_id in API:
        converted = inputs_of(from_ui, node_id)
        assert converted == {**inputs_of(from_api, node_id), **converted}
    assert inputs_of(from_ui, "3")["denoise"] == 1.0
    assert from_ui.findings.is_ready
    assert from_ui.graph["3"]["_meta"] == {"title": "The sampler"}
    assert from_ui.marks.nodes["3"].controls == {"seed": "randomize"}


def test_a_muted_node_is_gone_with_its_links() -> None:
    workflow = ui(
        [load(), scale(1, mode=2), save(2), load(5), save(3, 6)],
        [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"], [3, 5, 0, 6, 0, "IMAGE"]],
    )

    imported = read(workflow)

    assert "2" not in imported.graph
    assert inputs_of(imported, "99") == {"filename_prefix": "ComfyUI"}
    assert ("2", "muted") in [(each.node_id, each.reason) for each in imported.dropped]
    assert [problem.code for problem in imported.findings.problems] == ["required_input_missing"]


def test_a_bypassed_node_passes_on_what_has_the_type() -> None:
    workflow = ui(
        [load(), scale(1, mode=4), save(2)],
        [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]],
    )

    imported = read(workflow)

    assert inputs_of(imported, "99")["images"] == ["1", 0]
    assert [each.reason for each in imported.dropped] == ["bypassed"]


@pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)"])
@pytest.mark.parametrize("mode", [0, 2])
def test_reroutes_are_followed_even_when_muted(kind: str, mode: int) -> None:
    reroute = node(7, kind, None, [socket("", "*", 1)], ["*"], mode=mode)
    workflow = ui([load(), reroute, save(2)], [[1, 1, 0, 7, 0, "IMAGE"], [2, 7, 0, 99, 0, "IMAGE"]])

    assert inputs_of(read(workflow), "99")["images"] == ["1", 0]


def test_a_primitive_gives_its_value_to_all_that_it_feeds() -> None:
    primitive = node(7, "PrimitiveNode", [512, "fixed"], None, ["INT"], title="Size")
    workflow = ui(
        [load(), primitive, scale(1, width_link=2, height_link=3), save(4)],
        [
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 7, 0, 2, 1, "INT"],
            [3, 7, 0, 2, 2, "INT"],
            [4, 2, 0, 99, 0, "IMAGE"],
        ],
    )

    imported = read(workflow)

    assert inputs_of(imported, "2") == {"image": ["1", 0], "width": 512, "height": 512}
    (shared,) = imported.marks.shared
    assert (shared.kind, shared.label, shared.value) == ("primitive", "Size", 512)
    assert shared.targets == (Place("2", "width"), Place("2", "height"))


def test_get_and_set_are_joined_by_name() -> None:
    workflow = ui(
        [
            load(),
            node(7, "SetNode", ["picture"], [socket("IMAGE", "IMAGE", 1)], ["IMAGE"]),
            node(8, "GetNode", ["picture"], None, ["IMAGE"]),
            save(2),
        ],
        [[1, 1, 0, 7, 0, "IMAGE"], [2, 8, 0, 99, 0, "IMAGE"]],
    )

    assert inputs_of(read(workflow), "99")["images"] == ["1", 0]


def everywhere(node_id: int, link: int) -> dict[str, Any]:
    """A node that feeds what it is linked to into all open inputs of the type."""
    return node(node_id, "Anything Everywhere", [], [socket("anything", "*", link)])


def test_use_everywhere_feeds_by_the_links_that_it_keeps() -> None:
    workflow = ui(
        [
            load(),
            everywhere(7, 1),
            scale(None),
            save(2),
        ],
        [[1, 1, 0, 7, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]],
        extra={
            "ue_links": [
                {
                    "downstream": 2,
                    "downstream_slot": 0,
                    "upstream": "1",
                    "upstream_slot": 0,
                    "controller": 7,
                    "type": "IMAGE",
                }
            ]
        },
    )

    assert inputs_of(read(workflow), "2")["image"] == ["1", 0]


def test_use_everywhere_without_kept_links_feeds_the_only_type() -> None:
    nodes = [
        load(),
        everywhere(7, 1),
        scale(None),
        save(2),
    ]
    workflow = ui(nodes, [[1, 1, 0, 7, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]])

    assert inputs_of(read(workflow), "2")["image"] == ["1", 0]


def test_prompts_everywhere_feeds_by_the_names_of_inputs() -> None:
    sender = node(
        7,
        "Prompts Everywhere",
        [],
        [socket("CONDITIONING", "*", 3), socket("CONDITIONING2", "*", None)],
    )
    sampler = {**UI["nodes"][2], "inputs": [*UI["nodes"][2]["inputs"]]}
    sampler["inputs"][1] = socket("positive", "CONDITIONING")
    links = [*UI["links"][:2], [3, 2, 0, 7, 0, "CONDITIONING"], UI["links"][3]]

    imported = read(ui([*UI["nodes"][:2], sampler, UI["nodes"][3], sender], links))

    assert inputs_of(imported, "3")["positive"] == ["2", 0]
    assert imported.findings.is_ready


def test_two_that_broadcast_one_type_are_told() -> None:
    nodes = [
        load(),
        load(5),
        everywhere(7, 1),
        everywhere(8, 3),
        scale(None),
        save(2),
    ]
    links = [[1, 1, 0, 7, 0, "IMAGE"], [3, 5, 0, 8, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]]

    imported = read(ui(nodes, links))

    assert "image" not in inputs_of(imported, "2")
    assert [each.node_id for each in imported.notices if each.code == "unconnected"] == ["7", "8"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, "fixed", 30, "heun", 0.5], (7, 30, "heun", 0.5)),
        ([7, 30, "heun", 0.5], (7, 30, "heun", 0.5)),  # a file from before the control
        ([7, True, 30, "heun", 0.5], (7, 30, "heun", 0.5)),  # when it was a boolean
        ([7, "fixed", 30, "heun"], (7, 30, "heun", 1.0)),  # an input that came later
    ],
)
def test_widgets_are_read_in_the_order_of_the_class(
    values: list[Any], expected: tuple[Any, ...]
) -> None:
    workflow = {**UI, "nodes": [*UI["nodes"][:2], {**UI["nodes"][2], "widgets_values": values}]}
    workflow["nodes"].append(UI["nodes"][3])

    inputs = inputs_of(read(workflow), "3")

    assert tuple(inputs[name] for name in ("seed", "steps", "sampler_name", "denoise")) == expected


def test_names_count_before_the_list() -> None:
    named = {"seed": 1, "control_after_generate": "increment", "steps": 9, "gone": 3}
    told = {**UI["nodes"][2], "widgets_values": ["?"], "widgets_values_named": named}
    workflow = {**UI, "nodes": [*UI["nodes"][:2], told, UI["nodes"][3]]}

    imported = read(workflow)

    inputs = inputs_of(imported, "3")
    assert (inputs["seed"], inputs["steps"], inputs["sampler_name"]) == (1, 9, "euler")
    assert "gone" not in inputs
    assert imported.marks.nodes["3"].controls == {"seed": "increment"}
    filled = next(each for each in imported.notices if each.code == "filled_from_default")
    assert (filled.node_id, filled.input) == ("3", "sampler_name")


def test_a_value_of_another_type_gives_way_to_the_default() -> None:
    named = {"seed": 1, "steps": "auto", "sampler_name": "heun", "denoise": 0.5}
    told = {**UI["nodes"][2], "widgets_values": None, "widgets_values_named": named}

    imported = read({**UI, "nodes": [*UI["nodes"][:2], told, UI["nodes"][3]]})

    assert inputs_of(imported, "3")["steps"] == 20
    assert [(each.code, each.input) for each in imported.notices][1:] == [
        ("filled_from_default", "steps")
    ]


def test_values_may_be_an_object() -> None:
    told = {"seed": 3, "steps": 4, "sampler_name": "heun", "videopreview": {"hidden": True}}
    workflow = {
        **UI,
        "nodes": [*UI["nodes"][:2], {**UI["nodes"][2], "widgets_values": told}, UI["nodes"][3]],
    }

    inputs = inputs_of(read(workflow), "3")

    assert (inputs["seed"], inputs["sampler_name"]) == (3, "heun")
    assert "videopreview" not in inputs


def test_loras_that_are_stacked_in_one_node_are_numbered() -> None:
    first = {"on": True, "lora": "a.safetensors", "strength": 1}
    second = {"on": False, "lora": "b.safetensors", "strength": 0.5, "strengthTwo": None}
    values = [{}, {"type": "PowerLoraLoaderHeaderWidget"}, first, second, {}, ""]
    stack = node(3, "Power Lora Loader (rgthree)", values, [socket("model", "IMAGE", 1)], ["IMAGE"])
    links = [[1, 1, 0, 3, 0, "IMAGE"], [2, 3, 0, 99, 0, "IMAGE"]]

    imported = read(ui([load(), stack, save(2)], links))

    assert inputs_of(imported, "3") == {"model": ["1", 0], "lora_1": first, "lora_2": second}


def _forced(values: list[Any]) -> ImportedGraph:
    forced = node(3, "Forced", values, [socket("seed", "INT", 1)], ["IMAGE"])
    number = node(1, "PrimitiveInt", [42, "fixed"], None, ["INT"])
    links = [[1, 1, 0, 3, 0, "INT"], [2, 3, 0, 99, 0, "IMAGE"]]
    return read(ui([number, forced, save(2)], links))


def test_inputs_that_are_forced_own_no_place_in_the_list() -> None:
    assert inputs_of(_forced(["me", 4]), "3") == {"seed": ["1", 0], "name": "me", "count": 4}


def test_old_files_hold_dummies_for_them() -> None:
    told = inputs_of(_forced([0, "randomize", "me", 4]), "3")

    assert told == {"seed": ["1", 0], "name": "me", "count": 4}


def test_dynamic_combos_bring_along_inputs_with_dotted_names() -> None:
    nodes = [
        load(),
        node(2, "MakeVideo", [24], [socket("images", "IMAGE", 1)], ["VIDEO"]),
        node(3, "SaveVideo", ["v", "h264", 18], [socket("video", "VIDEO", 2)]),
    ]
    workflow = ui(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "VIDEO"]])

    assert inputs_of(read(workflow), "3") == {
        "video": ["2", 0],
        "filename_prefix": "v",
        "format": "h264",
        "format.crf": 18,
    }


def test_an_option_that_is_gone_does_not_shift_what_comes_after() -> None:
    nodes = [
        load(),
        node(2, "MakeVideo", [24], [socket("images", "IMAGE", 1)], ["VIDEO"]),
        node(3, "SaveVideo", ["v", "vp8"], [socket("video", "VIDEO", 2)]),
    ]
    workflow = ui(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "VIDEO"]])

    imported = read(workflow)

    assert inputs_of(imported, "3")["filename_prefix"] == "v"
    (problem,) = imported.findings.problems
    assert (problem.code, problem.input) == ("value_not_in_list", "format")


def test_autogrown_inputs_keep_their_names() -> None:
    batch = node(
        2,
        "Batch",
        [],
        [socket("images.image0", "IMAGE", 1), socket("images.image1", "IMAGE", 2)],
        ["IMAGE"],
    )
    links = [
        [1, 1, 0, 2, 0, "IMAGE"],
        [2, 5, 0, 2, 1, "IMAGE"],
        [3, 2, 0, 99, 0, "IMAGE"],
    ]

    imported = read(ui([load(), load(5), batch, save(3)], links))

    assert inputs_of(imported, "2") == {"images.image0": ["1", 0], "images.image1": ["5", 0]}
    assert imported.findings.is_ready


def test_a_list_as_a_value_is_wrapped() -> None:
    box = node(2, "Box", [["#000", "#fff"]], [socket("image", "IMAGE", 1)], ["IMAGE"])
    workflow = ui([load(), box, save(2)], [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]])

    imported = read(workflow)

    assert inputs_of(imported, "2")["values"] == {"__value__": ["#000", "#fff"]}
    assert imported.findings.is_ready


def test_a_missing_class_is_read_by_its_sockets() -> None:
    unknown = node(
        2,
        "Unknown",
        [3, "randomize", "words"],
        [
            socket("image", "IMAGE", 1),
            socket("seed", "INT", widget=True),
            socket("text", "STRING", widget=True),
        ],
        ["IMAGE"],
        properties={"aux_id": "someone/pack", "ver": "1.2"},
        title="Mine",
    )
    workflow = ui([load(), unknown, save(2)], [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 99, 0, "IMAGE"]])

    imported = read(workflow)

    assert inputs_of(imported, "2") == {"image": ["1", 0], "seed": 3, "text": "words"}
    (missing,) = imported.findings.missing_classes
    assert (missing.class_type, missing.pack, missing.version) == ("Unknown", "someone/pack", "1.2")
    assert missing.titles == ("Mine",)


def _subgraph(instance: dict[str, Any], inner: list[int], **more: Any) -> dict[str, Any]:
    """An instance (5) of a subgraph that scales, with inputs for the picture and both sizes."""
    links = [
        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 2, "target_slot": 0},
        {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 1},
        {"id": 3, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 2},
        {"id": 4, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0},
    ]
    definition = {
        "id": "sub-1",
        "name": "Scale it",
        "nodes": [scale(1, values=inner, width_link=2, height_link=3)],
        "links": links,
        "inputs": [
            {"name": "image", "type": "IMAGE", "linkIds": [1]},
            {"name": "width", "type": "INT", "linkIds": [2, 3], "label": "Side"},
        ],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [4]}],
    }
    host = node(
        5,
        "sub-1",
        None,
        [socket("image", "IMAGE", 1), socket("width", "INT", None, widget=True)],
        ["IMAGE"],
        **instance,
    )
    outer = [[1, 1, 0, 5, 0, "IMAGE"], [2, 5, 0, 99, 0, "IMAGE"]]
    return ui([load(), host, save(2)], outer, definitions={"subgraphs": [definition]}, **more)


@pytest.mark.parametrize(
    "instance",
    [
        {"widgets_values": [300], "widgets_values_named": {"width": 300}},
        {"widgets_values": [300]},
        {"widgets_values": [300], "properties": {"proxyWidgets": [["2", "width"]]}},
        {"widgets_values": [300], "properties": {"proxyWidgets": [["-1", "width"]]}},
    ],
    ids=["by name", "in order", "by proxy", "by border"],
)
def test_the_value_of_an_instance_counts(instance: dict[str, Any]) -> None:
    values = instance.pop("widgets_values")
    workflow = _subgraph(instance, [10, 20])
    workflow["nodes"][1]["widgets_values"] = values

    imported = read(workflow)

    assert inputs_of(imported, "5:2") == {"image": ["1", 0], "width": 300, "height": 300}
    (shared,) = imported.marks.shared
    assert (shared.node_id, shared.name, shared.label) == ("5", "width", "Side")
    assert shared.targets == (Place("5:2", "width"), Place("5:2", "height"))
    assert imported.marks.nodes["5:2"].instances == ("Scale it",)


def test_without_a_value_the_first_widget_inside_counts_for_all() -> None:
    imported = read(_subgraph({}, [10, 20]))

    assert inputs_of(imported, "5:2") == {"image": ["1", 0], "width": 10, "height": 10}


def test_a_bypassed_instance_takes_all_inner_nodes_with_it() -> None:
    imported = read(_subgraph({"mode": 4}, [10, 20]))

    assert inputs_of(imported, "99")["images"] == ["1", 0]
    assert "5:2" not in imported.graph
    assert imported.marks.shared == ()


def test_app_mode_leads_to_the_promoted_places() -> None:
    extra = {"linearMode": True, "linearData": {"inputs": [[5, "width"]], "outputs": [99]}}

    app = read(_subgraph({}, [10, 20], extra=extra)).marks.app

    assert app is not None
    assert app.enabled
    assert app.outputs == ("99",)
    assert app.inputs[0].targets == (Place("5:2", "width"), Place("5:2", "height"))


def test_a_subgraph_that_contains_itself_is_refused() -> None:
    workflow = _subgraph({}, [10, 20])
    workflow["definitions"]["subgraphs"][0]["nodes"].append(node(9, "sub-1"))

    with pytest.raises(WorkflowFileError, match="contains itself") as refused:
        read(workflow)

    assert refused.value.code == "cycle"
    assert refused.value.place == "node 5:9"


def test_reroutes_in_a_circle_are_refused() -> None:
    first = node(7, "Reroute", None, [socket("", "*", 1)], ["*"])
    second = node(8, "Reroute", None, [socket("", "*", 2)], ["*"])
    links = [[1, 8, 0, 7, 0, "*"], [2, 7, 0, 8, 0, "*"], [3, 8, 0, 99, 0, "*"]]

    with pytest.raises(WorkflowFileError, match="circle") as refused:
        read(ui([first, second, save(3)], links))

    assert refused.value.code == "cycle"


def test_group_nodes_are_told() -> None:
    workflow = ui([load(), save(1), node(3, "workflow>My group")], [[1, 1, 0, 99, 0, "IMAGE"]])

    (notice,) = [each for each in read(workflow).notices if each.code == "group_node"]

    assert "My group" in notice.message
    assert "subgraph" in notice.message


def test_groups_and_titles_are_marked() -> None:
    nodes = [{**load(), "pos": [10, 10], "bgcolor": "#232"}, save(1)]
    groups = [
        {"title": "Outer", "bounding": [0, 0, 500, 500]},
        {"title": "Inputs", "bounding": [0, 0, 100, 100]},
    ]
    workflow = ui(nodes, [[1, 1, 0, 99, 0, "IMAGE"]], groups=groups)

    marks = read(workflow).marks.nodes["1"]

    assert (marks.group, marks.color, marks.position) == ("Inputs", "#232", (10.0, 10.0))
