"""The model files that the emulator of ``easel up`` says it has, beside its checkpoints.

With them every built-in workflow can be tried without a ComfyUI, on models that are loaded in
different ways. Their names tell their families; the parts have the names that ComfyUI's own
templates give them.
"""

from __future__ import annotations

from typing import Final

STAND_INS: Final = (
    "diffusion_models/emulator-flux1-dev.safetensors",
    "diffusion_models/emulator-qwen-image-edit-2511.safetensors",
    "text_encoders/clip_l.safetensors",
    "text_encoders/t5xxl_fp16.safetensors",
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "vae/ae.safetensors",
    "vae/qwen_image_vae.safetensors",
    "upscale_models/emulator-4x.pth",
    "controlnet/emulator-sd15-canny.safetensors",
    "loras/emulator-sd15-lora.safetensors",
    "loras/emulator-sdxl-lora.safetensors",
    "loras/emulator-flux1-lora.safetensors",
    "loras/emulator-qwen-image-lora.safetensors",
)
