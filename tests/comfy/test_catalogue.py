"""The catalogue, read from excerpts of two real servers' /object_info."""

from __future__ import annotations

from typing import Any

import pytest

from comfy import Catalogue
from tests.comfy.data import recorded_json


@pytest.mark.parametrize("version", ["0.3.64", "0.24"])
def test_reads_both_ways_of_writing_choices(version: str) -> None:
    catalogue = Catalogue.from_object_info(recorded_json(f"object_info_{version}"))
    assert "sd15-tiny-random.safetensors" in catalogue.checkpoints
    assert catalogue.loras == ("random-lora.safetensors",)
    assert "random-vae.safetensors" in catalogue.vaes
    assert catalogue.upscalers == ("random-x2-compact.safetensors",)  # the V3 way
    assert "euler" in catalogue.samplers
    assert "karras" in catalogue.schedulers


def test_the_v3_way_may_come_for_any_node() -> None:
    node = {"input": {"required": {"ckpt_name": ["COMBO", {"options": ["a", "b"]}]}}}
    assert Catalogue.from_object_info({"CheckpointLoaderSimple": node}).checkpoints == ("a", "b")


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"CheckpointLoaderSimple": None},
        {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": []}}}},
        {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": ["COMBO"]}}}},
        {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": ["STRING", {}]}}}},
        {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [[1, None], {}]}}}},
    ],
)
def test_what_is_not_there_is_empty(info: dict[str, Any]) -> None:
    assert Catalogue.from_object_info(info) == Catalogue()


def test_survives_a_round_trip_and_keys_of_another_version() -> None:
    catalogue = Catalogue.from_object_info(recorded_json("object_info_0.24"))
    assert catalogue.checkpoints
    assert Catalogue.from_json(catalogue.to_json()) == catalogue
    assert Catalogue.from_json({**catalogue.to_json(), "new": [1]}) == catalogue
    assert Catalogue.from_json({**catalogue.to_json(), "version": 5}) == catalogue
    assert Catalogue.from_json({}) is None
    assert Catalogue.from_json({"version": "0.33.0"}) is None
    assert Catalogue.from_json([1]) is None


def test_a_vae_that_is_no_file_is_left_out() -> None:
    node = {"input": {"required": {"vae_name": [["a.safetensors", "pixel_space"]]}}}
    assert Catalogue.from_object_info({"VAELoader": node}).vaes == ("a.safetensors",)


def test_the_version_is_kept_with_it() -> None:
    catalogue = Catalogue.from_object_info(recorded_json("object_info_0.24"), (), "0.24.1")
    assert catalogue.version == "0.24.1"
    assert Catalogue.from_json(catalogue.to_json()) == catalogue
