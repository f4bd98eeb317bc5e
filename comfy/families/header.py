"""What stands in front of a model file's numbers: the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

Shape = tuple[int, ...]
HEADER_MAX: Final = 16 * 1024 * 1024
"""The largest header that is read, in bytes. Those of models have less than a megabyte, those of
LoRAs a few at most."""
DIMENSIONS_MAX: Final = 8
SIZE_MAX: Final = 2**48
"""The most elements along one dimension that is taken for a shape."""


class HeaderError(Exception):
    """A model file has no header that can be read: another format, malformed, or beyond the bounds.

    Its family is known by its metadata or its name then, or not at all; nothing fails by it.
    """


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, with their shapes as PyTorch orders them ([out, in, …]).

    ``metadata`` is what the file's maker wrote into it. ``architecture`` is GGUF's
    ``general.architecture``, empty for other formats.
    """

    tensors: Mapping[str, Shape]
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    architecture: str = ""
