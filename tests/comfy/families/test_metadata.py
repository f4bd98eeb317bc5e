"""What makers write into their files: the family, the words of a LoRA, how a model predicts."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.metadata import told_by
from comfy.families.table import FAMILIES
from comfy.families.trigger_words import WORD_MAX, WORDS_MAX, trigger_words


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"modelspec.architecture": "stable-diffusion-v1"}, "sd15"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base"}, "sdxl"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        ({"modelspec.architecture": "Flux-1-dev/lora"}, "flux1-dev"),
        ({"modelspec.architecture": "flux.1-dev/kontext"}, "flux1-kontext"),
        ({"modelspec.architecture": "flux.1-dev/inpaint"}, "flux1-fill"),
        ({"modelspec.architecture": "stable-diffusion-v3.5-large"}, "sd35-large"),
        ({"modelspec.architecture": "Qwen-Image-Edit-Plus"}, "qwen-image-edit-2509"),
        ({"modelspec.architecture": "qwen-image-edit-2511"}, "qwen-image-edit-2511"),
        ({"modelspec.architecture": "flux.2-klein-9b"}, "flux2-klein-9b"),
        ({"modelspec.architecture": "flux.2"}, None),  # dev or Klein: shapes know
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"ss_base_model_version": "sd_v1"}, "sd15"),
        ({"ss_base_model_version": "sd_v2_v"}, "sd2"),
        ({"ss_base_model_version": "medium"}, "sd3-medium"),
        ({"ss_base_model_version": "5-large"}, "sd35-large"),
        ({"ss_base_model_version": "flux1"}, "flux1-dev"),
        ({"ss_base_model_version": "flux1", "ss_model_type": "chroma"}, "chroma"),
        ({"ss_base_model_version": "flux_kontext"}, "flux1-kontext"),
        ({"ss_base_model_version": "zimage"}, "z-image"),
        ({"ss_base_model_version": "qwen_image_edit"}, "qwen-image-edit"),
        ({"ss_network_module": "networks.lora_krea2"}, "krea2"),
        ({"ss_network_module": "lycoris.kohya"}, None),
        ({"ss_network_module": "networks.lora"}, None),
        ({"modelspec.architecture": "", "ss_base_model_version": "anima"}, "anima"),
        ({"modelspec.architecture": "x", "ss_base_model_version": "lumina2"}, "lumina2"),
        ({}, None),
    ],
)
def test_a_family_is_told(metadata: dict[str, str], family: str | None) -> None:
    found = told_by(metadata)
    assert found.family == family
    assert (found.detail != "") == (family is not None)


@pytest.mark.parametrize(
    "value", ["wan2.1", "hidream-o1-image", "ideogram-4", "qwen-image-layered", "zeta-chroma"]
)
def test_others_families_are_named(value: str) -> None:
    found = told_by({"modelspec.architecture": value})
    assert found.family is None
    assert value in found.detail


@pytest.mark.parametrize(
    ("metadata", "traits"),
    [
        ({"modelspec.prediction_type": "v"}, {"v_prediction"}),
        ({"modelspec.predict_key": "v"}, {"v_prediction"}),
        ({"modelspec.prediction_type": "v_prediction"}, {"v_prediction"}),
        ({"modelspec.prediction_type": "epsilon"}, set()),
        ({"ss_base_model_version": "sd_v1_v"}, {"v_prediction"}),
        ({"ss_zero_terminal_snr": "True"}, {"zero_terminal_snr"}),
        ({"ss_zero_terminal_snr": "None"}, set()),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-refiner"}, {"refiner"}),
        ({"modelspec.architecture": "stable-diffusion-v1/inpaint"}, {"inpaint"}),
    ],
)
def test_traits_are_told(metadata: dict[str, str], traits: set[str]) -> None:
    assert told_by(metadata).traits == traits


def frequency(folders: dict[str, Any], dirs: dict[str, Any] | None = None) -> dict[str, str]:
    found = {"ss_tag_frequency": json.dumps(folders)}
    return found if dirs is None else {**found, "ss_dataset_dirs": json.dumps(dirs)}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "mychar, red hair"}, ("mychar", "red hair")),
        ({"modelspec.trigger_phrase": " my\nchar ,, my char"}, ("my char",)),
        (  # the author's word counts alone
            {"modelspec.trigger_phrase": "mychar", **frequency({"1_other": {"other": 1}})},
            ("mychar",),
        ),
        (frequency({"1_mychar": {"mychar": 1}}), ("mychar",)),  # so writes ai-toolkit
        (
            frequency(
                {"10_mychar man": {"mychar": 20, "1boy": 20, "hat": 3}},
                {"10_mychar man": {"n_repeats": 10, "img_count": 20}},
            ),
            ("mychar", "mychar man"),
        ),
        (  # nothing stands at all images
            frequency(
                {"10_img": {"hat": 5, "shoe": 4}}, {"10_img": {"n_repeats": 10, "img_count": 40}}
            ),
            (),
        ),
        (frequency({"5_images": {f"a caption {n}": 1 for n in range(30)}}), ()),
        (frequency({"nothing": {"1girl": 3, "solo": 3}}), ()),
        (frequency({"1_x": {"\ud800": 3}}), ("x",)),
        ({"ss_tag_frequency": "[1]"}, ()),
        ({"ss_tag_frequency": "{"}, ()),
        ({"ss_tag_frequency": "[" * 100_000}, ()),
        (frequency({"1_x": {"a": "3", "b": True, "c": -1, "d": None}}), ("x",)),
        (frequency({"1_x": [1, 2]}, {"1_x": 5}), ("x",)),
        ({}, ()),
    ],
)
def test_a_lora_s_words_are_told(metadata: dict[str, str], words: tuple[str, ...]) -> None:
    assert trigger_words(metadata) == words


def test_words_are_few_and_short() -> None:
    many = ", ".join(f"w{number}" for number in range(1000))
    assert len(trigger_words({"modelspec.trigger_phrase": many})) == WORDS_MAX
    assert trigger_words({"modelspec.trigger_phrase": "x" * 5000}) == ()
    assert trigger_words(frequency({f"1_{'y' * 5000}": {}})) == ()
    assert trigger_words({"ss_tag_frequency": json.dumps({"1_x": {}}) + " " * 9_000_000}) == ()


KEYS: Final = st.sampled_from(
    ["modelspec.architecture", "ss_base_model_version", "architecture", "ss_network_module",
     "ss_model_type", "modelspec.prediction_type", "ss_zero_terminal_snr", "ss_tag_frequency",
     "ss_dataset_dirs", "modelspec.trigger_phrase"]
)  # fmt: skip
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(KEYS, st.text() | JSON.map(json.dumps)))
def test_no_metadata_raises(metadata: dict[str, str]) -> None:
    found = told_by(metadata)
    assert found.family is None or found.family in FAMILIES
    for word in trigger_words(metadata):
        assert word.isprintable()
        assert 0 < len(word) <= WORD_MAX
