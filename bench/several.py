"""``python -m bench.several``: several workers, each with an emulator of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Final

from bench import easel
from bench.figures import Figure, ms, percentile, show
from bench.stack import running_stack

SPEED_UP: Final = 2.8
STARTS_WITHIN_S: Final = 0.1
REQUESTS: Final = 5.0
MANY: Final = 12
QUIET_S: Final = 3.0


async def speed_up(
    render_s: float, each: int, workers: int = 3, url: str | None = None
) -> list[Figure]:
    """How much faster several workers are than one; ``url`` is that of a PostgreSQL database.

    One database serves both, one after the other, so that they find the same.
    """
    settings = {} if url is None else {"EASEL_STORE__URL": url}
    alone = await _pace(render_s, each, 1, settings)
    together = await _pace(render_s, each * workers, workers, settings)
    times = together / alone
    where = "SQLite" if url is None else "PostgreSQL"
    return [
        Figure(f"(h) 1 worker, {render_s} s renders, {where}: a second", f"{alone:.2f}"),
        Figure(f"      {workers} workers", f"{together:.2f}"),
        Figure("      speed-up", f"{times:.2f}", f"≥ {SPEED_UP}", times >= SPEED_UP),
    ]


async def _pace(render_s: float, count: int, workers: int, settings: dict[str, str]) -> float:
    """Returns generations per second, from the first start in ComfyUI to the last end."""
    async with running_stack(render_s, workers=workers, settings=settings) as stack:
        before = {one["prompt_id"] for one in await stack.executions()}
        await easel.all_at_once(stack, count)
        made = [one for one in await stack.executions() if one["prompt_id"] not in before]
        done = [one for one in made if one["outcome"] == "success"]
        span = max(one["ended"] for one in done) - min(one["started"] for one in done)
        return float(len(done) / span)


async def herd(render_s: float, callers: int, workers: int) -> list[Figure]:
    """What one generation costs Prefect while so many workers wait for it, and how soon it begins.

    Requests are counted over all that is created one after another, those of waiting aside: they
    are counted before, for as long.
    """
    async with running_stack(render_s, workers=workers, count_requests=True) as stack:
        await asyncio.sleep(QUIET_S)
        loop = asyncio.get_running_loop()
        waiting, began = await stack.requests(), loop.time()
        await asyncio.sleep(10 * QUIET_S)
        waiting_each_s = (await stack.requests() - waiting) / (loop.time() - began)
        before, began = await stack.requests(), loop.time()
        timelines = await easel.one_after_another(stack, callers)
        await asyncio.sleep(QUIET_S)
        seconds = loop.time() - began
        asked = await stack.requests() - before - waiting_each_s * seconds
    each, starts = asked / callers, percentile([one.until_start for one in timelines], 0.5)
    name = f"(i) {workers} worker{'s' if workers > 1 else ''}"
    return [
        Figure(
            f"{name}: requests to Prefect per generation",
            f"{each:.1f}",
            f"≤ {REQUESTS:.0f}",
            each <= REQUESTS,
        ),
        Figure("      … and for a second of waiting", f"{waiting_each_s:.1f}"),
        Figure(
            "      create → ComfyUI starts, p50",
            ms(starts),
            f"≤ {ms(STARTS_WITHIN_S)}",
            starts <= STARTS_WITHIN_S,
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render-s", type=float, default=0.5, help="seconds of one render for (h)")
    parser.add_argument("--each", type=int, default=40, help="generations of each worker for (h)")
    parser.add_argument("--callers", type=int, default=10, help="generations for (i)")
    parser.add_argument("--postgres-url", help="an empty database: (h) is measured on it too")
    parser.add_argument("--herds", type=json.loads, default=[1, MANY], help="workers for (i)")
    given = parser.parse_args()

    async def measure() -> list[Figure]:
        figures = await speed_up(given.render_s, given.each)
        if given.postgres_url:
            figures += await speed_up(given.render_s, given.each, url=given.postgres_url)
        for workers in given.herds:
            figures += await herd(given.render_s, given.callers, workers)
        return figures

    show("Several workers on emulators", asyncio.run(measure()))


if __name__ == "__main__":
    main()
