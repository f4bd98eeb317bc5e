"""The tensors of a diffusion model, under the names by which ComfyUI tells architectures apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from comfy.families.header import Header, Shape

_PREFIXES: Final = ("model.diffusion_model.", "model.model.", "net.")
"""What ComfyUI takes off: the one that most names have (comfy/model_detection.py)."""
_OTHERS: Final = ("diffusion_model.", "transformer.", "model.")
"""What is taken off where none of the former is there; ComfyUI itself knows the last alone."""
_ENCODERS: Final = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")
_VAES: Final = ("first_stage_model.", "vae.")


class Tensors:
    """Names and shapes; the scale of a norm is called ``….weight``, as it is in most files."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        found = dict(shapes)
        for name, shape in shapes.items():
            if name.endswith(".scale"):
                found.setdefault(f"{name.removesuffix('.scale')}.weight", shape)
        self.shapes: Final[Mapping[str, Shape]] = found

    @classmethod
    def of(cls, header: Header) -> Self:
        """Returns all tensors of a file."""
        return cls(header.tensors)

    @classmethod
    def of_diffusion(cls, header: Header) -> Self:
        """Returns those of the diffusion model in a file, without the prefix that they have."""
        counts = {one: _begin_so(one, header) for one in _PREFIXES}
        prefix = max(counts, key=lambda one: counts[one])
        if counts[prefix]:
            shapes = {
                name: shape for name, shape in header.tensors.items() if name.startswith(prefix)
            }
        else:
            prefix = next((one for one in _OTHERS if _begin_so(one, header)), "")
            shapes = dict(header.tensors)
        return cls({name.removeprefix(prefix): shape for name, shape in shapes.items()})

    def has(self, *names: str) -> bool:
        """Returns whether all those tensors are there."""
        return all(name in self.shapes for name in names)

    def has_any(self, *prefixes: str) -> bool:
        """Returns whether any tensor's name begins so."""
        return any(name.startswith(prefixes) for name in self.shapes)

    def size(self, name: str, axis: int) -> int | None:
        """Returns how large a tensor is along an axis; None if it, or its axis, is not there."""
        shape = self.shapes.get(name, ())
        return shape[axis] if len(shape) > axis else None


def lacks_encoder(header: Header) -> bool:
    """Returns whether a checkpoint has no text encoder inside."""
    return not any(name.startswith(_ENCODERS) for name in header.tensors)


def lacks_vae(header: Header) -> bool:
    """Returns whether a checkpoint has no VAE inside."""
    return not any(name.startswith(_VAES) for name in header.tensors)


def _begin_so(prefix: str, header: Header) -> int:
    return sum(name.startswith(prefix) for name in header.tensors)
