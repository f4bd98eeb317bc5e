"""``python -m bench.bulk``: what a batch costs and how steady its rate is, on the emulator."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from bench import easel, processor
from bench.__main__ import busy_fraction
from bench.figures import Figure, show
from bench.stack import Stack, running_stack
from core.ids import prompt_id

MODELS: Final = ("emulator-sd15.safetensors", "emulator-sdxl.safetensors")
SMALL: Final = {"width": 64, "height": 64, "steps": 1}
FLAT: Final = 0.9
A_SECOND: Final = 8
PROCESSOR_S: Final = 0.15
BUSY: Final = 0.95
TELL_EVERY_S: Final = 30.0
OVER: Final = frozenset({"succeeded", "failed", "cancelled"})


async def throughput(items: int) -> list[Figure]:
    """(a) to (d): renders take no time, so only Easel's and Prefect's work is measured."""
    async with running_stack(0.0, count_requests=True) as stack:
        before, spent = easel.memory(stack), processor.spent(stack)
        requests, runs = await stack.requests(), await stack.runs_completed()
        rows = [{"prompt": f"sheep number {number}", **SMALL} for number in range(items)]
        began = time.perf_counter()
        batch = await _create(stack, {"items": rows})
        accepted = time.perf_counter() - began
        document = await _ended(stack, batch)
        taken = time.perf_counter() - began
        ends = sorted(await _finish_times(stack, batch))
        await stack.all_runs_completed(runs + items)  # not the batch's own, which ends later
        told = time.perf_counter() - began
        requests = await stack.requests() - requests
        after, spent_after = easel.memory(stack), processor.spent(stack)
    first, last = _tenths(ends)
    flat = last / first
    return [
        Figure(f"(a) {items} rows accepted in", f"{accepted:.2f} s"),
        Figure(
            "(b) generations per second",
            f"{items / taken:.2f}",
            f"≥ {A_SECOND}",
            items / taken >= A_SECOND,
        ),
        Figure("      … until Prefect's flow runs are Completed", f"{items / told:.2f}"),
        Figure("      first tenth", f"{first:.2f}"),
        Figure("      last tenth", f"{last:.2f}"),
        Figure("      last ÷ first", f"{flat:.2f}", f"≥ {FLAT}", flat >= FLAT),
        Figure("      made", f"{document['counts']['succeeded']} of {items}"),
        Figure("(c) requests to Prefect's API per generation", f"{requests / items:.1f}"),
        *(
            Figure(f"(d) memory: {name}", f"{before.get(name, 0):.0f} → {megabytes:.0f} MB")
            for name, megabytes in sorted(after.items())
        ),
        *processor.per_generation(
            "(g) processor time per generation", spent, spent_after, items, PROCESSOR_S
        ),
    ]


async def busy(items: int, render_s: float) -> list[Figure]:
    """(e): the GPU's busy fraction while a batch is made."""
    async with running_stack(render_s) as stack:
        before = len(await stack.executions())
        request = {"defaults": {"prompt": "a red fox", **SMALL}, "count": items}
        await _ended(stack, await _create(stack, request))
        share = busy_fraction((await stack.executions())[before:])
    name = f"(e) GPU busy, {items} items of {render_s} s"
    return [Figure(name, f"{share:.3f}", f"≥ {BUSY}", share >= BUSY)]


@dataclass(frozen=True)
class _Switching:
    """How often the checkpoint had to be loaded, and how often it would have been in turn."""

    name: str
    asked: Sequence[str]
    made: Sequence[str]
    seconds: float

    def figures(self) -> list[Figure]:
        asked, made = _switches(self.asked), _switches(self.made)
        return [
            Figure(f"(f) {self.name}: switches in the order asked for", f"{asked}"),
            Figure(f"      switches made (saved {asked - made})", f"{made}"),
            Figure("      seconds in all", f"{self.seconds:.1f}"),
        ]


async def switching(items: int, render_s: float, load_s: float) -> list[Figure]:
    """(f): two checkpoints in turn, in one batch and as single generations."""
    async with running_stack(render_s, load_s) as stack:
        rows = [{"prompt": f"nr {n}", "model": MODELS[n % 2], **SMALL} for n in range(items)]
        batch = await _switching_batch(stack, rows)
        singles = await _switching_singles(stack, rows)
    return [*batch.figures(), *singles.figures()]


async def _switching_batch(stack: Stack, rows: list[dict[str, Any]]) -> _Switching:
    began = time.perf_counter()
    batch = await _create(stack, {"items": rows})
    await _ended(stack, batch)
    taken = time.perf_counter() - began
    models = {
        prompt_id(UUID(item["task_id"]), 1): item["request"]["model"]
        for item in await _items(stack, batch)
    }
    asked = [row["model"] for row in rows]
    return _Switching("one batch", asked, await _made(stack, models), taken)


async def _switching_singles(stack: Stack, rows: list[dict[str, Any]]) -> _Switching:
    began = time.perf_counter()
    documents = [await easel.create(stack, **row) for row in rows]
    for document in documents:
        await easel.ended(stack, document["urls"]["events"])
    taken = time.perf_counter() - began
    models = {
        prompt_id(UUID(document["task_id"]), 1): document["request"]["model"]
        for document in documents
    }
    asked = [row["model"] for row in rows]
    return _Switching("single generations", asked, await _made(stack, models), taken)


async def _made(stack: Stack, models: dict[str, str]) -> list[str]:
    done = [e["prompt_id"] for e in await stack.executions() if e["prompt_id"] in models]
    return [models[one] for one in done]


def _switches(models: Sequence[str]) -> int:
    return sum(before != after for before, after in pairwise(models))


def _tenths(ends: Sequence[float]) -> tuple[float, float]:
    """Generations per second over the first and over the last tenth of all ends."""
    tenth = max(2, len(ends) // 10)
    first, last = ends[:tenth], ends[-tenth:]
    return tuple((tenth - 1) / (part[-1] - part[0]) for part in (first, last))  # type: ignore[return-value]


# --- the API


async def _create(stack: Stack, request: dict[str, Any]) -> str:
    async with stack.http.post(f"{stack.api_url}/api/v1/batches", json=request) as response:
        document = await response.json()
        if response.status != 202:
            raise RuntimeError(document)
        batch_id: str = document["batch_id"]
        return batch_id


async def _ended(stack: Stack, batch_id: str) -> dict[str, Any]:
    """Wait for the batch, printing its progress at intervals. Returns its document."""
    told = time.monotonic()
    while True:
        async with stack.http.get(f"{stack.api_url}/api/v1/batches/{batch_id}") as response:
            document: dict[str, Any] = await response.json()
        if document["status"] in OVER:
            return document
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            rate = document["rate_per_minute"] or 0.0
            counts = f"{document['counts']['succeeded']} of {document['total']}"
            print(f"{counts} made, {rate:.0f} a minute", file=sys.stderr, flush=True)
        await asyncio.sleep(0.5)


async def _items(stack: Stack, batch_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 100}
    while True:
        url = f"{stack.api_url}/api/v1/batches/{batch_id}/items"
        async with stack.http.get(url, params=query) as response:
            page = await response.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def _finish_times(stack: Stack, batch_id: str) -> list[float]:
    made = [item["generation"] for item in await _items(stack, batch_id)]
    return [datetime.fromisoformat(one["finished_at"]).timestamp() for one in made]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000, help="items for (a) to (d)")
    parser.add_argument("--waiting", type=int, default=60, help="items for (e) and (f)")
    parser.add_argument("--render-s", type=float, default=0.5, help="seconds of a render for (e)")
    parser.add_argument("--load-s", type=float, default=1.0, help="seconds of a switch for (f)")
    given = parser.parse_args()

    async def measure() -> list[Figure]:
        return [
            *await throughput(given.items),
            *await busy(given.waiting, given.render_s),
            *await switching(given.waiting, given.render_s, given.load_s),
        ]

    show("Batches on the emulator", asyncio.run(measure()))


if __name__ == "__main__":
    main()
