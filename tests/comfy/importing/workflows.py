"""A small catalogue written by hand, and workflows in both forms for it."""

from __future__ import annotations

import json
from typing import Any

from comfy.importing import ImportedGraph, read_workflow
from comfy.nodes import NodeCatalogue

Json = dict[str, Any]


def _class(required: Json, outputs: list[str], optional: Json | None = None, **more: Any) -> Json:
    return {
        "input": {"required": required, "optional": optional or {}},
        "output": outputs,
        "output_name": outputs,
        **more,
    }


INT: Any = ["INT", {"default": 1, "min": 0, "max": 1000}]
TEXT: Any = ["STRING", {"default": "", "multiline": True}]
CODEC: Any = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "auto", "inputs": {}},
            {"key": "h264", "inputs": {"required": {"crf": ["INT", {"default": 23, "max": 51}]}}},
        ]
    },
]
OBJECT_INFO: Json = {
    "Checkpoint": _class({"ckpt_name": [["sd15.safetensors", "xl/sdxl.safetensors"]]}, ["MODEL"]),
    "Encode": _class({"text": TEXT, "clip": ["MODEL"]}, ["CONDITIONING"]),
    "Sampler": _class(
        {
            "model": ["MODEL"],
            "seed": ["INT", {"default": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 100}],
            "sampler_name": [["euler", "heun"]],
            "positive": ["CONDITIONING"],
        },
        ["IMAGE"],
        {"denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}]},
    ),
    "LoadImage": _class({"image": [["here.png"], {"image_upload": True}]}, ["IMAGE", "MASK"]),
    "Scale": _class({"image": ["IMAGE"], "width": INT, "height": INT}, ["IMAGE"]),
    "Batch": _class(
        {
            "images": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"image": ["IMAGE", {}]}},
                        "prefix": "image",
                        "min": 1,
                        "max": 4,
                    }
                },
            ]
        },
        ["IMAGE"],
    ),
    "PrimitiveInt": _class({"value": ["INT", {"control_after_generate": "fixed"}]}, ["INT"]),
    "Forced": _class(
        {"seed": ["INT", {"forceInput": True}], "name": ["STRING", {}], "count": INT}, ["IMAGE"]
    ),
    "Box": _class({"image": ["IMAGE"], "values": ["COLORS", {"default": ["#fff"]}]}, ["IMAGE"]),
    "MakeVideo": _class({"images": ["IMAGE"], "fps": INT}, ["VIDEO"]),
    "SaveVideo": _class(
        {
            "video": ["VIDEO"],
            "filename_prefix": ["STRING", {"default": "video/ComfyUI"}],
            "format": CODEC,
        },
        [],
        output_node=True,
    ),
    "SaveImage": _class(
        {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
        [],
        output_node=True,
    ),
    "PreviewAny": _class({"source": ["*"]}, ["STRING"], output_node=True),
    "PreviewModel": _class({"model_file": ["FILE_3D"]}, [], output_node=True),
    "PaidImage": _class({"prompt": TEXT, "api_key": ["STRING", {}]}, ["IMAGE"], api_node=True),
}
CATALOGUE = NodeCatalogue.from_object_info(OBJECT_INFO)


def node(
    node_id: int | str,
    kind: str,
    values: Any = None,
    inputs: list[Json] | None = None,
    outputs: list[str] | None = None,
    **more: Any,
) -> Json:
    """A node in UI form."""
    return {
        "id": node_id,
        "type": kind,
        "mode": 0,
        "inputs": inputs or [],
        "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs or []],
        "widgets_values": values,
        **more,
    }


def socket(name: str, kind: str, link: int | None = None, *, widget: bool = False) -> Json:
    """An input of a node in UI form."""
    told: Json = {"name": name, "type": kind, "link": link}
    return {**told, "widget": {"name": name}} if widget else told


def ui(nodes: list[Json], links: list[list[Any]], **more: Any) -> Json:
    """A workflow in UI form."""
    return {"nodes": nodes, "links": links, "version": 0.4, **more}


def save(link: int, node_id: int = 99) -> Json:
    """A save node in UI form."""
    return node(node_id, "SaveImage", ["ComfyUI"], [socket("images", "IMAGE", link)])


def load(node_id: int = 1) -> Json:
    """A node that loads a picture, in UI form."""
    return node(node_id, "LoadImage", ["here.png", "image"], outputs=["IMAGE", "MASK"])


def scale(link: int | None, node_id: int = 2, values: Any = (64, 64), **more: Any) -> Json:
    """A node from picture to picture, in UI form."""
    return node(
        node_id,
        "Scale",
        list(values),
        [
            socket("image", "IMAGE", link),
            socket("width", "INT", more.pop("width_link", None), widget=True),
            socket("height", "INT", more.pop("height_link", None), widget=True),
        ],
        ["IMAGE"],
        **more,
    )


def read(document: Any, name: str = "some.json") -> ImportedGraph:
    """A document, imported."""
    return read_workflow(json.dumps(document).encode(), name, CATALOGUE)


def inputs_of(imported: ImportedGraph, node_id: str) -> Json:
    """The inputs of one node of an imported graph."""
    found: Json = imported.graph[node_id]["inputs"]
    return found


API: Json = {
    "1": {"class_type": "Checkpoint", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "2": {"class_type": "Encode", "inputs": {"text": "a fox", "clip": ["1", 0]}},
    "3": {
        "class_type": "Sampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 5,
            "steps": 20,
            "sampler_name": "euler",
            "positive": ["2", 0],
        },
        "_meta": {"title": "The sampler"},
    },
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
}
"""A sound graph in API form."""
UI: Json = ui(
    [
        node(1, "Checkpoint", ["sd15.safetensors"], outputs=["MODEL"]),
        node(2, "Encode", ["a fox"], [socket("clip", "MODEL", 1)], ["CONDITIONING"]),
        node(
            3,
            "Sampler",
            [5, "randomize", 20, "euler", 1.0],
            [socket("model", "MODEL", 2), socket("positive", "CONDITIONING", 3)],
            ["IMAGE"],
            title="The sampler",
        ),
        node(4, "SaveImage", ["x"], [socket("images", "IMAGE", 4)]),
    ],
    [
        [1, 1, 0, 2, 0, "MODEL"],
        [2, 1, 0, 3, 0, "MODEL"],
        [3, 2, 0, 3, 1, "CONDITIONING"],
        [4, 3, 0, 4, 0, "IMAGE"],
    ],
)
"""The same in UI form."""
