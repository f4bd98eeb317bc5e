"""Files in ComfyUI's input folder: put there, found there, taken by the nodes that load them."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from PIL import Image as Pillow

from comfy import (
    ComfySession,
    Graph,
    GraphBuilder,
    InputFile,
    WorkflowRejectedError,
)
from comfy.graph import ImageHandle
from comfy.inputs import size_said, texts_of, with_names
from comfy.messages import OutputFile
from core.ids import filename_prefix
from core.uploads import comfy_name


def a_picture(shade: int = 7) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGBA", (64, 64), (shade, uuid.uuid4().int % 256, 3, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def input_of(data: bytes, extension: str = "png") -> InputFile:
    return InputFile(comfy_name(hashlib.sha256(data).hexdigest(), extension), len(data))


async def pieces(data: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def showing(name: str, prompt_id: str) -> Graph:
    """A graph that loads a picture and saves it."""
    graph = GraphBuilder()
    [image, _] = graph.add("LoadImage", outputs=2, image=name)
    graph.save_image(ImageHandle(image.node_id, 0), filename_prefix(prompt_id))
    return graph.build(pixels=64 * 64)


async def test_what_was_put_is_there_and_can_be_loaded(session: ComfySession) -> None:
    data = a_picture()
    file = input_of(data)
    assert not await session.has_input(file)

    await session.put_input(file, pieces(data))

    assert await session.has_input(file)
    prompt_id = str(uuid.uuid4())
    graph = showing(file.name, prompt_id)
    await session.submit(graph, prompt_id)
    [output] = await session.track(
        prompt_id, graph, expected_outputs=1, timeout_s=60, on_event=lambda _: None
    )
    assert isinstance(output, OutputFile)
    fetched = await session.fetch(output, 64 * 64)
    with Pillow.open(io.BytesIO(fetched.data)) as shown, Pillow.open(io.BytesIO(data)) as loaded:
        assert shown.convert("RGB").getpixel((5, 5)) == loaded.convert("RGB").getpixel((5, 5))


async def test_it_may_be_put_again(session: ComfySession) -> None:
    data = a_picture()
    file = input_of(data)
    for _ in range(2):
        await session.put_input(file, pieces(data))

    assert await session.has_input(file)


async def test_a_part_of_it_is_replaced(session: ComfySession) -> None:
    """As a ComfyUI leaves it that was killed while it wrote."""
    data = a_picture()
    file = input_of(data)
    await session.put_input(replace(file, size=50), pieces(data[:50]))
    assert not await session.has_input(file)

    await session.put_input(file, pieces(data))

    assert await session.has_input(file)


async def test_a_large_file_goes_in_pieces(session: ComfySession) -> None:
    data = bytes(range(256)) * 20_000
    file = input_of(data, "mp4")

    await session.put_input(file, pieces(data, 1_000_000))

    assert await session.has_input(file)


async def test_one_that_is_missing_is_named(session: ComfySession) -> None:
    file = input_of(a_picture())
    prompt_id = str(uuid.uuid4())

    with pytest.raises(WorkflowRejectedError) as refused:
        await session.submit(showing(file.name, prompt_id), prompt_id)

    assert file.name in str(refused.value)


async def test_data_that_is_not_as_long_as_said(session: ComfySession) -> None:
    data = a_picture()
    for wrong in (data[:-1], data + b"x"):
        with pytest.raises(ValueError, match="does not have"):
            await session.put_input(input_of(data), pieces(wrong))
    assert not await session.has_input(input_of(data))


@pytest.mark.parametrize(
    "name", ["", "x.png", "easel/../x.png", "easel/x", 'easel/"x.png', "easel/x.png\n", "/e/x.png"]
)
def test_names_have_one_form(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        InputFile(name, 1)


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"Content-Range": "bytes 0-0/1234", "Content-Length": "1"}, 1234),
        ({"Content-Length": "1234"}, 1234),
        ({"Content-Range": "bytes */0"}, 0),
        ({"Content-Range": "bytes 0-0/*"}, None),
        ({"Content-Length": "9" * 30}, None),
        ({"Content-Length": "-1"}, None),
        ({}, None),
    ],
)
def test_the_size_that_is_said(headers: dict[str, str], size: int | None) -> None:
    assert size_said(headers) == size


def test_names_take_the_place_of_references() -> None:
    graph = Graph.from_json(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "upload:a", "n": 7}},
            "2": {
                "class_type": "Many",
                "inputs": {"x": {"__value__": ["upload:a", "b"]}, "y": ["1", 0]},
            },
            "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "upload:a"}},
        },
        files=[("1", "image"), ("2", "x"), ("2", "absent"), ("9", "x")],
    )

    named = with_names(graph, {"upload:a": "easel/a.png"}.get)

    assert named.to_json()["1"]["inputs"] == {"image": "easel/a.png", "n": 7}
    assert named.to_json()["2"]["inputs"] == {
        "x": {"__value__": ["easel/a.png", "b"]},
        "y": ["1", 0],
    }
    assert named.to_json()["3"]["inputs"] == {"text": "upload:a"}
    assert texts_of(graph) == {"upload:a", "b"}
    assert graph.to_json()["1"]["inputs"]["image"] == "upload:a"
