"""Nodes that mark inputs for other tools, from files for a ComfyUI that does not know them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.comfy.importing.workflows import node, read, save, ui


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (
            "ComfyUIDeployExternalText",
            ["idea", "a fox", "Idea", "What you want"],
            {"input_id": "idea", "default_value": "a fox", "display_name": "Idea"},
        ),
        (
            "ComfyUIDeployExternalSeed",
            ["seed", 7, "randomize", 0, 99, "Seed", ""],
            {"default_value": 7, "min_value": 0, "max_value": 99, "display_name": "Seed"},
        ),
        (
            "ETN_Parameter",
            ["1. Steps", "number (integer)", 20, 1, 50],
            {"name": "1. Steps", "default": 20, "max": 50},
        ),
        (
            "SwarmInputInteger",
            ["Chance", 4, "fixed", 1, 0, 9, 9, "seed", "", 0, False, "seed"],
            {"title": "Chance", "value": 4, "step": 1, "view_type": "seed", "raw_id": "seed"},
        ),
        ("CPackInputInt", [5], {"value": 5}),
    ],
)
def test_their_values_have_names(kind: str, values: list[Any], expected: dict[str, Any]) -> None:
    marking = node(1, kind, values, outputs=["IMAGE"])

    found = read(ui([marking, save(1)], [[1, 1, 0, 99, 0, "IMAGE"]]))

    inputs = found.graph["1"]["inputs"]
    assert {name: inputs[name] for name in expected} == expected
