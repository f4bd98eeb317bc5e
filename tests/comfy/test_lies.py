"""A ComfyUI whose answers are too long, too slow, compressed, or no pictures at all."""

from __future__ import annotations

import gzip
import io
import json
import struct
import traceback
from collections.abc import Iterator

import pytest
from aiohttp import web
from PIL import Image
from pydantic import SecretStr

from comfy import (
    ComfyClient,
    ComfyProtocolError,
    ComfySession,
    ComfyTimeoutError,
    GraphBuilder,
    UnusableFileError,
)
from comfy.address import Address
from comfy.catalogue import CATALOGUE_CLASSES
from comfy.client import JSON_BYTES_MAX
from comfy.finished_files import find_by_name, named
from comfy.messages import PREVIEW_BYTES_MAX, Message, PreviewFrame, Status
from comfy.outputs import LARGER_BY, fetch
from comfy.paid import Hiding
from comfy.socket import ComfySocket
from tests.contract.driving import wait_until
from tests.harness.liar import Answer, Endless, Liar, redirects, says, sends

PROMPT_ID = "3f9c1d52-8a41-4a52-9a6e-2f1f6a0a7c11"
PICTURE = named(PROMPT_ID, 1)
PIXELS = 64 * 64
MEGABYTE = 1_000_000


def encoded(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, kind)
    return buffer.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (sends(b"<!doctype html><title>Sign in</title>", "text/html"), "not a PNG"),
        (sends(SVG, "image/svg+xml"), "not a PNG"),
        (sends(encoded(64, 64, "GIF"), "image/gif"), "not a PNG"),
        (sends(encoded(64, 64, "BMP"), "image/bmp"), "not a PNG"),
        (sends(bytes(5000)), "not a PNG"),
        (sends(encoded(64 * LARGER_BY, 64 + 1)), "pixels"),
        (sends(encoded(20_000, 20_000, mode="1")), "pixels"),
        (sends(bytes(9 * MEGABYTE)), "larger than 8.5 MB"),
        (Endless(), "larger than 8.5 MB"),
        (Endless(length=700 * MEGABYTE), "larger than 8.5 MB"),
        (sends(gzip.compress(encoded(64, 64)), Content_Encoding="gzip"), "compressed"),
        (redirects("http://169.254.169.254/"), "another address"),
    ],
)
async def test_a_file_that_is_no_picture_fails_at_once(answer: Answer, words: str) -> None:
    async with Liar({"GET /view": answer}) as liar:
        client = ComfyClient(liar.url)
        with pytest.raises(UnusableFileError, match=words):
            await fetch(client, PICTURE, PIXELS)
        await client.aclose()
        assert liar.asked["GET /view"] == 1


async def test_of_an_endless_file_little_is_read() -> None:
    endless = Endless()
    async with Liar({"GET /view": endless}) as liar:
        client = ComfyClient(liar.url)
        with pytest.raises(UnusableFileError):
            await fetch(client, PICTURE, PIXELS)
        await client.aclose()
    assert endless.bytes_sent < 30 * MEGABYTE  # the limit, and what sockets hold


@pytest.mark.parametrize("data", [b"", encoded(64, 64)[:50], encoded(64, 64, "JPEG")[:-40]])
async def test_a_file_that_is_written_just_now_is_asked_for_again(data: bytes) -> None:
    async with Liar({"GET /view": sends(data)}) as liar:
        client = ComfyClient(liar.url)
        with pytest.raises(ComfyProtocolError, match="complete image"):
            await fetch(client, PICTURE, PIXELS)
        await client.aclose()
        assert liar.asked["GET /view"] == 2


@pytest.mark.parametrize(
    "data", [encoded(64, 64), encoded(128, 128, "JPEG"), encoded(64, 64, "WEBP")]
)
async def test_a_picture_of_the_size_that_was_asked_for_or_somewhat_larger(data: bytes) -> None:
    async with Liar({"GET /view": sends(data)}) as liar:
        client = ComfyClient(liar.url)
        assert (await fetch(client, PICTURE, PIXELS)).data == data
        await client.aclose()
        assert liar.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "data", [b"<html>", encoded(20_000, 20_000, mode="1"), bytes(9 * MEGABYTE)]
)
async def test_what_is_no_picture_is_not_found_by_name_either(data: bytes) -> None:
    async with Liar({"GET /view": sends(data)}) as liar:
        client = ComfyClient(liar.url)
        graph = GraphBuilder().build(pixels=PIXELS)
        assert await find_by_name(client, PROMPT_ID, graph) is None
        await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        sends(bytes(5000)),
        sends(encoded(20_000, 20_000, mode="1")),
        sends(bytes(9_000_000)),
        Endless(),
    ],
)
async def test_an_error_keeps_no_body_alive(answer: Answer) -> None:
    # Retries and Prefect's states keep errors for minutes.
    async with Liar({"GET /view": answer}) as liar:
        client = ComfyClient(liar.url)
        with pytest.raises(UnusableFileError) as caught:
            await fetch(client, PICTURE, PIXELS)
        await client.aclose()
    assert [value for value in _kept_by(caught.value) if len(value) > 1000] == []


def _kept_by(error: BaseException | None) -> Iterator[bytes | bytearray]:
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                for value in frame.f_locals.values():
                    if isinstance(value, bytes | bytearray):
                        yield value
        error = error.__cause__ or error.__context__


async def test_json_that_is_too_long_or_compressed_is_invalid() -> None:
    endless = Endless(b" " * 65536)
    answers: dict[str, Answer] = {
        "GET /queue": endless,
        "GET /prompt": sends(b"{}", "application/json", Content_Encoding="gzip"),
    }
    async with Liar(answers) as liar:
        client = ComfyClient(liar.url)
        with pytest.raises(ComfyProtocolError, match="larger than"):
            await client.queue()
        with pytest.raises(ComfyProtocolError, match="compressed"):
            await client.queue_remaining()
        await client.aclose()
    assert endless.bytes_sent < JSON_BYTES_MAX + 30 * MEGABYTE


async def test_an_answer_that_drips_ends() -> None:
    drip = Endless(b" ", pause_s=0.05)  # never silent for as long as the timeout
    async with Liar({"GET /queue": drip, "GET /view": drip}) as liar:
        client = ComfyClient(liar.url, timeout_s=0.4)
        with pytest.raises(ComfyTimeoutError, match="took longer"):
            await client.queue()
        with pytest.raises(ComfyTimeoutError, match="took longer"):
            await client.view(PICTURE, 1000)
        await client.aclose()


# ---- texts

_TEXT = r"a\u0000b\u001bc\u202ed\udcffe \ud83e\udd8a"
_CLEAN = "a�b�c�d�e 🦊"


async def test_the_texts_of_answers_are_readable() -> None:
    error = {"exception_message": "@", "node_id": "@", "node_type": "@", "exception_type": "@"}
    entry = {"status": {"status_str": "error", "messages": [["execution_error", error]]}}
    stats = {"system": {"comfyui_version": "@"}, "devices": [{"name": "@", "type": "@"}]}
    answers = {
        "GET /history/p": says(json.dumps({"p": entry}).replace("@", _TEXT)),
        "GET /system_stats": says(json.dumps(stats).replace("@", _TEXT)),
        "GET /queue": says(
            json.dumps({"queue_running": [[1, "@", {}, {}, []]], "queue_pending": []}).replace(
                "@", _TEXT
            )
        ),
    }
    async with Liar(answers) as liar:
        client = ComfyClient(liar.url)
        found = await client.history("p")
        assert found is not None
        assert found.error is not None
        assert (found.error.message, found.error.node_id) == (_CLEAN, _CLEAN)
        (device,) = (await client.system_stats()).devices
        assert device.name == _CLEAN
        assert (await client.queue()).running[0].prompt_id == _CLEAN
        await client.aclose()


async def test_names_that_cannot_be_submitted_are_left_out_and_named() -> None:
    names = json.dumps({"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["@"]]}}}})
    listed = names.replace('"@"', rf'"caf\udce9.safetensors", "fox 🦊.safetensors", "{"x" * 256}"')
    answers = {f"GET /object_info/{name}": says("{}") for name in CATALOGUE_CLASSES}
    answers["GET /object_info/CheckpointLoaderSimple"] = says(listed)
    answers["GET /embeddings"] = says('["easynegative", "caf\\udce9"]')
    async with Liar(answers) as liar:
        client = ComfyClient(liar.url)
        catalogue = await client.catalogue()
        await client.aclose()
    assert catalogue.version == ""  # it does not tell it
    assert catalogue.checkpoints == ("fox 🦊.safetensors",)
    assert catalogue.embeddings == ("easynegative",)
    assert catalogue.left_out == ("caf�.safetensors", "x" * 254 + "…", "caf�")
    assert "caf�.safetensors" in catalogue.why_left_out


# ---- the websocket


def legacy(picture: bytes) -> bytes:
    return struct.pack(">II", 1, 1) + picture


def modern(picture: bytes, image_type: str) -> bytes:
    metadata = json.dumps({"prompt_id": "p", "node_id": "5", "image_type": image_type}).encode()
    return struct.pack(">II", 4, len(metadata)) + metadata + picture


async def test_frames_that_are_no_previews_are_passed_over_and_the_connection_stays() -> None:
    jpeg = encoded(8, 8, "JPEG")
    frames = [
        legacy(bytes(PREVIEW_BYTES_MAX + 1)),
        modern(bytes(40 * MEGABYTE), "image/png"),
        modern(b"<script>", "text/html"),
        modern(b"<svg/>", "image/svg+xml"),
        modern(jpeg, "image/中文"),
        modern(jpeg, "image/jpeg\r\nX: y"),
        modern(jpeg, "image/jpeg"),
    ]

    async def socket(request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        for frame in frames:
            await answer.send_bytes(frame)
        status = {"status": {"exec_info": {"queue_remaining": 7}}}
        await answer.send_str(json.dumps({"type": "status", "data": status}))
        async for _ in answer:
            pass
        return answer

    heard: list[Message] = []
    async with Liar({"GET /ws": socket}) as liar:

        async def nothing(*_: object) -> None:
            pass

        client = ComfySocket(
            Address.of(liar.url), on_message=heard.append, on_open=nothing, on_down=nothing
        )
        await client.start(patience_s=5)
        await wait_until(lambda: Status(7) in heard)
        await client.stop()
        assert liar.asked["GET /ws"] == 1
    assert heard == [PreviewFrame("p", "5", jpeg, "image/jpeg"), Status(7)]


async def test_no_key_comes_back_by_the_socket() -> None:
    key = "comfyui-0123456789abcdef"

    async def socket(request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        error = {"prompt_id": "p", "node_id": "1", "exception_message": f"bad key {key}"}
        await answer.send_str(json.dumps({"type": "execution_error", "data": error}))
        async for _ in answer:
            pass
        return answer

    heard: list[Message] = []
    async with Liar({"GET /ws": socket}) as liar:

        async def nothing(*_: object) -> None:
            pass

        client = ComfySocket(
            Address.of(liar.url),
            on_message=heard.append,
            on_open=nothing,
            on_down=nothing,
            hiding=Hiding(SecretStr(key)),
        )
        await client.start(patience_s=5)
        await wait_until(lambda: bool(heard))
        await client.stop()
    [message] = heard
    assert "bad key (key)" in repr(message)
    assert key not in repr(message)


async def test_a_session_with_a_socket_but_without_http_is_not_reachable() -> None:
    async def socket(request: web.Request) -> web.StreamResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for _ in answer:
            pass
        return answer

    refused = says("", status=403)
    answers: dict[str, Answer] = {
        "GET /ws": socket,
        "GET /system_stats": refused,
        "GET /prompt": refused,
    }
    async with Liar(answers) as liar, ComfySession(liar.url) as session:
        assert not session.reachable
        assert "403" in session.reachable_detail
        liar.answers["GET /system_stats"] = says('{"system": {"comfyui_version": "?"}}')
        liar.answers["GET /prompt"] = says('{"exec_info": {"queue_remaining": 0}}')
        await session.wait_until_reachable()
