"""The emulator speaks ComfyUI's protocol, traps included."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from comfy.emulator import Emulator, EmulatorOptions

FAST = EmulatorOptions(step_time=0.0, preview_method="none")
SLOW = EmulatorOptions(step_time=30.0, preview_method="none")
"""Nothing ends by itself: what ends was made to."""
FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


def txt2img(prefix: str = "t2i", seed: int = 1, steps: int = 2, **latent: int) -> dict[str, Any]:
    sampler = {"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "cfg": 7.0}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0]}
    size = {"width": 64, "height": 64, "batch_size": 1, **latent}
    return {
        "3": node("KSampler", seed=seed, steps=steps, **sampler, **links, latent_image=["5", 0]),
        "4": node("CheckpointLoaderSimple", ckpt_name="emulator-sd15.safetensors"),
        "5": node("EmptyLatentImage", **size),
        "6": node("CLIPTextEncode", text="a fox", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="bad", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix=prefix, images=["8", 0]),
    }


def blank(prefix: str = "mf", color: int = 3, **changes: Any) -> dict[str, Any]:
    size = {"width": 16, "height": 16, "batch_size": 1, "color": color, **changes}
    return {
        "1": node("EmptyImage", **size),
        "2": node("SaveImage", filename_prefix=prefix, images=["1", 0]),
    }


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


class Caller:
    """A client with one websocket, as plain as can be."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.http = session

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as reply:
            text = await reply.text(errors="replace")
            return reply.status, json.loads(text) if "json" in reply.content_type else text

    async def get(self, path: str, **params: str) -> tuple[int, Any]:
        async with self.http.get(path, params=params) as reply:
            text = await reply.text(errors="replace")
            return reply.status, json.loads(text) if "json" in reply.content_type else text

    async def submit(self, graph: dict[str, Any], **more: Any) -> str:
        status, answer = await self.post("/prompt", {"prompt": graph, **more})
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def history(self, prompt_id: str) -> dict[str, Any]:
        """The entry, as soon as it is there."""
        while True:
            _, entries = await self.get(f"/history/{prompt_id}")
            if entries:
                return dict(entries[prompt_id])
            await asyncio.sleep(0.005)

    async def running(self, prompt_id: str) -> None:
        """Until that prompt runs."""
        while True:
            _, queue = await self.get("/queue")
            if [item[1] for item in queue["queue_running"]] == [prompt_id]:
                return
            await asyncio.sleep(0.005)

    async def run(self, graph: dict[str, Any], **more: Any) -> dict[str, Any]:
        return await self.history(await self.submit(graph, **more))

    async def run_and_listen(
        self, socket: aiohttp.ClientWebSocketResponse, graph: dict[str, Any], client_id: str
    ) -> list[Any]:
        prompt_id = await self.submit(graph, client_id=client_id)
        return await until_end(socket, prompt_id)


@asynccontextmanager
async def calling(
    options: EmulatorOptions = FAST,
) -> AsyncIterator[tuple[Emulator, Caller]]:
    async with Emulator(options) as emulator, aiohttp.ClientSession(emulator.url) as session:
        yield emulator, Caller(session)


async def until_end(socket: aiohttp.ClientWebSocketResponse, prompt_id: str) -> list[Any]:
    """Messages up to the end marker: (type, data), or bytes."""
    seen: list[Any] = []
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            seen.append(message.data)
            continue
        said = message.json()
        seen.append((said["type"], said["data"]))
        if said["type"] == "executing" and said["data"] == {"node": None, "prompt_id": prompt_id}:
            return seen
    raise AssertionError("the socket closed before the end")


def kinds(seen: list[Any]) -> list[str]:
    return ["binary" if isinstance(item, bytes) else item[0] for item in seen]


def datas(seen: list[Any], kind: str) -> list[dict[str, Any]]:
    return [item[1] for item in seen if not isinstance(item, bytes) and item[0] == kind]


async def test_messages_come_in_the_recorded_order() -> None:
    async with calling() as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        graph = {**blank(), "3": node("PreviewImage", images=["1", 0])}
        seen = await caller.run_and_listen(socket, graph, "me")
    assert kinds(seen) == [
        *("status", "status", "status", "execution_start", "execution_cached"),
        *("progress_state", "executing", "progress_state"),
        *("progress_state", "executing", "executed", "progress_state"),
        *("progress_state", "executing", "executed", "progress_state"),
        *("execution_success", "status", "executing"),
    ]
    assert datas(seen, "status")[0]["sid"] == "me"
    remaining = [s["status"]["exec_info"]["queue_remaining"] for s in datas(seen, "status")]
    assert remaining == [0, 1, 1, 0]
    shown = datas(seen, "executed")
    assert shown[0]["output"]["images"] == [
        {"filename": "mf_00001_.png", "subfolder": "", "type": "output"}
    ]
    assert shown[1]["output"]["images"][0]["type"] == "temp"
    assert list(datas(seen, "progress_state")[-1]["nodes"]) == ["1", "2", "3"]


@pytest.mark.parametrize("negotiated", [True, False])
async def test_previews_with_and_without_metadata(negotiated: bool) -> None:
    options = EmulatorOptions(step_time=0.0)
    async with calling(options) as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        if negotiated:
            await socket.send_json(FLAGS)
            await socket.receive()
            assert (await socket.receive()).json()["type"] == "feature_flags"
        seen = await caller.run_and_listen(socket, txt2img(steps=2), "me")
    frames = [item for item in seen if isinstance(item, bytes)]
    order = [kind for kind in kinds(seen) if kind in ("progress", "binary")]
    assert [data["value"] for data in datas(seen, "progress")] == [1, 2]
    if negotiated:
        assert order == ["binary", "progress"] * 2
        length = int.from_bytes(frames[0][4:8], "big")
        metadata, image = json.loads(frames[0][8 : 8 + length]), frames[0][8 + length :]
        assert frames[0][:4] == b"\0\0\0\4"
        assert metadata["node_id"] == "3"
        assert metadata["image_type"] == "image/jpeg"
    else:
        assert order == ["progress", "binary"] * 2
        assert frames[0][:8] == b"\0\0\0\1\0\0\0\1"
        image = frames[0][8:]
    assert Image.open(io.BytesIO(image)).size == (512, 512)


async def test_preview_method_of_a_prompt_wins() -> None:
    options = EmulatorOptions(step_time=0.0)
    async with calling(options) as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        none = {"preview_method": "none"}
        prompt_id = await caller.submit(txt2img(), client_id="me", extra_data=none)
        assert "binary" not in kinds(await until_end(socket, prompt_id))
        odd = {"preview_method": "banana"}
        prompt_id = await caller.submit(txt2img(seed=2), client_id="me", extra_data=odd)
        assert "binary" in kinds(await until_end(socket, prompt_id))


async def test_history_is_empty_when_success_is_announced() -> None:
    options = EmulatorOptions(history_delay=1.5)
    async with calling(options) as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        prompt_id = await caller.submit(blank(), client_id="me")
        async for message in socket:
            if message.json()["type"] == "execution_success":
                assert await caller.get(f"/history/{prompt_id}") == (200, {})
                break
        await until_end(socket, prompt_id)
        _, entries = await caller.get(f"/history/{prompt_id}")
    entry = entries[prompt_id]
    assert entry["status"]["completed"] is True
    assert [name for name, _ in entry["status"]["messages"]] == [
        "execution_start",
        "execution_cached",
        "execution_success",
    ]
    assert entry["prompt"][1:3] == [prompt_id, blank()]
    assert entry["meta"]["2"]["real_node_id"] == "2"


async def test_identical_rerun_reports_the_old_file_and_writes_none() -> None:
    async with calling() as (emulator, caller):
        async with caller.http.ws_connect("/ws?clientId=me") as socket:
            first = await caller.run(txt2img(), client_id="me")
            prompt_id = await caller.submit(txt2img())
            again = await caller.history(prompt_id)
            seen = await caller.run_and_listen(socket, txt2img(), "me")
        assert again["outputs"] == first["outputs"]
        assert len(list(emulator.output_dir.iterdir())) == 1
        last = seen[-6:]
        assert kinds(last) == [
            *("execution_cached", "executed", "progress_state"),
            *("execution_success", "status", "executing"),
        ]
        assert sorted(datas(last, "execution_cached")[0]["nodes"]) == list("3456789")
        assert prompt_id not in emulator.renders


async def test_new_prefix_reruns_only_the_saving() -> None:
    async with calling() as (emulator, caller):
        await caller.run(txt2img("a"))
        entry = await caller.run(txt2img("b"))
        cached = entry["status"]["messages"][1][1]["nodes"]
        assert sorted(cached) == list("345678")
        assert sum(emulator.renders.values()) == 1


async def test_cache_remembers_one_prompt_only_and_free_drops_it() -> None:
    async with calling() as (emulator, caller):
        for graph in (blank(color=1), blank(color=2), blank(color=1)):
            await caller.run(graph)
        assert len(list(emulator.output_dir.iterdir())) == 3
        assert await caller.post("/free", {"free_memory": True}) == (200, "")
        entry = await caller.run(blank(color=1))
        assert entry["status"]["messages"][1][1]["nodes"] == []


async def test_without_client_id_only_broadcasts_are_heard() -> None:
    async with calling() as (_, caller), caller.http.ws_connect("/ws") as socket:
        await caller.run(txt2img())
        await caller.run(blank(), client_id="somebody-else")
        heard: list[str] = []
        while heard.count("status") < 7:
            heard.append((await socket.receive()).json()["type"])
    assert set(heard) == {"status", "progress_state", "progress"}


async def test_closing_the_old_socket_deafens_the_new_one() -> None:
    async with calling() as (_, caller):
        old = await caller.http.ws_connect("/ws?clientId=twin")
        new = await caller.http.ws_connect("/ws?clientId=twin")
        await new.receive()
        seen = await caller.run_and_listen(new, blank(color=1), "twin")
        assert "executed" in kinds(seen)
        await old.close()
        await caller.run(blank(color=2), client_id="twin")
        with pytest.raises(TimeoutError):
            await new.receive(timeout=0.1)
        assert not new.closed
        await new.close()


async def test_reconnecting_mid_run_names_the_node_without_prompt_id() -> None:
    async with calling(SLOW) as (emulator, caller):
        emulator.faults.hang(1)
        prompt_id = await caller.submit(txt2img(), client_id="me")
        await caller.running(prompt_id)
        while True:
            async with caller.http.ws_connect("/ws?clientId=me") as socket:
                await socket.receive()
                said = (await socket.receive()).json()
                if said == {"type": "executing", "data": {"node": "3"}}:
                    break


async def test_interrupt_by_id_spares_others_and_leaves_an_error_in_history() -> None:
    async with calling(SLOW) as (emulator, caller):
        prompt_id = await caller.submit(txt2img(), client_id="me")
        waiting = await caller.submit(blank())
        await caller.running(prompt_id)
        for other in (waiting, str(uuid.uuid4())):
            assert await caller.post("/interrupt", {"prompt_id": other}) == (200, "")
        assert (await caller.get("/history"))[1] == {}
        await caller.post("/interrupt", {"prompt_id": prompt_id})
        entry = await caller.history(prompt_id)
        assert entry["status"]["status_str"] == "error"
        assert entry["status"]["completed"] is False
        assert entry["status"]["messages"][-1][0] == "execution_interrupted"
        assert (await caller.history(waiting))["status"]["completed"] is True
        assert emulator.executions[0]["outcome"] == "interrupted"


async def test_interrupt_of_an_idle_server_has_no_effect() -> None:
    async with calling() as (_, caller):
        assert await caller.post("/interrupt", {}) == (200, "")
        assert (await caller.run(txt2img()))["status"]["completed"] is True
        async with caller.http.post("/interrupt", data=b"nonsense") as reply:
            assert reply.status == 200
        assert (await caller.post("/interrupt", []))[0] == 500


async def test_queue_order_numbers_and_deletion_without_trace() -> None:
    async with calling(SLOW) as (_, caller):
        running = await caller.submit(txt2img())
        await caller.running(running)
        later = await caller.submit(blank(color=1))
        first = await caller.submit(blank(color=2), front=True)
        low = await caller.submit(blank(color=3), number=-50)
        _, queue = await caller.get("/api/queue")
        pending = sorted(queue["queue_pending"], key=lambda item: item[:2])
        assert [item[1] for item in pending] == [low, first, later]
        assert [item[0] for item in pending] == [-50.0, -2, 1]
        assert pending[0][4] == ["2"]
        assert (await caller.get("/prompt"))[1] == {"exec_info": {"queue_remaining": 4}}
        await caller.post("/queue", {"delete": [later, running, "unknown"]})
        assert (await caller.get("/prompt"))[1]["exec_info"]["queue_remaining"] == 3
        assert await caller.get(f"/history/{later}") == (200, {})
        await caller.post("/queue", {"clear": True})
        _, queue = await caller.get("/queue")
        assert [len(items) for items in queue.values()] == [1, 0]


async def test_duplicate_prompt_ids_both_run_and_history_keeps_the_last() -> None:
    same = str(uuid.uuid4())
    async with calling() as (emulator, caller):
        for color in (1, 2):
            await caller.submit(blank("dup", color), prompt_id=same)
        last = await caller.submit(blank())
        await caller.history(last)
        entry = await caller.history(same)
        assert entry["outputs"]["2"]["images"][0]["filename"] == "dup_00002_.png"
        assert emulator.posts[same] == 2
        assert list((await caller.get("/history"))[1]) == [same, last]


async def test_history_pages_deletion_and_cap() -> None:
    options = EmulatorOptions(history_limit=4)
    async with calling(options) as (_, caller):
        ids = [await caller.submit(blank(color=color)) for color in range(5)]
        await caller.history(ids[-1])

        async def listed(**params: str) -> list[int]:
            return [ids.index(key) for key in (await caller.get("/history", **params))[1]]

        assert await listed() == [1, 2, 3, 4]
        assert await listed(max_items="2") == [3, 4]
        assert await listed(max_items="2", offset="1") == [2, 3]
        assert await listed(max_items="0") == []
        assert await listed(max_items="0", offset="0") == [1]
        assert (await caller.get("/history", max_items="abc"))[0] == 500
        await caller.post("/history", {"delete": [ids[2], "unknown"]})
        assert await listed() == [1, 3, 4]
        await caller.post("/history", {"clear": True})
        assert await listed() == []


async def test_two_ties_in_number_and_id_answer_500_yet_are_queued() -> None:
    async with calling(SLOW) as (_, caller):
        await caller.running(await caller.submit(txt2img()))
        body = {"prompt": blank(), "prompt_id": str(uuid.uuid4()), "number": 5}
        assert (await caller.post("/prompt", body))[0] == 200
        body["prompt"] = blank(color=4)
        assert (await caller.post("/prompt", body))[0] == 500
        assert len((await caller.get("/queue"))[1]["queue_pending"]) == 2


async def test_hanging_up_after_the_post_still_queues() -> None:
    async with calling() as (emulator, caller):
        prompt_id = str(uuid.uuid4())
        body = json.dumps({"prompt": blank(), "prompt_id": prompt_id}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        head = f"POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await caller.history(prompt_id))["status"]["completed"] is True


async def test_websocket_output_is_never_cached_and_leaves_no_trace() -> None:
    graph = {
        "1": node("EmptyImage", width=48, height=32, batch_size=2, color=65280),
        "9": node("SaveImageWebsocket", images=["1", 0]),
    }
    async with calling() as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        await caller.run_and_listen(socket, graph, "me")
        seen = await caller.run_and_listen(socket, graph, "me")
        _, entries = await caller.get("/history")
    frames = [item for item in seen if isinstance(item, bytes)]
    assert [frame[:8] for frame in frames] == [b"\0\0\0\1\0\0\0\2"] * 2
    assert Image.open(io.BytesIO(frames[0][8:])).size == (48, 32)
    assert [data["value"] for data in datas(seen, "progress")] == [0, 1]
    assert "executed" not in kinds(seen)
    assert all(entry["outputs"] == {} for entry in entries.values())


async def test_file_names_subfolders_counters_and_metadata(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x_00041_.txt").touch()
    options = EmulatorOptions(output_dir=tmp_path)
    async with calling(options) as (_, caller):
        graph = blank("sub/x", batch_size=2)
        entry = await caller.run(graph, extra_data={"extra_pnginfo": {"workflow": {"id": 7}}})
    images = entry["outputs"]["2"]["images"]
    assert [image["filename"] for image in images] == ["x_00042_.png", "x_00043_.png"]
    assert images[0]["subfolder"] == "sub"
    with Image.open(tmp_path / "sub" / "x_00042_.png") as picture:
        assert json.loads(picture.info["prompt"]) == graph
        assert json.loads(picture.info["workflow"]) == {"id": 7}


async def test_prefix_outside_the_output_folder_fails_while_running() -> None:
    async with calling() as (_, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        seen = await caller.run_and_listen(socket, blank("../../evil"), "me")
        _, entries = await caller.get("/history")
    error = datas(seen, "execution_error")[0]
    assert error["node_id"] == "2"
    assert error["node_type"] == "SaveImage"
    assert error["executed"] == ["1"]
    assert error["exception_type"] == "Exception"
    assert error["exception_message"].startswith("**** ERROR: Saving image outside")
    assert error["current_inputs"]["filename_prefix"] == ["../../evil"]
    assert kinds(seen)[-3:] == ["execution_error", "status", "executing"]
    (entry,) = entries.values()
    assert entry["status"]["messages"][-1] == ["execution_error", error]


async def test_view_follows_the_recorded_rules() -> None:
    async with calling() as (_, caller):
        await caller.run(blank("sub/v"))
        name = {"filename": "v_00001_.png", "subfolder": "sub"}
        async with caller.http.get("/view", params=name) as reply:
            body, headers = await reply.read(), reply.headers
            assert reply.status == 200
            assert headers["Content-Type"] == "image/png"
            assert headers["Content-Disposition"] == 'filename="v_00001_.png"'
        again = {"If-None-Match": headers["Etag"]}
        async with caller.http.get("/view", params=name, headers=again) as reply:
            assert reply.status == 304
        part = {"Range": "bytes=0-9"}
        async with caller.http.get("/api/view", params=name, headers=part) as reply:
            assert (reply.status, await reply.read()) == (206, body[:10])
        async with caller.http.head("/view", params=name) as reply:
            assert (reply.status, reply.content_length) == (200, len(body))
        async with caller.http.get("/view", params={**name, "preview": "webp;90"}) as reply:
            assert reply.content_type == "image/webp"
            assert "Etag" not in reply.headers
        for params, status in (
            ({}, 404),
            ({"filename": "nope.png"}, 404),
            ({"filename": "v_00001_.png"}, 404),
            ({"filename": ""}, 400),
            ({"filename": "/etc/passwd"}, 400),
            ({"filename": "a..b.png"}, 400),
            ({**name, "type": "banana"}, 400),
            ({"filename": "x.png", "subfolder": "../input"}, 403),
            ({"filename": "x.png", "subfolder": "/etc"}, 403),
            ({**name, "preview": "webp;500"}, 500),
        ):
            assert (await caller.get("/view", **params))[0] == status, params


async def test_upload_then_image_to_image() -> None:
    async with calling() as (_, caller):
        names = []
        for color in ("red", "red", "blue"):
            buffer = io.BytesIO()
            Image.new("RGB", (64, 64), color).save(buffer, "PNG")
            form = aiohttp.FormData()
            form.add_field("image", buffer.getvalue(), filename="up.png")
            async with caller.http.post("/upload/image", data=form) as reply:
                names.append((await reply.json())["name"])
        assert names == ["up.png", "up.png", "up (1).png"]
        assert (await caller.get("/view", filename="up.png [input]"))[0] == 200
        graph = txt2img()
        graph["1"] = node("LoadImage", image="up (1).png")
        graph["5"] = node("VAEEncode", pixels=["1", 0], vae=["4", 2])
        graph["3"]["inputs"]["denoise"] = 0.5
        assert (await caller.run(graph))["status"]["completed"] is True
        assert (await caller.post("/upload/image"))[0] == 400


async def test_information_routes() -> None:
    async with calling() as (_, caller):
        _, info = await caller.get("/object_info")
        sampler = info["KSampler"]["input"]["required"]
        assert "euler" in sampler["sampler_name"][0]
        assert info["SaveImage"]["output_node"] is True
        assert info["SaveImage"]["input_order"]["required"] == ["images", "filename_prefix"]
        assert (await caller.get("/api/object_info/KSampler"))[1] == {"KSampler": info["KSampler"]}
        assert await caller.get("/object_info/Nope") == (200, {})
        _, checkpoints = await caller.get("/models/checkpoints")
        assert checkpoints == ["emulator-sd15.safetensors", "emulator-sdxl.safetensors"]
        assert info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == checkpoints
        assert (await caller.get("/models/nope"))[0] == 404
        _, stats = await caller.get("/system_stats")
        assert stats["system"]["easel_emulator"] is True
        assert stats["system"]["comfyui_version"] == "0.33.0"
        assert (await caller.get("/features"))[1]["supports_preview_metadata"] is True


async def test_statuses_of_wrong_requests() -> None:
    async with calling() as (_, caller):
        for method, path, status in (
            ("GET", "/does-not-exist", 404),
            ("GET", "/interrupt", 404),
            ("DELETE", "/queue", 405),
            ("OPTIONS", "/anything", 200),
            ("POST", "/free", 500),
        ):
            async with caller.http.request(method, path) as reply:
                assert reply.status == status, path
        async with caller.http.get("/queue", headers={"Origin": "http://evil.example"}) as reply:
            assert reply.status == 403


@pytest.mark.parametrize(("version", "is_queued"), [("0.3.64", True), ("0.33.0", False)])
async def test_keys_of_paid_services_are_kept_nowhere(version: str, *, is_queued: bool) -> None:
    """execution.py (SENSITIVE_EXTRA_DATA_KEYS) of 0.3.64, server.py of 0.24.0 and 0.33.0."""
    key = "api_key_comfy_org"
    async with calling(replace(SLOW, comfyui_version=version)) as (_, caller):
        prompt_id = await caller.submit(txt2img(), extra_data={key: "secret"})
        await caller.running(prompt_id)
        _, queue = await caller.get("/queue")
        assert (key in queue["queue_running"][0][3]) is is_queued
        await caller.post("/interrupt", {"prompt_id": prompt_id})
        assert key not in (await caller.history(prompt_id))["prompt"][3]


async def test_what_sent_a_prompt_is_kept_from_033_on() -> None:
    """server.py of 0.33.0: extra_data goes before the header."""
    header = {"Comfy-Usage-Source": "easel"}
    for version, kept in (("0.24.0", None), ("0.33.0", "easel")):
        async with calling(replace(FAST, comfyui_version=version)) as (_, caller):
            async with caller.http.post(
                "/prompt", json={"prompt": blank()}, headers=header
            ) as said:
                prompt_id = (await said.json())["prompt_id"]
            extra_data = (await caller.history(prompt_id))["prompt"][3]
            assert extra_data.get("comfy_usage_source") == kept
