"""What a LoRA was made for is known by the layers that it changes, however they are called."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.header import Header
from comfy.families.headers import of_header
from comfy.families.table import BASES
from tests.comfy.families.files import Shapes


def kohya(stem: str, takes: int, gives: int) -> Shapes:
    return {
        f"lora_unet_{stem.replace('.', '_')}.lora_down.weight": (16, takes),
        f"lora_unet_{stem.replace('.', '_')}.lora_up.weight": (gives, 16),
        f"lora_unet_{stem.replace('.', '_')}.alpha": (),
    }


def generic(stem: str, takes: int, gives: int) -> Shapes:
    return {
        f"diffusion_model.{stem}.lora_A.weight": (16, takes),
        f"diffusion_model.{stem}.lora_B.weight": (gives, 16),
    }


def peft(stem: str, takes: int, gives: int) -> Shapes:
    return {
        f"transformer.{stem}.lora_A.default.weight": (16, takes),
        f"transformer.{stem}.lora_B.default.weight": (gives, 16),
    }


def lokr(stem: str, takes: int, gives: int) -> Shapes:
    return {
        f"lycoris_{stem.replace('.', '_')}.lokr_w1": (gives // 64, takes // 64),
        f"lycoris_{stem.replace('.', '_')}.lokr_w2_a": (64, 8),
        f"lycoris_{stem.replace('.', '_')}.lokr_w2_b": (8, 64),
    }


def loha(stem: str, takes: int, gives: int) -> Shapes:
    return {
        f"lora_unet_{stem.replace('.', '_')}.hada_w1_a": (gives, 8),
        f"lora_unet_{stem.replace('.', '_')}.hada_w1_b": (8, takes),
        f"lora_unet_{stem.replace('.', '_')}.hada_w2_a": (gives, 8),
        f"lora_unet_{stem.replace('.', '_')}.hada_w2_b": (8, takes),
    }


def difference(stem: str, takes: int, gives: int) -> Shapes:
    return {f"diffusion_model.{stem}.diff": (gives, takes)}


FORMS: Final = (kohya, generic, peft, lokr, loha, difference)
_CROSS: Final = "transformer_blocks.0.attn2.to_k"
SURE: Final[tuple[tuple[str, int, int, str], ...]] = (
    (f"input_blocks.1.1.{_CROSS}", 768, 320, "sd15"),
    (f"down_blocks.0.attentions.0.{_CROSS}", 768, 320, "sd15"),
    (f"down_blocks.0.attentions.0.{_CROSS}", 1024, 320, "sd2"),
    (f"input_blocks.4.1.{_CROSS}", 2048, 640, "sdxl"),
    (f"down_blocks.1.attentions.0.{_CROSS}", 2048, 640, "sdxl"),
    ("down_blocks.2.attentions.0.transformer_blocks.7.attn1.to_q", 1280, 1280, "sdxl"),
    ("joint_blocks.3.context_block.attn.qkv", 1536, 4608, "sd3"),
    ("joint_blocks.3.x_block.attn2.qkv", 1536, 4608, "sd35-medium"),
    ("joint_blocks.3.context_block.attn.qkv", 2432, 7296, "sd35-large"),
    ("transformer_blocks.37.attn.add_k_proj", 2432, 2432, "sd35-large"),
    ("transformer_blocks.3.attn.add_k_proj", 1536, 1536, "sd3"),
    ("double_layers.0.attn.w1q", 3072, 3072, "auraflow"),
    ("double_stream_blocks.0.block.ff_i.shared_experts.w1", 2560, 6912, "hidream"),
    ("double_blocks.0.img_mlp.0", 3072, 12288, "flux1"),
    ("single_blocks.0.linear1", 3072, 21504, "flux1"),
    ("single_blocks.30.modulation.lin", 3072, 9216, "flux1"),
    ("single_transformer_blocks.3.attn.to_q", 3072, 3072, "flux1"),
    ("single_blocks.0.linear1", 3072, 27648, "flux2-klein-4b"),
    ("single_blocks.0.linear2", 12288, 3072, "flux2-klein-4b"),
    ("double_blocks.0.img_attn.qkv", 4096, 12288, "flux2-klein-9b"),
    ("single_blocks.0.linear1", 6144, 55296, "flux2-dev"),
    ("single_transformer_blocks.0.attn.to_qkv_mlp_proj", 6144, 55296, "flux2-dev"),
    ("distilled_guidance_layer.layers.0.in_layer", 5120, 5120, "chroma"),
    ("double_blocks.0.img_attn.qkv", 3584, 10752, "hunyuan-image"),
    ("transformer_blocks.0.img_mlp.net.0.proj", 3072, 12288, "qwen-image"),
    ("transformer_blocks.59.attn.to_q", 3072, 3072, "qwen-image"),
    ("layers.0.attention.qkv", 3840, 11520, "z-image"),
    ("layers.0.feed_forward.w1", 3840, 10240, "z-image"),
    ("layers.0.attention.qkv", 2304, 6912, "lumina2"),
    ("layers.0.self_attention.to_q", 4096, 4096, "ernie-image"),
    ("blocks.0.attn.wq", 6144, 6144, "krea2"),
    ("transformer_blocks.0.attn.to_gate", 6144, 6144, "krea2"),
    ("txtfusion.projector", 64, 64, "krea2"),
    ("blocks.0.self_attn.q_proj", 2048, 2048, "anima"),
    ("llm_adapter.blocks.0.cross_attn.q_proj", 1024, 1024, "anima"),
    ("blocks.0.mlp.layer1", 5120, 20480, "cosmos-predict2"),
)


@pytest.mark.parametrize(("stem", "takes", "gives", "base"), SURE)
@pytest.mark.parametrize("form", FORMS)
def test_one_layer_is_enough_in_every_trainer_s_form(
    form: object, stem: str, takes: int, gives: int, base: str
) -> None:
    assert callable(form)
    found = of_header(Header(form(stem, takes, gives)))
    assert (found.kind, found.family) == ("lora", base)


FOREIGN: Final[tuple[tuple[str, int, int, str], ...]] = (
    ("blocks.0.cross_attn.k", 5120, 5120, "Wan"),
    ("blocks.0.ffn.0", 1536, 8960, "Wan"),
    ("double_blocks.0.img_mlp.fc1", 3072, 12288, "HunyuanVideo"),
    ("single_blocks.39.linear1", 3072, 21504, "HunyuanVideo"),
    ("transformer_blocks.0.attn1.to_q", 2048, 2048, "LTX-Video"),
    ("transformer_blocks.0.img_mlp.gate_up", 3072, 12288, "Qwen-Image 2.1"),
    ("blocks.0.attn.qkv_proj", 3072, 9216, "MiniMax H3"),
    ("double_blocks.0.img_attn.qkv", 3072, 9216, "a Flux"),
    ("input_blocks.4.1.transformer_blocks.0.attn2.to_k", 1280, 640, "refiner"),
    ("transformer_blocks.3.attn.to_q", 3072, 3072, "unknown"),  # Flux.1's or Qwen-Image's
    ("something.else", 3, 3, "unknown"),
)


@pytest.mark.parametrize(("stem", "takes", "gives", "title"), FOREIGN)
@pytest.mark.parametrize("form", [kohya, generic])
def test_what_was_made_for_others_or_for_several_has_no_base(
    form: object, stem: str, takes: int, gives: int, title: str
) -> None:
    assert callable(form)
    found = of_header(Header(form(stem, takes, gives)))
    assert (found.kind, found.family) == ("lora", None)
    assert title in found.detail


def test_a_control_lora_of_flux_is_not_taken_for_a_common_one() -> None:
    shapes = {
        "img_in.lora_A.weight": (128, 128),
        "img_in.lora_B.weight": (3072, 128),
        "double_blocks.0.img_attn.qkv.lora_A.weight": (128, 3072),
        "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
        "single_blocks.0.linear1.lora_B.weight": (21504, 128),
    }
    found = of_header(Header(shapes))
    assert (found.kind, found.family) == ("lora", None)
    assert "Canny or Depth" in found.detail


def test_a_style_s_processor_is_flux1_s() -> None:
    shapes = {"single_blocks.37.processor.qkv_lora.up.weight": (9216, 128)}
    assert of_header(Header(shapes)).family == "flux1"


def test_the_oldest_form_of_diffusers_is_known() -> None:
    stem = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k"
    shapes = {f"{stem}_lora.down.weight": (4, 768), f"{stem}_lora.up.weight": (320, 4)}
    assert of_header(Header(shapes)).family == "sd15"


def test_the_text_encoder_s_part_is_no_sign_of_sdxl() -> None:
    shapes = {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (16, 768),
        **kohya("single_blocks.0.modulation.lin", 3072, 9216),
    }
    assert of_header(Header(shapes)).family == "flux1"


@pytest.mark.parametrize(
    ("width", "family", "others"), [(768, "sd15", set()), (1024, "sd2", set())]
)
def test_without_the_context_the_encoder_tells_sd15_from_sd2(
    width: int, family: str, others: set[str]
) -> None:
    shapes = {
        **kohya("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 320, 320),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight": (16, width),
    }
    found = of_header(Header(shapes))
    assert found.family == family
    assert found.others == others


def test_chroma_and_cosmos_are_named_where_their_layers_are_another_s() -> None:
    """What the maker wrote decides between them."""
    flux = of_header(Header(kohya("single_blocks.0.linear1", 3072, 21504)))
    anima = of_header(Header(kohya("blocks.0.self_attn.q_proj", 2048, 2048)))
    assert flux.family == "flux1"
    assert flux.others == {"chroma"}
    assert anima.family == "anima"
    assert anima.others == {"cosmos-predict2"}


def test_anima_s_encoder_proves_it() -> None:
    shapes = {
        **kohya("blocks.0.self_attn.q_proj", 2048, 2048),
        "lora_te_layers_0_self_attn_q_proj.lora_down.weight": (16, 1024),
    }
    assert of_header(Header(shapes)).others == frozenset()


def test_a_model_is_no_lora() -> None:
    assert of_header(Header({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)})).kind != "lora"


ENDINGS: Final = st.sampled_from(
    [".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lokr_w1", ".lokr_w2", ".diff", ""]
)
STEMS: Final = st.sampled_from([stem for stem, *_ in (*SURE, *FOREIGN)]) | st.text()
NAMES: Final = st.builds("lora_unet_{}{}".format, STEMS, ENDINGS)


@given(st.dictionaries(NAMES, st.lists(st.integers(0, 9000), max_size=5).map(tuple), max_size=6))
def test_no_layers_raise(shapes: dict[str, tuple[int, ...]]) -> None:
    found = of_header(Header(shapes))
    assert found.family is None or found.family in BASES


def test_numbers_without_end_are_no_numbers() -> None:
    shapes = kohya(f"double_blocks.{'9' * 5000}.img_attn.qkv", 3072, 9216)
    assert of_header(Header(shapes)).family is None
