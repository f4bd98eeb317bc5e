"""Which models a ControlNet or a model patch was made for.

The order and the names are those of comfy/controlnet.py (load_controlnet) and of
comfy_extras/nodes_model_patch.py (ModelPatchLoader) of ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from comfy.families.header import Header
from comfy.families.models import Trait
from comfy.families.tensors import Tensors
from comfy.families.unets import of_layers
from comfy.families.verdict import Kind, Verdict, foreign, known

_Judge = Callable[[Tensors, str], Verdict]
_FIRST: Final = "controlnet_blocks.0.weight"
_ENTRY: Final = "controlnet_x_embedder.weight"
_MASKED: Final = {68: True, 64: False}
"""Four times the latent's channels; 17 of them where the mask is one."""
_SD3_MASKED: Final = 17
_PATCH_CHANNELS: Final = 64


def of_controlnet(header: Header) -> Verdict | None:
    """Returns the base of a ControlNet or model patch, None for a file that is neither."""
    tensors = Tensors.of(header)
    for names, judge in _ORDER:
        if tensors.has(*names):
            return judge(tensors, names[-1])
    return None


def _is(kind: Kind, base: str, *traits: Trait) -> _Judge:
    return lambda _, key: known(kind, base, key, *traits)


def _other(kind: Kind, title: str) -> _Judge:
    return lambda _, key: foreign(kind, title, key)


def _control_lora(tensors: Tensors, key: str) -> Verdict:
    if tensors.has_any("label_emb.0.0."):
        return known("controlnet", "sdxl", "label_emb.0.0")
    found = of_layers(tensors, "controlnet")
    return found if found.family else foreign("controlnet", "a Control-LoRA", key)


def _unet(tensors: Tensors, key: str) -> Verdict:
    """ControlNets made from a U-Net, in the names of diffusers."""
    found = of_layers(tensors, "controlnet")
    union = "control_add_embedding.linear_1.bias"
    if found.family and tensors.has(union):
        return known("controlnet", found.family, union, "union")
    return found if found.family else foreign("controlnet", "a ControlNet", key)


def _classic(tensors: Tensors, key: str) -> Verdict:
    """ControlNets made from a U-Net, in the names of the first ones."""
    prefix = "control_model." if key.startswith("control_model.") else ""
    if "difference" in tensors.shapes:
        return foreign("controlnet", "a ControlNet that is a difference to a model", "difference")
    shapes = {name.removeprefix(prefix): shape for name, shape in tensors.shapes.items()}
    found = of_layers(Tensors(shapes), "controlnet")
    return found if found.family else foreign("controlnet", "a ControlNet", key)


def _sd3(tensors: Tensors, key: str) -> Verdict:
    width = tensors.size("pos_embed.proj.weight", 0) or tensors.size(key, 0)
    base = {1536: "sd3", 2432: "sd35-large"}.get(width or 0)
    by = f"{key} of width {width}"
    if base is None:
        return foreign("controlnet", "a ControlNet for a Stable Diffusion 3", by)
    masked = tensors.size(key, 1) == _SD3_MASKED
    return known("controlnet", base, by, *_traits(inpaint=masked))


def _qwen(tensors: Tensors, key: str) -> Verdict:
    masked = _MASKED.get(tensors.size(_ENTRY, 1) or 0, False)
    return known("controlnet", "qwen-image", key, *_traits(inpaint=masked))


def _flux(tensors: Tensors, key: str) -> Verdict:
    masked = _MASKED.get(tensors.size(_ENTRY, 1) or 0, False)
    union = tensors.has("controlnet_mode_embedder.weight")
    return known("controlnet", "flux1", key, *_traits(inpaint=masked, union=union))


def _qwen_patch(tensors: Tensors, key: str) -> Verdict:
    channels = tensors.size("img_in.weight", 1) or _PATCH_CHANNELS
    masked = channels > _PATCH_CHANNELS
    return known("model_patch", "qwen-image", key, *_traits(inpaint=masked))


def _adapter(tensors: Tensors, key: str) -> Verdict:
    name = "adapter.conv_in.weight" if key.startswith("adapter.") else "conv_in.weight"
    channels = tensors.size(name, 1)
    base = {256: "sdxl", 768: "sdxl", 64: "sd15", 192: "sd15"}.get(channels or 0)
    by = f"{name} of {channels} channels"
    return known("controlnet", base, by) if base else foreign("controlnet", "a T2I-Adapter", by)


def _traits(*, inpaint: bool = False, union: bool = False) -> tuple[Trait, ...]:
    found: list[Trait] = []
    if inpaint:
        found.append("inpaint")
    if union:
        found.append("union")
    return tuple(found)


_ORDER: Final[tuple[tuple[tuple[str, ...], _Judge], ...]] = (
    (("after_proj_list.18.bias",), _other("controlnet", "a ControlNet for HunyuanDiT")),
    (("lora_controlnet",), _control_lora),
    (("controlnet_cond_embedding.conv_in.weight",), _unet),
    ((_FIRST, "double_blocks.0.img_attn.norm.key_norm.weight"), _is("controlnet", "flux1")),
    ((_FIRST, "pos_embed_input.proj.weight"), _sd3),
    ((_FIRST, "transformer_blocks.0.img_mlp.net.0.proj.weight"), _qwen),
    ((_FIRST, _ENTRY), _flux),
    (("control_img_in.weight", "control_blocks.0.img_mlp.out.weight"),
     _other("model_patch", "a patch for Qwen-Image 2.1")),
    (("control_img_in.weight", "control_blocks.0.after_proj.weight"),
     _is("controlnet", "qwen-image")),
    (("controlnet_blocks.0.linear.weight",), _is("controlnet", "flux1")),
    (("control_model.zero_convs.0.0.weight",), _classic),
    (("zero_convs.0.0.weight",), _classic),
    (("control_model.input_hint_block.0.weight",), _other("model_patch", "SUPIR")),
    (("model.control_model.input_hint_block.0.weight",), _other("model_patch", "SUPIR")),
    (("adapter.body.0.resnets.0.block1.weight",), _adapter),
    (("body.0.in_conv.weight",), _is("controlnet", "sd15")),
    (("conv_in.weight", "body.0.block2.weight"), _adapter),
    (("backbone.0.0.weight",), _other("controlnet", "a ControlNet for Stable Cascade")),
    (("backbone.10.blocks.0.weight",), _other("controlnet", "a ControlNet for Stable Cascade")),
    (("lllite_conditioning1.conv1.weight",), _is("model_patch", "anima")),
    (("controlnet_blocks.0.y_rms.weight",), _qwen_patch),
    (("feature_embedder.mid_layer_norm.bias",), _other("model_patch", "USO, a style for Flux.1")),
    (("control_all_x_embedder.2-1.weight",), _is("model_patch", "z-image", "union")),
    (("control_proj_in.weight", "control_blocks.0.attn.qkv_proj.weight"),
     _other("model_patch", "a patch for MiniMax H3")),
    (("controlnet_patch_embedding.weight",), _other("model_patch", "Uni3C, for Wan")),
    (("audio_proj.proj1.weight",), _other("model_patch", "MultiTalk, for Wan")),
)  # fmt: skip
"""What is looked for, in this order, and what it means that all of an entry is there."""
