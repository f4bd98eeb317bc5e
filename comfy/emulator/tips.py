"""Tooltips of inputs: where a real node has one, an emulated one has one too, in other words."""

from typing import Any

Inputs = dict[str, list[Any]]

TIPS = {
    "batch_size": "How many images are made at once.",
    "cfg": "How closely the image follows the prompt.",
    "ckpt_name": "The checkpoint to load.",
    "clip": "The text encoder.",
    "denoise": "How much of the image is made anew.",
    "filename_prefix": "How the names of the files begin.",
    "height": "The height in pixels.",
    "images": "The images to keep.",
    "latent_image": "Where sampling starts from.",
    "lora_name": "The LoRA to load.",
    "model": "The model to use.",
    "negative": "What is not to be seen.",
    "positive": "What is to be seen.",
    "sampler_name": "The method of sampling.",
    "samples": "The latents to decode.",
    "scheduler": "How the noise decreases from step to step.",
    "seed": "What the noise is made from.",
    "steps": "How many steps are made.",
    "strength_clip": "How strongly the text encoder is changed.",
    "strength_model": "How strongly the model is changed.",
    "text": "The text to encode.",
    "vae": "What decodes the latents.",
    "width": "The width in pixels.",
}

TIPPED = {
    "CheckpointLoaderSimple",
    "LoraLoader",
    "CLIPTextEncode",
    "SaveImage",
    "EmptyLatentImage",
    "KSampler",
    "VAEDecode",
}
"""The classes whose inputs have them here. Others have them in reality, too."""


def with_tips(inputs: Inputs) -> Inputs:
    """These inputs, each with its tooltip as the last of its options."""
    return {
        name: [config[0], {**(config[1] if len(config) > 1 else {}), "tooltip": TIPS[name]}]
        for name, config in inputs.items()
    }
