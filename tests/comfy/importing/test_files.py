"""Which files carry a workflow: JSON of any wrapping, and media made by the usual libraries."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy.errors import WorkflowFileError
from comfy.importing.bounds import JSON_MAX, NODES_MAX
from comfy.importing.documents import Found
from comfy.importing.files import read_file
from tests.comfy.importing.workflows import API, UI, read

BOTH = {"prompt": json.dumps(API), "workflow": json.dumps(UI)}


def found_in(document: Any) -> Found:
    return read_file(json.dumps(document).encode()).found


@pytest.mark.parametrize(
    "document",
    [
        API,
        {"prompt": API, "client_id": "x"},
        {"prompt": json.dumps(API)},
        {"workflow": API},
        {"output": API},
        {"input": {"workflow": API, "images": []}},
        [API],
        {"f00": {"prompt": [7, "f00", API, {}, ["4"]], "outputs": {}, "status": {}}},
        {**API, "extra": {"version": 1}},
        {"made_by": "a tool", "ports": {"a": {}}, "some_graph": API},
    ],
    ids=["bare", "body", "text", "workflow", "output", "input", "list", "history", "more", "own"],
)
def test_the_api_form_is_found_in_any_wrapping(document: Any) -> None:
    api = found_in(document).api

    assert api is not None
    assert api["3"] == API["3"]


def test_both_forms_are_found_beside_each_other() -> None:
    body = {"prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}}

    assert found_in(body) == Found(api=API, ui=UI)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_json_may_come_in_the_encodings_of_its_editors(encoding: str) -> None:
    document = {**API, "2": {"class_type": "Encode", "inputs": {"text": "Füchse 狐"}}}
    data = json.dumps(document, ensure_ascii=False).encode(encoding)

    assert read_file(data).found.api == document


def test_what_no_database_takes_is_replaced() -> None:
    text = '{"1": {"class_type": "A", "inputs": {"a": NaN, "b": 1e999, "c": "x\\u0000\\ud800"}}}'

    api = read_file(text.encode()).found.api

    assert api is not None
    inputs = api["1"]["inputs"]
    assert (inputs["a"], inputs["b"]) == (None, None)
    assert inputs["c"].startswith("x\ufffd")
    json.dumps(api, allow_nan=False, ensure_ascii=False).encode()  # surrogates would raise


def png(**texts: str) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text, zip=key == "workflow")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_a_png_of_comfyui() -> None:
    file = read_file(png(**BOTH))

    assert file.container == "png"
    assert file.found == Found(api=API, ui=UI)


def test_a_png_with_international_text() -> None:
    info = PngInfo()
    info.add_itxt("workflow", json.dumps(UI), zip=True)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)

    assert read_file(file.getvalue()).found.ui == UI


@pytest.mark.parametrize("kind", ["WEBP", "JPEG", "TIFF", "PNG"])
def test_pictures_with_exif(kind: str) -> None:
    picture = Image.new("RGB", (8, 8))
    exif = picture.getexif()
    exif[0x0110] = f"prompt:{BOTH['prompt']}"
    exif[0x010F] = f"workflow:{BOTH['workflow']}"
    file = io.BytesIO()
    picture.save(file, kind, exif=exif)

    read_from = read_file(file.getvalue())

    assert read_from.container == kind.lower()
    assert read_from.found == Found(api=API, ui=UI)


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_jpeg_with_a_user_comment(order: str) -> None:
    exif = Image.Exif()
    comment = json.dumps({"prompt": API}).encode(order)
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + comment
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)

    assert read_file(file.getvalue()).found.api == API


def media(kind: str, codec: str, metadata: dict[str, str], **options: str) -> bytes:
    """A file with one empty stream's header and metadata."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options=options) as container:
        container.metadata.update(metadata)
        if codec in ("flac", "libopus", "libmp3lame"):
            stream = container.add_stream(codec, rate=48_000)
            frames = [av.AudioFrame(format="s16", layout="stereo", samples=960)]
            frames[0].sample_rate = 48_000
            frames[0].pts = 0
        else:
            stream = container.add_stream(codec, rate=8)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            frames = [av.VideoFrame.from_image(Image.new("RGB", (64, 64)))]
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                container.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "codec", "container"),
    [
        ("mp4", "mpeg4", "mp4"),
        ("webm", "libvpx", "webm"),
        ("matroska", "libvpx", "webm"),
        ("flac", "flac", "flac"),
        ("ogg", "libopus", "ogg"),
        ("mp3", "libmp3lame", "mp3"),
    ],
)
def test_videos_and_sounds_of_comfyui(kind: str, codec: str, container: str) -> None:
    options = {"movflags": "use_metadata_tags"} if kind == "mp4" else {}

    file = read_file(media(kind, codec, BOTH, **options))

    assert file.container == container
    assert file.found == Found(api=API, ui=UI)


@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska"])
def test_videos_of_videohelpersuite_have_one_comment(kind: str) -> None:
    comment = json.dumps({"prompt": json.dumps(API), "workflow": UI})

    file = read_file(media(kind, "mpeg4", {"comment": comment}))

    assert file.found == Found(api=API, ui=UI)


def test_a_model_of_comfyui() -> None:
    document = json.dumps({"asset": {"version": "2.0", "extras": BOTH}}).encode()
    document += b" " * (-len(document) % 4)
    header = struct.pack("<4sIIII", b"glTF", 2, 20 + len(document), len(document), 0x4E4F534A)

    assert read_file(header + document).found == Found(api=API, ui=UI)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "no_workflow", "empty"),
        (b"hello", "malformed", "JSON"),
        (b"\xff\xfe\x00", "malformed", "neither"),
        (b"{}", "no_workflow", "class_type"),
        (b"\n\n<!DOCTYPE html><html>", "no_workflow", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "no_workflow", "Git LFS"),
        (b"[1, 2]", "no_workflow", "class_type"),
        (
            b'{"nodes": [{"id": "1", "type": "timer", "parameters": {}}], "connections": {}}',
            "no_workflow",
            "class_type",
        ),
        (json.dumps({"one": API, "two": API}).encode(), "no_workflow", "class_type"),
        (b'"text"', "no_workflow", "class_type"),
        (b"[" * 100_000, "too_deep", "levels"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "too_deep", "levels"),
        (b"[" + b"[]," * 1_200_000 + b"1]", "too_large", "parts"),
        (b'{"nodes": "' + b"x" * JSON_MAX + b'"}', "too_large", "bytes"),
        (png(), "no_workflow", "PNG"),
        (png(prompt="{"), "no_workflow", "PNG"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_what_is_no_workflow_is_refused(data: bytes, code: str, says: str) -> None:
    with pytest.raises(WorkflowFileError, match=says) as refused:
        read_file(data)

    assert refused.value.code == code


def test_a_text_that_inflates_without_end_is_left() -> None:
    body = b"prompt\0\0" + zlib.compress(b"[" * (JSON_MAX + 10))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", 0)

    with pytest.raises(WorkflowFileError, match="carries no workflow"):
        read_file(b"\x89PNG\r\n\x1a\n" + chunk)


def test_a_file_that_is_cut_off_gives_what_is_whole() -> None:
    data = png(**BOTH)
    second = data.index(b"zTXt")

    assert read_file(data[: second + 30]).found == Found(api=API)
    with pytest.raises(WorkflowFileError, match="carries no workflow"):
        read_file(data[:100])


def test_too_many_nodes_are_refused() -> None:
    many = {str(number): {"class_type": "A", "inputs": {}} for number in range(NODES_MAX + 1)}

    with pytest.raises(WorkflowFileError, match="20,000") as refused:
        read(many)

    assert refused.value.code == "too_many_nodes"


def test_subgraphs_that_multiply_are_refused() -> None:
    levels = [
        {
            "id": f"level-{level}",
            "nodes": [{"id": number, "type": f"level-{level + 1}"} for number in range(30)],
            "links": [],
        }
        for level in range(10)
    ]
    workflow = {"nodes": [{"id": 1, "type": "level-0"}], "links": []}

    with pytest.raises(WorkflowFileError) as refused:
        read({**workflow, "definitions": {"subgraphs": levels}})

    assert refused.value.code == "too_many_nodes"
