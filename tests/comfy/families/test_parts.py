"""The right text encoder and the right VAE out of a long list, and none rather than a wrong one."""

from __future__ import annotations

import itertools
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.family import Encoder, Vae
from comfy.families.parts import find_encoder, find_vae, missing_part
from comfy.families.table import FAMILIES

ENCODERS: Final[dict[Encoder, tuple[str, ...]]] = {
    "clip_l": ("clip_l.safetensors", "sd1\\clip_l_fp16.safetensors", "CLIP-L.gguf"),
    "clip_g": ("clip_g.safetensors",),
    "t5xxl": (
        "t5xxl_fp16.safetensors",
        "t5xxl_fp8_e4m3fn_scaled.safetensors",
        "t5-v1_1-xxl-encoder-Q5_K_M.gguf",
        "flux/t5xxl_fp8_e4m3fn.safetensors",
    ),
    "old_t5xxl": (
        "oldt5_xxl_fp8_e4m3fn_scaled.safetensors",
        "old_t5_xxl.safetensors",
        "old_t5xxl_cosmos.safetensors",
    ),
    "clip_l_hidream": ("clip_l_hidream.safetensors", "long_clip_l_hi_dream.safetensors"),
    "clip_g_hidream": ("clip_g_hidream.safetensors", "long_clip_g_hi_dream.safetensors"),
    "llama_3.1_8b": (
        "llama_3.1_8b_instruct_fp8_scaled.safetensors",
        "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
    ),
    "mistral_3_small": (
        "mistral_3_small_flux2_bf16.safetensors",
        "mistral_3_small_flux2_fp4_mixed.safetensors",
        "Mistral-Small-3.2-24B-Instruct-2506-Q4_K_M.gguf",
    ),
    "ministral_3_3b": ("ministral-3-3b.safetensors",),
    "qwen_2.5_vl_7b": (
        "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "qwen_2.5_vl_7b.safetensors",
        "Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf",
    ),
    "byt5_glyph": ("byt5_small_glyphxl_fp16.safetensors",),
    "qwen_3_0.6b": ("qwen_3_06b_base.safetensors", "qwen_3_600m.safetensors"),
    "qwen_3_4b": (
        "qwen_3_4b.safetensors",
        "Qwen3-4B-Q4_K_M.gguf",
        "z/qwen_3_4b_fp8_mixed.safetensors",
    ),
    "qwen_3_8b": ("qwen_3_8b_fp8mixed.safetensors", "qwen_3_8b_fp4mixed.safetensors"),
    "qwen_3_vl_4b": ("qwen3vl_4b_fp8_scaled.safetensors", "Qwen3-VL-4B-Instruct-Q8_0.gguf"),
    "gemma_2_2b": ("gemma_2_2b_fp16.safetensors",),
}
NO_ENCODERS: Final = (
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "models_t5_umt5-xxl-enc-bf16.safetensors",
    "t5-base.safetensors",
    "t5gemma_b_b_ul2.safetensors",
    "pile_t5xl_auraflow.safetensors",
    "flan_t5_xxl_fp16.safetensors",
    "t5xxl-unchained-f16.safetensors",
    "qwen_0.6b_ace15.safetensors",
    "qwen_1.7b_ace15.safetensors",
    "qwen_4b_ace15.safetensors",
    "qwen3.5_4b.safetensors",
    "qwen3vl_8b_fp8_scaled.safetensors",
    "qwen3vl_32b_minimax_h3.safetensors",
    "qwen_2.5_vl_fp16.safetensors",
    "Qwen2.5-VL-7B-Instruct-mmproj-BF16.gguf",
    "mmproj-Qwen3-VL-4B-Instruct-F16.gguf",
    "Qwen3-Embedding-4B-Q8_0.gguf",
    "llava_llama3_fp8_scaled.safetensors",
    "llama_3.2_3b.safetensors",
    "gemma_3_12B_it.safetensors",
    "ernie-image-prompt-enhancer.safetensors",
    "ministral-3-3b-prompt-enhancer.safetensors",
    "clip_vision_h.safetensors",
    "long_clip_l.safetensors",
    "mistral-7b.safetensors",
    "readme.txt",
    "t5xxl_fp16",
    "",
)
VAES: Final[dict[Vae, tuple[str, ...]]] = {
    "sd15": ("vae-ft-mse-840000-ema-pruned.safetensors", "vae-ft-mse-840000-ema-pruned.ckpt"),
    "sdxl": ("sdxl_vae.safetensors", "sdxl_vae_fp16_fix.safetensors", "sdxl.vae.safetensors"),
    "sd3": ("sd3_vae.safetensors", "sd3.5_vae.safetensors"),
    "flux1": (
        "ae.safetensors",
        "flux\\ae.safetensors",
        "FLUX1/ae.sft",
        "ae_bf16.safetensors",
        "flux_vae.safetensors",
        "flux1-ae.safetensors",
        "flux/diffusion_pytorch_model.safetensors",
        "z_image_turbo_vae.safetensors",
    ),
    "flux2": ("flux2-vae.safetensors", "full_encoder_small_decoder.safetensors"),
    "qwen_image": ("qwen_image_vae.safetensors",),
    "wan_2.1": ("wan_2.1_vae.safetensors", "Wan2_1_VAE_bf16.safetensors"),
    "hunyuan_image": ("hunyuan_image_2.1_vae_fp16.safetensors",),
    "pixel_space": ("pixel_space",),
}
NO_VAES: Final = (
    "qwen_image_layered_vae.safetensors",
    "qwen_image_2.1_vae_bf16.safetensors",
    "flux2-vae_small.safetensors",
    "wan2.2_vae.safetensors",
    "wan_alpha_2.1_vae_rgb_channel.safetensors",
    "hunyuan_video_vae_bf16.safetensors",
    "hunyuanvideo15_vae_fp16.safetensors",
    "hunyuan_image_refiner_vae_fp16.safetensors",
    "ltx_audio_vae.safetensors",
    "mochi_vae.safetensors",
    "taesd",
    "taef1",
    "taesdxl",
    "some.vae.safetensors",
    "vae.safetensors",
    "",
)
EVERY_ENCODER: Final = (*itertools.chain(*ENCODERS.values()), *NO_ENCODERS)
EVERY_VAE: Final = (*itertools.chain(*VAES.values()), *NO_VAES)


@pytest.mark.parametrize("kind", get_args(Encoder))
def test_an_encoder_is_found_among_all_others(kind: Encoder) -> None:
    others = [name for name in EVERY_ENCODER if name not in ENCODERS[kind]]
    assert find_encoder(kind, others) is None
    for name in ENCODERS[kind]:
        assert find_encoder(kind, [*others, name]) == name


@pytest.mark.parametrize("kind", get_args(Vae))
def test_a_vae_is_found_among_all_others(kind: Vae) -> None:
    others = [name for name in EVERY_VAE if name not in VAES[kind]]
    assert find_vae(kind, others) is None
    for name in VAES[kind]:
        assert find_vae(kind, [*others, name]) == name


def test_the_most_usual_counts_and_then_the_shortest() -> None:
    t5 = ENCODERS["t5xxl"]
    assert find_encoder("t5xxl", reversed(t5)) == "t5xxl_fp16.safetensors"
    assert find_encoder("t5xxl", t5[1:]) == "flux/t5xxl_fp8_e4m3fn.safetensors"
    qwen = ("qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_2.5_vl_7b.safetensors")
    assert find_encoder("qwen_2.5_vl_7b", qwen) == "qwen_2.5_vl_7b.safetensors"
    both = ("qwen_3_4b.gguf", "qwen_3_4b_fp8_mixed.safetensors")
    assert find_encoder("qwen_3_4b", both) == "qwen_3_4b_fp8_mixed.safetensors"
    alike = ("b/clip_l.safetensors", "a/clip_l.safetensors")
    assert find_encoder("clip_l", alike) == "a/clip_l.safetensors"


def test_of_two_vaes_of_flux_the_original_counts() -> None:
    assert find_vae("flux1", ["flux_vae.safetensors", "x/ae.safetensors"]) == "x/ae.safetensors"


@pytest.mark.parametrize("kind", get_args(Encoder))
def test_a_missing_encoder_has_a_file_that_would_be_found(kind: Encoder) -> None:
    said = missing_part(kind)
    _, _, rest = said.partition("models/text_encoders/")
    assert find_encoder(kind, [rest.split()[0]]) is not None


@pytest.mark.parametrize("kind", [kind for kind in get_args(Vae) if kind != "pixel_space"])
def test_a_missing_vae_has_a_file_that_would_be_found(kind: Vae) -> None:
    _, _, rest = missing_part(kind).partition("models/vae/")
    assert find_vae(kind, [rest.split()[0]]) is not None


def test_what_comfyui_brings_itself_is_no_file() -> None:
    assert "0.3.60" in missing_part("pixel_space")
    assert find_vae("pixel_space", ["pixel_space.safetensors"]) is None


def test_every_row_s_parts_can_be_found_and_named() -> None:
    for family in FAMILIES.values():
        if family.parts:
            kinds = (*family.parts.encoders, family.parts.vae)
            assert all(missing_part(kind) for kind in kinds)


@given(st.text(), st.sampled_from(get_args(Encoder)), st.sampled_from(get_args(Vae)))
def test_no_name_raises(name: str, encoder: Encoder, vae: Vae) -> None:
    assert find_encoder(encoder, [name]) in {None, name}
    assert find_vae(vae, [name]) in {None, name}
