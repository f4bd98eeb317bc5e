"""The graphs we send: snapshots, because ComfyUI takes them letter by letter."""

from __future__ import annotations

import json

import pytest
from syrupy.assertion import SnapshotAssertion

from comfy import BUILT_IN, GraphBuilder, build_graph
from comfy.graph import STEP_WEIGHT, Graph, Handle
from tests.comfy.data import resolved

PROMPT_ID = "5639d90e-28a5-4d05-a345-87b00e8a3451"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_graph_of_each_template(name: str, snapshot: SnapshotAssertion) -> None:
    request = resolved(workflow=name, batch_size=3, seed=2**53 - 1)
    assert build_graph(request, PROMPT_ID).to_json() == snapshot


def test_the_same_request_gives_the_same_graph_and_is_plain_json() -> None:
    first, second = (build_graph(resolved(), PROMPT_ID).to_json() for _ in range(2))
    assert first == second
    assert json.loads(json.dumps(first)) == first


def test_a_workflow_knows_its_nodes() -> None:
    workflow = build_graph(resolved(batch_size=4, steps=10), PROMPT_ID)
    assert workflow.node_count == 7
    assert workflow.class_of("7") == "SaveImage"
    assert workflow.class_of("1.0.0.3") is None
    assert workflow.expected_images == 4
    assert workflow.total_weight == 6 + 10 * STEP_WEIGHT


def test_changing_the_json_does_not_change_the_workflow() -> None:
    workflow = build_graph(resolved(), PROMPT_ID)
    workflow.to_json()["5"]["inputs"]["seed"] = 0
    assert workflow.to_json()["5"]["inputs"]["seed"] == 5


def test_any_node_class_can_be_added() -> None:
    graph = GraphBuilder()
    image, mask = graph.add("LoadImage", outputs=2, image="fox.png")
    graph.add("PreviewImage", outputs=0, images=image)
    assert (image, mask) == (Handle("1", 0), Handle("1", 1))
    workflow = graph.build()
    assert isinstance(workflow, Graph)
    assert workflow.to_json()["2"] == {
        "class_type": "PreviewImage",
        "inputs": {"images": ["1", 0]},
    }


def test_a_wiring_mistake_is_a_type_error() -> None:
    # The proof is mypy's: it complains of an ignore that ignores nothing.
    graph = GraphBuilder()
    model, _, vae = graph.checkpoint_loader("sd15.safetensors")
    graph.clip_text_encode(model, "a red fox")  # type: ignore[arg-type]
    graph.save_image(vae, "prefix")  # type: ignore[arg-type]
    assert graph.build().node_count == 3
