"""(a) The ideal client: ComfyUI's own API, nothing recorded, nothing kept."""

from __future__ import annotations

import asyncio
import json
import time
import uuid

import aiohttp

from bench.stack import Stack
from comfy import build_graph
from core.ids import prompt_id
from core.requests import ResolvedRequest


def request(seed: int) -> ResolvedRequest:
    """A small picture: what is measured is everything but the rendering."""
    return ResolvedRequest(
        prompt="a red fox at dawn",
        negative_prompt="",
        workflow="txt2img",
        model="emulator-sd15.safetensors",
        width=512,
        height=512,
        steps=20,
        cfg=7.0,
        sampler="euler",
        scheduler="normal",
        seed=seed,
        batch_size=1,
        priority="interactive",
        timeout_s=600,
        metadata={},
    )


async def one_after_another(stack: Stack, count: int) -> list[float]:
    """Seconds from POST to the picture's bytes, for each of ``count`` prompts."""
    client_id = uuid.uuid4().hex
    times: list[float] = []
    async with stack.http.ws_connect(f"{stack.comfy_url}/ws?clientId={client_id}") as socket:
        for number in range(count):
            began = time.perf_counter()
            await _post(stack, client_id, number)
            image = await _executed(socket)
            async with stack.http.get(f"{stack.comfy_url}/view", params=image) as response:
                await response.read()
            times.append(time.perf_counter() - began)
            await _idle(socket)
    return times


async def all_at_once(stack: Stack, count: int) -> None:
    """Queue ``count`` prompts and wait for the last."""
    client_id = uuid.uuid4().hex
    async with stack.http.ws_connect(f"{stack.comfy_url}/ws?clientId={client_id}") as socket:
        await asyncio.gather(*(_post(stack, client_id, 1000 + n) for n in range(count)))
        for _ in range(count):
            await _executed(socket)
            await _idle(socket)


async def _post(stack: Stack, client_id: str, seed: int) -> None:
    identity = prompt_id(uuid.uuid4(), 1)
    workflow = build_graph(request(seed), identity)
    body = {"prompt": workflow.to_json(), "prompt_id": identity, "client_id": client_id}
    async with stack.http.post(f"{stack.comfy_url}/prompt", json=body) as response:
        response.raise_for_status()


async def _executed(socket: aiohttp.ClientWebSocketResponse) -> dict[str, str]:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            if event["type"] == "executed":
                image: dict[str, str] = event["data"]["output"]["images"][0]
                return image
    raise RuntimeError("the websocket closed")


async def _idle(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            if event["type"] == "executing" and event["data"]["node"] is None:
                return
