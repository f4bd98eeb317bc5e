"""The model of a node catalogue: both ways of writing choices, dynamic inputs, malformed parts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfy.nodes import InputSpec, NodeCatalogue, live_inputs

INFO: dict[str, Any] = {
    "Loader": {
        "input": {
            "required": {"name": [["a.safetensors", "b.safetensors"], {"tooltip": "Which."}]},
            "optional": {"kind": ["COMBO", {"options": ["x", "y"], "default": "y"}]},
        },
        "input_order": {"required": ["name"], "optional": ["kind"]},
        "output": ["MODEL", ["one", "two"]],
        "output_name": ["model", "which"],
        "python_module": "custom_nodes.some-pack.nodes",
        "description": "Loads.",
    },
    "Sampler": {
        "input": {
            "required": {
                "steps": ["INT", {"default": 20, "min": 0, "max": 100}],
                "seed": ["INT", {"default": 0}],
                "exact": ["BOOLEAN", {"default": False}],
                "other": ["INT", {"control_after_generate": "fixed"}],
            }
        },
        "input_order": {"required": ["seed", "steps", "exact", "other"]},
        "output": [],
        "output_node": True,
    },
    "Saver": {
        "input": {
            "required": {
                "format": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "auto", "inputs": {}},
                            {"key": "mp4", "inputs": {"optional": {"crf": ["INT", {"min": 1}]}}},
                        ]
                    },
                ],
                "images": [
                    "COMFY_AUTOGROW_V3",
                    {
                        "template": {
                            "input": {"required": {"image": ["IMAGE", {}]}},
                            "prefix": "image",
                            "min": 1,
                            "max": 3,
                        }
                    },
                ],
            }
        },
        "output": [],
    },
}


def test_both_ways_of_writing_choices_are_read() -> None:
    catalogue = NodeCatalogue.from_object_info(INFO)

    assert catalogue.choices("Loader", "name") == ("a.safetensors", "b.safetensors")
    assert catalogue.choices("Loader", "kind") == ("x", "y")
    assert catalogue.choices("Loader", "nothing") == ()
    assert catalogue.choices("Nothing", "name") == ()


def test_a_class_tells_its_outputs_and_its_pack() -> None:
    loader = NodeCatalogue.from_object_info(INFO).classes["Loader"]

    assert [output.type for output in loader.outputs] == ["MODEL", "COMBO"]
    assert loader.pack == "some-pack"


def test_inputs_keep_the_order_that_comfyui_declares() -> None:
    sampler = NodeCatalogue.from_object_info(INFO).classes["Sampler"]

    assert [spec.name for spec in sampler.inputs] == ["seed", "steps", "exact", "other"]
    assert [spec.control for spec in sampler.inputs] == [True, False, False, True]


def test_dynamic_inputs_have_dotted_names() -> None:
    catalogue = NodeCatalogue.from_object_info(INFO)
    saver = catalogue.classes["Saver"]

    names = [spec.name for spec in live_inputs(saver.inputs, {"format": "mp4"})]

    assert names == ["format", "format.crf", "images.image0", "images.image1", "images.image2"]
    assert [spec.required for spec in live_inputs(saver.inputs, {})] == [True, True, False, False]
    crf = catalogue.input("Saver", "format.crf")
    assert crf is not None
    assert crf.minimum == 1
    assert catalogue.input("Saver", "images.image2") is not None
    assert catalogue.input("Saver", "images.image3") is None


def test_it_is_stored_without_texts_and_read_as_it_was() -> None:
    catalogue = NodeCatalogue.from_object_info(INFO)

    stored = json.dumps(catalogue.to_json())

    assert "Which." not in stored
    assert "Loads." not in stored
    assert NodeCatalogue.from_json(json.loads(stored)) == catalogue


def test_the_union_of_two_has_the_choices_of_both() -> None:
    other = {"Loader": {"input": {"required": {"name": [["c", "b.safetensors"]]}}}, "More": {}}

    union = NodeCatalogue.union(
        [NodeCatalogue.from_object_info(INFO), NodeCatalogue.from_object_info(other)]
    )

    assert union.choices("Loader", "name") == ("a.safetensors", "b.safetensors", "c")
    assert union.choices("Loader", "kind") == ("x", "y")
    assert union.get("More") is not None


def test_malformed_parts_are_left_out() -> None:
    info = {
        "Good": {
            "input": {
                "required": {
                    "text": ["STRING", 7],
                    "odd": "STRING",
                    "empty": [],
                    "range": ["INT", {"min": "low", "max": float("nan"), "default": 1}],
                    "mixed": [["a", {"b": 1}, None, 2]],
                },
                "optional": "none",
            },
            "output": "IMAGE",
        },
        "Bad": None,
        7: {},
    }

    catalogue = NodeCatalogue.from_object_info(info)

    assert list(catalogue.classes) == ["Good"]
    assert catalogue.classes["Good"].inputs == (
        InputSpec("text", "STRING"),
        InputSpec("range", "INT", default=1),
        InputSpec("mixed", "COMBO", choices=("a", 2)),
    )


_WORDS = st.sampled_from(
    [
        "input",
        "required",
        "optional",
        "options",
        "key",
        "inputs",
        "template",
        "min",
        "names",
        "output",
        "input_order",
        "a",
        "INT",
        "COMBO",
        "COMFY_DYNAMICCOMBO_V3",
        "COMFY_AUTOGROW_V3",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=3), inner)
    ),
    max_leaves=30,
)


@given(_JSON)
def test_no_answer_makes_it_raise(answer: object) -> None:
    catalogue = NodeCatalogue.from_object_info({"Some": answer, "Other": {"input": answer}})

    for node_class in catalogue.classes.values():
        list(live_inputs(node_class.inputs, {"a": "a"}))
    assert NodeCatalogue.from_json(catalogue.to_json()) == catalogue


def test_paid_classes_are_known_by_their_flag_or_their_category() -> None:
    catalogue = NodeCatalogue.from_object_info(
        {
            "Flagged": {"input": {}, "output": [], "api_node": True},
            "Filed": {"input": {}, "output": [], "category": "api node/image/BFL"},
            "Free": {"input": {}, "output": [], "category": "image"},
        }
    )

    assert catalogue.paid == {"Flagged", "Filed"}
