"""``python -m bench``: one run, one table. Figures of one run can be compared with each other."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from bench import direct, easel, processor, several
from bench.figures import Figure, ms, percentile, show
from bench.stack import Stack, running_stack

LATENCY_P50_S = 0.070
SEEN_P50_S = 0.040
BUSY = 0.995
SHORT_S = 0.25
BUSY_WITH_SHORT = 0.97
PROCESSOR_S = 0.2
ACCEPT_P99_S = 0.150
CONNECTIONS = 100
SEVERAL_RENDER_S = 0.5


async def measure(render_s: float, callers: int, waiting: int, creates: int) -> list[Figure]:
    """One thing after another, on one stack; what needs another one after that."""
    async with running_stack(render_s) as stack:
        figures = [
            *await _direct(stack, render_s, callers, waiting),
            *await _accept(stack, creates),
            *await _latency(stack, render_s, callers),
            *await _busy(stack, waiting),
        ]
        for name, megabytes in sorted(easel.memory(stack).items()):
            figures.append(Figure(f"(e) memory: {name}", f"{megabytes:.0f} MB"))
        await _quiet(stack)
        figures += await processor.idle(stack)
    async with running_stack(SHORT_S) as stack:
        figures.append(await _busy_with_short(stack, waiting))
    return [*figures, *await several.speed_up(SEVERAL_RENDER_S, waiting)]


async def _direct(stack: Stack, render_s: float, callers: int, waiting: int) -> list[Figure]:
    times = [t - render_s for t in await direct.one_after_another(stack, callers)]
    before = len(await stack.executions())
    await direct.all_at_once(stack, waiting)
    busy = busy_fraction((await stack.executions())[before:])
    return [
        Figure("(a) direct: POST → picture, minus render, p50", ms(percentile(times, 0.5))),
        Figure("(a) direct: GPU busy", f"{busy:.3f}"),
    ]


async def _latency(stack: Stack, render_s: float, callers: int) -> list[Figure]:
    timelines = await easel.one_after_another(stack, callers)
    times = [timeline.total - render_s for timeline in timelines]
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    # One that was kept before its event came is seen with its result.
    seen = [t.total if t.until_seen is None else t.until_seen for t in timelines]
    seen_p50 = percentile(seen, 0.5) - render_s
    early = sum(timeline.until_seen is not None for timeline in timelines)
    return [
        Figure(
            "(b) Easel: create → image seen, minus render, p50",
            ms(seen_p50),
            f"≤ {ms(SEEN_P50_S)}",
            seen_p50 <= SEEN_P50_S,
        ),
        Figure("      seen before it was kept", f"{early} of {len(timelines)}"),
        Figure(
            "(b) Easel: create → result, minus render, p50",
            ms(p50),
            f"≤ {ms(LATENCY_P50_S)}",
            p50 <= LATENCY_P50_S,
        ),
        Figure("(b) Easel: create → result, minus render, p95", ms(p95)),
        *(
            Figure(f"      {name}, p50", ms(percentile([part(t) for t in timelines], 0.5)))
            for name, part in _PARTS
        ),
    ]


_PARTS: tuple[tuple[str, Callable[[easel.Timeline], float]], ...] = (
    ("create → ComfyUI starts", lambda t: t.until_start),
    ("ComfyUI ends → kept, succeeded", lambda t: t.until_kept),
    ("succeeded → client has the result", lambda t: t.until_told),
)


async def _busy(stack: Stack, waiting: int) -> list[Figure]:
    before, spent = len(await stack.executions()), processor.spent(stack)
    runs = await stack.runs_completed()
    await easel.all_at_once(stack, waiting)
    await stack.all_runs_completed(runs + waiting)
    after = processor.spent(stack)
    busy = busy_fraction((await stack.executions())[before:])
    name = "(g) processor time per generation, those waiting"
    return [
        Figure(f"(c) Easel: GPU busy, {waiting} waiting", f"{busy:.3f}", f"≥ {BUSY}", busy >= BUSY),
        *processor.per_generation(name, spent, after, waiting, PROCESSOR_S),
    ]


async def _busy_with_short(stack: Stack, waiting: int) -> Figure:
    before = len(await stack.executions())
    await easel.all_at_once(stack, waiting)
    busy = busy_fraction((await stack.executions())[before:])
    name = f"(c) … {SHORT_S} s renders"
    return Figure(name, f"{busy:.3f}", f"≥ {BUSY_WITH_SHORT}", busy >= BUSY_WITH_SHORT)


async def _accept(stack: Stack, creates: int) -> list[Figure]:
    times = await easel.accept_latencies(stack, creates, CONNECTIONS)
    await _quiet(stack)
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    name = f"(d) accept, {creates} over {CONNECTIONS} connections"
    return [
        Figure(f"{name}, p50", ms(p50)),
        Figure(f"{name}, p99", ms(p99), f"≤ {ms(ACCEPT_P99_S)}", p99 <= ACCEPT_P99_S),
    ]


async def _quiet(stack: Stack) -> None:
    """Wait until nothing is under way: the next measurement starts on an idle Easel."""
    url = f"{stack.api_url}/api/v1/generation/history?limit=1"
    busy = "&status=queued&status=running&status=cancelling"
    while True:
        async with stack.http.get(url + busy) as response:
            if not (await response.json())["items"]:
                break
        await asyncio.sleep(0.5)
    async with stack.http.get(f"{stack.api_url}/readyz") as response:
        parts = (await response.json())["parts"]
    if not any(part["detail"].startswith("0 to be dispatched") for part in parts):
        await asyncio.sleep(1)
        await _quiet(stack)


def busy_fraction(executions: list[dict[str, Any]]) -> float:
    """Render seconds ÷ seconds between the first start and the last end."""
    done = [e for e in executions if e["outcome"] == "success"]
    rendering = sum(e["ended"] - e["started"] for e in done)
    span = max(e["ended"] for e in done) - min(e["started"] for e in done)
    return float(rendering / span)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render-s", type=float, default=1.0, help="seconds of one render")
    parser.add_argument("--callers", type=int, default=20, help="generations for (a) and (b)")
    parser.add_argument("--waiting", type=int, default=40, help="generations for (a) and (c)")
    parser.add_argument("--creates", type=int, default=500, help="creates for (d)")
    given = parser.parse_args()
    figures = asyncio.run(measure(given.render_s, given.callers, given.waiting, given.creates))
    show(f"Easel on the emulator, {given.render_s} s renders", figures)


if __name__ == "__main__":
    main()
