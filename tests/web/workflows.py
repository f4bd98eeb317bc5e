"""Imported workflows for tests of the page: their graphs are never carried out."""

from __future__ import annotations

from typing import Any, Final

from core.workflows.declaration import Workflow

_NODE: Final = {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "color": 0}}


def an_input(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "targets": [{"node": "1", "field": name}], **values}


def a_workflow(name: str, title: str, kind: str, *inputs: dict[str, Any]) -> Workflow:
    """A workflow with one output of the kind."""
    return Workflow.model_validate(
        {
            "name": name,
            "title": title,
            "inputs": list(inputs),
            "outputs": [{"node": "2", "kind": kind, "name": kind, "primary": True}],
            "graph": {
                "1": _NODE,
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
            },
        }
    )


CLIP: Final = a_workflow(
    "clip",
    "A clip",
    "video",
    an_input("words", type="longtext", role="prompt", required=True, label="What happens"),
    an_input("start", type="image", role="init_image", label="First picture"),
    an_input("seed", type="seed", role="seed", label="Noise seed"),
    an_input(
        "wide", type="integer", role="width", default=832, minimum=64, maximum=1280, multiple_of=16
    ),
    an_input(
        "high", type="integer", role="height", default=480, minimum=64, maximum=1280, multiple_of=16
    ),
    an_input("length", type="integer", role="length", default=81, minimum=1, maximum=161),
    an_input("shade", type="choice", choices=["red", "blue"], default="red", group="Look"),
    an_input("loop", type="boolean", default=False),
    an_input(
        "loras",
        type="list",
        max_length=3,
        label="LoRAs",
        targets=[],
        default=[{"name": "one", "strength": 1.0}],
        items={
            "name": "lora",
            "type": "group",
            "fields": [
                {"name": "name", "type": "text", "label": "File"},
                {"name": "strength", "type": "number", "default": 1.0, "maximum": 2},
            ],
        },
    ),
    an_input("shift", type="number", default=3.0, minimum=0, maximum=10, advanced=True),
)
"""A video from a prompt and perhaps a picture, with most kinds of inputs."""
ENLARGE: Final = a_workflow(
    "enlarge", "Enlarge", "image", an_input("picture", type="image", required=True)
)
"""An image from an image: it has no prompt."""
