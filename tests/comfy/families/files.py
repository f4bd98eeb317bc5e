"""Model files of headers only, as ComfyUI's own detection would know them: no numbers inside.

Names and shapes are the least that tells a model; their sources are ComfyUI's model_detection.py
and supported_models.py, and SwarmUI's T2IModelClassSorter.cs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

Shapes = Mapping[str, tuple[int, ...]]

_KEY_NORM: Final = "double_blocks.0.img_attn.norm.key_norm.scale"
_FLUX1: Final = {
    _KEY_NORM: (128,),
    "img_in.weight": (3072, 64),
    "vector_in.in_layer.weight": (3072, 768),
    "txt_in.weight": (3072, 4096),
}
_DEV: Final = {**_FLUX1, "guidance_in.in_layer.weight": (3072, 256)}
_QWEN: Final = {"txt_norm.weight": (3584,), "img_in.weight": (3072, 64)}
_Z_IMAGE: Final = {
    "cap_embedder.1.weight": (3840, 2560),
    "noise_refiner.0.attention.k_norm.weight": (128,),
    "cap_pad_token": (1, 3840),
}
_LUMINA2: Final = {
    "cap_embedder.1.weight": (2304, 2304),
    "noise_refiner.0.attention.k_norm.weight": (96,),
}
_SD3_QKV: Final = "joint_blocks.0.context_block.attn.qkv.weight"
_SD3_NORM: Final = "joint_blocks.0.context_block.attn.ln_q.weight"
_HUNYUAN: Final = "txt_in.individual_token_refiner.blocks.0.norm1.weight"
_CHROMA: Final = {_KEY_NORM: (128,), "distilled_guidance_layer.norms.0.scale": (5120,)}
_COSMOS: Final = {
    "blocks.0.mlp.layer1.weight": (8192, 2048),
    "x_embedder.proj.1.weight": (2048, 68),
}
_UNET: Final = {"input_blocks.0.0.weight": (320, 4, 3, 3)}
_CROSS: Final = "transformer_blocks.0.attn2.to_k.weight"
SD15: Final = {**_UNET, f"input_blocks.1.1.{_CROSS}": (320, 768)}
SDXL: Final = {
    **_UNET,
    "label_emb.0.0.weight": (1280, 2816),
    f"input_blocks.4.1.{_CROSS}": (640, 2048),
}


def flux2(hidden: int) -> Shapes:
    """A Flux.2 of that hidden size."""
    return {
        _KEY_NORM: (128,),
        "img_in.weight": (hidden, 128),
        "double_stream_modulation_img.lin.weight": (6 * hidden, hidden),
    }


ROWS: Final[Mapping[str, Shapes]] = {
    "sd15": SD15,
    "sd2": {**_UNET, f"input_blocks.1.1.{_CROSS}": (320, 1024)},
    "sdxl": SDXL,
    "sd3-medium": {_SD3_QKV: (4608, 1536), "x_embedder.proj.weight": (1536, 16, 2, 2)},
    "sd35-large": {
        _SD3_QKV: (7296, 2432), _SD3_NORM: (64,), "x_embedder.proj.weight": (2432, 16, 2, 2),
    },
    "sd35-medium": {
        _SD3_QKV: (4608, 1536), _SD3_NORM: (64,), "x_embedder.proj.weight": (1536, 16, 2, 2),
        "joint_blocks.0.x_block.attn2.qkv.weight": (4608, 1536),
    },
    "flux1-dev": _DEV,
    "flux1-schnell": _FLUX1,
    "flux1-fill": {**_DEV, "img_in.weight": (3072, 384)},
    "flux2-dev": flux2(6144),
    "flux2-klein-4b": flux2(3072),
    "flux2-klein-9b": flux2(4096),
    "chroma": {**_CHROMA, "img_in.weight": (3072, 64)},
    "chroma-radiance": {
        **_CHROMA, "nerf_blocks.0.norm.scale": (64,), "img_in_patch.weight": (3072, 3, 16, 16),
    },
    "qwen-image": _QWEN,
    "qwen-image-edit-2511": {**_QWEN, "__index_timestep_zero__": (0,)},
    "z-image": _Z_IMAGE,
    "krea2": {"txtfusion.projector.weight": (1, 12), "first.weight": (6144, 64)},
    "anima": {**_COSMOS, "llm_adapter.blocks.0.cross_attn.q_proj.weight": (1024, 1024)},
    "hidream-full": {"caption_projection.0.linear.weight": (2560, 4096)},
    "lumina2": _LUMINA2,
    "auraflow": {
        "double_layers.0.attn.w1q.weight": (3072, 3072), "cond_seq_linear.weight": (3072, 2048),
    },
    "cosmos-predict2": _COSMOS,
    "ernie-image": {
        "layers.0.mlp.linear_fc2.weight": (4096, 12288),
        "x_embedder.proj.weight": (4096, 128, 1, 1),
    },
    "hunyuan-image": {_HUNYUAN: (3584,), "img_in.proj.weight": (3584, 64, 1, 1)},
}  # fmt: skip
"""The rows that a header tells."""

FOREIGN: Final[Mapping[str, Shapes]] = {
    "HunyuanVideo": {
        _HUNYUAN: (3072,), "img_in.proj.weight": (3072, 16, 1, 2, 2),
        "vector_in.in_layer.weight": (3072, 768),
    },
    "HunyuanVideo 1.5": {
        _HUNYUAN: (2048,), "img_in.proj.weight": (2048, 65, 1, 1, 1),
        "vision_in.proj.0.weight": (1152,),
    },
    "Hunyuan Image refiner": {_HUNYUAN: (3328,), "img_in.proj.weight": (3328, 128, 1, 1, 1)},
    "Flux.1 Canny": {**_DEV, "img_in.weight": (3072, 128)},
    "LongCat-Image": {
        _KEY_NORM: (128,), "img_in.weight": (3072, 64), "txt_in.weight": (3072, 3584),
    },
    "Ovis": {
        **_FLUX1, "double_blocks.0.img_mlp.gate_proj.weight": (12288, 3072),
        "txt_norm.weight": (1,),
    },
    "a Flux.2": flux2(1024),
    "Ming-Image": {**_LUMINA2, "cap_embedder.1.weight": (3840, 2560)},
    "Zeta-Chroma": {**_Z_IMAGE, "dec_net.cond_embed.weight": (1, 1)},
    "Z-Image Omni": {**_Z_IMAGE, "siglip_embedder.0.weight": (1152,)},
    "NewBie": {**_LUMINA2, "clip_text_pooled_proj.0.weight": (1024,)},
    "Qwen-Image-Layered": {**_QWEN, "time_text_embed.addition_t_embedding.weight": (2, 3072)},
    "Qwen-Image 2.1": {"txt_in.text_norm.weight": (1,), "modulation.1.weight": (1,)},
    "a relative of Qwen-Image": {"txt_norm.weight": (2560,), "proj_out.weight": (128, 3072)},
    "Cosmos Predict2 (video)": {**_COSMOS, "x_embedder.proj.1.weight": (2048, 72)},
    "Wan": {"head.modulation": (1, 2, 5120)},
    "LTX-Video": {"adaln_single.emb.timestep_embedder.linear_1.bias": (2048,)},
    "HiDream-O1": {
        "t_embedder1.mlp.0.weight": (1, 1), "x_embedder.proj1.weight": (1, 1),
        "model.language_model.layers.0.self_attn.q_proj.weight": (4096, 4096),
    },
    "MiniMax H3": {"video_patch_proj.weight": (1, 1), "audio_patch_proj.weight": (1, 1)},
    "OmniGen 2": {"time_caption_embed.timestep_embedder.linear_1.bias": (1,)},
    "Stable Cascade": {"clf.1.weight": (1, 1)},
    "Stable Video Diffusion": {
        **_UNET, "input_blocks.0.0.weight": (320, 8, 3, 3),
        "input_blocks.1.0.time_stack.in_layers.0.weight": (320,),
    },
    "InstructPix2Pix": {**SD15, "input_blocks.0.0.weight": (320, 8, 3, 3)},
    "x4 upscaler": {**SD15, "input_blocks.0.0.weight": (256, 7, 3, 3)},
    "a relative of Stable Diffusion": {**_UNET, "label_emb.0.0.weight": (1280, 5632)},
    "Nunchaku": {**_DEV, "single_blocks.0.linear1.wscales": (48, 3072)},
}  # fmt: skip
"""Models that are known, but none of Easel's, by a part of what the verdict calls them."""

PARTS: Final[Mapping[str, Shapes]] = {
    "vae": {"decoder.conv_in.weight": (512, 16, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)},
    "vae of wan": {"decoder.middle.0.residual.0.gamma": (384, 1, 1, 1)},
    "vae of diffusers": {
        "decoder.mid_block.resnets.0.norm1.weight": (512,),
        "encoder.conv_in.weight": (128, 3, 3, 3),
        "quant_conv.weight": (8, 8, 1, 1),
    },
    "clip": {"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)},
    "open clip": {"transformer.resblocks.0.ln_1.weight": (1280,)},
    "t5": {"encoder.block.0.layer.0.SelfAttention.k.weight": (4096, 4096)},
    "qwen": {
        "model.layers.0.self_attn.q_norm.weight": (128,),
        "model.layers.0.mlp.down_proj.weight": (2560, 9728),
    },
    "qwen vl": {
        "model.layers.0.self_attn.k_proj.bias": (512,),
        "visual.blocks.0.mlp.linear_fc2.weight": (1280, 3420),
    },
    "clip vision": {"vision_model.encoder.layers.0.mlp.fc1.weight": (4304, 1152)},
    "redux": {"redux_down.weight": (4096, 12288)},
    "embedding": {"emb_params": (8, 768)},
    "embedding of SDXL": {"clip_l": (8, 768), "clip_g": (8, 1280)},
    "upscaler": {"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)},
}  # fmt: skip
"""Files beside models."""


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    """The same tensors with something before their names."""
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


def whole(model: Shapes) -> Shapes:
    """A checkpoint of Stable Diffusion: the model with a text encoder and a VAE beside it."""
    return {
        **prefixed("model.diffusion_model.", model),
        **prefixed("conditioner.embedders.0.transformer.", PARTS["clip"]),
        **prefixed("first_stage_model.", PARTS["vae"]),
    }


def safetensors(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file of a header only."""
    header: dict[str, object] = {
        name: {"dtype": "BF16", "shape": list(shape), "data_offsets": [0, 0]}
        for name, shape in shapes.items()
    }
    if metadata is not None:
        header["__metadata__"] = dict(metadata)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def gguf(shapes: Shapes, metadata: Mapping[str, str | int | list[int] | list[str]]) -> bytes:
    """A GGUF file of a header only."""
    entries = b"".join(_text(name) + _value(value) for name, value in metadata.items())
    tensors = b"".join(
        _text(name)
        + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        + struct.pack("<IQ", 0, 0)
        for name, shape in shapes.items()
    )
    return b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)) + entries + tensors


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: str | int | list[int] | list[str]) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, int):
        return struct.pack("<Ii", 5, value)
    words = b"".join(
        _text(one) if isinstance(one, str) else struct.pack("<i", one) for one in value
    )
    kind = 8 if value and isinstance(value[0], str) else 5
    return struct.pack("<IIQ", 9, kind, len(value)) + words


def written(path: Path, content: bytes) -> Path:
    """Writes a file and returns its path."""
    path.write_bytes(content)
    return path
