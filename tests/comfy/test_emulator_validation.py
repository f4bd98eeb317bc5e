"""A submitted graph is refused in ComfyUI's words."""

import copy
from typing import Any

import pytest

from comfy.emulator.catalogue import Catalogue, NodeClass
from comfy.emulator.folders import Folders
from comfy.emulator.options import EmulatorOptions
from comfy.emulator.validation import Verdict, validate

from .test_emulator import blank, calling, node, txt2img


@pytest.fixture
def check(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("folders")
    classes = Catalogue(EmulatorOptions(), Folders(root, root, root)).classes()

    def validated(graph: dict[str, Any], targets: list[str] | None = None) -> Verdict:
        return validate(graph, classes, lambda _: False, targets)

    return validated


def changed(graph: dict[str, Any], node_id: str, **inputs: Any) -> dict[str, Any]:
    graph = copy.deepcopy(graph)
    graph[node_id]["inputs"].update(inputs)
    return graph


def without(graph: dict[str, Any], node_id: str, name: str) -> dict[str, Any]:
    graph = copy.deepcopy(graph)
    del graph[node_id]["inputs"][name]
    return graph


@pytest.mark.parametrize(
    ("graph", "at", "kind", "message", "details"),
    [
        (without(blank(), "1", "width"), "1", "required_input_missing", None, "width"),
        (
            changed(txt2img(), "4", ckpt_name="x"),
            "4",
            "value_not_in_list",
            "Value not in list",
            "ckpt_name: 'x' not in ['emulator-sd15.safetensors', 'emulator-sdxl.safetensors']",
        ),
        (
            changed(txt2img(), "3", sampler_name="nope"),
            "3",
            "value_not_in_list",
            None,
            "sampler_name: 'nope' not in (list of length 44)",
        ),
        (
            changed(txt2img(), "3", steps="abc"),
            "3",
            "invalid_input_type",
            "Failed to convert an input value to a INT value",
            "steps, abc, invalid literal for int() with base 10: 'abc'",
        ),
        (
            changed(txt2img(), "3", seed=2**64),
            "3",
            "value_bigger_than_max",
            "Value 18446744073709551616 bigger than max of 18446744073709551615",
            "seed",
        ),
        (
            changed(txt2img(), "3", cfg=-1),
            "3",
            "value_smaller_than_min",
            "Value -1.0 smaller than min of 0.0",
            "cfg",
        ),
        (
            changed(blank(), "2", images=["404", 0]),
            "2",
            "exception_during_validation",
            None,
            "'404'",
        ),
        (
            changed(blank(), "2", images=["1", 7]),
            "2",
            "exception_during_validation",
            None,
            "tuple index out of range",
        ),
        (changed(blank(), "2", images=["1"]), "2", "bad_linked_input", None, "images"),
        (
            changed(txt2img(), "9", images=["3", 0]),
            "9",
            "return_type_mismatch",
            None,
            "images, received_type(LATENT) mismatch input_type(IMAGE)",
        ),
        (
            {**blank(), "1": node("LoadImage", image="missing.png")},
            "1",
            "custom_validation_failed",
            None,
            "image - Invalid image file: missing.png",
        ),
        (
            {**blank(), "1": {"class_type": "EmptyImage"}},
            "1",
            "exception_during_inner_validation",
            None,
            "'inputs'",
        ),
    ],
)
def test_node_errors(
    check: Any, graph: dict[str, Any], at: str, kind: str, message: str | None, details: str
) -> None:
    verdict = check(graph)
    output = "9" if "9" in graph else "2"
    assert verdict.error["type"] == "prompt_outputs_failed_validation"
    assert list(verdict.node_errors) == [at]
    entry = verdict.node_errors[at]
    assert entry["dependent_outputs"] == [output]
    assert entry["class_type"] == graph[at]["class_type"]
    (error,) = entry["errors"]
    assert error["type"] == kind
    assert error["details"] == details
    if message is not None:
        assert error["message"] == message
    # Only what is wrong with the output node itself is told at the top.
    assert verdict.error["details"] == (f"{error['message']}: {details}" if at == output else "")


def test_long_lists_are_not_spelled_out(check: Any) -> None:
    verdict = check(changed(txt2img(), "3", sampler_name="nope"))
    (error,) = verdict.node_errors["3"]["errors"]
    assert error["extra_info"] == {
        "input_name": "sampler_name",
        "input_config": None,
        "received_value": "nope",
    }


def test_a_cycle_is_named(check: Any) -> None:
    graph = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["1", 0], filename_prefix="cyc"),
    }
    verdict = check(graph)
    assert sorted(verdict.node_errors) == ["1", "2"]
    (error,) = verdict.node_errors["2"]["errors"]
    assert error["type"] == "dependency_cycle"
    assert error["details"] == "1 (ImageInvert) -> 2 (ImageInvert) -> 1 (ImageInvert)"
    assert error["extra_info"] == {"node_id": "2", "cycle_nodes": ["1", "2"]}


def test_one_good_output_is_enough(check: Any) -> None:
    graph = {**blank(), "3": node("SaveImage", filename_prefix="bad")}
    verdict = check(graph)
    assert verdict.error is None
    assert verdict.outputs == ["2"]
    assert list(verdict.node_errors) == ["3"]


def test_values_are_converted_in_place(check: Any) -> None:
    graph = blank(width="64", height=64.9)
    assert check(graph).error is None
    assert (graph["1"]["inputs"]["width"], graph["1"]["inputs"]["height"]) == (64, 64)


def test_unknown_class_even_if_unconnected(check: Any) -> None:
    verdict = check({**blank(), "99": node("NoSuchNode")})
    assert verdict.error == {
        "type": "missing_node_type",
        "message": "Node 'NoSuchNode' not found. The custom node may not be installed.",
        "details": "Node ID '#99'",
        "extra_info": {
            "node_id": "99",
            "class_type": "NoSuchNode",
            "node_title": "NoSuchNode",
        },
    }
    assert (
        check({"1": {"inputs": {}}}).error["message"].startswith("Node 'ID #1' has no class_type")
    )


def test_targets_and_graphs_without_output(check: Any) -> None:
    for graph, targets in (({}, None), (blank(), []), (blank(), ["nope"])):
        assert check(graph, targets).error["type"] == "prompt_no_outputs"
    two = {**blank(), "3": node("PreviewImage", images=["1", 0])}
    assert check(two, ["3"]).outputs == ["3"]


async def test_statuses_over_http() -> None:
    async with calling() as (_, caller):
        refused = [
            ({"client_id": "x"}, 400, "no_prompt"),
            ([], 400, "no_prompt"),
            ({"prompt": {}}, 400, "prompt_no_outputs"),
            ({"prompt": blank(), "prompt_id": "hello"}, 400, "invalid_prompt_id"),
            ({"prompt": blank(), "prompt_id": 5}, 400, "invalid_prompt_id"),
            (
                {"prompt": blank(), "prompt_id": "66DF0E76-65E7-40A5-AB99-E1C8A837059F"},
                400,
                "invalid_prompt_id",
            ),
        ]
        for body, status, kind in refused:
            got, answer = await caller.post("/prompt", body)
            assert (got, answer["error"]["type"]) == (status, kind)
        in_trouble: list[Any] = [
            None,
            5,
            {"prompt": None},
            {"prompt": []},
            {"prompt": {"1": "text"}},
            {"prompt": {"1": {"class_type": "EmptyImage", "inputs": []}}},
            {"prompt": blank(), "number": "abc"},
            {"prompt": blank(), "extra_data": None},
        ]
        for body in in_trouble:
            got, answer = await caller.post("/prompt", body)
            assert got == 500, body
            assert answer == "500 Internal Server Error\n\nServer got itself in trouble"
        async with caller.http.post("/prompt", data=b"{") as reply:
            assert reply.status == 500
        # The counter went on all the while; unknown keys and content types do not matter.
        _, accepted = await caller.post("/prompt", {"prompt": blank(), "banana": 1})
        assert accepted["number"] > 6
        assert accepted["node_errors"] == {}


def test_choices_that_are_written_in_the_v3_way() -> None:
    choices = {"name": ["COMBO", {"multiselect": False, "options": ["a"]}]}
    info = {"input": {"required": choices}, "output": [], "output_node": True}
    classes = {"Pick": NodeClass("Pick", info)}

    def picked(name: str) -> Verdict:
        return validate({"1": node("Pick", name=name)}, classes, lambda _: False, None)

    assert picked("a").error is None
    (error,) = picked("b").node_errors["1"]["errors"]
    assert error["details"] == "name: 'b' not in ['a']"


def test_a_vae_of_its_own(check: Any) -> None:
    loader = {"10": node("VAELoader", vae_name="pixel_space")}
    assert check(changed(txt2img(), "8", vae=["10", 0]) | loader).error is None
    loader = {"10": node("VAELoader", vae_name="other")}
    (error,) = check(changed(txt2img(), "8", vae=["10", 0]) | loader).node_errors["10"]["errors"]
    assert error["details"] == "vae_name: 'other' not in ['pixel_space']"
