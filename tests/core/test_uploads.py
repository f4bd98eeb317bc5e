"""What is taken as an upload, and how inputs refer to files."""

from __future__ import annotations

import io
import uuid
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from comfy.importing.containers.kinds import kind_of
from core.requests import ResolvedRequest, files_of, read_request
from core.uploads import (
    NAME_MAX,
    Reference,
    comfy_name,
    parse_upload_id,
    references_in,
    shown_name,
    takes,
    upload_type,
)
from core.workflows.plan import Plan

UPLOAD: Final = "ab" * 32
ARTEFACT: Final = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def picture(format_: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Pillow.new(mode, (8, 8)).save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
@pytest.mark.parametrize("name", ["", "x.mp4", "picture.html"])
def test_a_picture_is_told_by_its_bytes(format_: str, name: str) -> None:
    found = upload_type(picture(format_), name)

    assert found is not None
    assert (found.kind, found.content_type, found.decoder) == (
        "image",
        f"image/{format_.lower()}",
        format_,
    )


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"])
def test_a_picture_that_nothing_here_reads_is_no_video(brand: bytes) -> None:
    head = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(64)

    assert upload_type(head, "IMG_1.mp4") is None
    assert upload_type(head, "IMG_1.txt") is None
    assert kind_of(head) is None


@pytest.mark.parametrize(
    ("head", "kind", "extension"),
    [
        (b"\0\0\0 ftypisom" + bytes(64), "video", "mp4"),
        (b"\0\0\0 ftypqt  " + bytes(64), "video", "mov"),
        (b"\x1aE\xdf\xa3" + b"\x42\x82\x84webm", "video", "webm"),
        (b"RIFF\0\0\0\0AVI " + bytes(20), "video", "avi"),
        (b"RIFF\0\0\0\0WAVE" + bytes(20), "audio", "wav"),
        (b"fLaC" + bytes(20), "audio", "flac"),
        (b"ID3" + bytes(20), "audio", "mp3"),
        (b"OggS" + bytes(60), "audio", "ogg"),
        (b"\0\0\0 ftypM4A " + bytes(64), "audio", "m4a"),
        (b"glTF" + bytes(20), "model3d", "glb"),
    ],
)
def test_a_video_a_sound_a_model_is_told_by_its_bytes(
    head: bytes, kind: str, extension: str
) -> None:
    found = upload_type(head, "whatever.bin")

    assert found is not None
    assert (found.kind, found.extension, found.decoder) == (kind, extension, None)


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"solid x\n", "part.STL", "model3d"),
        (b"v 0 0 0\n", "a/b/mesh.obj", "model3d"),
        (b"one,two\n", "rows.csv", "file"),
        (b'{"a": 1}', "poses.json", "file"),
        ("Füchse".encode(), "notes.txt", "file"),
    ],
)
def test_the_name_tells_what_has_no_mark(head: bytes, name: str, kind: str) -> None:
    found = upload_type(head, name)

    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", ""),
        (b"", "empty.png"),
        (b"GIF", "short.gif"),
        (b"not a video at all", "film.mp4"),
        (b"not a sound", "song.wav"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing.png"),
        (b"<svg/>", "drawing.svg"),
        (b"<!DOCTYPE html>", "page.txt"),
        (b"\xef\xbb\xbf <html>", "page.csv"),
        (b"alert(1)", "evil.js"),
        (b"a\0b", "binary.txt"),
        (b"PK\x03\x04", "files.zip"),
        (b"MZ\x90", "setup.exe"),
        (b"%PDF-1.7", "paper.pdf"),
        (b"8BPS", "layers.psd"),
        (b"II*\x00", "scan.tiff"),
    ],
)
def test_what_is_not_taken(head: bytes, name: str) -> None:
    assert upload_type(head, name) is None


@given(st.binary(max_size=200), st.text(max_size=30))
def test_anything_is_either_taken_or_not(head: bytes, name: str) -> None:
    found = upload_type(head, name)

    assert found is None or found.extension.isalnum()


@pytest.mark.parametrize(
    ("input_type", "kind", "taken"),
    [
        ("image", "image", True),
        ("mask", "image", True),
        ("mask", "video", False),
        ("video", "video", True),
        ("video", "image", False),
        ("audio", "audio", True),
        ("model3d", "model3d", True),
        ("file", "file", True),
        ("file", "audio", True),
        ("image", "file", False),
    ],
)
def test_which_input_takes_which_kind(input_type: Any, kind: str, taken: bool) -> None:
    assert takes(input_type, kind) is taken


@pytest.mark.parametrize("text", [f"upload:{UPLOAD}", f"artefact:{ARTEFACT}"])
def test_a_reference_is_read_and_written(text: str) -> None:
    found = Reference.parse(text)

    assert found is not None
    assert str(found) == text
    assert Reference.parse(str(found)) == found


def test_a_reference_names_what_it_refers_to() -> None:
    artefact = Reference.parse(f"artefact:{ARTEFACT}")
    assert artefact is not None
    assert artefact.artefact_id == uuid.UUID(ARTEFACT)
    assert str(Reference.to_upload(UPLOAD)) == f"upload:{UPLOAD}"
    with pytest.raises(ValueError, match="64"):
        Reference.to_upload(UPLOAD.upper())


@pytest.mark.parametrize(
    "other",
    [
        "",
        "upload:",
        "artefact:",
        f"upload:{UPLOAD}\n",
        f" upload:{UPLOAD}",
        f"upload:{UPLOAD[1:]}",
        f"upload:{UPLOAD.upper()}",
        f"upload:{ARTEFACT}",
        f"artefact:{UPLOAD}",
        f"artefact:{ARTEFACT.upper()}",
        f"file:{UPLOAD}",
        UPLOAD,
        None,
        7,
        ["upload"],
    ],
)
def test_there_is_one_spelling_of_a_reference(other: Any) -> None:
    assert Reference.parse(other) is None


def test_references_are_found_at_any_depth() -> None:
    upload, artefact = f"upload:{UPLOAD}", f"artefact:{ARTEFACT}"
    value = {"a": upload, "b": [{"c": (artefact, "x", 7, None)}, upload], "d": f"see {upload}"}

    assert [str(one) for one in references_in(value)] == [upload, artefact, upload]


def test_a_deep_value_is_walked() -> None:
    value: Any = f"upload:{UPLOAD}"
    for _ in range(100_000):
        value = [value]

    assert len(list(references_in(value))) == 1


def test_an_id_is_sixty_four_digits() -> None:
    assert parse_upload_id(UPLOAD) == UPLOAD
    assert parse_upload_id(f"{UPLOAD}\n") is None
    assert comfy_name(UPLOAD, "png") == f"easel/{UPLOAD}.png"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, ""),
        ("fox.png", "fox.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\fox.png", "fox.png"),
        ("../..", ""),
        ('a"b.png', "a'b.png"),
        ("a\r\nX-Evil: 1", "a X-Evil: 1"),
        ("fox\u202egnp.exe", "fox\ufffdgnp.exe"),
        ("狐.png", "狐.png"),
    ],
)
def test_an_original_name_is_shown_safely(name: str | None, shown: str) -> None:
    assert shown_name(name) == shown


@given(st.text(max_size=400))
def test_a_shown_name_has_one_short_line(name: str) -> None:
    shown = shown_name(name)

    assert len(shown) <= NAME_MAX
    assert not set(shown) & set('\r\n\t"/\\')
    shown.encode()


def test_a_request_that_does_not_list_its_files_takes_what_its_inputs_name() -> None:
    """Another version stored it; a request that lists none takes none, whatever its texts say."""
    artefact = f"artefact:{ARTEFACT}"
    told = ResolvedRequest.model_validate(
        {
            "workflow": "own",
            "inputs": {"image": artefact, "more": [{"again": artefact}]},
            "priority": "bulk",
            "timeout_s": 600,
            "metadata": {"note": f"upload:{UPLOAD}"},
            "plan": Plan(version="1"),
        }
    )
    stored = told.stored()
    assert files_of(stored) == ()
    del stored["$plan"]["files"]

    again = read_request(stored)

    assert [str(one) for one in files_of(stored)] == [artefact]
    assert isinstance(again, ResolvedRequest)
    assert again.plan.files == (artefact,)
    assert again.stored()["$plan"]["files"] == [artefact]
