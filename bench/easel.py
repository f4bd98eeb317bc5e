"""(b) latency, (c) GPU busy, (d) accepting, (e) memory of Easel."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bench.processor import processes
from bench.stack import Stack

BODY: Final = {
    "prompt": "a red fox at dawn",
    "model": "emulator-sd15.safetensors",
    "width": 512,
    "height": 512,
    "steps": 20,
}
PAUSE_S: Final = 0.5
"""Between two measurements of one caller, so that the last one's bookkeeping is over."""


async def create(stack: Stack, **more: Any) -> dict[str, Any]:
    """Create a generation. Returns its status document."""
    url = f"{stack.api_url}/api/v1/generation/create"
    async with stack.http.post(url, json={**BODY, **more}) as response:
        document: dict[str, Any] = await response.json()
        if response.status != 202:
            raise RuntimeError(document)
        return document


@dataclass(frozen=True)
class Timeline:
    """One generation, in seconds: where the time went that was not rendering.

    ``until_seen``: until its image's last byte was read, before it was kept; None if it was kept
    before its event came.
    """

    total: float
    until_seen: float | None
    until_start: float
    until_kept: float
    until_told: float


async def one_after_another(stack: Stack, count: int) -> list[Timeline]:
    """From POST create until the result document is here, by server-sent events."""
    times: list[Timeline] = []
    for _ in range(count):
        clock = time.time()
        began = time.perf_counter()
        document = await create(stack)
        seeing: list[asyncio.Task[float]] = []

        def see(url: str, seeing: list[asyncio.Task[float]] = seeing) -> None:
            seeing.append(asyncio.create_task(_read_at(stack, url)))

        await ended(stack, document["urls"]["events"], see)
        async with stack.http.get(document["urls"]["result"]) as response:
            response.raise_for_status()
            await response.read()
        total = time.perf_counter() - began
        seen = await seeing[0] - began if seeing else None
        times.append(await _timeline(stack, document, clock, total, seen))
        await asyncio.sleep(PAUSE_S)
    return times


async def _read_at(stack: Stack, url: str) -> float:
    """Returns when the last byte of an image was here."""
    async with stack.http.get(url) as response:
        response.raise_for_status()
        await response.read()
        return time.perf_counter()


async def _timeline(
    stack: Stack, document: dict[str, Any], began: float, total: float, seen: float | None
) -> Timeline:
    """From the emulator's own times and the attempt's; all on this machine's clock."""
    url = f"{stack.api_url}/api/v1/generation/{document['task_id']}/attempts"
    async with stack.http.get(url) as response:
        [attempt] = (await response.json())["attempts"]
    [run] = [e for e in await stack.executions() if e["prompt_id"] == attempt["prompt_id"]]
    kept = datetime.fromisoformat(attempt["ended_at"]).timestamp()
    return Timeline(
        total=total,
        until_seen=seen,
        until_start=run["started"] - began,
        until_kept=kept - run["ended"],
        until_told=began + total - kept,
    )


def _ignore(_url: str) -> None:
    """What is only waited for."""


async def ended(
    stack: Stack, events_url: str, on_rendered: Callable[[str], None] = _ignore
) -> None:
    """Follow a generation's events until it has succeeded; RuntimeError when it ends otherwise.

    ``on_rendered`` is called with the URL of an output that is not kept yet.
    """
    async with stack.http.get(events_url, timeout=None) as response:
        name = ""
        async for line in response.content:
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
            elif line.startswith(b"data: ") and name == "rendered":
                on_rendered(json.loads(line[6:])["url"])
            elif line.startswith(b"data: ") and name == "status":
                status = json.loads(line[6:])["status"]
                if status == "succeeded":
                    return
                if status in ("failed", "cancelled"):
                    raise RuntimeError(line.decode())


async def all_at_once(stack: Stack, count: int) -> None:
    """Create ``count`` generations and wait until the last one has ended."""
    documents = await asyncio.gather(*(create(stack) for _ in range(count)))
    for document in documents:
        await ended(stack, document["urls"]["events"])


async def accept_latencies(stack: Stack, count: int, connections: int) -> list[float]:
    """Seconds from sending each of ``count`` creates until its 202.

    All ``connections`` send at once, and each the next one as soon as it has its answer. They are
    open before, as in any client that keeps them. Priority bulk, smallest size: the answer is
    measured, and what follows is cancelled right after.
    """
    await asyncio.gather(*(_touch(stack) for _ in range(connections)))
    url = f"{stack.api_url}/api/v1/generation/create"
    body = json.dumps({**BODY, "width": 64, "height": 64, "steps": 1, "priority": "bulk"}).encode()
    headers = {"Content-Type": "application/json"}
    times: list[float] = []
    created: list[str] = []

    async def one() -> None:
        began = time.perf_counter()
        async with stack.http.post(url, data=body, headers=headers) as response:
            answer = await response.read()
            times.append(time.perf_counter() - began)
            if response.status != 202:
                raise RuntimeError(answer.decode())
            created.append(json.loads(answer)["urls"]["cancel"])

    async def caller(creates: int) -> None:
        for _ in range(creates):
            await one()

    each = [len(range(number, count, connections)) for number in range(connections)]
    await asyncio.gather(*map(caller, each))
    await asyncio.gather(*(_post(stack, cancel) for cancel in created))
    return times


async def _touch(stack: Stack) -> None:
    async with stack.http.get(f"{stack.api_url}/healthz") as response:
        await response.read()
        await asyncio.sleep(0.5)  # held open, so that each gets a connection of its own


async def _post(stack: Stack, url: str) -> None:
    async with stack.http.post(url) as response:
        await response.read()


def memory(stack: Stack) -> dict[str, float]:
    """Resident megabytes, by what the process is."""
    megabytes: defaultdict[str, float] = defaultdict(float)
    for label, process in processes(stack):
        megabytes[label] += process.memory_info().rss / 1e6
    return dict(megabytes)
