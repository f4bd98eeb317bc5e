"""A folder with model files of headers only, as a ComfyUI has them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.comfy.families.files import FOREIGN, ROWS, SDXL, prefixed, safetensors

_MODEL: Final = "model.diffusion_model."
INK: Final = "styles/ink-wash.safetensors"
ODD: Final = "homemade_v3.safetensors"


def fill(root: Path, loras: int = 0) -> Path:
    """Checkpoints and diffusion models of several families, an odd one, and so many LoRAs more.

    Z-Image has what it needs; Flux.1 lacks one text encoder and its VAE.
    """
    dev = safetensors(ROWS["flux1-dev"])
    whole = safetensors(prefixed(_MODEL, SDXL))
    files = {
        "checkpoints/sd_xl_base_1.0.safetensors": whole,
        "checkpoints/dreamshaper_8.safetensors": safetensors(prefixed(_MODEL, ROWS["sd15"])),
        "diffusion_models/flux1-dev.safetensors": dev,
        "diffusion_models/z_image_turbo.safetensors": safetensors(ROWS["z-image"]),
        "diffusion_models/wan2.2_t2v.safetensors": safetensors(FOREIGN["Wan"]),
        f"diffusion_models/{ODD}": safetensors({"odd": (1,)}),
        "text_encoders/qwen_3_4b.safetensors": b"",
        "text_encoders/clip_l.safetensors": b"",
        "vae/flux_vae.safetensors": b"",
        "vae/sdxl_vae.safetensors": b"",
        "upscale_models/4x-UltraSharp.pth": b"",
        "embeddings/easynegative.safetensors": b"",
        f"loras/{INK}": safetensors({}, _TOLD),
    }
    for number in range(loras):
        files[f"loras/more/sdxl-lora-{number:03}.safetensors"] = b""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


_TOLD: Final = {
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "networks.lora",
    "modelspec.trigger_phrase": "ink wash, 水墨画",
}
