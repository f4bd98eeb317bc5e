"""The folders of model files, and which inputs choose from which of them."""

from typing import Any

MODEL_FOLDERS = [
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "latent_upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
    "background_removal",
    "frame_interpolation",
    "geometry_estimation",
    "optical_flow",
    "detection",
]
_FIELDS = {
    "ckpt_name": "checkpoints",
    "config_name": "configs",
    "lora_name": "loras",
    "existing_lora": "loras",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "photomaker_model_name": "photomaker",
    "audio_encoder_name": "audio_encoders",
    "bg_removal_name": "background_removal",
    "model_path": "diffusers",
}
"""Folders by the name of an input, where all classes agree."""
_INPUTS = {
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
    ("LTXAVTextEncoderLoader", "text_encoder"): "text_encoders",
    ("ModelPatchLoader", "name"): "model_patches",
    ("FrameInterpolationModelLoader", "model_name"): "frame_interpolation",
    ("OpticalFlowLoader", "model_name"): "optical_flow",
    ("LoadMoGeModel", "model_name"): "geometry_estimation",
    ("LoadDA3Model", "model_name"): "geometry_estimation",
    ("LoadMediaPipeFaceLandmarker", "model_name"): "detection",
}
_INPUT_FOLDER = {
    ("LoadLatent", "latent"),
    ("GeminiInputFiles", "file"),
    ("OpenAIInputFiles", "file"),
    ("LoadImageSetFromFolderNode", "folder"),
    ("LoadImageTextSetFromFolderNode", "folder"),
    ("LoadTrainingDataset", "folder_name"),
}
"""Inputs that choose from what is in the input folder, besides those that take uploads."""
NO_FILES = ("pixel_space", "[None]", "none")
"""Choices among files that are none."""


def folder_of(class_name: str, field: str, config: list[Any]) -> str | None:
    """The folder that an input chooses a model from, None if it chooses no model."""
    if choices(config) is None:
        return None
    return _INPUTS.get((class_name, field)) or _FIELDS.get(field)


def takes_upload(config: list[Any]) -> str | None:
    """The kind of file that can be uploaded for an input, such as `image`; None for others."""
    options = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    kinds = (key.removesuffix("_upload") for key in options if key.endswith("_upload"))
    return next(kinds, None)


def choices(config: list[Any]) -> list[Any] | None:
    """The choices of an input, however they are written; None if it has none."""
    if isinstance(config[0], list):
        return config[0]
    if config[0] != "COMBO" or len(config) < 2:
        return None
    found = config[1].get("options")
    return found if isinstance(found, list) else None


def file_choices(class_name: str, field: str, config: list[Any]) -> list[str] | None:
    """Those choices of an input that are no files; None if it chooses from no files at all."""
    is_file = (
        folder_of(class_name, field, config) is not None
        or takes_upload(config) is not None
        or (class_name, field) in _INPUT_FOLDER
    )
    offered = choices(config)
    if offered is None or not is_file:
        return None
    return [name for name in offered if name in NO_FILES]
