"""Texts of GLB files: the JSON document of the model, whose asset has ComfyUI's extras."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comfy.importing.bounds import JSON_MAX


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The document of the first chunk. Raises struct.error."""
    length, kind = struct.unpack_from("<I4s", data, 12)
    if kind == b"JSON" and length <= JSON_MAX:
        yield "gltf", data[20 : 20 + length].decode("utf-8", "replace")
