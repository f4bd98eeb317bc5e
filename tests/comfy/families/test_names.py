"""A name tells the family or nothing, and never a wrong one."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.models import DIFFUSION_FOLDERS
from comfy.families.names import finer, named
from comfy.families.table import BASES, FAMILIES

MODELS: Final[dict[str, tuple[str, ...]]] = {
    "sd15": ("v1-5-pruned-emaonly-fp16", "sd15", "sd1.5_base", "sd-v1-5-inpainting", "sd-v1-4"),
    "sd15-lcm": ("sd15_lcm", "LCM_sd1.5"),
    "sd2": ("v2-1_768-ema-pruned", "512-inpainting-ema", "sd2.1"),
    "sdxl": ("sd_xl_base_1.0", "sdxl", "sd_xl_refiner_1.0", "animagineXL40_v4Opt"),
    "sdxl-pony": ("ponyDiffusionV6XL_v6StartWithThisOne", "ponyXL_v1"),
    "sdxl-illustrious": ("illustriousXL_v01", "waiIllustriousSDXL_v150", "Illustrious-XL-v2.0"),
    "sdxl-noobai": ("noobaiXLNAIXL_epsilonPred11Version", "NoobAI-XL-v1.1"),
    "sdxl-noobai-vpred": (
        "noobaiXLNAIXL_vPred10Version",
        "NoobAI-XL-Vpred-v1.0",
        "noobai_vpred",
    ),
    "sdxl-turbo": ("sd_xl_turbo_1.0_fp16", "sdxl-turbo"),
    "sdxl-turbo-merge": ("foo_sdxl_turbo",),
    "sdxl-lightning": ("sdxl_lightning_8step", "sd_xl_lightning"),
    "sdxl-hyper": ("sdxl-hyper", "Hyper-SDXL-8steps", "sdxl_base_v2_hyper"),
    "sdxl-lcm": ("sdxl_lcm", "LCM-SDXL"),
    "sd3-medium": ("sd3_medium", "sd3_medium_incl_clips_t5xxlfp8", "stable-diffusion-3-medium"),
    "sd35-large": ("sd3.5_large_fp8_scaled", "stable-diffusion-3.5-large", "sd35_large"),
    "sd35-large-turbo": ("sd3.5_large_turbo",),
    "sd35-medium": ("sd3.5_medium", "sd3.5_medium_incl_clips_t5xxlfp8scaled"),
    "flux1-dev": ("flux1-dev", "flux1-dev-fp8", "FLUX.1-dev-Q4_K_S", "flux_dev"),
    "flux1-schnell": ("flux1-schnell", "FLUX.1-schnell-fp8", "flux_schnell"),
    "flux1-krea": ("flux1-krea-dev_fp8_scaled", "flux1-dev-krea"),
    "flux1-kontext": ("flux1-dev-kontext_fp8_scaled", "flux1-kontext-dev", "FLUX.1-Kontext-dev"),
    "flux1-fill": (
        "flux1-fill-dev",
        "FLUX.1-Fill-dev",
        "flux.1-fill-dev-OneReward-transformer_fp8",
    ),
    "flux2-dev": ("flux2_dev_fp8mixed", "flux2-dev", "FLUX.2-dev"),
    "flux2-klein-4b": ("flux-2-klein-4b-fp8", "FLUX.2-klein-4B", "flux2_klein_4b"),
    "flux2-klein-9b": ("flux-2-klein-9b", "flux-2-klein-9b-kv-fp8"),
    "flux2-klein-4b-base": ("flux-2-klein-base-4b-fp8", "flux2-klein-4b-base"),
    "flux2-klein-9b-base": ("flux-2-klein-base-9b",),
    "chroma": ("Chroma1-HD-fp8mixed", "chroma-unlocked-v35", "Chroma1-Base"),
    "chroma-radiance": ("Chroma1-Radiance", "chroma-radiance-x0"),
    "qwen-image": ("qwen_image_fp8_e4m3fn", "qwen_image_2512_fp8_e4m3fn", "Qwen-Image-Q4_K_M"),
    "qwen-image-edit": ("qwen_image_edit_fp8_e4m3fn", "QwenImageEdit"),
    "qwen-image-edit-2509": (
        "qwen_image_edit_2509_fp8_e4m3fn",
        "Qwen-Image-Edit-Plus",
        "FireRed-Image-Edit-1.1-transformer",
    ),
    "qwen-image-edit-2511": ("qwen_image_edit_2511_fp8mixed",),
    "z-image": ("z_image_bf16", "Z-Image", "z_image_de_turbo_v1", "zimage_base"),
    "z-image-turbo": ("z_image_turbo_bf16", "zImageTurbo_v1", "Z-Image-Turbo-Q8_0"),
    "krea2": ("krea2_turbo_fp8_scaled", "Krea-2-Turbo"),
    "anima": ("anima-base-v1.0", "anima-preview3-base", "anima_preview"),
    "hidream-full": ("hidream_i1_full_fp8",),
    "hidream-dev": ("hidream_i1_dev_bf16",),
    "hidream-fast": ("hidream_i1_fast_fp8",),
    "lumina2": ("lumina_2", "lumina2", "Lumina-Image-2.0"),
    "netayume": ("NetaYumev35_pretrained_all_in_one", "netayume_lumina"),
    "auraflow": ("aura_flow_0.2", "ponyv7-base", "pony-v7"),
    "cosmos-predict2": ("cosmos_predict2_2B_t2i", "cosmos-predict2-14b-t2i"),
    "ernie-image": ("ernie-image",),
    "ernie-image-turbo": ("ernie-image-turbo",),
    "hunyuan-image": ("hunyuanimage2.1_bf16", "hunyuan_image_2.1"),
}


def test_every_row_has_names() -> None:
    assert set(MODELS) == set(FAMILIES)


@pytest.mark.parametrize("row", MODELS)
@pytest.mark.parametrize("folder", DIFFUSION_FOLDERS)
def test_a_row_s_names_are_known(folder: str, row: str) -> None:
    for stem in MODELS[row]:
        for name in (f"{stem}.safetensors", f"some folder\\{stem}.gguf", f"a/{stem}"):
            found = named(folder, name)
            assert (name, found.family) == (name, row)
            assert not found.is_guess


FOREIGN: Final = (
    "wan2.1_t2v_14B_fp8_scaled", "wan2.2_ti2v_5B_fp16", "Wan21-WanMove_fp8", "wan_animate_2",
    "ltx-2-19b-dev", "ltxv-13b-0.9.7-dev", "hunyuan_video_t2v_720p_bf16",
    "hunyuanvideo1.5_720p_t2v_fp16", "hunyuan3d-dit-v2_fp16", "hunyuan_dit_1.2", "svd_xt",
    "hunyuanimage2.1_refiner_bf16", "cosmos_predict2_2B_video2world_480p_16fps", "pixart_xl_sigma",
    "ace_step_1.5_turbo_aio", "stable-audio-open-1.0", "omnigen2_fp16", "hidream_o1_image_bf16",
    "hidream_e1_1_bf16", "qwen_image_layered_bf16", "qwen_image_2.1_int8_convrot",
    "flux3-image-klein-base-int8-convrot", "flux1-canny-dev", "flux1-depth-dev", "zeta-chroma",
    "z_image_omni", "minimax_h3_fl2va_pruned_int8_convrot", "kandinsky5lite_t2i", "seedvr2_7b",
    "stable_cascade_stage_c", "x4-upscaler-ema", "lotus-depth-d-v1-1", "ideogram4_fp8_scaled",
    "Kolors-xl", "svdq-int4_r32-flux.1-dev", "svdq-fp4_r128-qwen-image-edit-2509-4steps",
    "flux1-dev-bnb-nf4-v2",
)  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("folder", DIFFUSION_FOLDERS)
def test_others_are_named_and_never_guessed(folder: str, name: str) -> None:
    found = named(folder, f"{name}.safetensors")
    assert found.family is None
    assert found.detail.endswith("in its name")


UNKNOWN: Final = (
    "model", "flux", "fluxFusionV24Steps", "flux2", "klein", "chroma", "chromatic", "qwen", "krea",
    "anima", "animaPencil", "animatediff", "hidream", "hidream_i1", "lumina", "sd3", "sd35",
    "turbo", "lightning", "dreamshaper_8", "pony", "my_little_pony", "lens_bf16", "boogu_image",
    "pid_flux1_1024_to_4096_4step_bf16", "moss_image_base", "fibo2_dev", "humo_17B", "swanlake",
    "t5xxl_fp16", "ae", "clip_l", "anything_v3", "realistic_v1.5_pruned", "foo_v2-1_768",
    "flux1-dev_to_sdxl", "z_image_and_chroma1",
)  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_could_be_several_is_unknown(name: str) -> None:
    assert named("diffusion_models", f"{name}.safetensors").family is None


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("dreamshaper_8.safetensors", "sd15"),
        ("v1-5-pruned-emaonly.safetensors", "sd15"),
        ("lcm_dreamshaper_v7.safetensors", "sd15-lcm"),
        ("realistic_v1.5_pruned.safetensors", "sd15"),
        ("folder/juggernautXL_v9.safetensors", "sdxl"),
        ("sdxl/whatever.safetensors", "sdxl"),
        ("ponyDiffusionV6.safetensors", "sdxl-pony"),
        ("cyberrealisticPony_v140.safetensors", "sdxl-pony"),
        ("animaPencilXL_v500.safetensors", "sdxl"),
        ("hassakuXLIllustrious_v31.safetensors", "sdxl-illustrious"),
        ("novaAnimeXL_ilV50noobaiVPred.safetensors", "sdxl-noobai-vpred"),
        ("dreamshaperXL_lightningDPMSDE.safetensors", "sdxl-lightning"),
        ("dreamshaperXL_v21TurboDPMSDE.safetensors", "sdxl-turbo-merge"),
        ("realvisxlV50_v50LightningBakedvae.safetensors", "sdxl-lightning"),
        ("juggernautXL_v1.5-pruned.safetensors", "sdxl"),
        ("hyperrealismXL_v1.safetensors", "sdxl"),
        ("animagine.ckpt", "sdxl"),
    ],
)
def test_checkpoints_are_taken_as_they_always_were(name: str, row: str) -> None:
    assert named("checkpoints", name).family == row


def test_a_guess_says_so() -> None:
    found = named("checkpoints", "dreamshaper_8.safetensors")
    assert found.is_guess
    assert "a guess" in found.detail


@pytest.mark.parametrize(
    ("name", "traits"),
    [
        ("sd-v1-5-inpainting.ckpt", {"inpaint"}),
        ("sd_xl_refiner_1.0.safetensors", {"refiner"}),
        ("sd_xl_base_vpred.safetensors", {"v_prediction"}),
        ("noobaiXLNAIXL_vPred10Version.safetensors", {"v_prediction"}),
        ("z_image_turbo_bf16.safetensors", {"few_steps"}),
        ("z_image_de_turbo.safetensors", set()),
        ("hunyuanimage2.1_distilled.safetensors", {"few_steps"}),
        ("flux1-dev-de-distilled.safetensors", set()),
        ("sd15_hyperrealism.safetensors", set()),
    ],
)
def test_traits_are_words_too(name: str, traits: set[str]) -> None:
    assert named("checkpoints", name).traits == traits


LORAS: Final[dict[str, tuple[str, ...]]] = {
    "sd15": ("lcm-lora-sdv1-5", "Hyper-SD15-8steps-CFG-lora", "add_detail_sd1.5"),
    "sdxl": ("lcm-lora-sdxl", "sdxl_lightning_8step_lora", "Hyper-SDXL-8steps-CFG-lora", "x_pdxl"),
    "flux1": ("uso-flux1-dit-lora-v1", "FLUX.1-Turbo-Alpha", "style_flux_dev", "flux-kontext-x"),
    "flux2-klein-4b": ("flux-2-klein-4B-outpaint-lora",),
    "flux2-klein-9b": ("style_klein_9b",),
    "qwen-image": (
        "Qwen-Image-Lightning-4steps-V1.0",
        "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16",
        "Qwen-Edit-2509-Multiple-angles",
    ),
    "z-image": ("pixel_art_style_z_image_turbo", "zImageTurbo_style"),
    "krea2": ("krea2_darkbrush",),
    "anima": ("anima-turbo-lora-v0.2",),
    "chroma": ("style_chroma1",),
}


@pytest.mark.parametrize("base", LORAS)
def test_a_lora_s_name_tells_its_base(base: str) -> None:
    for name in LORAS[base]:
        assert (name, named("loras", f"x/{name}.safetensors").family) == (name, base)


@pytest.mark.parametrize(
    "name",
    [
        "detail", "my_little_pony", "chroma_key", "anima", "style_flux", "Flux2TurboComfyv2",
        "QWEN_EDIT_ACTION_V1", "add-detail-xl", "lightning", "flux1-depth-dev-lora",
        "wan2.2_t2v_lightx2v_4steps", "sdxl_to_flux1", "ltx2-squish",
    ],
)  # fmt: skip
def test_a_lora_s_name_that_tells_nothing_is_unknown(name: str) -> None:
    assert named("loras", f"{name}.safetensors").family is None


@pytest.mark.parametrize(
    ("name", "base", "traits"),
    [
        ("control_v11p_sd15_canny.pth", "sd15", set()),
        ("control_v11p_sd15s2_lineart_anime.pth", "sd15", set()),
        ("control_v11p_sd15_inpaint.pth", "sd15", {"inpaint"}),
        ("xinsir-controlnet-union-sdxl-1.0-promax.safetensors", "sdxl", {"union"}),
        ("sai_xl_canny_256lora.safetensors", "sdxl", set()),
        ("noob-sdxl-controlnet-depth.safetensors", "sdxl", set()),
        ("sd3.5_large_controlnet_canny.safetensors", "sd35-large", set()),
        ("SD3-Controlnet-Canny.safetensors", "sd3", set()),
        ("FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors", "flux1", {"union"}),
        ("flux-canny-controlnet-v3.safetensors", "flux1", set()),
        ("mistoline_flux.dev_v1.safetensors", "flux1", set()),
        ("Qwen-Image-InstantX-ControlNet-Inpainting.safetensors", "qwen-image", {"inpaint"}),
        ("Z-Image-Turbo-Fun-Controlnet-Union.safetensors", "z-image", {"union"}),
        ("anima-lllite-depth-1.safetensors", "anima", set()),
        ("control-lora-canny-rank256.safetensors", None, set()),
        ("minimax_h3_fun_controlnet_union.safetensors", None, {"union"}),
        ("uso-flux1-projector-v1.safetensors", None, set()),
        ("diffusion_pytorch_model.safetensors", None, set()),
        ("FLUX.2-dev-Fun-Controlnet-Union.safetensors", "flux2-dev", {"union"}),
    ],
)
@pytest.mark.parametrize("folder", ["controlnet", "model_patches"])
def test_a_controlnet_s_name_tells_its_base(
    folder: str, name: str, base: str | None, traits: set[str]
) -> None:
    found = named(folder, name)
    assert found.family == base
    assert base is None or found.traits == traits


@pytest.mark.parametrize(
    ("family", "name", "row"),
    [
        ("flux1-dev", "my-kontext-merge", "flux1-kontext"),
        ("flux1-dev", "flux1-schnell", "flux1-dev"),
        ("flux1-dev", "flux1-fill", "flux1-dev"),
        ("z-image", "anything-turbo", "z-image-turbo"),
        ("z-image", "anything-de-turbo", "z-image"),
        ("z-image", "anythingturbo", "z-image"),
        ("sdxl", "anything-turbo", "sdxl-turbo-merge"),
        ("sdxl", "hyper-realism", "sdxl"),
        ("sd15", "anything-turbo", "sd15"),
        ("sd35-large", "x_turbo", "sd35-large-turbo"),
        ("hidream-full", "x_dev", "hidream-dev"),
        ("krea2", "x_turbo", "krea2"),
    ],
)
def test_a_name_tells_apart_what_a_header_cannot(family: str, name: str, row: str) -> None:
    assert finer(family, f"{name}.safetensors")[0] == row


def test_other_folders_have_no_families() -> None:
    assert named("vae", "flux1-dev.safetensors").family is None


@given(st.sampled_from(["checkpoints", "diffusion_models", "loras", "controlnet", ""]), st.text())
def test_no_name_raises(folder: str, name: str) -> None:
    found = named(folder, name)
    assert found.family is None or found.family in FAMILIES or found.family in BASES


WORDS: Final = st.sampled_from(
    ["flux", "flux1", "dev", "2", "1", "klein", "base", "4b", "qwen", "image", "edit", "2511", "xl",
     "sd", "sdxl", "turbo", "pony", "noobai", "vpred", "anima", "chroma", "z", "v1", "5", "wan"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=8), st.sampled_from("-_. /\\"))
def test_words_in_any_order_tell_one_family_or_none(words: list[str], between: str) -> None:
    found = named("diffusion_models", between.join(words))
    assert found.family is None or found.family in FAMILIES


@pytest.mark.parametrize("name", ["juggernautFlux_v1.safetensors", "Qwen-Rapid-AIO-v5.safetensors"])
def test_merges_of_other_models_are_no_guess_at_stable_diffusion(name: str) -> None:
    found = named("checkpoints", name)
    assert (found.family, found.is_guess) == (None, False)
    assert "in its name" in found.detail
