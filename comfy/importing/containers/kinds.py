"""Which kind of file it is, by its first bytes, and the texts in it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from comfy.importing.bounds import JSON_MAX, TEXTS_MAX
from comfy.importing.containers import exif, flac, glb, id3, jpeg, matroska, mp4, ogg, png, webp
from comfy.importing.imported import Container
from core.artefacts import still_of_ftyp

Text = tuple[str, str]
"""A key, empty where the file gives none, and a text."""

_READERS: Final[dict[Container, Callable[[bytes], Iterator[Text]]]] = {
    "png": png.texts,
    "webp": webp.texts,
    "jpeg": jpeg.texts,
    "mp4": mp4.texts,
    "webm": matroska.texts,
    "flac": flac.texts,
    "ogg": ogg.texts,
    "mp3": id3.texts,
    "glb": glb.texts,
    "tiff": exif.texts,
}


def kind_of(data: bytes) -> Container | None:
    """The kind of a media file, None if it is none of those that can carry a workflow."""
    starts: tuple[tuple[bytes, Container], ...] = (
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x1a\x45\xdf\xa3", "webm"),
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"ID3", "mp3"),
        (b"glTF", "glb"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
    )
    for start, kind in starts:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if still_of_ftyp(data) is not None:
        return None
    return "mp4" if data[4:8] in (b"ftyp", b"moov", b"wide", b"mdat") else None


def texts_in(data: bytes, kind: Container) -> list[Text]:
    """The texts of a media file, as far as it is well-formed; nothing is raised."""
    found: list[Text] = []
    size = 0
    try:
        for key, text in islice(_READERS[kind](data), TEXTS_MAX):
            size += len(text)
            if size > 2 * JSON_MAX:
                break
            found.append((key, text))
    except (struct.error, zlib.error, ValueError, IndexError):
        pass  # truncated or malformed: what came before it counts
    return found
