"""Imported workflows at work: values into the graph, live checks, readiness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from comfy.nodes import NodeCatalogue
from comfy.workflows import live_values, resolve
from comfy.workflows.imported import filled
from comfy.workflows.known import Known
from comfy.workflows.live_values import check_values
from comfy.workflows.readiness import readiness
from core.requests import GenerationRequest, read_request_of
from core.wording import nearest
from core.workflows.declaration import ChoicesFrom, Input, ModelFile, Requires, Target, Workflow
from tests.comfy.proposal.graphs import CATALOGUE, OBJECT_INFO, node, proposed, txt2img


def test_values_go_to_every_target_and_the_workflow_stays_as_it_is() -> None:
    workflow = proposed(txt2img(n10=node("KSampler", seed=1, latent_image=["5", 0])))

    graph = filled(workflow, {"seed": 42, "prompt": "a cat", "steps": None}, "mine")

    assert (graph["3"]["inputs"]["seed"], graph["10"]["inputs"]["seed"]) == (42, 42)
    assert graph["6"]["inputs"]["text"] == "a cat"
    assert graph["3"]["inputs"]["steps"] == 20
    assert graph["6"]["_meta"] == {"title": "CLIPTextEncode"}
    assert workflow.graph is not None
    assert workflow.graph["6"]["inputs"]["text"] == "a fox"


def test_every_save_node_saves_under_easels_prefix_also_one_that_is_linked() -> None:
    workflow = proposed(
        txt2img(
            n10=node("SaveImage", images=["8", 0], filename_prefix=["11", 0]),
            n11=node("PrimitiveStringMultiline", value="theirs"),
            n12=node("Save From Elsewhere", images=["8", 0], filename_prefix="theirs"),
            n13=node("VAEDecode", samples=["3", 0], filename_prefix="no save node"),
        )
    )

    graph = filled(workflow, {}, "mine", CATALOGUE)

    prefixes = [graph[one]["inputs"]["filename_prefix"] for one in ("9", "10", "12", "13")]
    assert prefixes == ["mine", "mine", "mine", "no save node"]


def test_models_are_mapped_whether_the_graph_or_a_request_names_them() -> None:
    workflow = Workflow(
        **{**dict(proposed(txt2img())), "mapping": {"a.safetensors": "b.safetensors"}}
    )

    assert filled(workflow, {}, "mine")["4"]["inputs"]["ckpt_name"] == "b.safetensors"
    named = filled(workflow, {"model": "a.safetensors"}, "mine")
    assert named["4"]["inputs"]["ckpt_name"] == "b.safetensors"


def test_groups_and_lists_are_written_leaf_by_leaf_and_a_literal_list_is_wrapped() -> None:
    name = Input(name="name", type="text", targets=(_to("1", "a"), _to("2", "a")))
    strength = Input(name="strength", type="number", targets=(_to("1", "b"), _to("2", "b")))
    lora = Input(name="lora", type="group", fields=(name, strength))
    workflow = Workflow(
        name="one",
        title="One",
        inputs=(
            Input(name="loras", type="list", items=lora),
            Input(name="points", type="list", items=Input(name="x", type="integer"),
                  targets=(_to("2", "c"),)),
        ),
        graph={"1": node("A"), "2": node("A")},
    )  # fmt: skip

    entries = [{"name": "x", "strength": 0.5}, {"name": "y"}]
    graph = filled(workflow, {"loras": entries, "points": [1, 2]}, "mine")

    assert graph["1"]["inputs"] == {"a": "x", "b": 0.5}
    assert graph["2"]["inputs"] == {"a": "y", "c": {"__value__": [1, 2]}}


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"model": "b.safetensors", "sampler": "heun", "steps": 20, "prompt": "x"}, []),
        ({"model": "c.safetensors"}, ["unknown_model"]),
        ({"sampler": "eular"}, ["unknown_choice"]),
        ({"steps": 20_000}, ["less_than_equal"]),
        ({"cfg": -1.0}, ["greater_than_equal"]),
        ({"image": "upload:" + "0" * 64}, []),
        ({"model": None, "gone": 1}, []),
    ],
)
def test_values_are_checked_against_what_a_comfyui_has_now(
    values: dict[str, Any], codes: list[str]
) -> None:
    workflow = proposed(txt2img(n10=node("LoadImage", image="gone.png")))

    problems = check_values(workflow, values, CATALOGUE)

    assert [one.code for one in problems] == codes
    assert [one.loc for one in problems] == [(name,) for name in values][: len(codes)]


def test_a_choice_that_is_not_there_is_told_with_those_like_it() -> None:
    workflow = proposed(txt2img())

    told = check_values(workflow, {"model": "aa.safetensors", "sampler": "eular"}, CATALOGUE)

    assert {one.loc[0]: one.message for one in told} == {
        "model": "ComfyUI has no aa.safetensors in its folder checkpoints; "
        "near matches: a.safetensors, b.safetensors (of 2 models)",
        "sampler": "eular is not one of the choices; near matches: euler (of 2 choices)",
    }


def test_of_thousands_of_wrong_values_the_first_are_told_and_few_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[str] = []

    def counted(name: str, known: Sequence[str], what: str) -> str:
        compared.append(name)
        return nearest(name, known, what)

    monkeypatch.setattr(live_values, "nearest", counted)
    source = ChoicesFrom(node_class="KSampler", field="sampler_name")
    each = Input(name="one", type="choice", choices_from=source)
    workflow = Workflow(
        name="one", title="One", inputs=(Input(name="many", type="list", items=each),), graph={}
    )
    wrong = ["eular", "eular", *(f"x{number}" for number in range(5_000))]

    told = check_values(workflow, {"many": wrong}, CATALOGUE)

    assert [one.loc for one in told] == [("many", number) for number in range(100)]
    assert compared == ["eular", "x0", "x1"]
    assert "euler" in told[1].message
    assert told[-1].message == "x97 is not one of the choices; there are 2 choices"
    compared.clear()
    assert len(check_values(workflow, {"many": wrong}, CATALOGUE, suggest=False)) == 100
    assert compared == []


def test_a_model_that_was_mapped_is_looked_up_under_its_own_name() -> None:
    mapping = {"gone.safetensors": "b.safetensors"}
    workflow = Workflow(**{**dict(proposed(txt2img())), "mapping": mapping})

    assert check_values(workflow, {"model": "gone.safetensors"}, CATALOGUE) == []


def test_a_new_file_is_a_choice_at_once() -> None:
    told = OBJECT_INFO["CheckpointLoaderSimple"]
    more = {**told, "input": {"required": {"ckpt_name": [["a.safetensors", "new.safetensors"]]}}}
    later = NodeCatalogue.from_object_info(OBJECT_INFO | {"CheckpointLoaderSimple": more})

    assert check_values(proposed(txt2img()), {"model": "new.safetensors"}, later) == []


@pytest.mark.parametrize(
    ("changed", "state", "names"),
    [
        ({}, "ready", ()),
        ({"n4": node("CheckpointLoaderSimple", ckpt_name="gone.safetensors")},
         "missing_models", ("gone.safetensors",)),
        ({"n8": node("Foreign", samples=["3", 0])}, "missing_nodes", ("Foreign",)),
        ({"n5": node("EmptyLatentImage", width=1, height=768, batch_size=1)}, "needs_attention",
         ("EmptyLatentImage (node 5), input width: 1 is smaller than 16",)),
    ],
)  # fmt: skip
def test_a_workflow_is_told_ready_or_what_it_lacks(
    changed: dict[str, Any], state: str, names: tuple[str, ...]
) -> None:
    found = readiness(proposed(txt2img(**changed)), CATALOGUE)

    assert (found.state, found.names) == (state, names)


def test_a_file_that_a_request_must_bring_is_no_reason_to_wait() -> None:
    graph = txt2img(
        n10=node("LoadImage", image="gone.png"),
        n11=node("SaveImage", images=["10", 0], filename_prefix="x"),
    )

    assert readiness(proposed(graph), CATALOGUE).state == "ready"


def test_a_missing_model_is_told_with_its_folder_and_those_like_it() -> None:
    loader = node("CheckpointLoaderSimple", ckpt_name="A_fp16.safetensors")

    (missing,) = readiness(proposed(txt2img(n4=loader)), CATALOGUE).missing_models

    assert (missing.folder, missing.near) == ("checkpoints", ("a.safetensors",))


def test_the_plan_has_the_models_that_are_chosen_and_the_graphs_others() -> None:
    loader = {"class_type": "Loader", "inputs": {"ckpt": "a", "vae": "v", "also": {"lora": "x"}}}
    folder = "checkpoints"
    model = Input(name="model", type="model", role="model", folder=folder, default="a",
                  choices_from=ChoicesFrom(node_class="Loader", field="ckpt"),
                  targets=(_to("1", "ckpt"),))  # fmt: skip
    files = [(folder, "a"), ("vae", "v"), ("loras", "x"), ("other", "unseen")]
    workflow = Workflow(
        name="own",
        title="Own",
        inputs=(model,),
        graph={"1": loader},
        mapping={"b": "folder/b", "v": "folder/v"},
        requires=Requires(models=tuple(ModelFile(folder=at, name=name) for at, name in files)),
    )

    def models(**values: str) -> Any:
        fields = {"workflow": "own", **values}
        asked = read_request_of(GenerationRequest, fields, workflow)
        return resolve(asked, workflow, Known()).plan.models

    others = {"vae": ("folder/v",), "loras": ("x",), "other": ("unseen",)}
    assert models() == {folder: ("a",), **others}
    assert models(model="b") == {folder: ("folder/b",), **others}


def _to(node_id: str, field: str) -> Target:
    return Target(node=node_id, field=field)
