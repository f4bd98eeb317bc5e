"""How controls are applied: by which node, with which picture, of which part."""

from __future__ import annotations

from typing import Any, Final

import pytest

from comfy.families.table import FAMILIES
from comfy.workflows.building.preprocessing import PREPROCESSORS
from comfy.workflows.builtin.inputs import CONTROL_TYPES
from comfy.workflows.builtin.inputs import PREPROCESSORS as DECLARED
from comfy.workflows.builtin.recipe import ControlKind
from comfy.workflows.layout import Size
from tests.comfy.building.cases import (
    IMAGE,
    OTHER,
    Case,
    checkpoint,
    control,
    masked,
    text,
    twice_latent,
    whole,
)
from tests.comfy.building.test_loading import classes, of, source

SD15: Final = FAMILIES["sd15"]
NODES: Final[dict[str, dict[str, Any]]] = {
    "DepthAnythingV2Preprocessor": {"ckpt_name": "depth_anything_v2_vitl.pth"},
    "DWPreprocessor": {
        "detect_hand": "enable",
        "detect_body": "enable",
        "detect_face": "enable",
        "bbox_detector": "yolox_l.onnx",
        "pose_estimator": "dw-ll_ucoco_384_bs5.torchscript.pt",
        "scale_stick_for_xinsr_cn": "disable",
    },
    "LineArtPreprocessor": {"coarse": "disable"},
    "Scribble_PiDiNet_Preprocessor": {"safe": "enable"},
    "PiDiNetPreprocessor": {"safe": "enable"},
    "BAE-NormalMapPreprocessor": {},
    "OneFormer-ADE20K-SemSegPreprocessor": {},
}
"""Every input of the pack's nodes besides the image and the resolution, as it declares them
(comfyui_controlnet_aux, node_wrappers/)."""


def with_control(case: Case, kind: ControlKind, **changes: Any) -> Case:
    return case.changed(controls=[control(**changes)]).with_recipe(controls=(kind,))


def test_every_declared_way_to_make_a_control_image_is_known() -> None:
    assert {"none", *PREPROCESSORS} == set(DECLARED)


@pytest.mark.parametrize(
    ("size", "resolution"),
    [((512, 768), 512), ((1024, 1400), 1024), ((1000, 1200), 1024), ((256, 256), 512)],
)
@pytest.mark.parametrize("name", [name for name in PREPROCESSORS if name != "canny"])
def test_the_packs_nodes_get_all_their_inputs(
    name: str, size: tuple[int, int], resolution: int
) -> None:
    case = checkpoint(SD15).changed(width=size[0], height=size[1])
    graph = with_control(case, "net", preprocess=name).graph()

    class_type = PREPROCESSORS[name].class_type
    inputs = dict(of(graph, class_type))

    assert source(graph, class_type, "image") == "LoadImage"
    del inputs["image"]
    assert inputs == {**NODES[class_type], "resolution": resolution}
    assert source(graph, "ControlNetApplyAdvanced", "image") == "ImageScale"
    assert source(graph, "ImageScale", "image") == class_type


def test_a_picture_is_looked_at_once_in_the_size_of_the_last_pass() -> None:
    graph = with_control(twice_latent(SD15), "net", preprocess="depth").graph()

    assert of(graph, "DepthAnythingV2Preprocessor")["resolution"] == 768
    assert classes(graph).count("ControlNetApplyAdvanced") == 2


@pytest.mark.parametrize(
    ("type_", "preprocess", "shown"),
    [
        ("auto", "none", "auto"),
        ("auto", "pose", "openpose"),
        ("depth", "pose", "depth"),
        ("blur", "none", "tile"),
        ("inpaint", "none", "repaint"),
    ],
)
def test_a_union_is_told_what_it_is_shown(type_: str, preprocess: str, shown: str) -> None:
    graph = with_control(
        checkpoint(FAMILIES["sdxl"]), "union", type=type_, preprocess=preprocess
    ).graph()

    assert of(graph, "SetUnionControlNetType")["type"] == shown
    assert source(graph, "SetUnionControlNetType", "control_net") == "ControlNetLoader"
    assert source(graph, "ControlNetApplyAdvanced", "control_net") == "SetUnionControlNetType"


@pytest.mark.parametrize("type_", CONTROL_TYPES)
def test_a_controlnet_for_one_kind_is_not_told(type_: str) -> None:
    assert "SetUnionControlNetType" not in classes(
        with_control(checkpoint(SD15), "net", type=type_).graph()
    )


def test_the_vae_is_always_told() -> None:
    graph = with_control(text(FAMILIES["flux1-dev"]), "net").graph()

    assert source(graph, "ControlNetApplyAdvanced", "vae") == "VAELoader"


@pytest.mark.parametrize(
    ("family", "node", "beside"),
    [
        ("qwen-image", "QwenImageDiffsynthControlnet", {"vae", "image"}),
        ("z-image", "ZImageFunControlnet", {"vae", "image"}),
        ("anima", "AnimaLLLiteApply", {"image", "start_percent", "end_percent"}),
    ],
)
def test_each_patch_has_its_node_with_its_own_inputs(
    family: str, node: str, beside: set[str]
) -> None:
    graph = with_control(text(FAMILIES[family]), "patch").graph()

    assert set(of(graph, node)) == {"model", "model_patch", "strength", *beside}
    assert source(graph, node, "model_patch") == "ModelPatchLoader"
    assert source(graph, "KSampler", "model") == node


# --- within a mask


def test_a_control_image_is_cut_as_the_image_is() -> None:
    """It shows the whole picture, of which a part is sampled."""
    graph = with_control(masked(SD15), "net").graph()

    [load] = [name for name, node in graph.nodes.items() if node.inputs.get("image") == OTHER]
    scaled, cut, fitting = _chain(graph.to_json(), load)
    assert (scaled["class_type"], scaled["inputs"]["width"]) == ("ImageScale", 640)
    assert cut["class_type"] == "ImageCrop"
    assert {name: cut["inputs"][name] for name in ("x", "y", "width", "height")} == {
        "x": 64, "y": 32, "width": 256, "height": 256,
    }  # fmt: skip
    assert (fitting["class_type"], fitting["inputs"]["width"]) == ("ImageScale", 512)


def _chain(graph: dict[str, Any], start: str) -> list[dict[str, Any]]:
    """The nodes through which a picture goes until it is applied."""
    found: list[dict[str, Any]] = []
    at = start
    while True:
        [(name, node)] = [
            (name, node) for name, node in graph.items() if [at, 0] in node["inputs"].values()
        ]
        if node["class_type"] == "ControlNetApplyAdvanced":
            return found
        found.append(node)
        at = name


@pytest.mark.parametrize(("family", "is_black"), [("sd15", False), ("sdxl", True)])
@pytest.mark.parametrize("kind", ["net", "union"])
def test_what_fills_in_a_mask_sees_a_hole_in_the_image(
    family: str, is_black: bool, kind: ControlKind
) -> None:
    graph = with_control(masked(FAMILIES[family]), kind, type="inpaint").graph()

    hole = of(graph, "InpaintPreprocessor")
    assert hole["black_pixel_for_xinsir_cn"] is is_black
    assert source(graph, "InpaintPreprocessor", "mask") == "ImageToMask"
    assert source(graph, "ControlNetApplyAdvanced", "image") == "InpaintPreprocessor"
    assert OTHER not in [node.inputs.get("image") for node in graph.nodes.values()]


@pytest.mark.parametrize("family", ["flux1-dev", "sd35-large", "qwen-image"])
def test_what_takes_a_mask_beside_the_image_gets_it(family: str) -> None:
    graph = with_control(masked(FAMILIES[family]), "inpaint").graph()

    assert source(graph, "ControlNetInpaintingAliMamaApply", "mask") == "ImageToMask"
    assert source(graph, "ControlNetInpaintingAliMamaApply", "image") == "ImageScale"
    assert "ControlNetApplyAdvanced" not in classes(graph)


@pytest.mark.parametrize(
    ("family", "node", "image"),
    [
        ("qwen-image", "QwenImageDiffsynthControlnet", "image"),
        ("z-image", "ZImageFunControlnet", "inpaint_image"),
        ("anima", "AnimaLLLiteApply", "image"),
    ],
)
def test_a_patch_that_fills_in_gets_the_mask(family: str, node: str, image: str) -> None:
    graph = with_control(masked(FAMILIES[family]), "inpaint_patch").graph()

    assert source(graph, node, "mask") == "ImageToMask"
    assert source(graph, node, image) == "ImageScale"
    assert set(of(graph, node)) >= {"model", "model_patch", "strength"}
    assert ("image" in of(graph, node)) is (image == "image")


def test_without_a_mask_what_fills_in_is_an_ordinary_control() -> None:
    case = text(FAMILIES["flux1-dev"]).changed(init_image=IMAGE, denoise=0.5)
    case = case.with_recipe(layout=whole(Size(640, 480), Size(1024, 1024)))

    graph = with_control(case, "inpaint", type="inpaint").graph()

    assert "ControlNetApplyAdvanced" in classes(graph)
    assert OTHER in [node.inputs.get("image") for node in graph.nodes.values()]
