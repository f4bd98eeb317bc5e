"""``python -m bench.hostile``: what one request costs all others.

For each request: how long ``/healthz`` waited meanwhile, and how much memory the API took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import psutil

from bench.figures import Figure, show
from bench.processor import api_of
from bench.stack import Stack, running_stack
from bench.watch import Seen, Watch

STALL_S: Final = 0.5
MANIFEST_MB: Final = 150
FIRST_EVENT_S: Final = 2.0
_BYTES: Final = 60_000_000
_JSON_BYTES: Final = 10_000_000
_TEMPLATE: Final = "a|" * 24_000


def _figures(name: str, seen: Seen, took_s: float, most_mb: float | None) -> list[Figure]:
    stall, grown = seen.longest_s, seen.grown_mb
    return [
        Figure(name, f"{took_s:.1f} s"),
        Figure("      longest wait", f"{stall:.2f} s", f"≤ {STALL_S} s", stall <= STALL_S),
        Figure(
            "      memory",
            f"{grown:+.0f} MB",
            f"≤ {most_mb:.0f} MB" if most_mb else "",
            grown <= most_mb if most_mb else None,
        ),
    ]


# --- manifests


def _rows() -> bytes:
    lines = (json.dumps({"prompt": f"a fox {n}", "steps": 20}) for n in range(20_000))
    return "\n".join(lines).encode()


def _unknown_models() -> bytes:
    lines = (f'{{"prompt": "a fox", "model": "painter-x{n}"}}\n' for n in range(20_000))
    return "".join(lines).encode()


def _long_templates() -> bytes:
    lines = (json.dumps({"prompt": f"{{{n}|{_TEMPLATE}}}"}) for n in range(1200))
    return "\n".join(lines).encode()


def _filled(piece: bytes, first: bytes = b"", size: int = _BYTES) -> Callable[[], bytes]:
    """Returns what builds ``first``, and the piece as often as it fits."""
    return lambda: first + piece * ((size - len(first)) // len(piece))


def _json(start: bytes, piece: bytes, end: bytes) -> Callable[[], bytes]:
    """Returns what builds the longest JSON that is read, with the piece as often as it fits."""
    return lambda: start + piece * ((_JSON_BYTES - len(start + end)) // len(piece)) + end


_CSV: Final = "text/csv"
_JSONL: Final = "application/x-ndjson"
_JSON: Final = "application/json"
_ROW: Final = 999_999
_CASES: Final[tuple[tuple[str, Callable[[], bytes], str, int], ...]] = (
    ("20,000 ordinary rows", _rows, _JSONL, 1),
    ("20,000 unknown models", _unknown_models, _JSONL, 1),
    ("1,200 long templates", _long_templates, _JSONL, 1),
    ("60 MB of empty lines", _filled(b"\n", b"prompt\n"), _CSV, 1),
    ("four times 60 MB of empty lines", _filled(b"\n", b"prompt\n"), _CSV, 4),
    ("60 MB of empty lines (JSON Lines)", _filled(b"\n"), _JSONL, 1),
    ("60 MB of carriage returns", _filled(b"\r", b"prompt\r"), _CSV, 1),
    ("60 MB of bad cells", _filled(b"a,xx\n", b"prompt,steps\n"), _CSV, 1),
    ("60 MB in one line", _filled(b"a", b"prompt\n"), _CSV, 1),
    ("60 MB in one line (JSON Lines)", _filled(b"a"), _JSONL, 1),
    ("60 MB of commas in one line", _filled(b",", b"prompt\n"), _CSV, 1),
    (
        "60 MB of commas, a row as long as may be",
        _filled(b"," * _ROW + b"\n", b"prompt\n"),
        _CSV,
        1,
    ),
    ("four times these", _filled(b"," * _ROW + b"\n", b"prompt\n"), _CSV, 4),
    ("a header as long as may be", _filled(b"a\n", b"prompt" + b"," * 999_000 + b"\n"), _CSV, 1),
    ("60 MB of quotes", _filled(b'"', b"prompt\n"), _CSV, 1),
    ("60 MB of quoted nothing", _filled(b'""\n', b"prompt\n"), _CSV, 1),
    ("60 MB of NULs", _filled(b"\0", b"prompt\n"), _CSV, 1),
    ("60 MB of byte order marks", _filled(b"\xef\xbb\xbf"), _CSV, 1),
    ("60 MB in UTF-16", _filled("fox\n".encode("utf-16-le"), b"\xff\xfe"), _CSV, 1),
    ("60 MB of {} (JSON Lines)", _filled(b"{}\n"), _JSONL, 1),
    ("60 MB of [ (JSON Lines)", _filled(b"[" * _ROW + b"\n"), _JSONL, 1),
    ("60 MB of nested lists (JSON Lines)", _filled(b"[[[],[]]],\n"), _JSONL, 1),
    ("60 MB of values (JSON Lines)", _filled(b"[" + b"0," * 499_000 + b"0]\n"), _JSONL, 1),
    ("four times these (JSON Lines)", _filled(b"[" + b"0," * 499_000 + b"0]\n"), _JSONL, 4),
    ("60 MB of {} (JSON)", _filled(b"{},", b'{"items": ['), _JSON, 1),
    ("10 MB of {}", _json(b'{"items": [', b"{},", b"{}]}"), _JSON, 1),
    (
        "10 MB with half a million {}",
        _json(b'{"items": [', b"{},                 ", b"{}]}"),
        _JSON,
        1,
    ),
    ("four times these", _json(b'{"items": [', b"{},                 ", b"{}]}"), _JSON, 4),
    ("10 MB of [", _json(b"", b"[", b""), _JSON, 1),
    (
        "10 MB of escapes",
        _json(b'{"name": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[', b"\\\\", b'"}'),
        _JSON,
        1,
    ),
    ("10 MB of digits", _json(b'{"seed": ', b"1", b"}"), _JSON, 1),
)


async def manifests(stack: Stack, api: psutil.Process) -> list[Figure]:
    """Dry runs of manifests that are as bad as can be."""
    found: list[Figure] = []
    for name, build, kind, times in _CASES:
        body = build()
        answers: list[int] = []

        async def send(body: bytes = body, kind: str = kind, answers: list[int] = answers) -> None:
            url = f"{stack.api_url}/api/v1/batches?dry_run=true&skip_bad=true"
            headers = {"Content-Type": kind}
            try:
                async with stack.http.post(url, data=body, headers=headers) as response:
                    await response.read()
                    answers.append(response.status)
            except aiohttp.ClientConnectionError:
                pass  # refused before all of it was sent

        found += await _watched(stack, api, name, [send] * times, MANIFEST_MB * min(times, 2))
        found.append(Figure("      answers", ", ".join(map(str, answers)) or "refused unread"))
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
    with Watch(stack.api_url, api.pid) as watch:
        began = time.perf_counter()
        await asyncio.gather(*(one() for one in work))
        took = time.perf_counter() - began
    return _figures(name, watch.seen, took, most_mb)


async def measure(given: Any) -> list[Figure]:
    """Everything, one after the other."""
    async with running_stack(given.render_s) as stack:
        api = api_of(stack)
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
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument("--followers", type=int, default=2000)
    parser.add_argument("--render-s", type=float, default=10.0, help="seconds of one render")
    show("One request and all others", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
