"""Which family a U-Net is: Stable Diffusion 1, 2 and XL, and what derives from them.

Source: comfy/model_detection.py and comfy/supported_models.py of ComfyUI.
"""

from __future__ import annotations

from typing import Final

from comfy.families.models import Trait
from comfy.families.tensors import Tensors
from comfy.families.verdict import Kind, Verdict, foreign, known

_ENTRY: Final = "input_blocks.0.0.weight"
_LABELS: Final = "label_emb.0.0.weight"
_ATTENTION: Final = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_DIFFUSERS_ENTRY: Final = "conv_in.weight"
_DIFFUSERS_LABELS: Final = "add_embedding.linear_1.weight"
_DIFFUSERS_ATTENTION: Final = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_BY_LABELS: Final = {2816: "sdxl", 2560: "sdxl"}
"""The width of what SDXL and its refiner are told besides the prompt."""
_REFINER: Final = 2560
_BY_CONTEXT: Final = {768: "sd15", 1024: "sd2"}
"""The width of the text encoder: CLIP-L, OpenCLIP-H."""
_IMAGE_CHANNELS: Final = 4
_INPAINT_CHANNELS: Final = 9
_OTHER_CHANNELS: Final = {
    5: "SD2 depth", 7: "the x4 upscaler of SD2", 8: "an InstructPix2Pix model",
}  # fmt: skip
_OTHER_PARTS: Final = {
    "input_blocks.1.0.time_stack.": "Stable Video Diffusion",
    "input_blocks.1.1.time_stack.": "Stable Video Diffusion",
    "cc_projection.": "Zero123 (3D)",
    "down_blocks.0.motion_modules.": "AnimateDiff",
}


def of_unet(tensors: Tensors, markers: Tensors) -> Verdict | None:
    """Returns which family a U-Net is, in either form of its names; None for what is no U-Net.

    ``tensors`` are those of the model alone, without a prefix; ``markers`` all of the file: how
    an SDXL model predicts stands at its top.
    """
    is_native = tensors.has(_ENTRY)
    if not is_native and not (tensors.has(_DIFFUSERS_ENTRY) and tensors.has_any("down_blocks.0.")):
        return None
    for part, title in _OTHER_PARTS.items():
        if tensors.has_any(part) or markers.has_any(part):
            return foreign("model", title, part.rstrip("."))
    entry = _ENTRY if is_native else _DIFFUSERS_ENTRY
    channels = tensors.size(entry, 1)
    if channels not in {_IMAGE_CHANNELS, _INPAINT_CHANNELS}:
        title = _OTHER_CHANNELS.get(channels or 0, "a relative of Stable Diffusion")
        return foreign("model", title, f"{entry} of {channels} channels")
    found = of_layers(tensors, "model")
    inpaint: frozenset[Trait] = frozenset(
        ["inpaint"] if found.family and channels == _INPAINT_CHANNELS else []
    )
    traits = found.traits | inpaint | _prediction(found, markers)
    return Verdict("model", found.family, found.detail, traits)


def of_layers(tensors: Tensors, kind: Kind) -> Verdict:
    """Returns which family the layers of a U-Net are of, or of a ControlNet made from one."""
    for name in (_LABELS, _DIFFUSERS_LABELS):
        width = tensors.size(name, 1)
        if width is not None:
            by = f"{name} of width {width}"
            if width not in _BY_LABELS:
                return foreign(kind, "a relative of Stable Diffusion", by)
            if width == _REFINER:
                return known(kind, _BY_LABELS[width], by, "refiner")
            return known(kind, _BY_LABELS[width], by)
    for name in (_ATTENTION, _DIFFUSERS_ATTENTION):
        width = tensors.size(name, 1)
        if width in _BY_CONTEXT:
            return known(kind, _BY_CONTEXT[width], f"{name} of width {width}")
    return foreign(kind, "a relative of Stable Diffusion", "its layers")


def _prediction(found: Verdict, markers: Tensors) -> frozenset[Trait]:
    """ComfyUI reads the markers for SDXL alone, and so does this."""
    if found.family not in _BY_LABELS.values() or not markers.has("v_pred"):
        return frozenset()
    if markers.has("ztsnr"):
        return frozenset({"v_prediction", "zero_terminal_snr"})
    return frozenset({"v_prediction"})
