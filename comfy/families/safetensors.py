"""The header of a safetensors file: 8 bytes with its length, then JSON.

Source: https://github.com/huggingface/safetensors#format. Files come from anywhere, so nothing in
them is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from comfy.families.header import (
    DIMENSIONS_MAX,
    HEADER_MAX,
    SIZE_MAX,
    Header,
    HeaderError,
    Shape,
)

_METADATA: Final = "__metadata__"
_MARKS: Final = (b"[", b"{", b",")
_MARKS_MAX: Final = 600_000
"""The most brackets and commas: a parsed value has many times its text's size in memory. A tensor
has some ten of them, a model up to ten thousand tensors; tags of a LoRA's pictures have many."""


def read_safetensors(file: BinaryIO, size: int) -> Header:
    """Returns the header of a file of ``size`` bytes. Raises HeaderError."""
    parsed = _parsed(_text(file, size))
    metadata = parsed.pop(_METADATA, None)
    tensors = {name: _shape(name, about) for name, about in parsed.items()}
    return Header(MappingProxyType(tensors), MappingProxyType(_strings(metadata)))


def _text(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= size - 8:
        raise HeaderError("it is no safetensors file, or it is cut off")
    if length > HEADER_MAX:
        raise HeaderError(f"its header has {length} bytes, more than {HEADER_MAX}")
    text = file.read(length)
    if len(text) < length:
        raise HeaderError("it is cut off")
    return text


def _parsed(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise HeaderError("it is no safetensors file")
    if sum(map(text.count, _MARKS)) > _MARKS_MAX:
        raise HeaderError("its header has too many values")
    try:
        parsed = json.loads(text.decode())
    except (ValueError, RecursionError) as exc:
        raise HeaderError("its header is no JSON") from exc
    if not isinstance(parsed, dict):
        raise HeaderError("its header is no object")
    return parsed


def _shape(name: str, about: Any) -> Shape:
    shape = about.get("shape") if isinstance(about, dict) else None
    if not isinstance(shape, list) or len(shape) > DIMENSIONS_MAX or not all(map(_is_size, shape)):
        raise HeaderError(f"its tensor {name[:80]!r} has no valid shape")
    return tuple(shape)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SIZE_MAX


def _strings(metadata: Any) -> Mapping[str, str]:
    if not isinstance(metadata, dict):
        return {}
    return {name: value for name, value in metadata.items() if isinstance(value, str)}
