"""What authors marked comes first: App mode, subgraphs, nodes of other tools, titles."""

from __future__ import annotations

from typing import Any

import pytest

from comfy.importing import NodeMarks
from core.workflows.declaration import ChoicesFrom
from tests.comfy.proposal.graphs import (
    Json,
    app_input,
    app_mode,
    looks,
    node,
    of_role,
    promoted,
    proposed,
    targets,
    txt2img,
)


def test_the_form_of_app_mode_comes_first_and_the_rest_is_advanced() -> None:
    form = app_mode(
        app_input("steps", "3.steps", label="Quality"),
        app_input("text", "6.text", label="What to draw"),
    )
    found = proposed(txt2img(), "ui", app=form)

    assert [one.name for one in found.inputs[:2]] == ["steps", "prompt"]
    assert [one.label for one in found.inputs[:2]] == ["Quality", "What to draw"]
    assert {one.name: one.advanced for one in found.inputs if not one.advanced} == {
        "steps": False, "prompt": False, "seed": False,
    }  # fmt: skip
    assert found.origin is not None
    assert found.origin.kind == "app"


def test_the_outputs_of_app_mode_are_primary() -> None:
    graph = txt2img(n10=node("SaveImage", images=["8", 0], filename_prefix="y"))
    found = proposed(graph, "ui", app=app_mode(outputs=("10",)))

    assert [one.node for one in found.outputs if one.primary] == ["10"]


def test_promoted_values_are_inputs_and_what_a_subgraph_hides_is_advanced() -> None:
    inner = {f"30:{node_id}": _moved(told) for node_id, told in txt2img().items()}
    graph = inner | {"9": inner.pop("30:9")}
    found = proposed(
        graph,
        "ui",
        shared=(promoted("text", "30:6.text"), promoted("value", "30:3.steps", label="Effort")),
    )

    assert [one.name for one in found.inputs[:2]] == ["prompt", "steps"]
    assert found.by_name["steps"].label == "Effort"
    assert [one.name for one in found.inputs if not one.advanced] == ["prompt", "steps", "seed"]


def test_values_of_inner_subgraphs_are_not_shown() -> None:
    found = proposed(txt2img(), "ui", shared=(promoted("text", "7.text", node_id="30:5"),))

    assert found.inputs[0].name == "prompt"


def test_a_promoted_seed_goes_to_every_sampler() -> None:
    graph = txt2img(n10=node("KSampler", seed=9, latent_image=["5", 0]))
    found = proposed(graph, "ui", shared=(promoted("seed", "10.seed"),))

    assert of_role(found, "seed") == ["10.seed", "3.seed"]


def test_two_inputs_that_an_author_calls_width_and_height_are_the_size() -> None:
    graph = {
        "1": node("PrimitiveInt", value=640),
        "2": node("PrimitiveInt", value=480),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }
    shared = (
        promoted("value", "1.value", label="width"),
        promoted("value_1", "2.value", label="height"),
    )
    found = proposed(graph, "ui", shared=shared)

    assert (of_role(found, "width"), of_role(found, "height")) == (["1.value"], ["2.value"])


def test_a_width_without_a_height_beside_it_is_no_side_of_the_size() -> None:
    graph = {
        "1": node("Border", border_width=4),
        "2": node("ResizeClip", width=640, height=480),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }
    shared = (
        promoted("border_width", "1.border_width"),
        promoted("width", "2.width"),
        promoted("height", "2.height"),
    )
    found = proposed(graph, "ui", shared=shared)

    assert (of_role(found, "width"), of_role(found, "height")) == (["2.width"], ["2.height"])
    assert found.by_name["border_width"].role is None


def test_comfy_deploys_nodes_name_order_and_group_inputs() -> None:
    graph = txt2img(
        n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
        n5=node("EmptyLatentImage", width=["21", 0], height=512, batch_size=1),
        n20=node("ComfyUIDeployExternalText", input_id="idea", default_value="a fox",
                 display_name="Idea", description="What you want"),
        n21=node("ComfyUIDeployExternalNumberInt", input_id="wide", default_value=640,
                 min_value=64, max_value=2048, display_name="Width"),
    )  # fmt: skip
    marks = looks(
        n20=NodeMarks(meta={"cd_input_order": 2}),
        n21=NodeMarks(meta={"cd_input_order": 1, "cd_input_group": "Size"}),
    )
    wide, idea, *_ = proposed(graph, nodes=marks).inputs

    assert (wide.name, wide.role, wide.group, wide.minimum, wide.maximum, wide.default) == (
        "wide", "width", "Size", 64, 2048, 640,
    )  # fmt: skip
    assert (idea.name, idea.role, idea.label, idea.help) == (
        "idea", "prompt", "Idea", "What you want",
    )  # fmt: skip
    assert targets(idea) == ["20.default_value"]


def test_comfy_pack_takes_its_names_from_titles() -> None:
    found = proposed(
        txt2img(
            n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
            n20=node("CPackInputString", "my text", value="a fox"),
        )
    )

    assert (found.inputs[0].name, found.inputs[0].role) == ("my_text", "prompt")
    assert targets(found.inputs[0]) == ["20.value"]


def test_swarms_nodes_have_groups_ranges_and_roles() -> None:
    found = proposed(
        txt2img(
            n3={**txt2img()["3"], "inputs": txt2img()["3"]["inputs"] | {"seed": ["21", 0]}},
            n20=node("SwarmInputGroup", title="Main"),
            n21=node("SwarmInputInteger", title="Chance", value=4, view_type="seed",
                     group=["20", 0]),
            n22=node("SwarmInputDropdown", title="Mood", value="dark", values="dark, light",
                     is_advanced=True, raw_id="mood"),
        )
    )  # fmt: skip

    seed, mood = found.inputs[:2]
    assert (seed.name, seed.type, seed.role, seed.group) == ("chance", "seed", "seed", "Main")
    assert (mood.name, mood.choices, mood.advanced) == ("mood", ("dark", "light"), True)


def test_kritas_parameters_have_groups_and_the_choices_of_what_they_feed() -> None:
    told = txt2img()["3"]
    found = proposed(
        txt2img(
            n3={**told, "inputs": told["inputs"] | {"scheduler": ["21", 0], "steps": ["22", 0]}},
            n6=node("CLIPTextEncode", text=["20", 0], clip=["4", 1]),
            n20=node("ETN_Parameter", name="1. Idea", type="prompt (positive)", default="a fox"),
            n21=node("ETN_Parameter", name="2. More/2. Plan", type="choice", default="karras"),
            n22=node("ETN_Parameter", name="2. More/1. Steps", type="number (integer)",
                     default=12, min=1, max=50),
        )
    )  # fmt: skip

    idea, steps, plan = found.inputs[:3]
    assert (idea.name, idea.role, idea.type) == ("idea", "prompt", "longtext")
    assert (steps.name, steps.group, steps.type, steps.maximum) == ("steps", "More", "integer", 50)
    assert (plan.name, plan.choices, plan.default) == ("plan", ("normal", "karras"), "karras")


def test_a_marked_text_that_goes_to_a_choice_has_its_choices() -> None:
    found = proposed(
        txt2img(
            n4=node("CheckpointLoaderSimple", ckpt_name=["20", 0]),
            n20=node("SwarmInputCheckpoint", title="Base", value="a.safetensors"),
        )
    )

    base = found.inputs[0]
    assert (base.name, base.type, base.folder) == ("base", "model", "checkpoints")
    assert base.choices_from == ChoicesFrom(node_class="CheckpointLoaderSimple", field="ckpt_name")
    assert targets(base) == ["20.value"]


def test_titles_mark_inputs() -> None:
    graph = txt2img(
        n6=node("CLIPTextEncode", "[input] Subject", text="a fox", clip=["4", 1]),
        n5=node("EmptyLatentImage", "[Input] height", width=512, height=768, batch_size=1),
    )
    found = proposed(graph)

    assert {one.name: targets(one) for one in found.inputs[:2]} == {
        "height": ["5.height"],
        "subject": ["6.text"],
    }
    assert found.roles["prompt"] == "subject"


def test_viewcomfys_titles_mark_every_field_of_a_node() -> None:
    graph = txt2img(n5=node("EmptyLatentImage", "VC_ADV_1", width=512, height=768, batch_size=1))
    found = proposed(graph)

    assert [(one.name, one.advanced) for one in found.inputs[:3]] == [
        ("width", True), ("height", True), ("batch_size", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "seed", "steps"),
    [
        ("%prompt%", "%seed%", "%steps%"),
        ("${prompt}", "${seed+1}", "${steps:25}"),
        ("{{prompt}}", "{{seed}}", "{{steps}}"),
        ("PARAM_PROMPT", "PARAM_INT_SEED", "PARAM_INT_STEPS"),
    ],
)
def test_placeholders_name_inputs_and_give_way_to_defaults(
    prompt: str, seed: str, steps: str
) -> None:
    told = txt2img()["3"]
    found = proposed(
        txt2img(
            n3={**told, "inputs": told["inputs"] | {"seed": seed, "steps": steps}},
            n6=node("CLIPTextEncode", text=prompt, clip=["4", 1]),
        )
    )

    assert found.graph is not None
    expected = 25 if ":" in steps else 20
    assert found.graph["3"]["inputs"]["seed"] == 0
    assert found.graph["3"]["inputs"]["steps"] == expected
    assert found.by_name["prompt"].default == ""
    assert [one.name for one in found.inputs[:3]] == ["seed", "steps", "prompt"]
    assert of_role(found, "seed") == ["3.seed"]


@pytest.mark.parametrize("text", ["%date:yyyy-MM-dd%", "a 50% b 20%", "{red|blue}", "$5"])
def test_what_looks_like_a_placeholder_and_is_none_stays(text: str) -> None:
    found = proposed(txt2img(n6=node("CLIPTextEncode", text=text, clip=["4", 1])))

    assert found.by_name["prompt"].default == text


def _moved(told: Json) -> Json:
    def inside(value: Any) -> Any:
        return [f"30:{value[0]}", value[1]] if isinstance(value, list) else value

    return {**told, "inputs": {name: inside(value) for name, value in told["inputs"].items()}}
