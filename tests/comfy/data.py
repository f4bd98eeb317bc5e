"""Fragments recorded from real ComfyUI servers, and requests to try things with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from core.requests import ResolvedRequest
from core.workflows.declaration import Workflow

_DATA = Path(__file__).parents[1] / "data"


def recorded_bytes(name: str) -> bytes:
    return (_DATA / f"comfy_{name}").read_bytes()


def recorded_json(name: str) -> Any:
    return json.loads(recorded_bytes(f"{name}.json"))


def recorded_messages(name: str) -> list[str]:
    return recorded_bytes(f"messages_{name}.jsonl").decode().splitlines()


def resolved(**changes: Any) -> ResolvedRequest:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "workflow": "txt2img",
        "model": "sd15.safetensors",
        "width": 64,
        "height": 64,
        "steps": 2,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 5,
        "batch_size": 1,
        "priority": "interactive",
        "timeout_s": 600,
        "metadata": {},
    }
    return ResolvedRequest(**{**values, **changes})


TWIN: Final = Workflow.model_validate_json(
    """{"name": "twin", "title": "Twin", "inputs": [
        {"name": "image", "type": "image", "required": true,
         "targets": [{"node": "1", "field": "image"}]}],
    "outputs": [{"node": "2", "kind": "image", "name": "twin", "primary": true}],
    "graph": {"1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
              "2": {"class_type": "SaveImage",
                    "inputs": {"images": ["1", 0], "filename_prefix": "x"}}}}"""
)
"""It saves the picture that it is given."""
PAID: Final = Workflow.model_validate_json(
    """{"name": "paid", "title": "Paid", "inputs": [
        {"name": "prompt", "type": "text", "role": "prompt", "default": "a fox",
         "targets": [{"node": "1", "field": "prompt"}]}],
    "outputs": [{"node": "2", "kind": "image", "name": "paid", "primary": true}],
    "requires": {"classes": ["FluxProUltraImageNode", "SaveImage"],
                 "paid": ["FluxProUltraImageNode"]},
    "graph": {"1": {"class_type": "FluxProUltraImageNode",
                    "inputs": {"prompt": "a fox", "prompt_upsampling": false, "seed": 1,
                               "aspect_ratio": "16:9", "raw": false}},
              "2": {"class_type": "SaveImage",
                    "inputs": {"images": ["1", 0], "filename_prefix": "x"}}}}"""
)
"""Its picture is made by a paid service."""
PAID_GRAPH: Final[dict[str, Any]] = PAID.graph or {}
