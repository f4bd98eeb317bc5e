"""Which folder of models an input takes its files from."""

from __future__ import annotations

from typing import Final

_BY_CLASS: Final = {
    "AudioEncoderLoader": "audio_encoders",
    "CLIPLoader": "text_encoders",
    "CLIPVisionLoader": "clip_vision",
    "LatentUpscaleModelLoader": "latent_upscale_models",
    "ModelPatchLoader": "model_patches",
    "PhotoMakerLoader": "photomaker",
    "StyleModelLoader": "style_models",
    "UpscaleModelLoader": "upscale_models",
}
_BY_INPUT: Final = {
    "bg_removal_name": "background_removal",
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "lora_name": "loras",
    "style_model_name": "style_models",
    "text_encoder": "text_encoders",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
}


def folder_of(class_type: str, input_name: str) -> str:
    """The folder, empty where it is not known."""
    return _BY_CLASS.get(class_type) or _BY_INPUT.get(input_name, "")
