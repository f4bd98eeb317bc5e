"""Which models a LoRA was made for, by the layers that it changes and their widths.

The widths are those of ComfyUI's model code (comfy/ldm) and of kohya's trainers; the rules are
tried in this order, and the first that fits counts. LoRAs may change few layers of few blocks, so
a rule needs one that it is sure of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from comfy.families.header import Header
from comfy.families.stems import Layer, Layers, is_lora, layers_of
from comfy.families.verdict import Verdict, foreign, known

_Found = tuple[str, Layer, re.Match[str]]
_Rule = Callable[[Layers], Verdict | None]
_LARGE_BLOCKS: Final = 24
"""SD3 Medium has so many, SD3.5 Large 38."""
_KLEIN_BLOCKS: Final = {"double": 8, "single": 24}
"""Klein has no blocks of these numbers and above, Flux.1 has."""
_FLUX_BLOCKS: Final = {"double": 19, "single": 38}
"""So many blocks has Flux.1; the larger ones that are called alike are others'."""
_FLUX_INNER: Final[Mapping[tuple[str, int | None], str]] = {
    ("linear1", 21504): "flux1",
    ("linear2", 15360): "flux1",
    ("img_mlp_0", 12288): "flux1",
    ("img_mlp_2", 12288): "flux1",
    ("linear1", 27648): "flux2-klein-4b",
    ("linear2", 12288): "flux2-klein-4b",
    ("img_mlp_0", 18432): "flux2-klein-4b",
    ("img_mlp_2", 9216): "flux2-klein-4b",
}
"""What is wider than the hidden size of 3072, which both have (comfy/ldm/flux/layers.py)."""
_HUNYUAN_WIDTH: Final = 3584


def of_lora(header: Header) -> Verdict | None:
    """Returns the base of a LoRA, None for a file that is none."""
    if not is_lora(header):
        return None
    layers = layers_of(header)
    for rule in _RULES:
        verdict = rule(layers)
        if verdict is not None:
            return verdict
    return foreign("lora", "a LoRA for unknown models", "its layers")


def _matching(layers: Layers, pattern: str) -> Iterator[_Found]:
    compiled = re.compile(pattern)
    for stem, layer in layers.of_model.items():
        found = compiled.match(stem)
        if found:
            yield stem, layer, found


def _by(stem: str, layer: Layer) -> str:
    width = layer.takes if layer.takes is not None else layer.gives
    return stem[:60] if width is None else f"{stem[:60]} of width {width}"


def _is(pattern: str, base: str, takes: frozenset[int] = frozenset()) -> _Rule:
    """A rule for layers of one base; ``takes``: the widths that they have, if they need be."""

    def rule(layers: Layers) -> Verdict | None:
        for stem, layer, _ in _matching(layers, pattern):
            if not takes or layer.takes in takes:
                return known("lora", base, _by(stem, layer))
        return None

    return rule


def _other(pattern: str, title: str) -> _Rule:
    def rule(layers: Layers) -> Verdict | None:
        for stem, layer, _ in _matching(layers, pattern):
            return foreign("lora", f"a LoRA for {title}", _by(stem, layer))
        return None

    return rule


def _sd3(layers: Layers) -> Verdict | None:
    if next(_matching(layers, "single_"), None):
        return None
    block = r"(?:joint_blocks|transformer_blocks)_([0-9]{1,4})_"
    own = r"(?:(?:x_block|context_block)_attn|attn_add_[kqv]_proj|attn2|ff_context_net|ff_net)"
    found = list(_matching(layers, f"{block}{own}"))
    for stem, layer, match in found:
        if int(match[1]) >= _LARGE_BLOCKS or layer.takes == 2432:
            return known("lora", "sd35-large", _by(stem, layer))
        if "_attn2_" in f"{stem}_" and layer.takes == 1536:
            return known("lora", "sd35-medium", _by(stem, layer))
    for stem, layer, _ in found:
        if layer.takes == 1536:  # that of the first Medium and of the later one
            return known("lora", "sd3", _by(stem, layer), others=frozenset({"sd35-medium"}))
    return None


def _flux(layers: Layers) -> Verdict | None:
    """Tells the Flux.1 and Flux.2 models apart, and Chroma, whose blocks are Flux.1's."""
    found = list(_matching(layers, r"(double|single)_blocks_([0-9]{1,4})_(.+)"))
    if not found or any(_is_hunyuan(match, layer) for _, layer, match in found):
        return None
    if layers.of_model.get("img_in", Layer()).takes == 128:
        return foreign("lora", "a control LoRA of Flux.1 (Canny or Depth)", "img_in of width 128")
    for stem, layer, match in found:
        base = _flux_by_width(match[3], layer)
        if base is not None and base != "flux1":
            return known("lora", base, _by(stem, layer))
    for stem, layer, match in found:
        if re.match("(img_mod|txt_mod|modulation)_lin", match[3]):
            return known("lora", "flux1", _by(stem, layer))
    for stem, layer, match in found:
        is_late = int(match[2]) >= _KLEIN_BLOCKS[match[1]]
        if is_late or _flux_by_width(match[3], layer) == "flux1":
            return known("lora", "flux1", _by(stem, layer), others=frozenset({"chroma"}))
    stem, layer, _ = found[0]
    return foreign("lora", "a LoRA for a Flux", _by(stem, layer))


def _is_hunyuan(match: re.Match[str], layer: Layer) -> bool:
    """Hunyuan's blocks are called as Flux's, but there are more, and other layers in them."""
    own = "(img|txt)_(attn_[qkv]$|mlp_fc|mod_linear)|modulation_linear"
    is_late = int(match[2]) >= _FLUX_BLOCKS[match[1]]
    return is_late or layer.takes == _HUNYUAN_WIDTH or re.match(own, match[3]) is not None


def _flux_by_width(rest: str, layer: Layer) -> str | None:
    """Returns the base that a layer's width proves, None if it fits several."""
    enters = rest not in {"linear2", "img_mlp_2", "txt_mlp_2"}
    hidden, inner = (layer.takes, layer.gives) if enters else (layer.gives, layer.takes)
    by_hidden = {6144: "flux2-dev", 4096: "flux2-klein-9b"}.get(hidden or 0)
    return by_hidden or _FLUX_INNER.get((rest.replace("txt_", "img_"), inner))


def _flux_diffusers(layers: Layers) -> Verdict | None:
    own = r"(attn_to_[qkv]|proj_mlp|proj_out|norm_linear)$"
    for stem, layer, _ in _matching(layers, f"single_transformer_blocks_[0-9]+_{own}"):
        if layer.takes in {3072, 15360}:
            return known("lora", "flux1", _by(stem, layer), others=frozenset({"chroma"}))
    own = "attn_to_qkv_mlp_proj$"
    for stem, layer, _ in _matching(layers, f"single_transformer_blocks_[0-9]+_{own}"):
        base = {6144: "flux2-dev", 4096: "flux2-klein-9b", 3072: "flux2-klein-4b"}
        if layer.takes in base:
            return known("lora", base[layer.takes], _by(stem, layer))
    for stem, layer, _ in _matching(layers, "transformer_blocks_[0-9]+_ff_context_net"):
        if layer.takes in {3072, 12288}:
            return known("lora", "flux1", _by(stem, layer))
    return None


def _qwen(layers: Layers) -> Verdict | None:
    """Its attention alone could be Flux's, in the names of diffusers; but that has few blocks."""
    if next(_matching(layers, "single_"), None):
        return None
    own = "(img_mlp_net_|img_mod_1$|txt_mod_1$|txt_mlp_net_)"
    for stem, layer, _ in _matching(layers, f"transformer_blocks_[0-9]+_{own}"):
        if layer.takes in {3072, 12288}:
            return known("lora", "qwen-image", _by(stem, layer))
    own = "attn_(add_[kqv]_proj|to_[kqv]|to_add_out|to_out_0)$"
    for stem, layer, match in _matching(layers, f"transformer_blocks_([0-9]{{1,4}})_{own}"):
        if layer.takes == 3072 and int(match[1]) >= _FLUX_BLOCKS["double"]:
            return known("lora", "qwen-image", _by(stem, layer))
    return None


def _anima(layers: Layers) -> Verdict | None:
    """Anima's blocks are those of Cosmos Predict2; only its adapter and its encoder are its own."""
    attention = "(self_attn|cross_attn)_(q_proj|k_proj|v_proj|output_proj)$"
    block = f"blocks_[0-9]+_({attention}|mlp_layer[12]$|adaln_modulation_)"
    for stem, layer, _ in _matching(layers, "llm_adapter_"):
        return known("lora", "anima", _by(stem, layer))
    for stem, layer, _ in _matching(layers, block):
        if layer.takes == 5120 or layer.gives == 5120:
            return known("lora", "cosmos-predict2", _by(stem, layer))
        if any(name.startswith("lora_te_layers_") for name in layers.of_encoder):
            return known("lora", "anima", "lora_te_layers")
        if layer.takes in {2048, 8192} or layer.gives in {2048, 8192}:
            others = frozenset({"cosmos-predict2"})
            return known("lora", "anima", _by(stem, layer), others=others)
    return None


_UNET: Final = r"(input_blocks|output_blocks|middle_block|down_blocks|up_blocks|mid_block)_"


def _unet(layers: Layers) -> Verdict | None:
    """The context's width is the one sure sign; without it the blocks that have attention are."""
    contexts = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
    for stem, layer, _ in _matching(layers, f"{_UNET}.*_attn2_(processor_)?to_[kv]$"):
        if layer.takes in contexts:
            return known("lora", contexts[layer.takes], _by(stem, layer))
        if layer.takes == 1280:
            return foreign("lora", "a LoRA for the SDXL refiner", _by(stem, layer))
    deep = f"{_UNET}.*_transformer_blocks_[2-9]_"
    for stem, layer, _ in _matching(layers, deep):
        return known("lora", "sdxl", _by(stem, layer))
    shallow = r"(down_blocks_0_attentions|input_blocks_[12]_1_|up_blocks_3_attentions)"
    for stem, layer, _ in _matching(layers, shallow):
        widths = {one.takes for name, one in layers.of_encoder.items() if name.endswith("q_proj")}
        if 768 in widths:
            return known("lora", "sd15", _by(stem, layer))
        if 1024 in widths:
            return known("lora", "sd2", _by(stem, layer))
        return known("lora", "sd15", _by(stem, layer), others=frozenset({"sd2"}))
    for stem, layer, _ in _matching(layers, _UNET):
        return foreign("lora", "a LoRA for a Stable Diffusion", _by(stem, layer))
    return None


_BLOCK: Final = r"blocks_[0-9]+_"
_T_BLOCK: Final = r"transformer_blocks_[0-9]+_"
_LAYER: Final = r"(layers|noise_refiner|context_refiner)_[0-9]+_"
_RULES: Final[tuple[_Rule, ...]] = (
    _is(r"(double_layers_[0-9]+_attn_w|single_layers_[0-9]+_attn_w|joint_transformer_blocks_[0-9]+_)",
        "auraflow"),
    _is(r"(double|single)_stream_blocks_[0-9]+_block_", "hidream"),
    _is("distilled_guidance_layer_", "chroma"),
    _flux,
    _is(r"(double|single)_blocks_[0-9]+_", "hunyuan-image", frozenset({_HUNYUAN_WIDTH, 14336})),
    _other(r"(double|single)_blocks_[0-9]+_", "HunyuanVideo"),
    _flux_diffusers,
    _other("single_transformer_blocks_", "unknown models with the blocks of Flux"),
    _is(rf"({_T_BLOCK}(attn_to_gate|ff_(gate|up|down))$|text_fusion_|txtfusion_|"
        rf"{_BLOCK}attn_(wq|wk|wv|wo|gate)$)", "krea2"),
    _other(rf"{_T_BLOCK}img_mlp_(gate_up|proj|w1)$", "Qwen-Image 2.1 or Lens"),
    _qwen,
    _sd3,
    _other(rf"{_T_BLOCK}attn[12]_", "LTX-Video or another of diffusers"),
    _is(r"layers_[0-9]+_(self_attention_|mlp_(gate_proj|up_proj|linear_fc2)$)", "ernie-image",
        frozenset({4096, 12288})),
    _is(rf"{_LAYER}(attention_|feed_forward_w)", "z-image", frozenset({3840, 10240})),
    _is(rf"{_LAYER}(attention_|feed_forward_w)", "lumina2", frozenset({2304, 9216})),
    _other(rf"{_LAYER}attention_", "unknown models like Lumina"),
    _anima,
    _other(rf"_?{_BLOCK}((self_attn|cross_attn)_[qkvo]|cross_attn_[kv]_img|ffn_[02])$",
           "Wan (video)"),
    _other(rf"{_BLOCK}(attn_qkv_proj|adaln_proj_linear)$", "MiniMax H3 (video)"),
    _unet,
)  # fmt: skip
