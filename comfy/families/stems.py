"""The layers that a LoRA changes, by names that all trainers' forms of them share.

Forms: comfy/lora.py of ComfyUI (model_lora_keys_unet, model_lora_keys_clip), comfy/weight_adapter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from comfy.families.header import Header, Shape

_DOWN: Final = (
    ".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight",
    "_lora.down.weight", ".lora_linear_layer.down.weight",
)  # fmt: skip
_UP: Final = (
    ".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight",
    "_lora.up.weight", ".lora_linear_layer.up.weight",
)  # fmt: skip
_DIFFERENCE: Final = (".diff", ".set_weight")
_FACTORS: Final = (
    ".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".hada_w1_a",
    ".hada_w1_b",
)  # fmt: skip
_REST: Final = (
    ".alpha", ".dora_scale", ".diff_b", ".hada_w2_a", ".hada_w2_b", ".lokr_t2", ".oft_blocks",
    ".oft_diag", ".lora_mid.weight", ".lora_A.bias", ".lora_B.bias",
)  # fmt: skip
_BY_ENDING: Final = tuple(
    sorted((*_DOWN, *_UP, *_DIFFERENCE, *_FACTORS, *_REST), key=len, reverse=True)
)
_PROOF: Final = (*_DOWN, *_UP, *_DIFFERENCE, *_FACTORS, ".dora_scale", ".diff_b", ".oft_blocks")
"""Endings that nothing but a LoRA has."""
_BEGINNINGS: Final = ("lora_", "lycoris_")
_PREFIX: Final = re.compile(
    r"^(lora_unet_|lora_transformer_|lycoris_|base_model\.model\.|model\.diffusion_model\."
    r"|diffusion_model\.|transformer\.|unet\.)+"
)
_OF_ENCODER: Final = re.compile(r"^(lora_te|text_encoder|text_encoders\.|clip_[lg]\.|te\d?\.)")


@dataclass(frozen=True)
class Layer:
    """``takes`` and ``gives``: how many numbers go in and come out, None where that is unknown."""

    takes: int | None = None
    gives: int | None = None


@dataclass(frozen=True)
class Layers:
    """``of_model`` by their names with ``_`` for each dot; ``of_encoder`` by their whole names."""

    of_model: Mapping[str, Layer]
    of_encoder: Mapping[str, Layer]


def is_lora(header: Header) -> bool:
    """Returns whether a file changes layers of a model, and has none itself."""
    return any(name.startswith(_BEGINNINGS) or name.endswith(_PROOF) for name in header.tensors)


def layers_of(header: Header) -> Layers:
    """Returns the layers that a LoRA changes."""
    of_model: dict[str, Layer] = {}
    of_encoder: dict[str, Layer] = {}
    for stem, shapes in _by_stem(header).items():
        layer = _layer(shapes)
        if _OF_ENCODER.match(stem):
            of_encoder[stem] = layer
        else:
            of_model[_PREFIX.sub("", stem).replace(".", "_")] = layer
    return Layers(of_model, of_encoder)


def _by_stem(header: Header) -> dict[str, dict[str, Shape]]:
    """Returns the shapes of what belongs to one layer, by the ending of its name."""
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in header.tensors.items():
        ending = next((one for one in _BY_ENDING if name.endswith(one)), "")
        found.setdefault(name.removesuffix(ending), {})[ending] = shape
    return found


def _layer(shapes: Mapping[str, Shape]) -> Layer:
    takes = next(_sizes(shapes, _DOWN, 1), None)
    gives = next(_sizes(shapes, _UP, 0), None)
    if takes is None and gives is None:
        takes = next(_sizes(shapes, (*_DIFFERENCE, ".hada_w1_b"), 1), None)
        gives = next(_sizes(shapes, (*_DIFFERENCE, ".hada_w1_a"), 0), None)
    if takes is None and gives is None:
        takes = _product(shapes, "b", 1)
        gives = _product(shapes, "a", 0)
    return Layer(takes, gives)


def _sizes(shapes: Mapping[str, Shape], endings: tuple[str, ...], axis: int) -> Iterator[int]:
    for ending in endings:
        shape = shapes.get(ending, ())
        if len(shape) > axis:
            yield shape[axis]


def _product(shapes: Mapping[str, Shape], side: str, axis: int) -> int | None:
    """Returns a side of what LoKr's two factors make, each whole or in two parts itself."""
    sizes = [
        next(_sizes(shapes, (f".lokr_{factor}", f".lokr_{factor}_{side}"), axis), None)
        for factor in ("w1", "w2")
    ]
    first, second = sizes
    return None if first is None or second is None else first * second
