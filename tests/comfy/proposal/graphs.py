"""A catalogue written by hand, with names of ComfyUI's, and small graphs for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy.importing import (
    AppInput,
    AppMode,
    Findings,
    ImportedGraph,
    Marks,
    NodeMarks,
    OutputNode,
    Place,
    SharedValue,
    Source,
)
from comfy.importing.proposal import propose
from comfy.nodes import NodeCatalogue
from core.workflows.declaration import Input, Workflow

Json = dict[str, Any]

INT: Any = ["INT", {"default": 512, "min": 16, "max": 16384, "step": 8}]
TEXT: Any = ["STRING", {"multiline": True, "dynamicPrompts": True}]
LINE: Any = ["STRING", {"default": ""}]
SEED: Any = ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
COND: Any = ["CONDITIONING"]
STEPS: Any = ["INT", {"default": 20, "min": 1, "max": 10000}]
SIGNED: Json = {"positive": COND, "negative": COND, "latent_image": ["LATENT"]}


def _class(required: Json, *outputs: str, **more: Any) -> Json:
    names = more.pop("names", outputs)
    return {"input": {"required": required}, "output": outputs, "output_name": names, **more}


OBJECT_INFO: Json = {
    "CheckpointLoaderSimple": _class(
        {"ckpt_name": [["a.safetensors", "b.safetensors"]]}, "MODEL", "CLIP", "VAE"
    ),
    "LoraLoaderModelOnly": _class(
        {"model": ["MODEL"], "lora_name": [["x.safetensors"]], "strength_model": ["FLOAT"]}, "MODEL"
    ),
    "CLIPTextEncode": _class({"text": TEXT, "clip": ["CLIP"]}, "CONDITIONING"),
    "AudioEncode": _class({"tags": TEXT, "lyrics": TEXT, "clip": ["CLIP"]}, "CONDITIONING"),
    "EditEncode": _class(
        {"prompt": TEXT, "negative_prompt": TEXT, "image1": ["IMAGE"]},
        "CONDITIONING", "CONDITIONING", names=("positive", "negative"),
    ),
    "ConditioningZeroOut": _class({"conditioning": COND}, "CONDITIONING"),
    "EmptyLatentImage": _class({"width": INT, "height": INT, "batch_size": STEPS}, "LATENT"),
    "LatentUpscale": _class({"samples": ["LATENT"], "width": INT, "height": INT}, "LATENT"),
    "CustomCombo": _class({"choice": ["COMBO", {"options": []}]}, "STRING", "INT"),
    "ResolutionSelector": _class(
        {"aspect_ratio": ["COMBO", {"options": ["1:1", "16:9"]}]}, "INT", "INT"
    ),
    "KSampler": _class(
        {
            "model": ["MODEL"], "seed": SEED, "steps": STEPS,
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
            "sampler_name": [["euler", "heun"]], "scheduler": [["normal", "karras"]],
            **SIGNED,
            "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}],
        },
        "LATENT",
    ),
    "KSamplerAdvanced": _class(
        {"add_noise": [["enable", "disable"]], "noise_seed": SEED, "steps": STEPS, **SIGNED},
        "LATENT",
    ),
    "BasicGuider": _class({"model": ["MODEL"], "conditioning": COND}, "GUIDER"),
    "VAEDecode": _class({"samples": ["LATENT"], "vae": ["VAE"]}, "IMAGE"),
    "VAEEncode": _class({"pixels": ["IMAGE"], "vae": ["VAE"]}, "LATENT"),
    "LoadImage": _class(
        {"image": [["here.png"], {"image_upload": True}]}, "IMAGE", "MASK"
    ),
    "LoadVideo": _class({"file": ["COMBO", {"options": [], "video_upload": True}]}, "VIDEO"),
    "ControlNetApplyAdvanced": _class(
        {"positive": COND, "negative": COND, "image": ["IMAGE"], "strength": ["FLOAT"]},
        "CONDITIONING", "CONDITIONING", names=("positive", "negative"),
    ),
    "PrimitiveInt": _class(
        {"value": ["INT", {"min": -(2**63), "max": 2**63, "control_after_generate": True}]}, "INT"
    ),
    "PrimitiveBoolean": _class({"value": ["BOOLEAN"]}, "BOOLEAN"),
    "PrimitiveStringMultiline": _class({"value": TEXT}, "STRING"),
    "StringConcatenate": _class(
        {"string_a": TEXT, "string_b": TEXT, "delimiter": LINE}, "STRING"
    ),
    "TextGenerate": _class({"clip": ["CLIP"], "prompt": TEXT}, "STRING"),
    "ComfySwitchNode": _class(
        {"switch": ["BOOLEAN"], "on_false": ["*"], "on_true": ["*"]}, "*"
    ),
    "ComfyMathExpression": _class({"expression": LINE, "values.a": ["INT"]}, "FLOAT", "INT"),
    "PreviewAny": _class({"source": ["*"]}, "STRING", output_node=True),
    "PreviewImage": _class({"images": ["IMAGE"]}, output_node=True),
    "ImageCompare": _class({"image_a": ["IMAGE"], "image_b": ["IMAGE"]}, output_node=True),
    "GetImageSize": _class({"image": ["IMAGE"]}, "INT", "INT"),
    "ImageScaleBy": _class({"image": ["IMAGE"], "scale_by": ["FLOAT"]}, "IMAGE"),
    "EmptyImage": _class({"width": INT, "height": INT}, "IMAGE"),
    "SaveImage": _class({"images": ["IMAGE"], "filename_prefix": LINE}, output_node=True),
    "SaveVideo": _class({"video": ["VIDEO"], "filename_prefix": LINE}, output_node=True),
    "DrawBoxes": _class({"width": INT, "height": INT}, "BOXES", output_node=True),
    "CheckpointSave": _class({"model": ["MODEL"], "filename_prefix": LINE}, output_node=True),
    "ETN_Parameter": _class(
        {"name": LINE, "type": LINE, "default": ["*"], "min": ["FLOAT"], "max": ["FLOAT"]}, "*"
    ),
    "PartnerImage": _class(
        {"prompt": TEXT, "aspect_ratio": [["1:1", "2:3"]], "seed": SEED}, "IMAGE", api_node=True
    ),
}  # fmt: skip
CATALOGUE = NodeCatalogue.from_object_info(OBJECT_INFO)


def node(class_type: str, title: str = "", /, **inputs: Any) -> Json:
    """A node; titles are kept in ``_meta`` as ComfyUI has them."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def txt2img(**changed: Json) -> Json:
    """A usual graph: nodes by their ids, ``n7`` for "7"; others are added or take their place."""
    graph = {
        "3": node("KSampler", model=["4", 0], seed=5, steps=20, cfg=8.0, sampler_name="euler",
                  scheduler="normal", positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
                  denoise=1.0),
        "4": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text="a fox", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="ComfyUI"),
    }  # fmt: skip
    return graph | {name.removeprefix("n"): told for name, told in changed.items()}


def imported(graph: Mapping[str, Any], form: Any = "api", **marks: Any) -> ImportedGraph:
    """What reading such a graph gives."""
    ends = tuple(
        OutputNode(node_id, told["class_type"])
        for node_id, told in graph.items()
        if told.get("class_type", "") in OBJECT_INFO
        and OBJECT_INFO[told["class_type"]].get("output_node")
    )
    return ImportedGraph(
        graph, Source(form, "json"), "A title", ends, Findings(), marks=Marks(**marks)
    )


def proposed(graph: Mapping[str, Any], form: Any = "api", **marks: Any) -> Workflow:
    """The proposal for a graph."""
    return propose(imported(graph, form, **marks), CATALOGUE, "one")


def targets(one: Input | None) -> list[str]:
    """Where an input goes, as "6.text"."""
    assert one is not None
    return [f"{target.node}.{target.field}" for target in one.targets]


def of_role(workflow: Workflow, role: Any) -> list[str]:
    """Where the input of a role goes."""
    return targets(workflow.of_role(role))


def promoted(name: str, *places: str, label: str = "", node_id: str = "30") -> SharedValue:
    """A value that a subgraph shows."""
    return SharedValue("promoted", node_id, "", name, label, "*", None, as_places(places))


def app_input(name: str, *places: str, label: str = "") -> AppInput:
    """An input of App mode."""
    return AppInput(places[0].partition(".")[0], name, label, as_places(places))


def app_mode(*inputs: AppInput, outputs: tuple[str, ...] = ()) -> AppMode:
    """A form of App mode."""
    return AppMode(True, inputs, outputs)


def as_places(told: tuple[str, ...]) -> tuple[Place, ...]:
    """ "6.text" as places."""
    parts = (one.partition(".") for one in told)
    return tuple(Place(node_id, name) for node_id, _, name in parts)


def looks(**by_node: NodeMarks) -> dict[str, NodeMarks]:
    """How nodes look, ``n7`` for "7"."""
    return {name.removeprefix("n"): told for name, told in by_node.items()}
