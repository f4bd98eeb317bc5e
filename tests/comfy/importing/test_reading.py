"""A file read for one ComfyUI: the cut, outputs, secrets, and what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfy.errors import WorkflowFileError
from comfy.importing import MissingModel, Place, read_workflow
from tests.comfy.importing.test_files import png
from tests.comfy.importing.workflows import (
    API,
    CATALOGUE,
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


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    """The sound graph with other inputs of one node."""
    told = API[node_id]
    return {**API, node_id: {**told, "inputs": {**told["inputs"], **inputs}}}


def without(node_id: str, name: str) -> dict[str, Any]:
    """The sound graph without one input."""
    inputs = {key: value for key, value in API[node_id]["inputs"].items() if key != name}
    return {**API, node_id: {**API[node_id], "inputs": inputs}}


def test_what_no_output_reaches_is_cut_before_classes_are_missed() -> None:
    imported = read({**API, "9": {"class_type": "Gone", "inputs": {}}, "8": API["1"]})

    assert set(imported.graph) == set(API)
    assert imported.findings.is_ready
    assert [(each.node_id, each.reason) for each in imported.dropped] == [
        ("9", "unused"),
        ("8", "unused"),
    ]
    assert [output.node_id for output in imported.outputs] == ["4"]


def test_a_text_shown_in_the_middle_is_no_output() -> None:
    graph = {
        **changed("2", text=["5", 0]),
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }

    imported = read(graph)

    assert "5" in imported.graph
    assert [output.node_id for output in imported.outputs] == ["4"]


def test_viewers_that_comfyui_would_refuse_are_dropped() -> None:
    graph = {**API, "5": {"class_type": "PreviewModel", "inputs": {}}}

    imported = read(graph)

    assert imported.findings.is_ready
    assert [(each.node_id, each.reason) for each in imported.dropped] == [("5", "viewer")]


def test_viewers_of_missing_packs_are_not_needed() -> None:
    graph = {**API, "5": {"class_type": "ShowText|other", "inputs": {"text": ["3", 0]}}}

    imported = read(graph)

    assert imported.findings.is_ready
    assert "5" not in imported.graph


def test_a_preview_of_missing_classes_stays_where_what_is_saved_lacks_classes_too() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "Gone", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
        "4": {"class_type": "AlsoGone", "inputs": {"image": ["2", 0]}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}},
        "6": {"class_type": "Comparer|gone", "inputs": {"image_a": ["4", 0]}},
    }

    imported = read(graph)

    assert set(imported.graph) == {"1", "2", "3", "4", "5"}


def test_a_missing_class_that_saves_is_an_output_though_a_viewer_shows_its_file() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "PackExportMesh", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewModel", "inputs": {"model_file": ["2", 0]}},
    }

    assert [output.node_id for output in read(graph).outputs] == ["3", "2"]


def test_a_missing_class_that_writes_a_file_is_an_output_though_another_sends_it_on() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "PackCombine", "inputs": {"i": ["1", 0], "filename_prefix": "x"}},
        "3": {"class_type": "Messenger", "inputs": {"trigger": ["2", 0]}},
    }

    imported = read(graph)

    assert [output.node_id for output in imported.outputs] == ["2"]
    assert [(each.node_id, each.reason) for each in imported.dropped] == [("3", "unused")]


def test_nodes_in_use_that_do_not_say_their_class_are_refused() -> None:
    graph = {**changed("4", images=["11", 0]), "11": {"inputs": {"image": ["3", 0]}, "_meta": {}}}

    with pytest.raises(WorkflowFileError, match='11 have no "class_type"') as refused:
        read(graph)

    assert (refused.value.code, refused.value.place) == ("malformed", "node 11")


def test_a_picture_in_the_graph_becomes_one_to_upload() -> None:
    graph = {
        "1": {"class_type": "PACK_LoadImageBase64", "inputs": {"image": "iVBORw0KGgo" * 99}},
        "2": {"class_type": "PackLoadImageB64", "inputs": {"image_base64": "%user_avatar%"}},
        "3": {"class_type": "PACK_LoadImageBase64", "inputs": {"image": ["9", 0]}},
        "4": {"class_type": "Batch", "inputs": {f"images.image{n}": [n, 0] for n in "123"}},
        "9": {"class_type": "Given", "inputs": {}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }  # fmt: skip

    imported = read(graph)

    assert imported.graph["1"]["class_type"] == "LoadImage"
    assert inputs_of(imported, "1") == {"image": ""}
    assert inputs_of(imported, "2") == {"image": "%user_avatar%"}
    assert imported.graph["3"]["class_type"] == "PACK_LoadImageBase64"
    told = [each for each in imported.notices if each.code == "load_node_appended"]
    assert [(each.node_id, "is not kept" in each.message) for each in told] == [
        ("1", True),
        ("2", False),
    ]


def test_a_preview_that_is_all_there_is_stays_though_classes_are_missing() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "Gone", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }

    imported = read(graph)

    assert [(output.node_id, output.appended) for output in imported.outputs] == [("3", False)]
    assert [each.class_type for each in imported.findings.missing_classes] == ["Gone"]


def test_a_file_that_is_only_loaded_is_no_result() -> None:
    with pytest.raises(WorkflowFileError, match="save node"):
        read({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}})


def test_a_workflow_whose_outputs_are_off_is_refused_with_the_reason() -> None:
    workflow = ui([load(), {**save(1), "mode": 2}], [[1, 1, 0, 99, 0, "IMAGE"]])

    with pytest.raises(WorkflowFileError, match="muted or bypassed"):
        read(workflow)


def test_a_save_node_is_added_to_a_graph_without_an_output() -> None:
    graph = {node_id: told for node_id, told in API.items() if node_id != "4"}

    imported = read(graph)

    (output,) = imported.outputs
    assert output.appended
    assert output.class_type == "SaveImage"
    assert inputs_of(imported, output.node_id)["images"] == ["3", 0]
    assert [each.code for each in imported.notices] == ["save_node_appended"]
    assert imported.findings.is_ready


def test_a_video_is_saved_rather_than_its_pictures() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "Scale", "inputs": {"image": ["1", 0], "width": 8, "height": 8}},
        "3": {"class_type": "MakeVideo", "inputs": {"images": ["1", 0], "fps": 8}},
    }

    imported = read(graph)

    (output,) = imported.outputs
    assert output.class_type == "SaveVideo"
    assert inputs_of(imported, output.node_id)["format"] == "auto"
    assert "2" not in imported.graph


def test_a_subgraph_alone_gets_a_load_node_and_a_save_node() -> None:
    definition = {
        "id": "sub",
        "name": "Small",
        "nodes": [scale(1)],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 2, "target_slot": 0},
            {"id": 2, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
        "inputs": [{"name": "image", "type": "IMAGE", "linkIds": [1], "label": "Picture"}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [2]}],
    }
    host = node(5, "sub", [], [{**socket("image", "IMAGE"), "label": "Picture"}], ["IMAGE"])

    imported = read(ui([host], [], definitions={"subgraphs": [definition]}))

    (loader,) = (key for key, told in imported.graph.items() if told["class_type"] == "LoadImage")
    assert inputs_of(imported, "5:2")["image"] == [loader, 0]
    assert imported.graph[loader]["_meta"]["title"] == "Picture"
    assert imported.outputs[0].appended
    assert imported.findings.is_ready


def test_a_graph_without_any_result_is_refused() -> None:
    with pytest.raises(WorkflowFileError, match="save node") as refused:
        read({"1": API["1"]})

    assert refused.value.code == "no_output"


def test_nodes_that_feed_themselves_are_refused() -> None:
    graph = {**API, "2": {"class_type": "Encode", "inputs": {"text": "", "clip": ["3", 0]}}}

    with pytest.raises(WorkflowFileError, match="feed themselves") as refused:
        read(graph)

    assert refused.value.code == "cycle"
    assert "2 (Encode)" in str(refused.value)


def test_leftovers_of_the_page_are_no_inputs() -> None:
    graph = changed("3", is_changed=[1], upload="image", audioUI="")
    graph["3"]["_meta"] = {"title": "T", "cd_input_order": 3, "more": {"a": 1}}
    graph["3"]["is_changed"] = ["x"]

    imported = read(graph)

    assert set(imported.graph["3"]) == {"class_type", "inputs", "_meta"}
    assert set(inputs_of(imported, "3")) == set(API["3"]["inputs"])
    assert imported.graph["3"]["_meta"] == {"title": "T"}
    assert imported.marks.nodes["3"].meta == {"cd_input_order": 3}


def test_the_graph_counts_and_the_page_gives_the_titles() -> None:
    other = {**UI, "nodes": [*UI["nodes"][:2], {**UI["nodes"][2], "title": "Mine"}, UI["nodes"][3]]}
    data = png(prompt=json.dumps(changed("3", steps=33)), workflow=json.dumps(other))

    imported = read_workflow(data, "folder/picture.png", CATALOGUE)

    assert (imported.source.form, imported.source.container) == ("api", "png")
    assert imported.title == "picture"
    assert inputs_of(imported, "3")["steps"] == 33
    assert imported.marks.nodes["3"].title == "Mine"
    assert imported.ui == other


def test_a_page_that_cannot_be_read_does_not_matter_beside_the_graph() -> None:
    sub = {"id": "sub", "nodes": [{"id": 1, "type": "sub"}], "links": []}
    broken = ui([node(1, "sub")], [], definitions={"subgraphs": [sub]})

    imported = read({"prompt": API, "workflow": broken})

    assert imported.findings.is_ready
    assert [each.code for each in imported.notices] == ["unreadable_form"]


def test_placeholders_of_swarm_are_filled() -> None:
    graph = changed(
        "3",
        seed="%%_COMFYFIXME_${seed+1:7}_ENDFIXME_%%",
        steps="%%_COMFYFIXME_${steps:12}_ENDFIXME_%%",
    )
    graph["2"] = {
        "class_type": "Encode",
        "inputs": {"text": "%%_COMFYFIXME_${prompt:x}_ENDFIXME_%%", "clip": ["1", 0]},
    }
    parameters = {"sui_image_params": {"prompt": "an owl", "seed": 41}}
    data = png(prompt=json.dumps(graph), parameters=json.dumps(parameters))

    imported = read_workflow(data, "s.png", CATALOGUE)

    assert imported.source.form == "swarm"
    assert inputs_of(imported, "2")["text"] == "an owl"
    assert (inputs_of(imported, "3")["seed"], inputs_of(imported, "3")["steps"]) == (42, 12)
    assert imported.marks.parameters["prompt"] == "an owl"


KEY = "sk-ABCDEFGHIJKLMNOPQRSTUVWX"


def test_keys_are_left_out_and_told() -> None:
    graph = {
        "1": {"class_type": "PaidImage", "inputs": {"prompt": "a fox", "api_key": "0123456789"}},
        "2": {"class_type": "Scale", "inputs": {"image": ["1", 0], "width": KEY, "height": 8}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }

    imported = read(graph)

    assert inputs_of(imported, "1") == {"prompt": "a fox", "api_key": ""}
    assert inputs_of(imported, "2")["width"] == ""
    told = [
        (each.node_id, each.input) for each in imported.notices if each.code == "secret_left_out"
    ]
    assert told == [("1", "api_key"), ("2", "width")]
    assert "0123456789" not in repr(imported)
    assert KEY not in repr(imported)


def test_keys_of_muted_nodes_are_not_kept_in_the_file_either() -> None:
    muted = node(7, "PaidImage", ["a fox", "0123456789"], None, ["IMAGE"], mode=2)
    workflow = ui([load(), muted, save(1)], [[1, 1, 0, 99, 0, "IMAGE"]])

    imported = read(workflow)

    assert imported.ui is not None
    assert "0123456789" not in repr(imported)


def test_words_that_only_look_like_secrets_stay() -> None:
    text = "password protected token of a fox, sk-8 skates"

    imported = read(changed("2", text=text, max_tokens="4096000"))

    assert inputs_of(imported, "2")["text"] == text
    assert inputs_of(imported, "2")["max_tokens"] == "4096000"


def test_a_missing_model_is_told_with_what_is_near_and_where_it_is_from() -> None:
    url = "https://example.org/x"
    models = [{"name": "SDXL_fp16.ckpt", "url": url, "directory": "checkpoints"}]
    first = {
        **UI["nodes"][0],
        "widgets_values": ["other/SDXL_fp16.ckpt"],
        "properties": {"models": models},
    }

    imported = read({**UI, "nodes": [first, *UI["nodes"][1:]]})

    assert imported.findings.problems == ()
    assert imported.findings.missing_models == (
        MissingModel(
            "other/SDXL_fp16.ckpt",
            (Place("1", "ckpt_name"),),
            folder="checkpoints",
            url=url,
            near=("xl/sdxl.safetensors",),
        ),
    )
    assert not imported.findings.is_ready


def test_backslashes_are_turned_where_only_then_the_file_is_there() -> None:
    imported = read(changed("1", ckpt_name="xl\\sdxl.safetensors"))

    assert inputs_of(imported, "1")["ckpt_name"] == "xl/sdxl.safetensors"
    assert [each.code for each in imported.notices] == ["separator_turned"]


def test_files_to_upload_are_never_compared_with_choices() -> None:
    workflow = ui([load(), save(1)], [[1, 1, 0, 99, 0, "IMAGE"]])
    workflow["nodes"][0]["widgets_values"] = ["nowhere.png", "image"]

    assert read(workflow).findings.is_ready


def test_required_inputs_are_filled_from_defaults_with_a_notice() -> None:
    imported = read(without("3", "steps"))

    assert inputs_of(imported, "3")["steps"] == 20
    assert [(each.code, each.input) for each in imported.notices] == [
        ("filled_from_default", "steps")
    ]


def test_paid_classes_are_told_by_name() -> None:
    graph = {
        "1": {"class_type": "PaidImage", "inputs": {"prompt": "", "api_key": ""}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }

    findings = read(graph).findings

    assert [each.class_type for each in findings.paid_classes] == ["PaidImage"]
    assert findings.is_ready


@pytest.mark.parametrize(
    ("graph", "code", "says"),
    [
        (without("3", "model"), "required_input_missing", "MODEL"),
        (changed("3", steps=0), "value_smaller_than_min", "0 is smaller than 1"),
        (changed("3", steps=101), "value_bigger_than_max", "101 is larger than 100"),
        (changed("3", denoise=1.5), "value_bigger_than_max", "1.5"),
        (changed("3", steps="many"), "invalid_input_type", '"many" is no INT'),
        (changed("3", sampler_name="eulr"), "value_not_in_list", "similar: euler"),
        (changed("3", sampler_name="zzz"), "value_not_in_list", "there are euler, heun"),
        (changed("3", model=["2", 0]), "return_type_mismatch", "CONDITIONING"),
        (changed("3", model=["1", 5]), "bad_linked_input", "no output 5"),
        (changed("3", model=["77", 0]), "bad_linked_input", "77"),
        (changed("3", model=["1", 0, 0]), "bad_linked_input", "slot"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_comfyui_would_refuse_is_told_with_its_place(
    graph: dict[str, Any], code: str, says: str
) -> None:
    (problem,) = read(graph).findings.problems

    assert problem.code == code
    assert problem.node_id == "3"
    assert problem.class_type == "Sampler"
    assert says in problem.message


@pytest.mark.parametrize("steps", [64, "64", 64.0, True])
def test_values_that_comfyui_converts_are_sound(steps: Any) -> None:
    assert read(changed("3", steps=steps)).findings.is_ready
