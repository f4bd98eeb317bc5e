"""What ComfyUI made: the kinds of artefacts, and how a file's kind is told.

The first bytes decide, then the name's extension, then what a node says of its file. What browsers
would execute (SVG, HTML, JavaScript, XML) is never of a kind that is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal, get_args

ArtefactKind = Literal["image", "animation", "video", "audio", "model3d", "text", "file"]
PICTURE_KINDS: Final[frozenset[ArtefactKind]] = frozenset({"image", "animation"})
"""Kinds that browsers show as a picture."""
KINDS: Final[tuple[ArtefactKind, ...]] = get_args(ArtefactKind)
HEAD_BYTES: Final = 4096
"""How much of a file's beginning tells its type."""
OCTETS: Final = "application/octet-stream"
_EXTENSION_MAX: Final = 10


@dataclass(frozen=True)
class FileType:
    """What a file is: its kind, its media type, and the extension of its name (without a dot)."""

    kind: ArtefactKind
    content_type: str
    extension: str

    @property
    def is_picture(self) -> bool:
        """Whether it is a still picture, which is proved to be whole by decoding it."""
        return self.kind == "image"


_PNG: Final = FileType("image", "image/png", "png")
_JPEG: Final = FileType("image", "image/jpeg", "jpg")
_WEBP: Final = FileType("image", "image/webp", "webp")
_GIF: Final = FileType("animation", "image/gif", "gif")
_APNG: Final = FileType("animation", "image/png", "png")
_MOVING_WEBP: Final = FileType("animation", "image/webp", "webp")
_MP4: Final = FileType("video", "video/mp4", "mp4")
_MOV: Final = FileType("video", "video/quicktime", "mov")
_WEBM: Final = FileType("video", "video/webm", "webm")
_MKV: Final = FileType("video", "video/x-matroska", "mkv")
_AVI: Final = FileType("video", "video/x-msvideo", "avi")
_WAV: Final = FileType("audio", "audio/wav", "wav")
_FLAC: Final = FileType("audio", "audio/flac", "flac")
_MP3: Final = FileType("audio", "audio/mpeg", "mp3")
_OGG: Final = FileType("audio", "audio/ogg", "ogg")
_OPUS: Final = FileType("audio", "audio/ogg", "opus")
_M4A: Final = FileType("audio", "audio/mp4", "m4a")
_AAC: Final = FileType("audio", "audio/aac", "aac")
_GLB: Final = FileType("model3d", "model/gltf-binary", "glb")
_PLAIN: Final = "text/plain; charset=utf-8"
TEXT: Final = FileType("text", _PLAIN, "txt")
"""A text that a node gives in place of a file."""

_BY_EXTENSION: Final[dict[str, FileType]] = {
    one.extension: one
    for one in (
        *(_PNG, _JPEG, _WEBP, _GIF, _MP4, _MOV, _WEBM, _MKV, _AVI),
        *(_WAV, _FLAC, _MP3, _OGG, _OPUS, _M4A, _AAC, _GLB, TEXT),
        FileType("model3d", "model/gltf+json", "gltf"),
        FileType("model3d", "model/obj", "obj"),
        FileType("model3d", "model/stl", "stl"),
        FileType("model3d", "model/vnd.usdz+zip", "usdz"),
        *(FileType("model3d", OCTETS, each) for each in ("fbx", "ply", "splat", "spz", "ksplat")),
        FileType("text", "text/csv; charset=utf-8", "csv"),
        FileType("text", "text/markdown; charset=utf-8", "md"),
        FileType("text", "application/json", "json"),
        # Kept, but only as a download: browsers execute the first ones, few show the others.
        FileType("file", "image/svg+xml", "svg"),
        FileType("file", "text/html", "html"),
        FileType("file", "text/html", "htm"),
        FileType("file", "application/xhtml+xml", "xhtml"),
        FileType("file", "text/javascript", "js"),
        FileType("file", "text/css", "css"),
        FileType("file", "application/xml", "xml"),
        FileType("file", "image/x-exr", "exr"),
        FileType("file", "image/tiff", "tiff"),
        FileType("file", "image/avif", "avif"),
        FileType("file", "image/heic", "heic"),
        FileType("file", "application/zip", "zip"),
    )
}
_SAME: Final = {
    "jpeg": "jpg",
    "apng": "png",
    "m4v": "mp4",
    "oga": "ogg",
    "tif": "tiff",
    "heif": "heic",
    "markdown": "md",
    "mjs": "js",
}
EXTENSIONS: Final[tuple[str, ...]] = tuple(sorted(_BY_EXTENSION))
"""The extensions whose type is known."""
_BY_CONTENT_TYPE: Final = {
    one.content_type.partition(";")[0]: one.extension
    for one in reversed(_BY_EXTENSION.values())
    if one.content_type != OCTETS
}
_PAGE: Final = FileType("file", "text/html", "html")
_MEDIA: Final = frozenset({"animation", "video", "audio", "model3d"})
_KIND_SAID: Final[dict[str, ArtefactKind]] = {"video": "video", "audio": "audio", "3d": "model3d"}
_SHOWN: Final = frozenset(
    {"image/png", "image/jpeg", "image/webp", "image/gif", _PLAIN}
    | {one.content_type for one in (_MP4, _MOV, _WEBM, _MKV, _WAV, _FLAC, _MP3, _OGG, _M4A, _AAC)}
)
_ACTIVE: Final = frozenset(
    {
        *("image/svg+xml", "text/html", "application/xhtml+xml", "text/javascript", "text/css"),
        *("application/xml", "text/xml", "application/javascript", "application/ecmascript"),
    }
)


def is_shown(content_type: str) -> bool:
    """Whether browsers may show it in place: pictures, videos, sounds and plain text."""
    return content_type in _SHOWN


def is_active(content_type: str) -> bool:
    """Whether browsers execute what is in it, such as the scripts of an SVG."""
    return content_type.partition(";")[0].strip().lower() in _ACTIVE


def served_type(content_type: str) -> str:
    """Returns the media type to send: one that is executed is named as plain bytes."""
    return OCTETS if is_active(content_type) else content_type


def extension_of(name: str) -> str:
    """Returns a name's extension, lowercase and without its dot; "" for a strange one."""
    found = PurePosixPath(name.replace("\\", "/")).suffix.removeprefix(".").lower()
    if not found.isascii() or not found.isalnum() or len(found) > _EXTENSION_MAX:
        return ""
    return _SAME.get(found, found)


def extension_for(content_type: str, name: str = "") -> str:
    """Returns the extension of files of a media type; that of ``name`` for one that says little."""
    plain = content_type.partition(";")[0].strip().lower()
    found = _BY_CONTENT_TYPE.get(plain)
    named = extension_of(name)
    if found is None or (named and served_type(plain) == OCTETS):
        return named or "bin"
    return found


def type_of(head: bytes, name: str, said: str | None = None, key: str = "") -> FileType:
    """Returns what a file is.

    ``head`` is its beginning (``HEAD_BYTES`` suffice), ``name`` its name in ComfyUI. ``said`` is
    the media type that its node states (the format field of VideoHelperSuite: "video/h264-mp4"),
    ``key`` the key that it was listed under.
    """
    named = _BY_EXTENSION.get(extension_of(name))
    found = _by_magic(head)
    if found is not None:
        return found
    if named is not None:
        return _PAGE if is_page(head) and named.kind in _MEDIA else named
    if is_page(head):
        return _PAGE
    return FileType(_kind_said(said, key), OCTETS, extension_of(name) or "bin")


def _kind_said(said: str | None, key: str) -> ArtefactKind:
    family = (said or "").partition("/")[0].lower()
    return _KIND_SAID.get(family) or _KIND_SAID.get(key) or "file"


def is_page(head: bytes) -> bool:
    """Whether a file is a page or a drawing in markup, whatever its name says."""
    start = head[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype", b"<html", b"<svg", b"<?xml", b"<script"))


def _by_magic(head: bytes) -> FileType | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _APNG if _is_moving_png(head) else _PNG
    if head.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if head[:4] == b"RIFF":
        return _of_riff(head)
    if head[4:8] == b"ftyp":
        return _of_ftyp(head)
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head[:4] == b"\x1aE\xdf\xa3":
        return _WEBM if b"webm" in head[:64] else _MKV
    if head[:4] == b"OggS":
        return _OPUS if b"OpusHead" in head[:64] else _OGG
    return _by_frame(head)


def _by_frame(head: bytes) -> FileType | None:
    """Sounds without a tag before their first frame: MPEG layer III, and AAC in ADTS."""
    if len(head) < 2 or head[0] != 0xFF:
        return None
    if head[1] & 0xE6 == 0xE2:
        return _MP3
    return _AAC if head[1] & 0xF6 == 0xF0 else None


_MAGIC: Final = (
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"fLaC", _FLAC),
    (b"ID3", _MP3),
    (b"glTF", _GLB),
    (b"v/1\x01", FileType("file", "image/x-exr", "exr")),
    (b"II*\x00", FileType("file", "image/tiff", "tiff")),
    (b"MM\x00*", FileType("file", "image/tiff", "tiff")),
)


def _is_moving_png(head: bytes) -> bool:
    """Whether it is an animation: then its ``acTL`` comes before its first ``IDAT``."""
    at = head.find(b"acTL")
    image = head.find(b"IDAT")
    return at >= 0 and (image < 0 or at < image)


def _of_riff(head: bytes) -> FileType | None:
    form = head[8:12]
    if form == b"WEBP":
        moving = head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02)
        return _MOVING_WEBP if moving else _WEBP
    return {b"WAVE": _WAV, b"AVI ": _AVI}.get(form)


def still_of_ftyp(head: bytes) -> FileType | None:
    """Returns the type of a picture in the container of MP4 (AVIF, HEIC); None of anything else.

    What names only the container (``mif1``) says by its other brands what is in it.
    """
    if head[4:8] != b"ftyp":
        return None
    brand = head[8:12]
    if brand in _AVIF:
        return _BY_EXTENSION["avif"]
    if brand in _HEIF:
        end = min(int.from_bytes(head[:4], "big"), HEAD_BYTES)
        brands = {head[at : at + 4] for at in range(16, end, 4)}
        return _BY_EXTENSION["avif" if brands & _AVIF else "heic"]
    return _BY_EXTENSION["heic"] if brand in _HEIC else None


_AVIF: Final = frozenset({b"avif", b"avis"})
_HEIF: Final = frozenset({b"mif1", b"mif2", b"msf1"})
_HEIC: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heif"}
)


def _of_ftyp(head: bytes) -> FileType:
    still = still_of_ftyp(head)
    if still is not None:
        return still
    brand = head[8:12]
    if brand in (b"M4A ", b"M4B "):
        return _M4A
    return _MOV if brand == b"qt  " else _MP4


def primary(kinds: list[ArtefactKind]) -> int:
    """Returns which of a generation's artefacts, by its index, is the main one."""
    return min(range(len(kinds)), key=lambda index: (_RANK.index(kinds[index]), index))


_RANK: Final[tuple[ArtefactKind, ...]] = (
    *("video", "animation", "image", "model3d", "audio", "text", "file"),
)
