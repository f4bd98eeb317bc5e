"""What a ControlNet or a model patch was made for, and how it is to be applied."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy.families.header import Header
from comfy.families.headers import of_header
from comfy.families.table import BASES
from tests.comfy.families.files import SD15, SDXL, Shapes, prefixed

_FIRST: Final = {"controlnet_blocks.0.weight": (3072, 3072)}
_HINT: Final = {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}
_CROSS: Final = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_ZERO: Final = {"zero_convs.0.0.weight": (320, 320, 1, 1)}
_QWEN: Final = {**_FIRST, "transformer_blocks.0.img_mlp.net.0.proj.weight": (12288, 3072)}
_SD3: Final = {**_FIRST, "transformer_blocks.0.adaLN_modulation.1.bias": (9216,)}
_NETS: Final[tuple[tuple[str, Shapes, str, set[str]], ...]] = (
    ("classic SD1.5", prefixed("control_model.", {**SD15, **_ZERO}), "sd15", set()),
    ("classic SD1.5, bare", {**SD15, **_ZERO}, "sd15", set()),
    ("classic SDXL", prefixed("control_model.", {**SDXL, **_ZERO}), "sdxl", set()),
    ("diffusers SD1.5", {**_HINT, _CROSS: (320, 768)}, "sd15", set()),
    ("diffusers SD2", {**_HINT, _CROSS: (320, 1024)}, "sd2", set()),
    (
        "diffusers SDXL",
        {**_HINT, "add_embedding.linear_1.weight": (1280, 2816), _CROSS: (320, 768)},
        "sdxl",
        set(),
    ),
    (
        "union SDXL",
        {
            **_HINT,
            "add_embedding.linear_1.weight": (1280, 2816),
            "control_add_embedding.linear_1.bias": (1280,),
        },
        "sdxl",
        {"union"},
    ),
    (
        "control-lora SDXL",
        {"lora_controlnet": (), "label_emb.0.0.up": (1280, 128), "input_hint_block.0.weight": (1,)},
        "sdxl",
        set(),
    ),
    (
        "XLabs",
        {**_FIRST, "double_blocks.0.img_attn.norm.key_norm.scale": (128,), "img_in.weight": (1, 1)},
        "flux1",
        set(),
    ),
    ("InstantX Flux", {**_FIRST, "controlnet_x_embedder.weight": (3072, 64)}, "flux1", set()),
    (
        "union Flux",
        {
            **_FIRST,
            "controlnet_x_embedder.weight": (3072, 64),
            "controlnet_mode_embedder.weight": (10, 3072),
        },
        "flux1",
        {"union"},
    ),
    ("alimama", {**_FIRST, "controlnet_x_embedder.weight": (3072, 68)}, "flux1", {"inpaint"}),
    ("MistoLine", {"controlnet_blocks.0.linear.weight": (3072, 3072)}, "flux1", set()),
    (
        "SD3.5 Large",
        {**_SD3, "pos_embed_input.proj.weight": (2432, 16, 2, 2)},
        "sd35-large",
        set(),
    ),
    (
        "SD3 inpaint",
        {
            **_SD3,
            "pos_embed_input.proj.weight": (1536, 17, 2, 2),
            "pos_embed.proj.weight": (1536, 16, 2, 2),
        },
        "sd3",
        {"inpaint"},
    ),
    (
        "InstantX Qwen",
        {**_QWEN, "controlnet_x_embedder.weight": (3072, 64)},
        "qwen-image",
        set(),
    ),
    (
        "InstantX Qwen inpaint",
        {**_QWEN, "controlnet_x_embedder.weight": (3072, 68)},
        "qwen-image",
        {"inpaint"},
    ),
    (
        "Fun Qwen",
        {
            "control_img_in.weight": (3072, 132),
            "control_blocks.0.after_proj.weight": (3072, 3072),
        },
        "qwen-image",
        set(),
    ),
    ("light adapter", {"body.0.in_conv.weight": (1,)}, "sd15", set()),
    (
        "adapter SD1.5",
        {"conv_in.weight": (320, 192, 3, 3), "body.0.block2.weight": (1,)},
        "sd15",
        set(),
    ),
    (
        "adapter SDXL",
        {
            "adapter.conv_in.weight": (320, 768, 3, 3),
            "adapter.body.0.resnets.0.block1.weight": (1,),
        },
        "sdxl",
        set(),
    ),
)
_PATCHES: Final[tuple[tuple[str, Shapes, str, set[str]], ...]] = (
    ("LLLite", {"lllite_conditioning1.conv1.weight": (16, 3, 4, 4)}, "anima", set()),
    (
        "DiffSynth",
        {"controlnet_blocks.0.y_rms.weight": (3072,), "img_in.weight": (3072, 64)},
        "qwen-image",
        set(),
    ),
    (
        "DiffSynth inpaint",
        {"controlnet_blocks.0.y_rms.weight": (3072,), "img_in.weight": (3072, 68)},
        "qwen-image",
        {"inpaint"},
    ),
    (
        "Z-Image Fun",
        {
            "control_all_x_embedder.2-1.weight": (3840, 132),
            "control_noise_refiner.0.attention.k_norm.weight": (128,),
        },
        "z-image",
        {"union"},
    ),
)


@pytest.mark.parametrize(("what", "shapes", "base", "traits"), _NETS)
def test_a_controlnet_is_known(what: str, shapes: Shapes, base: str, traits: set[str]) -> None:
    found = of_header(Header(shapes))
    assert (found.kind, found.family) == ("controlnet", base)
    assert found.traits == traits


@pytest.mark.parametrize(("what", "shapes", "base", "traits"), _PATCHES)
def test_a_model_patch_is_known(what: str, shapes: Shapes, base: str, traits: set[str]) -> None:
    found = of_header(Header(shapes))
    assert (found.kind, found.family) == ("model_patch", base)
    assert found.traits == traits


@pytest.mark.parametrize(
    ("title", "shapes"),
    [
        ("Qwen-Image 2.1", {
            "control_img_in.weight": (1,),
            "control_blocks.0.img_mlp.out.weight": (1,),
            "control_blocks.0.after_proj.weight": (1,),
        }),
        ("a difference", {**SD15, **_ZERO, "difference": ()}),
        ("Uni3C", {"controlnet_patch_embedding.weight": (1,)}),
        ("SUPIR", {"control_model.input_hint_block.0.weight": (1,), **SDXL}),
        ("USO", {"feature_embedder.mid_layer_norm.bias": (1,)}),
        ("HunyuanDiT", {"after_proj_list.18.bias": (1,)}),
        ("a Stable Diffusion 3", {**_SD3, "pos_embed_input.proj.weight": (99, 16, 2, 2)}),
        ("T2I-Adapter", {"conv_in.weight": (320, 5, 3, 3), "body.0.block2.weight": (1,)}),
    ],
)  # fmt: skip
def test_what_is_none_of_ours_is_named(title: str, shapes: Shapes) -> None:
    found = of_header(Header(shapes))
    assert found.kind in {"controlnet", "model_patch"}
    assert found.family is None
    assert title in found.detail


NAMES: Final = sorted({name for _, shapes, *_ in (*_NETS, *_PATCHES) for name in shapes})
SHAPES: Final = st.lists(st.integers(0, 4000), max_size=5).map(tuple)


@given(st.dictionaries(st.sampled_from(NAMES), SHAPES, max_size=6))
def test_no_shapes_raise(shapes: dict[str, tuple[int, ...]]) -> None:
    found = of_header(Header(shapes))
    assert found.kind not in {"controlnet", "model_patch"} or found.family in {None, *BASES}
