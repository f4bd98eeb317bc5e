"""Workflows that Easel ships: declarations for official templates of ComfyUI, no graphs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from comfy.shipped.audio import AUDIO
from comfy.shipped.declaring import declared, switched
from comfy.shipped.images import IMAGES
from comfy.shipped.models3d import MODELS3D
from comfy.shipped.package import packaged
from comfy.shipped.values import Shipped, Shown
from comfy.shipped.videos import VIDEOS

SHIPPED: Final[Mapping[str, Shipped]] = MappingProxyType(
    {one.name: one for one in (*IMAGES, *VIDEOS, *AUDIO, *MODELS3D)}
)
"""All of them by name, in the order of lists."""


def shipped_of(source: str | None) -> Shipped | None:
    """Returns what ``shipped:NAME`` names, None for any other source."""
    kind, _, name = (source or "").partition(":")
    return SHIPPED.get(name) if kind == "shipped" else None


__all__ = ["SHIPPED", "Shipped", "Shown", "declared", "packaged", "shipped_of", "switched"]
