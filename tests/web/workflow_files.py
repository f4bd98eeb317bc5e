"""Files of workflows, as ComfyUI writes them, for the emulator's node classes."""

from __future__ import annotations

import io
import json
from typing import Any, Final

from PIL import Image, PngImagePlugin

from comfy.emulator import EmulatorOptions

CHECKPOINT: Final = EmulatorOptions().checkpoints[0]
FOX: Final[dict[str, Any]] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}},
    "4": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 384, "batch_size": 1},
    },
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7, "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal",
            "denoise": 1, "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0],
            "latent_image": ["4", 0],
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "fox"}},
    "8": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
}  # fmt: skip
"""In API form; it saves an image, and shows it beside."""


def lacking(model: str = "not-there.safetensors", node: str = "FancyUpscaler") -> dict[str, Any]:
    """The same, with a model and a node class that no ComfyUI has."""
    return {
        **FOX,
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}},
        "9": {"class_type": node, "inputs": {"image": ["6", 0]}},
    }


def png(graph: dict[str, Any]) -> bytes:
    """An image that ComfyUI saved: it carries its workflow."""
    told = PngImagePlugin.PngInfo()
    told.add_text("prompt", json.dumps(graph))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=told)
    return file.getvalue()
