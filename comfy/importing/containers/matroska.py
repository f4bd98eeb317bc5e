"""Texts of Matroska and WebM files: their tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comfy.importing.bounds import JSON_MAX

_ELEMENTS_MAX: Final = 100_000
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TAGS: Final = 0x1254C367
_TAG: Final = 0x7373
_SIMPLE_TAG: Final = 0x67C8
_NAME: Final = 0x45A3
_STRING: Final = 0x4487
_OUTER: Final = (_SEGMENT, _TAGS, _TAG)


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The texts of all simple tags. Raises IndexError where the file is cut off."""
    pending = [(0, len(data))]
    left = _ELEMENTS_MAX
    while pending and left > 0:
        at, end = pending.pop()
        while at < end and left > 0:
            left -= 1
            kind, body = _element_id(data, at)
            size, body = _size(data, body)
            is_endless = size is None
            stop = end if size is None else min(body + size, end)
            if kind == _SIMPLE_TAG:
                yield from _simple_tag(data, body, stop)
            elif kind in _OUTER or (kind == _CLUSTER and is_endless):
                pending.append((stop, end))
                end = stop
                stop = body
            at = stop


def _simple_tag(data: bytes, at: int, end: int) -> Iterator[tuple[str, str]]:
    name = text = ""
    while at < end:
        kind, body = _element_id(data, at)
        size, body = _size(data, body)
        if size is None or body + size > end or size > JSON_MAX:
            break
        if kind == _NAME:
            name = data[body : body + size].decode("utf-8", "replace")
        elif kind == _STRING:
            text = data[body : body + size].decode("utf-8", "replace")
        at = body + size
    if text:
        yield name, text.rstrip("\0")


def _element_id(data: bytes, at: int) -> tuple[int, int]:
    length = _length(data[at], 4)
    return int.from_bytes(data[at : at + length], "big"), at + length


def _size(data: bytes, at: int) -> tuple[int | None, int]:
    """The size of a body, None if the file does not say, and where the body begins."""
    length = _length(data[at], 8)
    value = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
    return (None if value == (1 << (7 * length)) - 1 else value), at + length


def _length(first: int, longest: int) -> int:
    """How many bytes a number has: one more than its leading zero bits."""
    length = 9 - first.bit_length()
    if length > longest:
        raise ValueError("no EBML number")
    return length
