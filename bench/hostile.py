"""``python -m bench.hostile``: what one request costs all others.

For each request: how long ``/healthz`` waited meanwhile, and how much memory the API took.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import psutil

from bench.figures import Figure, show
from bench.stack import Stack, running_stack

STALL_S: Final = 0.5
MANIFEST_MB: Final = 150
FIRST_EVENT_S: Final = 2.0
_BYTES: Final = 60_000_000
_TEMPLATE: Final = "a|" * 24_000
_ASK_EVERY_S: Final = 0.02


@dataclass(eq=False)
class Watch:
    """Asks ``/healthz`` in a thread, and looks at the API's memory. Use as a context manager."""

    url: str
    api: psutil.Process
    waits: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.sizes.append(self.api.memory_info().rss)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        host = urlsplit(self.url).netloc
        while not self._over.wait(_ASK_EVERY_S):
            began = time.perf_counter()
            connection = http.client.HTTPConnection(host, timeout=120)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connection.close()
            self.waits.append(time.perf_counter() - began)
            self.sizes.append(self.api.memory_info().rss)

    def figures(self, name: str, took_s: float, most_mb: float | None) -> list[Figure]:
        """What was seen."""
        longest = max(self.waits, default=0.0)
        grown = (max(self.sizes) - self.sizes[0]) / 1e6
        return [
            Figure(name, f"{took_s:.1f} s"),
            Figure("      longest wait", f"{longest:.2f} s", f"≤ {STALL_S} s", longest <= STALL_S),
            Figure(
                "      memory",
                f"{grown:+.0f} MB",
                f"≤ {most_mb:.0f} MB" if most_mb else "",
                grown <= most_mb if most_mb else None,
            ),
        ]


# --- manifests


def _empty_lines() -> bytes:
    return b"prompt\n" + b"\n" * (_BYTES - 7)


def _bad_cells() -> bytes:
    return b"prompt,steps\n" + b"a,xx\n" * (_BYTES // 2 // 5)


def _unknown_models() -> bytes:
    lines = (f'{{"prompt": "a fox", "model": "painter-x{n}"}}\n' for n in range(20_000))
    return "".join(lines).encode()


def _long_templates() -> bytes:
    lines = (json.dumps({"prompt": f"{{{n}|{_TEMPLATE}}}"}) for n in range(1200))
    return "\n".join(lines).encode()


def _objects() -> bytes:
    return b'{"items": [' + b"{}," * (_BYTES // 3 - 10) + b"{}]}"


def _rows() -> bytes:
    lines = (json.dumps({"prompt": f"a fox {n}", "steps": 20}) for n in range(20_000))
    return "\n".join(lines).encode()


_CASES: Final[tuple[tuple[str, Callable[[], bytes], str, int], ...]] = (
    ("20,000 ordinary rows", _rows, "application/x-ndjson", 1),
    ("60 MB of empty lines", _empty_lines, "text/csv", 1),
    ("6 million bad cells", _bad_cells, "text/csv", 1),
    ("20,000 unknown models", _unknown_models, "application/x-ndjson", 1),
    ("1,200 long templates", _long_templates, "application/x-ndjson", 1),
    ("60 MB of empty objects", _objects, "application/json", 1),
    ("four times 60 MB of empty objects", _objects, "application/json", 4),
    ("four times 60 MB of empty lines", _empty_lines, "text/csv", 4),
)


async def manifests(stack: Stack, api: psutil.Process) -> list[Figure]:
    """Dry runs of manifests that are as bad as can be."""
    found: list[Figure] = []
    for name, build, kind, times in _CASES:
        body = build()

        async def send(body: bytes = body, kind: str = kind) -> None:
            url = f"{stack.api_url}/api/v1/batches?dry_run=true&skip_bad=true"
            headers = {"Content-Type": kind}
            try:
                async with stack.http.post(url, data=body, headers=headers) as response:
                    await response.read()
            except aiohttp.ClientConnectionError:
                pass  # refused before all of it was sent

        found += await _watched(stack, api, name, [send] * times, MANIFEST_MB * min(times, 2))
    return found


async def creates(stack: Stack, api: psutil.Process) -> list[Figure]:
    """A create with as many mistakes as fit, and the size of its answer."""
    body = {"prompt": "a fox", "metadata": {f"k{n}": [] for n in range(70_000)}}
    sizes: list[int] = []

    async def send() -> None:
        url = f"{stack.api_url}/api/v1/generation/create"
        data = json.dumps(body, separators=(",", ":")).encode()
        async with stack.http.post(
            url, data=data, headers={"Content-Type": "application/json"}
        ) as response:
            sizes.append(len(await response.read()))

    found = await _watched(stack, api, "70,000 bad labels", [send], None)
    return [*found, Figure("      answer", f"{sizes[0] / 1000:.0f} kB")]


# --- pages and followers


async def pages(stack: Stack, api: psutil.Process, count: int) -> list[Figure]:
    """Pages that are loaded and never connected."""

    async def visit() -> None:
        for _ in range(count // 6):
            async with aiohttp.ClientSession() as http, http.get(stack.api_url) as response:
                await response.read()

    return await _watched(stack, api, f"{count} pages without a socket", [visit] * 6, None)


async def followers(stack: Stack, api: psutil.Process, count: int) -> list[Figure]:
    """Many followers of one generation: when each has its first event."""
    url = f"{stack.api_url}/api/v1/generation/create"
    request = {"prompt": "a fox", "steps": 20, "width": 64, "height": 64}
    async with stack.http.post(url, json=request) as response:
        address = (await response.json())["urls"]["events"]
    firsts: list[float] = []
    ends: list[float] = []

    async def follow() -> None:
        began = time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=300)
        async with stack.http.get(address, timeout=timeout) as response:
            async for _ in response.content:
                break
            firsts.append(time.perf_counter() - began)
            await response.read()
            ends.append(time.time())

    name = f"{count} followers"
    found = await _watched(stack, api, name, [follow] * count, None)
    latest = max(firsts)
    return [
        *found,
        Figure("      first event, median", f"{statistics.median(firsts):.2f} s"),
        Figure(
            "      first event, latest",
            f"{latest:.2f} s",
            f"≤ {FIRST_EVENT_S} s",
            latest <= FIRST_EVENT_S,
        ),
        Figure("      ends within", f"{max(ends) - min(ends):.2f} s"),
    ]


async def _watched(
    stack: Stack,
    api: psutil.Process,
    name: str,
    work: list[Callable[[], Awaitable[None]]],
    most_mb: float | None,
) -> list[Figure]:
    began = time.perf_counter()
    with Watch(stack.api_url, api) as watch:
        await asyncio.gather(*(one() for one in work))
    return watch.figures(name, time.perf_counter() - began, most_mb)


def _api_of(stack: Stack) -> psutil.Process:
    children: Iterator[psutil.Process] = itertools.chain.from_iterable(
        psutil.Process(pid).children(recursive=True) for pid in stack.pids
    )
    return next(one for one in children if one.cmdline()[-2:] == ["cli.main", "api"])


async def measure(given: Any) -> list[Figure]:
    """Everything, one after the other."""
    async with running_stack(given.render_s) as stack:
        api = _api_of(stack)
        found: list[Figure] = []
        if "manifests" in given.only:
            found += await manifests(stack, api)
        if "creates" in given.only:
            found += await creates(stack, api)
        if "followers" in given.only:
            found += await followers(stack, api, given.followers)
        if "pages" in given.only:
            found += await pages(stack, api, given.pages)
        return found


def main() -> None:
    """Measure and print."""
    everything = ("manifests", "creates", "followers", "pages")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--followers", type=int, default=2000)
    parser.add_argument("--render-s", type=float, default=10.0, help="seconds of one render")
    show("One request and all others", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
