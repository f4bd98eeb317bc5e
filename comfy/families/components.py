"""What is no diffusion model, but a part beside one: text encoders, VAEs, upscalers and others.

Source: comfy/sd.py of ComfyUI (detect_te_model, VAE) and SwarmUI's T2IModelClassSorter.
"""

from __future__ import annotations

from typing import Final

from comfy.families.header import Header
from comfy.families.tensors import Tensors
from comfy.families.verdict import Kind, Verdict, foreign

_PARTS: Final[tuple[tuple[str, Kind, str], ...]] = (
    ("taesd_decoder.1.weight", "vae", "a VAE for previews"),
    ("vquantizer.codebook.weight", "vae", "a VAE of Stable Cascade"),
    ("pixel_space_vae", "vae", "a VAE"),
    ("decoder.conv_in.weight", "vae", "a VAE"),
    ("decoder.conv_in.conv.weight", "vae", "a VAE of video models"),
    ("decoder.middle.0.residual.0.gamma", "vae", "a VAE of Wan or Qwen-Image"),
    ("decoder.up_blocks.0.resnets.0.norm1.weight", "vae", "a VAE"),
    ("decoder.unpatcher3d.wavelets", "vae", "a VAE of Cosmos"),
    ("decoder.blocks.2.blocks.3.stack.5.weight", "vae", "a VAE of Mochi"),
    ("redux_down.weight", "style_model", "Flux.1 Redux"),
    ("style_embedding", "style_model", "a style model"),
    ("emb_params", "embedding", "an embedding"),
    ("image_proj.proj.weight", "unknown", "an IP-Adapter"),
    ("params_ema", "upscaler", "an upscaler"),
    ("layers.0.residual_group.blocks.0.norm1.weight", "upscaler", "an upscaler"),
    ("body.0.rdb1.conv1.weight", "upscaler", "an upscaler"),
    ("model.1.sub.0.RDB1.conv1.0.weight", "upscaler", "an upscaler"),
)
_VISION: Final = ("vision_model.encoder.layers.0.", "visual.transformer.resblocks.0.")
_ENCODERS: Final = (
    "text_model.encoder.layers.0.",
    "transformer.resblocks.0.ln_1.",
    "encoder.block.0.layer.0.SelfAttention.",
    "model.layers.0.self_attn.",
    "model.language_model.layers.0.",
    "model.encoder.layers.0.mixer.",
    "transformer.text_model.encoder.layers.0.",
)
_ENCODER_ARCHITECTURES: Final = frozenset(
    {"t5", "t5encoder", "llama", "mistral3", "qwen2", "qwen2vl", "qwen3", "qwen3vl", "gemma2",
     "gemma3", "clip", "bert"}
)  # fmt: skip
"""Of GGUF files: what llama.cpp calls them."""
_OF_VAE: Final = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "bn.")
_HALVES: Final = ("encoder.", "decoder.")


def of_component(header: Header) -> Verdict | None:
    """Returns what part a file is, None if it is none that is known."""
    if header.architecture in _ENCODER_ARCHITECTURES:
        return Verdict("text_encoder", None, f"a text encoder, by {header.architecture} in it")
    tensors = Tensors.of(header)
    for name, kind, title in _PARTS:
        if tensors.has(name):
            return foreign(kind, title, name)
    for begin in _ENCODERS:
        if tensors.has_any(begin):
            return foreign("text_encoder", "a text encoder", begin.rstrip("."))
    for begin in _VISION:
        if tensors.has_any(begin):
            return foreign("clip_vision", "a CLIP vision model", begin.rstrip("."))
    if tensors.has("clip_g", "clip_l"):
        return foreign("embedding", "an embedding", "clip_g")
    return None


def of_autoencoder(header: Header) -> Verdict | None:
    """Returns that a file is some VAE, if it has the halves of one and nothing else.

    For what no other rule knows: some audio models begin so too.
    """
    names = header.tensors
    has_halves = all(any(name.startswith(half) for name in names) for half in _HALVES)
    if has_halves and all(name.startswith(_OF_VAE) for name in names):
        return foreign("vae", "a VAE", "encoder and decoder")
    return None
