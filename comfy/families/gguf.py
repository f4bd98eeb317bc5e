"""The header of a GGUF file: its metadata, and the names and shapes of its tensors.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; how image models are written into
it: tools/convert.py of ComfyUI-GGUF. Files come from anywhere, so nothing in them is trusted.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import BinaryIO, Final

from comfy.families.header import (
    DIMENSIONS_MAX,
    HEADER_MAX,
    SIZE_MAX,
    Header,
    HeaderError,
    Shape,
)

MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_ENTRIES_MAX: Final = 100_000
_WORDS_MAX: Final = 1_000_000
"""The most strings in all lists; the vocabularies of text encoders have some hundred thousands."""
_NAME_MAX: Final = 1024
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by GGUF's number for its type; strings and lists have no fixed size."""
_INT32: Final = 5
_STRING: Final = 8
_LIST: Final = 9
_SHAPE_OF: Final = "comfy.gguf.orig_shape."
"""ComfyUI-GGUF's key for the shape of a tensor that had to be folded to be quantised."""


class _Reader:
    """Reads the numbers and strings of a GGUF file, never more than a header may have."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = min(size, HEADER_MAX)
        self._words = _WORDS_MAX

    def bytes(self, count: int) -> bytes:
        """Returns the next ``count`` bytes."""
        self._allow(count)
        found = self._file.read(count)
        if len(found) < count:
            raise HeaderError("it is cut off")
        return found

    def number(self, width: int) -> int:
        """Returns the next unsigned number of ``width`` bytes."""
        return int.from_bytes(self.bytes(width), "little")

    def text(self, most: int) -> str:
        """Returns the next string; one longer than ``most`` bytes is passed over as empty."""
        length = self.number(8)
        if length > most:
            self.skip(length)
            return ""
        return self.bytes(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        """Passes over ``count`` bytes."""
        self._allow(count)
        self._file.seek(count, 1)

    def skip_words(self, count: int) -> None:
        """Passes over ``count`` strings."""
        self._words -= count
        if self._words < 0:
            raise HeaderError("its header has too many values")
        for _ in range(count):
            self.skip(self.number(8))

    def _allow(self, count: int) -> None:
        if count > self._size - self._file.tell():
            raise HeaderError("its header is cut off, or too large")


def read_gguf(file: BinaryIO, size: int) -> Header:
    """Returns the header of a file of ``size`` bytes. Raises HeaderError."""
    file.seek(len(MAGIC))
    reader = _Reader(file, size)
    version = reader.number(4)
    if version not in _VERSIONS:
        raise HeaderError(f"it is a GGUF file of the unknown version {version}")
    tensors, entries = reader.number(8), reader.number(8)
    if max(tensors, entries) > _ENTRIES_MAX:
        raise HeaderError("its header has too many values")
    metadata: dict[str, str] = {}
    shapes: dict[str, Shape] = {}
    for _ in range(entries):
        _read_entry(reader, metadata, shapes)
    found = dict(_read_tensor(reader) for _ in range(tensors))
    found.update((name, shape) for name, shape in shapes.items() if name in found)
    return Header(
        MappingProxyType(found),
        MappingProxyType(metadata),
        metadata.get("general.architecture", ""),
    )


def _read_entry(reader: _Reader, metadata: dict[str, str], shapes: dict[str, Shape]) -> None:
    name = reader.text(_NAME_MAX)
    kind = reader.number(4)
    if kind == _STRING:
        metadata[name] = reader.text(HEADER_MAX)
    elif kind == _LIST:
        shape = _read_list(reader)
        if shape is not None and name.startswith(_SHAPE_OF):
            shapes[name.removeprefix(_SHAPE_OF)] = shape
    else:
        reader.skip(_size_of(kind))


def _read_list(reader: _Reader) -> Shape | None:
    """Returns a list that may be a shape; passes over any other, and returns None."""
    kind, count = reader.number(4), reader.number(8)
    if kind == _STRING:
        reader.skip_words(count)
        return None
    if kind != _INT32 or count > DIMENSIONS_MAX:
        reader.skip(count * _size_of(kind))
        return None
    shape: Shape = struct.unpack(f"<{count}i", reader.bytes(4 * count))
    return shape if all(side >= 0 for side in shape) else None


def _read_tensor(reader: _Reader) -> tuple[str, Shape]:
    name = reader.text(_NAME_MAX)
    dimensions = reader.number(4)
    if dimensions > DIMENSIONS_MAX:
        raise HeaderError(f"its tensor {name[:80]!r} has no valid shape")
    # GGUF names the fastest changing dimension first, PyTorch last.
    shape = tuple(reversed([reader.number(8) for _ in range(dimensions)]))
    if any(side > SIZE_MAX for side in shape):
        raise HeaderError(f"its tensor {name[:80]!r} has no valid shape")
    reader.skip(4 + 8)  # the type of its numbers, and where they are
    return name, shape


def _size_of(kind: int) -> int:
    if kind not in _SIZES:
        raise HeaderError(f"its header has a value of the unknown type {kind}")
    return _SIZES[kind]
