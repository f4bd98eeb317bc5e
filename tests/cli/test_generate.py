"""`easel generate` against an API that misbehaves."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from core.callbacks.callback import Callback
from core.requests import GenerationRequest
from tests.cli.running import Ended, easel, started
from tests.cli.scripted_api import PICTURE, ScriptedApi, document, send, serve
from tests.harness.processes import free_port

RUNNING = {"percent": 50.0, "step": 10, "steps": 20, "node": "KSampler"}


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with serve(ScriptedApi()) as api:
        yield api


async def _generate(api: ScriptedApi, folder: Path, *more: str) -> Ended:
    arguments = ["generate", "A red fox!", "--api", api.url, "--out", str(folder / "out"), *more]
    return await easel(*arguments, home=folder)


async def _to_the_end(response: web.StreamResponse, _last_id: str | None) -> None:
    await send(response, "status", document("running"), 2)
    await send(response, "progress", RUNNING, 3)
    await send(response, "status", document("succeeded"), 4)


async def test_the_picture_is_saved_and_its_path_is_all_of_stdout(
    api: ScriptedApi, tmp_path: Path
) -> None:
    api.streams = [_to_the_end]
    ended = await _generate(api, tmp_path, "--width", "512", "--cfg", "6.5", "--timeout", "60")
    file = tmp_path / "out" / "a-red-fox-7.png"
    assert (ended.code, ended.out) == (0, f"{file}\n")
    assert file.read_bytes() == PICTURE
    assert "running, 50%, step 10 of 20" in ended.err
    assert api.requests == [
        {"prompt": "A red fox!", "width": 512, "cfg": 6.5, "timeout_s": 60, "batch_size": 1}
    ]


async def test_what_is_made_in_another_way_is_told_once(api: ScriptedApi, tmp_path: Path) -> None:
    api.streams = [_to_the_end, _to_the_end]
    told = [
        {
            "code": "lora_of_another_family",
            "loc": ["loras", 0, "name"],
            "message": "it is for Flux",
        },
        {"code": "size_rounded", "loc": [], "message": "multiples of 16"},
    ]
    api.now = document("queued", warnings=told)
    ended = await _generate(api, tmp_path, "--count", "17", "--json")
    assert ended.code == 0
    assert ended.err.count("Warning: loras.0.name: it is for Flux\n") == 1
    assert ended.err.count("Warning: multiples of 16\n") == 1
    assert len(json.loads(ended.out)) == 2


async def test_a_callback_is_part_of_each_request(api: ScriptedApi, tmp_path: Path) -> None:
    api.streams = [_to_the_end, _to_the_end]
    events = ("--callback-event", "generation.running", "--callback-event", "generation.failed")
    url = "http://127.0.0.1:9/hook?key=1"
    assert (await _generate(api, tmp_path, "--callback-url", url, *events)).code == 0
    assert (await _generate(api, tmp_path, "--callback", "shop")).code == 0
    by_url, by_name = api.requests
    assert (by_url["callback_url"], by_name["callback"]) == (url, "shop")
    assert GenerationRequest.model_validate(by_url).wanted_callback == Callback(
        url=url, events=("generation.running", "generation.failed")
    )
    assert {"callback_url", "callback_events"}.isdisjoint(by_name)


async def test_json_has_the_result_and_the_files(api: ScriptedApi, tmp_path: Path) -> None:
    api.streams = [_to_the_end]
    ended = await _generate(api, tmp_path, "--json")
    (outcome,) = json.loads(ended.out)
    assert outcome["files"] == [str(tmp_path / "out" / "a-red-fox-7.png")]
    assert outcome["result"]["images"][0]["seed"] == 7
    assert outcome["problem"] is None


async def test_a_broken_stream_is_resumed_behind_the_last_event(
    api: ScriptedApi, tmp_path: Path
) -> None:
    async def cut(response: web.StreamResponse, _last_id: str | None) -> None:
        await send(response, "progress", RUNNING, 41)
        raise ConnectionResetError

    api.streams = [cut, _to_the_end]
    ended = await _generate(api, tmp_path)
    assert ended.code == 0
    assert api.resumed_from == [None, "41"]


async def test_without_any_stream_it_polls(api: ScriptedApi, tmp_path: Path) -> None:
    generating = asyncio.create_task(_generate(api, tmp_path))
    await api.asked.wait()
    api.now = document("succeeded")
    assert (await generating).code == 0


async def test_a_failure_tells_detail_and_node(api: ScriptedApi, tmp_path: Path) -> None:
    error = {"detail": "no memory left", "node_id": "3", "node_class": "KSampler"}
    api.now = document("failed", error=error)
    ended = await _generate(api, tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "easel: no memory left (node 3, KSampler)" in ended.err


async def test_a_picture_that_arrives_damaged_is_not_saved(
    api: ScriptedApi, tmp_path: Path
) -> None:
    api.now, api.picture = document("succeeded"), b"half"
    ended = await _generate(api, tmp_path)
    assert ended.code == 1
    assert "arrived damaged" in ended.err
    assert list((tmp_path / "out").glob("*")) == []


async def test_a_folder_that_cannot_be_written_is_told(api: ScriptedApi, tmp_path: Path) -> None:
    api.now = document("succeeded")
    (tmp_path / "out").touch()
    ended = await _generate(api, tmp_path)
    assert ended.code == 1
    assert "choose another folder with --out" in ended.err


async def test_an_invalid_request_lists_its_fields(api: ScriptedApi, tmp_path: Path) -> None:
    errors = [{"loc": ["steps"], "code": "x", "message": "must be at most 150"}]
    api.created = web.json_response({"detail": "not valid", "errors": errors}, status=422)
    ended = await _generate(api, tmp_path, "--steps", "151")
    assert ended.code == 2
    assert "  steps: must be at most 150" in ended.err


async def test_a_refusal_is_told_in_the_words_of_the_api(api: ScriptedApi, tmp_path: Path) -> None:
    api.created = web.json_response({"detail": "ComfyUI is away"}, status=503)
    ended = await _generate(api, tmp_path)
    assert (ended.code, ended.err) == (1, "easel: ComfyUI is away\n")


async def test_nobody_there(tmp_path: Path) -> None:
    nowhere = ScriptedApi(url=f"http://127.0.0.1:{free_port()}")
    ended = await _generate(nowhere, tmp_path)
    assert ended.code == 3
    assert "easel up" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate",),
        ("generate", "fox", "--width", "wide"),
        ("generate", "fox", "--count", "0"),
        ("generate", "fox", "--api", "ftp://nowhere"),
        ("generate", "fox", "--no-such-option"),
    ],
    ids=" ".join,
)
async def test_bad_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert (await easel(*arguments, home=tmp_path)).code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_ctrl_c_cancels(api: ScriptedApi, tmp_path: Path) -> None:
    async def stuck(response: web.StreamResponse, _last_id: str | None) -> None:
        await send(response, "status", document("running"))
        await api.cancelled.wait()

    api.streams = [stuck]
    async with started("generate", "fox", "--api", api.url, home=tmp_path) as command:
        await command.until("running", 20)
        command.process.send_signal(signal.SIGINT)
        assert await command.ends(10) == 130
    assert api.cancelled.is_set()
    assert "cancelling" in command.said
    assert "Traceback" not in command.said


@pytest.mark.parametrize("seed", ["-2", str(2**53)])
@pytest.mark.parametrize("command", ["generate", "bulk"])
async def test_a_seed_that_is_none_is_refused(
    api: ScriptedApi, tmp_path: Path, command: str, seed: str
) -> None:
    (tmp_path / "foxes.csv").write_text("prompt\na fox\n")
    what = "a fox" if command == "generate" else str(tmp_path / "foxes.csv")
    ended = await easel(command, what, "--seed", seed, "--api", api.url, home=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "seed: must be 0 … 9007199254740991; −1 or none draws one" in ended.err
    assert api.requests == []


async def test_a_seed_of_minus_one_is_left_to_the_api(api: ScriptedApi, tmp_path: Path) -> None:
    api.now = document("succeeded")
    ended = await _generate(api, tmp_path, "--seed", "-1", "--count", "17")
    assert ended.code == 0
    assert [request.get("seed", -1) for request in api.requests] == [-1, -1]
