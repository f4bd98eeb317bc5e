"""The recorded catalogues, without prose and files, and what their inputs ask for."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from comfy.emulator.catalogue import Catalogue
from comfy.emulator.expansion import fields
from comfy.emulator.folders import Folders
from comfy.emulator.models import choices, file_choices
from comfy.emulator.options import EmulatorOptions
from comfy.emulator.recorded import CATALOGUES, VERSIONS, recorded
from comfy.emulator.recording import LONGEST_DEFAULT, packed, stripped
from comfy.emulator.release import Release
from comfy.emulator.validation import Verdict, fits, validate

from .test_emulator import node

LARGEST = 250_000


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_small_and_stay_as_they_are_when_stripped_again(version: str) -> None:
    content = (CATALOGUES / f"{version}.json.gz").read_bytes()
    assert len(content) < LARGEST
    info = json.loads(gzip.decompress(content))
    assert json.loads(gzip.decompress(packed(stripped(info)))) == info
    assert packed(info) == packed(dict(info))


@pytest.mark.parametrize("version", VERSIONS)
def test_they_hold_no_prose_and_no_names_of_files(version: str) -> None:
    for name, entry in recorded(Release.of(version)).items():
        assert not {"description", "output_tooltips", "price_badge"} & set(entry)
        for part in walk(entry["input"]):
            assert "tooltip" not in part
            assert len(str(part.get("default", ""))) <= LONGEST_DEFAULT or not isinstance(
                part["default"], str
            )
        for group in ("required", "optional"):
            for field, config in (entry["input"].get(group) or {}).items():
                if file_choices(name, field, config) is not None:
                    assert choices(config) == file_choices(name, field, config)


def walk(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(part for inner in value.values() for part in walk(inner))]
    if isinstance(value, list):
        return [part for inner in value for part in walk(inner)]
    return []


@pytest.mark.parametrize(
    ("version", "has", "has_not"),
    [
        ("0.3.44", "KSampler", "Flux2Scheduler"),
        ("0.3.64", "KSampler", "Flux2Scheduler"),
        ("0.26.0", "Flux2Scheduler", "MiniMaxH3ImageToVideo"),
        ("0.33.0", "MiniMaxH3ImageToVideo", "Load3DAnimation"),
        ("1.0", "MiniMaxH3ImageToVideo", "Load3DAnimation"),
    ],
)
def test_the_newest_that_is_no_newer_is_played(version: str, has: str, has_not: str) -> None:
    info = recorded(Release.of(version))
    assert has in info
    assert has_not not in info


def names(class_name: str, given: dict[str, Any]) -> dict[str, bool]:
    groups = recorded(Release.of("0.33.0"))[class_name]["input"]
    return {field.name: field.required for field in fields(groups, given)}


def test_dynamic_combos_bring_what_their_choice_needs() -> None:
    assert "format.codec" not in names("SaveVideo", {"format": "auto"})
    whole = {"format": "auto", "format.codec": "h264", "format.codec.encoding": "re-encode"}
    found = names("SaveVideo", whole)
    assert found["video"] is True
    assert found["format.codec"] is True
    assert found["format.codec.encoding"] is False
    assert found["format.codec.encoding.crf"] is True
    assert "format" not in names("SaveVideo", {"format": "banana"})


def test_autogrow_asks_for_the_least_and_takes_the_most() -> None:
    assert names("BatchImagesNode", {}) == {"images.image0": True}
    given = {f"images.image{number}": 0 for number in (0, 1, 49, 50)}
    found = names("BatchImagesNode", given)
    assert found == {"images.image0": True, "images.image1": False, "images.image49": False}
    assert names("ComfyMathExpression", {"values.b": 1})["values.a"] is True


@pytest.mark.parametrize(
    ("received", "wanted", "fit"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("MASK", "*", True),
        ("COMFY_MATCHTYPE_V3", "LATENT", True),
        ("INT", "FLOAT,INT", True),
        ("STRING, INT", "FLOAT,INT", True),
        ("STRING", "FLOAT,INT", False),
        ("STRING", ["a", "b"], False),
        (["a"], ["a"], True),
    ],
)
def test_types_that_fit(received: Any, wanted: Any, fit: bool) -> None:
    assert fits(received, wanted) is fit


def checked(graph: dict[str, Any], version: str, tmp_path: Any) -> Verdict:
    options = EmulatorOptions(comfyui_version=version)
    classes = Catalogue(options, Folders(tmp_path, tmp_path, tmp_path)).classes()
    return validate(graph, classes, lambda _: True, None)


def save_video(**changes: Any) -> dict[str, Any]:
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=0),
        "2": node("CreateVideo", images=["1", 0], fps=24),
        "3": node("SaveVideo", video=["2", 0], filename_prefix="v", **changes),
    }


def test_a_bad_choice_in_the_newer_style_is_refused_from_024_on(tmp_path: Any) -> None:
    """Recorded from 0.3.64 and 0.24.0."""
    graph = save_video(format="BANANA", codec="auto")
    assert checked(graph, "0.3.64", tmp_path).error is None
    [error] = checked(graph, "0.24.0", tmp_path).node_errors["3"]["errors"]
    assert error["details"] == "format: 'BANANA' not in ['auto', 'mp4']"


def test_what_a_dynamic_combo_brings_is_checked(tmp_path: Any) -> None:
    # A combo within another that is not there is no error; 0.33 takes the older `codec` instead.
    assert checked(save_video(format="auto", codec="auto"), "0.33.0", tmp_path).error is None
    good = {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode"}
    best = {"format.codec.encoding.crf": 20, "format.codec.encoding.color_space": "sRGB"}
    assert checked(save_video(**good, **best), "0.33.0", tmp_path).error is None
    bad = {**good, **best, "format.codec.encoding.crf": 99}
    [error] = checked(save_video(**bad), "0.33.0", tmp_path).node_errors["3"]["errors"]
    assert error["type"] == "value_bigger_than_max"
    assert error["extra_info"]["input_name"] == "format.codec.encoding.crf"


def test_optional_inputs_and_lists_as_values(tmp_path: Any) -> None:
    graph = save_video(format="auto", **{"format.codec": "auto"})
    graph["2"]["inputs"]["audio"] = ["1", 0]
    [error] = checked(graph, "0.33.0", tmp_path).node_errors["2"]["errors"]
    assert error["details"] == "audio, received_type(IMAGE) mismatch input_type(AUDIO)"
    wrapped = {
        "1": node("PreviewAny", source={"__value__": [1, 2]}),
    }
    assert checked(wrapped, "0.33.0", tmp_path).error is None
    assert wrapped["1"]["inputs"]["source"] == [1, 2]
