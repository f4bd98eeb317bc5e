"""What a large video costs: ``python -m bench.videos``.

It is made, kept, sent to a client, and taken as an upload. Memory is looked at all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psutil

from bench import easel
from bench.figures import Figure, show
from bench.stack import Stack, running_stack

GROWN_MB: Final = 50.0
"""How much more memory worker and API may take than before."""
_LOOK_EVERY_S: Final = 0.02
_PIECE: Final = 1_048_576
_WATCHED: Final = ("worker", "api")
_NAME: Final = "film"
_WORKFLOW: Final = {
    "easel_workflow": 1,
    "name": _NAME,
    "title": "A film",
    "graph": {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 4, "color": 0},
        },
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8.0}},
        "3": {
            "class_type": "SaveVideo",
            "inputs": {
                "video": ["2", 0],
                "filename_prefix": "film",
                "format": "mp4",
                "codec": "auto",
            },
        },
    },
    "inputs": [
        {
            "name": "color",
            "type": "integer",
            "minimum": 0,
            "maximum": 0xFFFFFF,
            "default": 0,
            "targets": [{"node": "1", "field": "color"}],
        }
    ],
    "outputs": [{"name": "film", "node": "3", "kind": "video", "primary": True}],
}


async def measure(megabytes: int) -> list[Figure]:
    """Everything, on one stack, one thing after another."""
    size = megabytes * 1_000_000
    settings = {"EASEL_UPLOADS__VIDEO_BYTES": str(2 * size)}
    emulator = ("bench.padded_emulator", str(size))
    figures: list[Figure] = []
    async with running_stack(0.1, settings=settings, emulator=emulator) as stack:
        url = f"{stack.api_url}/api/v1/workflows"
        async with stack.http.post(url, json=_WORKFLOW) as response:
            response.raise_for_status()
        async with _watched(stack, f"a video of {megabytes} MB is made and kept", figures):
            output = await _made(stack)
        async with _watched(stack, "it is sent to a client", figures):
            await _fetched(stack, output)
        async with _watched(stack, "one as large is uploaded", figures):
            await _uploaded(stack, size)
    return figures


@asynccontextmanager
async def _watched(stack: Stack, what: str, figures: list[Figure]) -> AsyncIterator[None]:
    """Add what it took meanwhile."""
    before = await asyncio.to_thread(easel.memory, stack)
    most = dict(before)
    watching = asyncio.create_task(_watch(stack, most))
    began = time.perf_counter()
    try:
        yield
    finally:
        took_s = time.perf_counter() - began
        watching.cancel()
        await asyncio.wait([watching])
    figures.append(Figure(what, f"{took_s:.1f} s"))
    figures.extend(
        Figure(
            f"  memory: {name}",
            f"{before[name]:.0f} → {most[name]:.0f} MB",
            f"≤ {GROWN_MB:.0f} MB more",
            most[name] - before[name] <= GROWN_MB,
        )
        for name in _WATCHED
    )


async def _watch(stack: Stack, most: dict[str, float]) -> None:
    while True:
        with suppress(psutil.Error):  # what looks into a file ends by itself
            for name, megabytes in (await asyncio.to_thread(easel.memory, stack)).items():
                most[name] = max(megabytes, most.get(name, 0.0))
        await asyncio.sleep(_LOOK_EVERY_S)


async def _made(stack: Stack) -> dict[str, Any]:
    url = f"{stack.api_url}/api/v1/generation/create"
    async with stack.http.post(url, json={"workflow": _NAME}) as response:
        document = await response.json()
        if response.status != 202:
            raise RuntimeError(document)
    await easel.ended(stack, document["urls"]["events"])
    async with stack.http.get(document["urls"]["result"]) as response:
        result = await response.json()
        if response.status != 200:
            raise RuntimeError(result)
    output: dict[str, Any] = result["outputs"][0]
    return output


async def _fetched(stack: Stack, output: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    async with stack.http.get(output["url"]) as response:
        async for piece in response.content.iter_chunked(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != output["sha256"]:
        raise RuntimeError("the video that came is another one")


async def _uploaded(stack: Stack, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + size.to_bytes(4) + b"free"
        for _ in range(size // _PIECE):
            yield bytes(_PIECE)

    url = f"{stack.api_url}/api/v1/uploads"
    headers = {"Content-Type": "video/mp4"}
    async with stack.http.post(url, data=pieces(), headers=headers) as response:
        if response.status != 201:
            raise RuntimeError(await response.text())


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.videos")
    parser.add_argument("--megabytes", type=int, default=300)
    given = parser.parse_args()
    show("A large video", asyncio.run(measure(given.megabytes)))


if __name__ == "__main__":
    main()
