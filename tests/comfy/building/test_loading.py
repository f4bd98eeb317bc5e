"""What a graph loads: one file or parts, what replaces these, and what a file's traits ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from comfy.families.models import Trait
from comfy.families.table import FAMILIES
from comfy.graph import Graph
from tests.comfy.building.cases import Case, checkpoint, text

FLUX: Final = FAMILIES["flux1-dev"]
SDXL: Final = FAMILIES["sdxl"]


def nodes(graph: Graph) -> list[tuple[str, Mapping[str, Any]]]:
    return [(node["class_type"], node["inputs"]) for node in graph.to_json().values()]


def of(graph: Graph, class_type: str) -> Mapping[str, Any]:
    [found] = [inputs for name, inputs in nodes(graph) if name == class_type]
    return found


def source(graph: Graph, class_type: str, field: str) -> str:
    """The class of the node that an input is linked to."""
    node_id, _ = of(graph, class_type)[field]
    return str(graph.class_of(node_id))


def classes(graph: Graph) -> list[str]:
    return [name for name, _ in nodes(graph)]


def test_a_checkpoint_has_everything_inside() -> None:
    graph = checkpoint(FLUX).graph()

    assert classes(graph)[0] == "CheckpointLoaderSimple"
    assert not {"UNETLoader", "DualCLIPLoader", "VAELoader"} & set(classes(graph))
    assert source(graph, "VAEDecode", "vae") == "CheckpointLoaderSimple"


def test_what_a_checkpoint_lacks_or_is_to_be_replaced_is_loaded_beside_it() -> None:
    case = checkpoint(FLUX, "without_encoder", "without_vae")
    encoders = ["clip_l.safetensors", "t5.safetensors"]

    graph = case.changed(text_encoders=encoders, vae="ae.safetensors").graph()

    assert of(graph, "DualCLIPLoader") == {
        "clip_name1": "clip_l.safetensors",
        "clip_name2": "t5.safetensors",
        "type": "flux",
        "device": "default",
    }
    assert source(graph, "CLIPTextEncode", "clip") == "DualCLIPLoader"
    assert source(graph, "VAEDecode", "vae") == "VAELoader"
    assert source(graph, "KSampler", "model") == "CheckpointLoaderSimple"


@pytest.mark.parametrize(
    ("family", "count", "loader", "kind"),
    [
        ("sd15", 1, "CLIPLoader", "stable_diffusion"),
        ("sd2", 1, "CLIPLoader", "stable_diffusion"),
        ("sdxl", 2, "DualCLIPLoader", "sdxl"),
        ("sd3-medium", 1, "CLIPLoader", "sd3"),
        ("sd35-large", 2, "DualCLIPLoader", "sd3"),
        ("sd35-medium", 3, "TripleCLIPLoader", None),
        ("hidream-dev", 2, "DualCLIPLoader", "hidream"),
        ("hidream-full", 4, "QuadrupleCLIPLoader", None),
        ("auraflow", 1, "CLIPLoader", "chroma"),
        ("qwen-image", 1, "CLIPLoader", "qwen_image"),
    ],
)
def test_each_number_of_text_encoders_has_its_loader(
    family: str, count: int, loader: str, kind: str | None
) -> None:
    names = [f"{number}.safetensors" for number in range(count)]

    found = of(checkpoint(FAMILIES[family]).changed(text_encoders=names).graph(), loader)

    assert found.get("type") == kind
    assert found.get("device") == ("default" if kind else None)
    assert [value for name, value in found.items() if name.startswith("clip_name")] == names
    assert ("clip_name" in found) is (count == 1)


def test_gguf_files_have_loaders_of_their_own() -> None:
    case = text(FLUX).changed(model="flux1-dev-Q4_K_S.GGUF")

    model_alone = case.graph()
    both = case.changed(text_encoders=["clip_l.safetensors", "t5-Q5.gguf"]).graph()

    assert of(model_alone, "UnetLoaderGGUF") == {"unet_name": "flux1-dev-Q4_K_S.GGUF"}
    assert "DualCLIPLoader" in classes(model_alone)
    assert of(both, "DualCLIPLoaderGGUF") == {
        "clip_name1": "clip_l.safetensors",
        "clip_name2": "t5-Q5.gguf",
        "type": "flux",
    }
    assert source(both, "CLIPTextEncode", "clip") == "DualCLIPLoaderGGUF"


def test_four_encoders_of_which_one_is_gguf() -> None:
    names = ["l.safetensors", "g.safetensors", "t5.safetensors", "llama.gguf"]

    found = of(
        text(FAMILIES["hidream-full"]).changed(text_encoders=names).graph(),
        "QuadrupleCLIPLoaderGGUF",
    )

    assert list(found.values()) == names


@pytest.mark.parametrize(
    ("family", "traits", "expected"),
    [
        ("sdxl", (), []),
        ("sdxl", ("v_prediction",), [("v_prediction", False)]),
        ("sdxl", ("v_prediction", "zero_terminal_snr"), [("v_prediction", True)]),
        ("sdxl-noobai-vpred", ("v_prediction",), [("v_prediction", True)]),
        ("sdxl-noobai-vpred", (), [("v_prediction", True)]),
        ("sdxl-lcm", ("v_prediction",), [("lcm", False)]),
    ],
)
def test_v_prediction_is_set_once(
    family: str, traits: tuple[Trait, ...], expected: list[tuple[str, bool]]
) -> None:
    graph = checkpoint(FAMILIES[family], *traits).graph()

    found = [inputs for name, inputs in nodes(graph) if name == "ModelSamplingDiscrete"]
    assert [(one["sampling"], one["zsnr"]) for one in found] == expected


def test_loras_come_one_after_the_other_before_what_the_family_changes() -> None:
    loras = [{"name": "a", "strength": 0.5}, {"name": "b", "strength": -1.0, "strength_clip": 2.0}]

    graph = checkpoint(FAMILIES["sdxl-lcm"]).changed(loras=loras, clip_skip=2).graph()

    found = [inputs for name, inputs in nodes(graph) if name == "LoraLoader"]
    assert [(one["lora_name"], one["strength_model"], one["strength_clip"]) for one in found] == [
        ("a", 0.5, 0.5),
        ("b", -1.0, 2.0),
    ]
    assert found[1]["model"] == ["2", 0]
    assert found[1]["clip"] == ["2", 1]
    assert source(graph, "ModelSamplingDiscrete", "model") == "LoraLoader"
    assert source(graph, "CLIPSetLastLayer", "clip") == "LoraLoader"
    assert of(graph, "CLIPSetLastLayer")["stop_at_clip_layer"] == -2


@pytest.mark.parametrize("skip", [None, 1])
def test_the_last_layer_needs_no_node(skip: int | None) -> None:
    assert "CLIPSetLastLayer" not in classes(checkpoint(SDXL).changed(clip_skip=skip).graph())


def test_an_inpaint_model_without_a_mask_is_an_ordinary_one() -> None:
    inpainting: Case = checkpoint(SDXL, "inpaint")

    assert inpainting.graph() == checkpoint(SDXL).graph()
