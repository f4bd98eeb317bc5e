"""Texts of Ogg files (Opus, Vorbis): the comments in their second packet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comfy.importing.bounds import JSON_MAX
from comfy.importing.containers import vorbis

_PAGES_MAX: Final = 10_000
_FIRST_PACKETS: Final = 4
_STARTS: Final = (b"OpusTags", b"\x03vorbis")


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The comments of the stream. Raises struct.error."""
    for packet in _packets(data):
        for start in _STARTS:
            if packet.startswith(start):
                yield from vorbis.comments(packet.removeprefix(start))
                return


def _packets(data: bytes) -> Iterator[bytes]:
    """The first packets of the file."""
    at, given = 0, 0
    packet = bytearray()
    for _ in range(_PAGES_MAX):
        if data[at : at + 4] != b"OggS":
            return
        count = data[at + 26]
        sizes = data[at + 27 : at + 27 + count]
        at += 27 + count
        for size in sizes:
            packet += data[at : at + size]
            at += size
            if size < 255:
                yield bytes(packet)
                given += 1
                packet.clear()
            if given == _FIRST_PACKETS or len(packet) > JSON_MAX:
                return
