"""Uploads: files that clients bring as inputs, and how inputs refer to files.

An upload's id is the SHA-256 of the bytes as they were received, so that the same bytes have the
same id. Pictures are kept as PNG, everything else as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args
from uuid import UUID

from core.artefacts import FileType, is_active, is_page, type_of
from core.ids import parse_generation_id
from core.text import readable
from core.workflows.declaration import Input, InputType

UploadKind = Literal["image", "video", "audio", "model3d", "file"]
"""What a file is taken as. A mask is an image."""
UPLOAD_KINDS: Final[tuple[UploadKind, ...]] = get_args(UploadKind)
INPUT_SUBFOLDER: Final = "easel"
"""The folder below ComfyUI's input folder that receives every file that Easel puts there."""
SIDE_MAX: Final = 16_384
"""The longest side of a picture, in pixels: ComfyUI's own limit."""
NAME_MAX: Final = 200
"""The most characters that are kept of a file's original name."""
_ID: Final = re.compile(r"[0-9a-f]{64}")
_DECODERS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/avif": "AVIF",
}
"""Pillow's decoder of each type of picture that is taken."""
_TAKEN_BY_NAME: Final = frozenset(
    {"obj", "stl", "fbx", "ply", "gltf", "usdz", "txt", "md", "csv", "json"}
)
"""Types without a mark in their first bytes: their name's extension decides."""
_TEXTS: Final = frozenset({"txt", "md", "csv", "json", "gltf", "obj"})
TAKEN: Final = (
    "PNG, JPEG, WebP, GIF, BMP, AVIF; MP4, MOV, WebM, MKV, AVI; WAV, FLAC, MP3, OGG, M4A, AAC; "
    "GLB, GLTF, OBJ, STL, FBX, PLY, USDZ; TXT, MD, CSV, JSON"
)
"""What is taken, as texts for users name it."""


@dataclass(frozen=True)
class UploadType:
    """What a file was recognised as. ``decoder`` is Pillow's, of a picture only."""

    kind: UploadKind
    content_type: str
    extension: str
    decoder: str | None = None


def upload_type(head: bytes, name: str) -> UploadType | None:
    """Returns what a file is by its beginning (4096 bytes); None if it is not taken.

    Its name counts only where the bytes have no mark of their type. Pages, SVG and whatever else
    browsers execute are never taken.
    """
    if head.startswith(b"BM") and len(head) > _BMP_HEADER:
        return UploadType("image", "image/bmp", "bmp", _DECODERS["image/bmp"])
    found = type_of(head, name)
    if is_page(head) or is_active(found.content_type):
        return None
    marked = type_of(head, "") == found
    decoder = _DECODERS.get(found.content_type)
    if decoder is not None:  # of an animation, the first picture is kept
        kind = UploadType("image", found.content_type, found.extension, decoder)
        return kind if marked else None
    if marked and found.kind in ("video", "audio", "model3d"):
        return UploadType(found.kind, found.content_type, found.extension)
    return _by_name(head, found)


_BMP_HEADER: Final = 26


def _by_name(head: bytes, found: FileType) -> UploadType | None:
    if found.extension not in _TAKEN_BY_NAME or (found.extension in _TEXTS and b"\0" in head):
        return None
    kind: UploadKind = "model3d" if found.kind == "model3d" else "file"
    return UploadType(kind, found.content_type, found.extension)


def takes(input_type: InputType, kind: str) -> bool:
    """Returns whether an input of this type takes a file of this kind (an artefact's too)."""
    if input_type in ("image", "mask"):
        return kind in ("image", "animation")
    if input_type == "video":
        return kind in ("video", "animation")
    return input_type == "file" or input_type == kind


def parse_upload_id(text: str) -> str | None:
    """Returns the id if it is 64 lowercase hexadecimal digits, None for anything else."""
    return text if _ID.fullmatch(text) else None


def comfy_name(sha256: str, extension: str) -> str:
    """Returns the name that a file has in ComfyUI's input folder, as loader nodes take it.

    ``sha256`` is that of the file's own bytes: the same file is there once, whoever brought it.
    """
    return f"{INPUT_SUBFOLDER}/{sha256}.{extension}"


def shown_name(name: str | None) -> str:
    """Returns a file's original name without folders and whatever could not be shown safely."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    if last in (".", ".."):
        return ""
    return readable(" ".join(last.split()), NAME_MAX).replace('"', "'")


@dataclass(frozen=True)
class Reference:
    """What the value of an input that takes a file says: ``upload:<id>`` or ``artefact:<id>``."""

    source: Literal["upload", "artefact"]
    id: str

    @classmethod
    def parse(cls, text: Any) -> Self | None:
        """Returns the reference, None for anything else: there is one spelling of each."""
        source, mark, found = text.partition(":") if isinstance(text, str) else ("", "", "")
        if not mark:
            return None
        if source == "upload" and parse_upload_id(found):
            return cls("upload", found)
        if source == "artefact" and parse_generation_id(found):
            return cls("artefact", found)
        return None

    @classmethod
    def to_upload(cls, upload_id: str) -> Self:
        """Returns the reference to an upload. Raises ValueError for what is no id."""
        if parse_upload_id(upload_id) is None:
            raise ValueError("an upload's id has 64 lowercase hexadecimal digits")
        return cls("upload", upload_id)

    @property
    def artefact_id(self) -> UUID:
        """The artefact's id. Raises ValueError for a reference to an upload."""
        return UUID(self.id)

    def __str__(self) -> str:
        return f"{self.source}:{self.id}"


def references_in(value: Any) -> Iterator[Reference]:
    """Yields every reference in a JSON value, in order, also one that is there twice."""
    waiting = [value]
    while waiting:  # not recursive: stored values may be nested deeply
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list | tuple):
            waiting.extend(reversed(one))
        elif (found := Reference.parse(one)) is not None:
            yield found


@dataclass(frozen=True)
class Referred:
    """A reference in a request: at which input (``loc``, a path of names), and what that takes."""

    loc: tuple[str | int, ...]
    input_type: InputType
    reference: Reference


def referred_in(
    inputs: Iterable[Input], values: Mapping[str, Any], loc: tuple[str | int, ...] = ()
) -> Iterator[Referred]:
    """Yields every reference at an input that takes files, in lists and groups too."""
    for one in inputs:
        if one.name in values:
            yield from _referred(one, values[one.name], (*loc, one.name))


def _referred(one: Input, value: Any, loc: tuple[str | int, ...]) -> Iterator[Referred]:
    if one.items is not None and isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _referred(one.items, each, (*loc, number))
    elif one.fields is not None and isinstance(value, Mapping):
        yield from referred_in(one.fields, value, loc)
    elif one.is_upload and (found := Reference.parse(value)) is not None:
        yield Referred(loc, one.type, found)


__all__ = [
    "INPUT_SUBFOLDER",
    "NAME_MAX",
    "SIDE_MAX",
    "TAKEN",
    "UPLOAD_KINDS",
    "Reference",
    "Referred",
    "UploadKind",
    "UploadType",
    "comfy_name",
    "parse_upload_id",
    "references_in",
    "referred_in",
    "shown_name",
    "takes",
    "upload_type",
]
