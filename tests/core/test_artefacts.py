"""What a file is: its first bytes say before its name, its name before its node."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.artefacts import (
    KINDS,
    OCTETS,
    extension_for,
    extension_of,
    is_active,
    is_shown,
    primary,
    served_type,
    type_of,
)


def moving(kind: str, frames: int = 2) -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.new("RGB", (8, 8), (shade * 90, 0, 0)) for shade in range(frames)]
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], duration=40)
    return buffer.getvalue()


MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00"


@pytest.mark.parametrize(
    ("head", "name", "kind", "content_type"),
    [
        (moving("PNG", 1), "a.mp4", "image", "image/png"),
        (moving("PNG"), "a_00001_.png", "animation", "image/png"),
        (moving("WEBP", 1), "a.webp", "image", "image/webp"),
        (moving("WEBP"), "a.webp", "animation", "image/webp"),
        (moving("GIF"), "a.gif", "animation", "image/gif"),
        (MP4, "a.png", "video", "video/mp4"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.mp4", "file", "image/heic"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0heis", "a.mp4", "file", "image/heic"),
        (b"\0\0\0\x18ftyphevx\0\0\0\0", "a.mp4", "file", "image/heic"),
        (b"\0\0\0\x18ftypavis\0\0\0\0", "a.mp4", "file", "image/avif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0miafavif", "a.mp4", "file", "image/avif"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0miafavif", "a.mp4", "file", "image/heic"),
        (b"\x1aE\xdf\xa3....B\x82\x84webm", "a", "video", "video/webm"),
        (b"fLaC\0\0\0\x22", "a_00001.flac", "audio", "audio/flac"),
        (b"ID3\x04", "a.mp3", "audio", "audio/mpeg"),
        (b"RIFF....WAVEfmt ", "a.wav", "audio", "audio/wav"),
        (b"OggS" + bytes(24) + b"OpusHead", "a.opus", "audio", "audio/ogg"),
        (b"glTF\x02\0\0\0", "a.glb", "model3d", "model/gltf-binary"),
        (b"v 0 0 0", "a.OBJ", "model3d", "model/obj"),
        (b"a,b", "a.csv", "text", "text/csv; charset=utf-8"),
        (b"<svg>", "a.svg", "file", "image/svg+xml"),
        (b"<html>", "a.mp4", "file", "text/html"),
        (b"<html>", "a", "file", "text/html"),
        (b"\0\1", "a.latent", "file", OCTETS),
    ],
)
def test_what_a_file_is(head: bytes, name: str, kind: str, content_type: str) -> None:
    found = type_of(head, name)
    assert (found.kind, found.content_type) == (kind, content_type)


def test_what_its_node_says_counts_last() -> None:
    assert type_of(b"??", "a.xyz", "video/h264-mp4", "gifs").kind == "video"
    assert type_of(b"??", "a.xyz", None, "audio").kind == "audio"
    assert type_of(b"fLaC", "a.xyz", "video/h264-mp4").kind == "audio"


@given(st.binary(max_size=200), st.text(max_size=50), st.none() | st.text(max_size=20))
def test_whatever_it_is_called_its_kind_is_known(head: bytes, name: str, said: str | None) -> None:
    found = type_of(head, name, said)
    assert found.kind in KINDS
    assert found.extension.isalnum()


def test_what_browsers_execute_is_sent_as_plain_bytes() -> None:
    for kind in ("image/svg+xml", "text/html", "text/javascript", "application/xml"):
        assert is_active(kind)
        assert not is_shown(kind)
        assert served_type(kind) == OCTETS
    assert is_shown("video/mp4")
    assert served_type("video/mp4") == "video/mp4"


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.JPEG", "jpg"), ("../a.b/c", ""), ("a.p/ng", ""), ("a.tar.gz", "gz"), ("a.ü", "")],
)
def test_the_extension_of_a_name(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_every_known_type_has_an_extension() -> None:
    assert extension_for("video/mp4", "a.bin") == "mp4"
    assert extension_for("image/svg+xml", "a.svg") == "svg"
    assert extension_for("x/y") == "bin"


def test_the_main_one() -> None:
    assert primary(["text", "image", "video"]) == 2
    assert primary(["audio", "image", "image"]) == 1
    assert primary(["text"]) == 0
