"""Every fault of the emulator does what it says, and undoes itself."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comfy.emulator import Emulator, EmulatorOptions

from .test_emulator import FAST, SLOW, Caller, blank, calling, datas, kinds, txt2img, until_end


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """Read until the socket is closed; the code."""
    async for _ in socket:
        pass
    return socket.close_code


async def eventually(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


async def ask_for_ever(caller: Caller) -> None:
    while True:
        await caller.get("/queue")


async def test_sockets_are_dropped_without_a_close_frame() -> None:
    async with calling() as (emulator, caller):
        sockets = [await caller.http.ws_connect("/ws") for _ in range(2)]
        for socket in sockets:
            await socket.receive()
        assert emulator.faults.drop_sockets() == 2
        assert [await closed(socket) for socket in sockets] == [1006, 1006]
        assert (await caller.run(blank()))["status"]["completed"] is True


async def test_sockets_are_dropped_after_so_many_progress_messages() -> None:
    tells_each_step = replace(FAST, comfyui_version="0.3.64")
    async with (
        calling(tells_each_step) as (emulator, caller),
        caller.http.ws_connect("/ws?clientId=me") as socket,
    ):
        emulator.faults.drop_sockets_after(3)
        prompt_id = await caller.submit(txt2img(steps=9), client_id="me")
        values = []
        async for message in socket:
            said = message.json()
            if said["type"] == "progress":
                values.append(said["data"]["value"])
        assert values == [1, 2, 3]
        assert (await caller.history(prompt_id))["status"]["completed"] is True


async def test_refused_and_stalled_sockets() -> None:
    async with calling() as (emulator, caller):
        emulator.faults.refuse_sockets(60)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await caller.http.ws_connect("/ws")
        emulator.faults.clear()
        async with caller.http.ws_connect("/ws?clientId=me") as socket:
            await socket.receive()
            assert emulator.faults.stall_sockets("me") == 1
            await caller.run(blank(), client_id="me")
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.05)
            emulator.faults.clear()
            seen = await caller.run_and_listen(socket, blank(color=9), "me")
            assert "executed" in kinds(seen)


@pytest.mark.parametrize("accepted", [True, False])
async def test_dropped_replies(accepted: bool) -> None:
    async with calling() as (emulator, caller):
        emulator.faults.drop_replies(accepted=accepted)
        prompt_id = str(uuid.uuid4())
        body = {"prompt": txt2img(), "prompt_id": prompt_id}
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.post("/prompt", body)
        if accepted:
            await caller.history(prompt_id)
        else:
            assert emulator.posts == {}
            await caller.submit(txt2img(), prompt_id=prompt_id)
            await caller.history(prompt_id)
        assert emulator.posts == {prompt_id: 1}
        assert emulator.renders == {prompt_id: 1}


async def test_scripted_answers() -> None:
    async with calling() as (emulator, caller):
        page = "<html>Bad Gateway</html>"
        emulator.faults.answer(
            "GET", "/queue", status=502, body=page, content_type="text/html", times=2
        )
        assert await caller.get("/queue") == (502, page)
        assert (await caller.get("/prompt"))[0] == 200
        assert await caller.get("/api/queue") == (502, page)
        assert (await caller.get("/queue"))[0] == 200
        emulator.faults.answer("GET", "/object_info", truncate=100, delay=0.01)
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.get("/object_info")
        assert (await caller.get("/object_info"))[0] == 200


async def test_node_errors_and_out_of_memory() -> None:
    async with calling() as (emulator, caller), caller.http.ws_connect("/ws?clientId=me") as socket:
        emulator.faults.fail_node("VAEDecode", "ValueError", "no such luck")
        emulator.faults.out_of_memory()
        seen = await caller.run_and_listen(socket, txt2img(), "me")
        error = datas(seen, "execution_error")[0]
        assert error["exception_type"] == "torch.OutOfMemoryError"
        assert "Allocation on device" in error["exception_message"]
        assert "you ran out of memory on your GPU" in error["exception_message"]
        assert emulator.loaded is None
        seen = await caller.run_and_listen(socket, txt2img(), "me")
        error = datas(seen, "execution_error")[0]
        assert (error["node_id"], error["node_type"]) == ("8", "VAEDecode")
        assert (error["exception_type"], error["exception_message"]) == (
            "ValueError",
            "no such luck\n",
        )
        assert "3" in error["executed"]
        seen = await caller.run_and_listen(socket, txt2img(), "me")
        assert "execution_success" in kinds(seen)


async def test_absurd_sizes_are_out_of_memory() -> None:
    async with calling() as (_, caller):
        entry = await caller.run(txt2img(width=16384, height=16384))
        assert entry["status"]["messages"][-1][1]["exception_type"] == "torch.OutOfMemoryError"


async def test_a_hang_lasts_until_it_is_released_or_interrupted() -> None:
    async with calling() as (emulator, caller):
        emulator.faults.hang(2, times=2)
        async with caller.http.ws_connect("/ws?clientId=me") as socket:
            prompt_id = await caller.submit(txt2img(steps=3), client_id="me")
            while (said := (await socket.receive()).json())["type"] != "progress":
                pass
            assert said["data"]["value"] == 1
            emulator.faults.release()
            assert "execution_success" in kinds(await until_end(socket, prompt_id))
        prompt_id = await caller.submit(txt2img(seed=2))
        await caller.running(prompt_id)
        await caller.post("/interrupt", {"prompt_id": prompt_id})
        messages = (await caller.history(prompt_id))["status"]["messages"]
        assert messages[-1][0] == "execution_interrupted"


async def test_an_uninterruptible_hang_ends_with_a_restart() -> None:
    async with calling() as (emulator, caller):
        emulator.faults.hang(2, interruptible=False)
        async with caller.http.ws_connect("/ws?clientId=me") as socket:
            prompt_id = await caller.submit(txt2img(), client_id="me")
            while (await socket.receive()).json()["type"] != "progress":
                pass
            await caller.post("/interrupt", {})
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.05)
        assert await caller.get(f"/history/{prompt_id}") == (200, {})
        await emulator.restart()
        assert emulator.executions[0]["outcome"] == "lost"


async def test_a_zombie_accepts_and_never_executes() -> None:
    async with calling() as (emulator, caller):
        emulator.faults.zombie()
        first, second = await caller.submit(blank()), await caller.submit(blank(color=8))
        await caller.running(first)
        await caller.post("/interrupt", {})
        _, queue = await caller.get("/queue")
        assert [item[1] for item in queue["queue_pending"]] == [second]
        assert emulator.executions == []
        emulator.faults.clear()
        await caller.history(second)


async def test_empty_outputs_and_forgotten_history() -> None:
    async with calling() as (emulator, caller):
        emulator.faults.empty_outputs()
        entry = await caller.run(blank())
        assert (entry["status"]["completed"], entry["outputs"]) == (True, {})
        prompt_id = await caller.submit(blank())
        assert (await caller.history(prompt_id))["outputs"] != {}
        emulator.faults.forget(prompt_id)
        assert await caller.get(f"/history/{prompt_id}") == (200, {})


async def test_truncated_files() -> None:
    async with calling() as (emulator, caller):
        await caller.run(blank())
        emulator.faults.truncate_views(20)
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.get("/view", filename="mf_00001_.png")
        assert (await caller.get("/view", filename="mf_00001_.png"))[0] == 200


async def test_restart_loses_memory_and_keeps_files_and_accounts() -> None:
    async with calling(SLOW) as (emulator, caller):
        done = await caller.submit(blank("kept"))
        await caller.history(done)
        lost = await caller.submit(txt2img(), client_id="me")
        await caller.running(lost)
        await eventually(lambda: emulator.renders == {lost: 1})
        socket = await caller.http.ws_connect("/ws?clientId=me")
        port = emulator.port
        down = asyncio.create_task(emulator.restart(down_s=0.3))
        assert await closed(socket) == 1006
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask_for_ever(caller)
        await down
        assert (emulator.port, emulator.incarnation) == (port, 2)
        assert (await caller.get("/history"))[1] == {}
        assert (await caller.get("/queue"))[1] == {"queue_running": [], "queue_pending": []}
        assert (await caller.get("/view", filename="kept_00001_.png"))[0] == 200
        _, answer = await caller.post("/prompt", {"prompt": blank("kept")})
        assert answer["number"] == 0
        entry = await caller.history(answer["prompt_id"])
        assert entry["outputs"]["2"]["images"][0]["filename"] == "kept_00002_.png"
        assert emulator.renders == {lost: 1}
        assert [run["outcome"] for run in emulator.executions] == ["success", "lost", "success"]


async def test_faults_and_state_over_http() -> None:
    async with calling() as (emulator, caller):
        body: dict[str, Any] = {"fault": "answer", "method": "GET", "path": "/queue", "status": 500}
        status, said = await caller.post("/emulator/faults", body)
        assert (status, said["active"][0]["fault"]) == (200, "Answer")
        async with caller.http.delete("/emulator/faults") as reply:
            assert await reply.json() == {"active": []}
        assert (await caller.get("/queue"))[0] == 200
        for wrong in ({"fault": "nope"}, {"fault": "hang", "x": 1}, {"fault": "hang", "times": 0}):
            assert (await caller.post("/emulator/faults", wrong))[0] == 400
        prompt_id = await caller.submit(txt2img())
        await caller.history(prompt_id)
        _, state = await caller.get("/emulator/state")
        assert state["renders"] == state["posts"] == {prompt_id: 1}
        assert (state["incarnation"], state["loaded"]) == (1, "emulator-sd15.safetensors")
        run = state["executions"][0]
        assert run["started"] <= run["ended"]
        assert (run["prompt_id"], run["outcome"]) == (prompt_id, "success")
        assert (await caller.post("/emulator/faults", {"fault": "restart"}))[0] == 202
        await eventually(lambda: emulator.incarnation == 2)


async def test_switching_checkpoints_is_counted() -> None:
    async with calling() as (emulator, caller):
        for name in ("sd15", "sdxl", "sdxl"):
            graph = txt2img(seed=len(emulator.renders))
            graph["4"]["inputs"]["ckpt_name"] = f"emulator-{name}.safetensors"
            await caller.run(graph)
        assert (emulator.switches, emulator.loaded) == (1, "emulator-sdxl.safetensors")


async def test_stopping_does_not_wait_for_a_running_prompt() -> None:
    async with aiohttp.ClientSession() as session:
        emulator = Emulator(SLOW)
        async with emulator:
            body = {"prompt": txt2img()}
            async with session.post(f"{emulator.url}/prompt", json=body) as reply:
                assert reply.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(emulator.url)
    await emulator.stop()


async def test_a_taken_port_is_an_oserror() -> None:
    async with Emulator(FAST) as emulator:
        with pytest.raises(OSError, match="ddress already in use"):
            await Emulator(EmulatorOptions(port=emulator.port)).start()


def test_one_that_is_killed_leaves_nothing_among_the_systems_temporary_files(
    tmp_path: Path,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    output = tmp_path / "output"
    command = [sys.executable, "-m", "comfy.emulator", "--port", "0", "--output-dir", str(output)]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert {path.name for path in tmp_path.glob("output*")} == {
            "output", "output-input", "output-temp"
        }  # fmt: skip
        process.kill()
        process.wait(10)
    assert list(scratch.iterdir()) == []


def test_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "comfy.emulator", "--port", "0", "--output-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert line.startswith("ComfyUI emulator at http://127.0.0.1:")
