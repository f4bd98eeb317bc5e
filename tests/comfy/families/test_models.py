"""What is known of model files is found by folder and name, and survives a database column."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.models import ModelFile, Models

FULL = ModelFile(
    folder="loras",
    name="a/b.safetensors",
    family="flux1",
    reason="header",
    detail="single_blocks in the file's header",
    traits=frozenset({"few_steps", "union"}),
    trigger_words=("mychar",),
    text_encoders=("x", "y"),
    vae="z",
)
PLAIN = ModelFile("checkpoints", "a.safetensors")


@pytest.mark.parametrize("one", [FULL, PLAIN, replace(PLAIN, text_encoders=())])
def test_a_file_comes_back_from_json_as_it_was(one: ModelFile) -> None:
    assert ModelFile.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_what_another_version_wrote_is_read_as_far_as_it_is_understood() -> None:
    data = {
        **FULL.to_json(),
        "reason": "magic",
        "traits": ["few_steps", "new", 3],
        "trigger_words": "none",
        "vae": 5,
        "more": {},
    }
    expected = replace(
        FULL, reason="unknown", traits=frozenset({"few_steps"}), trigger_words=(), vae=None
    )
    assert ModelFile.from_json(data) == expected


@pytest.mark.parametrize("data", [None, [], "a", {}, {"folder": "loras"}, {"folder": 1, "name": 2}])
def test_what_is_no_file_is_none(data: object) -> None:
    assert ModelFile.from_json(data) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(FULL.to_json())), JSON))
def test_no_json_raises(data: dict[str, Any]) -> None:
    found = ModelFile.from_json(data)
    assert found is None or ModelFile.from_json(found.to_json()) == found


def test_a_name_is_looked_up_in_the_folders_in_their_order() -> None:
    checkpoint, model = PLAIN, replace(PLAIN, folder="diffusion_models")
    models = Models.of([model, checkpoint, FULL])
    assert models.find("a.safetensors") == checkpoint
    assert models.find("a.safetensors", ["diffusion_models", "checkpoints"]) == model
    assert models.find(FULL.name) is None
    assert models.find(FULL.name, ["loras"]) == FULL
    assert Models().find("a.safetensors") is None


def test_of_two_with_one_name_the_first_counts() -> None:
    assert Models.of([PLAIN, replace(PLAIN, family="sdxl")]).find(PLAIN.name) == PLAIN


def test_the_files_of_a_folder_are_in_the_order_of_their_names() -> None:
    names = ("b", "a", "c")
    models = Models.of([*(replace(PLAIN, name=name) for name in names), FULL])
    assert [one.name for one in models.in_folder("checkpoints")] == ["a", "b", "c"]
    assert models.in_folder("loras") == (FULL,)
    assert models.in_folder("vae") == ()
