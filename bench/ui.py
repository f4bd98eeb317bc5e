"""``python -m bench.ui``: what the page costs and how quick it is, in headless Chromium.

On the whole of Easel with the emulator, one thing after another.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

from bench.figures import Figure, ms, percentile, show
from bench.rows import copy_rows
from bench.stack import Stack, running_stack
from tests.browser import chromium

RENDER_S: Final = 2.0
STEPS: Final = 20
RUNS: Final = 3
TURNS: Final = 20
ROWS: Final = 100_000
LOAD_KB: Final = 600
USABLE_S: Final = 2.0
TICK_P95_S: Final = 0.100
TURN_S: Final = 0.200
SEARCH_P95_S: Final = 0.100
SEARCHES: Final = (
    *("fox", "f", "picture", "picture -fox", "word1", "word123 word321", '"red foxes" word12'),
    *("dawn", "狐", "中の狐", "ölgem лис", "ЛИС", "99999", "emulator -kite", "p n 7", "-picture"),
)


async def measure() -> list[Figure]:
    """Everything, in one browser."""
    async with running_stack(RENDER_S) as stack, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.find(), args=list(chromium.ARGUMENTS)
        )
        figures = [
            *await _first_load(stack, browser),
            await _ticks(stack, browser),
            *await _history(stack, browser),
        ]
        await browser.close()
        return figures


async def _first_load(stack: Stack, browser: Browser) -> list[Figure]:
    usable: list[float] = []
    size = 0.0
    elsewhere: list[str] = []
    for _ in range(RUNS):
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        received: list[int] = []
        session = await context.new_cdp_session(page)
        await session.send("Network.enable")
        session.on("Network.loadingFinished", lambda e, r=received: r.append(_length(e)))
        page.on("request", lambda r: elsewhere.append(r.url) if _is_elsewhere(r.url) else None)
        began = time.perf_counter()
        await page.goto(stack.api_url)
        await page.get_by_label("Prompt", exact=True).fill("usable")
        usable.append(time.perf_counter() - began)
        await page.locator(".picture-link img").wait_for()
        await page.wait_for_load_state("networkidle")
        size = (sum(received) - await page.evaluate(_PICTURE_BYTES)) / 1000
        await context.close()
    slowest = max(usable)
    return [
        Figure(
            "first load, without pictures", f"{size:.0f} KB", f"≤ {LOAD_KB} KB", size <= LOAD_KB
        ),
        Figure(f"usable, slowest of {RUNS}", ms(slowest), f"≤ {ms(USABLE_S)}", slowest <= USABLE_S),
        Figure("requests that leave the machine", str(len(elsewhere)), "0", not elsewhere),
    ]


async def _ticks(stack: Stack, browser: Browser) -> Figure:
    """From the moment ComfyUI's step is over until its number is on the page.

    The emulator steps on a fixed schedule, so step k is over k step times after the execution
    began (plus the few milliseconds of the nodes before the sampler, counted to our debit).
    """
    late: list[float] = []
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    for number in range(RUNS):
        await page.goto(stack.api_url)
        await page.get_by_label("Prompt", exact=True).fill(f"a red fox {number}")
        before = len(await stack.executions())
        await page.evaluate(_WATCH)
        await page.keyboard.press("Control+Enter")
        started = await _executed(stack, before)
        seen: dict[str, float] = await page.evaluate("window.ticks")
        late += [at / 1000 - (started + int(k) * RENDER_S / STEPS) for k, at in seen.items()]
    await page.close()
    p95 = percentile(late, 0.95)
    name = f"ComfyUI's step → on the page, p95 of {len(late)}"
    return Figure(name, ms(p95), f"≤ {ms(TICK_P95_S)}", p95 <= TICK_P95_S)


async def _executed(stack: Stack, before: int) -> float:
    """Wait until execution number ``before`` (from 0) has ended. Returns when it started."""
    while True:
        await asyncio.sleep(0.5)
        executions = await stack.executions()
        if len(executions) > before and executions[before]["ended"] is not None:
            await asyncio.sleep(0.5)  # the page has shown it too
            started: float = executions[before]["started"]
            return started


async def _history(stack: Stack, browser: Browser) -> list[Figure]:
    items = await _all_done(stack)
    for item in items[1:]:  # one is copied
        url = f"{stack.api_url}/api/v1/generation/{item['task_id']}"
        async with stack.http.delete(url) as response:
            response.raise_for_status()
    await asyncio.to_thread(_fill, stack)
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(f"{stack.api_url}/history")
    await page.locator(".tile").nth(47).wait_for()
    turns = [await _turn(page) for _ in range(TURNS)]
    await page.close()
    searches = [await _search(stack, words) for _ in range(RUNS) for words in SEARCHES]
    p95 = percentile(turns, 0.95)
    search_p95 = percentile(searches, 0.95)
    name = f"history page turn, {ROWS} rows"
    search = f"search of {ROWS} rows"
    return [
        Figure(f"{name}, p50", ms(percentile(turns, 0.5))),
        Figure(f"{name}, p95", ms(p95), f"≤ {ms(TURN_S)}", p95 <= TURN_S),
        Figure(f"{search}, p50", ms(percentile(searches, 0.5))),
        Figure(
            f"{search}, p95 of {len(searches)}",
            ms(search_p95),
            f"≤ {ms(SEARCH_P95_S)}",
            search_p95 <= SEARCH_P95_S,
        ),
    ]


async def _search(stack: Stack, words: str) -> float:
    """Seconds from the request for a page of 48 until its answer is read."""
    began = time.perf_counter()
    url = f"{stack.api_url}/api/v1/generation/history"
    async with stack.http.get(url, params={"q": words, "limit": "48"}) as response:
        response.raise_for_status()
        await response.read()
    return time.perf_counter() - began


async def _all_done(stack: Stack) -> list[dict[str, Any]]:
    while True:
        async with stack.http.get(f"{stack.api_url}/api/v1/generation/history") as response:
            items: list[dict[str, Any]] = (await response.json())["items"]
        if all(item["status"] == "succeeded" for item in items):
            return items
        await asyncio.sleep(0.2)


def _fill(stack: Stack) -> None:
    with sqlite3.connect(stack.home / "easel.db", timeout=30) as database:
        database.execute("DELETE FROM generations WHERE deleted_at IS NOT NULL")
        copy_rows(database, ROWS)


async def _turn(page: Page) -> float:
    first = await page.locator(".tile-open").first.get_attribute("href")
    took: float = await page.evaluate(_TURN, first)
    return took / 1000


def _length(event: dict[str, Any]) -> int:
    length: int = event["encodedDataLength"]
    return length


def _is_elsewhere(url: str) -> bool:
    return re.match(r"(http://127\.0\.0\.1[:/]|data:|blob:)", url) is None


_PICTURE_BYTES: Final = """() => performance.getEntriesByType('resource')
  .filter((e) => e.name.includes('/images/')).reduce((sum, e) => sum + e.transferSize, 0)"""
_WATCH: Final = """() => {
  window.ticks = {};
  new MutationObserver(() => {
    const found = /Step (\\d+)/.exec(document.querySelector('.stage .line')?.textContent ?? '');
    if (found && !(found[1] in window.ticks)) window.ticks[found[1]] = Date.now();
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
_TURN: Final = """(first) => new Promise((done) => {
  const started = performance.now();
  new MutationObserver((_, observer) => {
    const now = document.querySelector('.tile-open');
    if (now && now.getAttribute('href') !== first) {
      observer.disconnect();
      requestAnimationFrame(() => done(performance.now() - started));
    }
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
  document.querySelector('[data-key=ArrowRight]').click();
})"""


if __name__ == "__main__":
    show("Easel's page in headless Chromium", asyncio.run(measure()))
