"""The graphs we send: snapshots, because ComfyUI takes them letter by letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from comfy import GraphBuilder, WorkflowRejectedError, build_graph
from comfy.graph import STEP_WEIGHT, Graph, Handle
from comfy.workflows.builtin.recipe import Layout, Recipe
from comfy.workflows.layout import Box, Size
from core.requests import ResolvedRequest, read_request
from core.workflows.plan import Plan
from tests.comfy.data import resolved

PROMPT_ID = "5639d90e-28a5-4d05-a345-87b00e8a3451"


def test_the_graph_of_a_text(snapshot: SnapshotAssertion) -> None:
    request = resolved(batch_size=3, seed=2**53 - 1)
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
    assert workflow.expected_outputs == 4
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


def test_a_graph_may_say_which_node_saves() -> None:
    graph = GraphBuilder(saver="2")
    for _ in range(2):
        image = graph.empty_image(16, 16)
    graph.save_image(image, "prefix")
    graph.add("PreviewImage", outputs=0, images=image)

    found = {name: node["class_type"] for name, node in graph.build().to_json().items()}

    assert found == {"1": "EmptyImage", "3": "EmptyImage", "2": "SaveImage", "4": "PreviewImage"}


def test_what_is_shared_is_one_node() -> None:
    graph = GraphBuilder()
    same = [graph.shared(Handle, "LoadImage", image="a.png") for _ in range(2)]
    other = graph.shared(Handle, "LoadImage", image="b.png")
    own = graph.one(Handle, "LoadImage", image="a.png")

    assert same == [Handle("1", 0)] * 2
    assert (other, own) == (Handle("2", 0), Handle("3", 0))
    assert graph.shared(Handle, "ImageScale", image=same[0], width=8) != graph.shared(
        Handle, "ImageScale", image=other, width=8
    )


def test_a_request_of_an_earlier_version_is_built_as_it_was_then() -> None:
    """It has no recipe: whatever its model, it is drawn as a checkpoint of Stable Diffusion."""
    for model in ("flux1-dev.safetensors", "sd_xl_turbo.safetensors", "qwen.safetensors"):
        before = build_graph(resolved(), PROMPT_ID).to_json()
        before["1"]["inputs"]["ckpt_name"] = model
        assert build_graph(resolved(model=model), PROMPT_ID).to_json() == before


def test_a_request_is_built_by_its_recipe() -> None:
    request = resolved(model="schnell.safetensors", cfg=1.0)
    recipe = Recipe(family="flux1-schnell").model_dump(mode="json", exclude_defaults=True)
    planned = request.model_copy(update={"plan": Plan(recipe=recipe)})

    graph = build_graph(planned, PROMPT_ID)

    used = {node.class_type for node in graph.nodes.values()}
    assert {"EmptySD3LatentImage", "ConditioningZeroOut"} <= used
    assert graph.class_of("7") == "SaveImage"


def test_a_recipe_outlives_the_database() -> None:
    layout = Layout(
        source=Size(64, 48), padded=Size(64, 48), crop=Box(8, 8, 32, 32), work=Size(64, 64)
    )
    recipe = Recipe(
        family="qwen-image",
        folder="diffusion_models",
        traits=frozenset({"inpaint", "v_prediction"}),
        layout=layout,
        controls=("net", "inpaint_patch"),
        references=(Size(8, 16),),
        hires=Size(128, 96),
    )
    request = resolved()
    plan = Plan(recipe=recipe.model_dump(mode="json", exclude_defaults=True))
    stored = json.loads(json.dumps(request.model_copy(update={"plan": plan}).stored()))

    read = read_request(stored)

    assert isinstance(read, ResolvedRequest)
    assert Recipe.read(read.plan.recipe) == recipe


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"family": "zx81"}, "it does not know the family zx81"),
        ({"layout": {"source": [1, 2]}}, "layout"),
        ({"controls": ["hologram"]}, "controls"),
    ],
)
def test_a_recipe_of_another_version_is_told(recipe: dict[str, Any], said: str) -> None:
    request = resolved().model_copy(update={"plan": Plan(recipe=recipe)})

    with pytest.raises(WorkflowRejectedError, match="another version of Easel planned") as caught:
        build_graph(request, PROMPT_ID)

    assert said in str(caught.value)


def test_a_wiring_mistake_is_a_type_error() -> None:
    # The proof is mypy's: it complains of an ignore that ignores nothing.
    graph = GraphBuilder()
    model, _, vae = graph.checkpoint_loader("sd15.safetensors")
    graph.clip_text_encode(model, "a red fox")  # type: ignore[arg-type]
    graph.save_image(vae, "prefix")  # type: ignore[arg-type]
    assert graph.build().node_count == 3
