"""Pictures of every page for the README: ``python -m tests.browser.screenshots OUT_DIR``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from core.problems import problem
from tests.browser import chromium
from tests.browser.house import CATALOGUE, Api, Worker, open_house, resolved

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_XL: Final = CATALOGUE.checkpoints[1]
_HISTORY: Final = (
    ("a red fox in fresh snow at dawn, film grain", 768, 512, 1),
    ("a sailing boat on a calm lake, evening light", 640, 384, 1),
    ("雪山の朝、静かな湖", 512, 512, 1),
    ("an owl in a birch forest at night, full moon", 512, 768, 1),
    ("a lighthouse in the rain, oil painting", 512, 512, 4),
    ("kissa katolla auringonlaskussa", 576, 448, 1),
    ("ثعلب أحمر في الثلج عند الفجر", 512, 512, 1),
    ("a village in the mountains, snow, warm windows", 640, 384, 1),
    ("a fox by the sea, golden hour", 512, 512, 1),
    ("fog over pine hills, minimal, muted colours", 768, 512, 2),
    ("autumn lake with a wooden boat", 448, 576, 1),
    ("stars above a frozen lake, long exposure", 640, 384, 1),
    ("a cat on a window sill, rain outside", 512, 512, 1),
    ("desert at noon, dunes, one tree", 768, 512, 1),
    ("an old observatory above the clouds", 512, 640, 1),
    ("spring meadow after rain, rainbow", 640, 448, 1),
)


def main() -> None:
    """Make them all."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        open_house(Path(home) / "home") as (api, worker),
        sync_playwright() as playwright,
    ):
        browser = chromium.launch(playwright)
        _empty(browser, api, out)
        first = _fill(worker)
        for theme in ("light", "dark"):
            _finished(browser, api, worker, out, theme, first)
        for theme in ("light", "dark"):
            _running(browser, api, worker, out, theme)
        _failed(browser, api, worker, out)
        browser.close()


def _open(browser: Browser, api: Api, theme: Any, *, phone: bool = False) -> BrowserContext:
    more: dict[str, Any] = {"has_touch": True, "is_mobile": True} if phone else {}
    return browser.new_context(
        base_url=api.url,
        viewport=PHONE if phone else DESKTOP,
        color_scheme=theme,
        device_scale_factor=1,
        **more,
    )


def _fill(worker: Worker) -> str:
    made = ""
    for seed, (prompt, width, height, count) in enumerate(reversed(_HISTORY)):
        made = str(
            worker.seed(
                resolved(prompt, width=width, height=height, batch_size=count, seed=4210 + seed)
            )
        )
    return made


def _shoot(page: Page, out: Path, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    page.screenshot(path=out / f"{name}.png")


def _empty(browser: Browser, api: Api, out: Path) -> None:
    for phone in (False, True):
        context = _open(browser, api, "light", phone=phone)
        page = context.new_page()
        suffix = "-phone" if phone else ""
        page.goto("/")
        _shoot(page, out, f"studio-empty{suffix}")
        if not phone:
            page.keyboard.press("?")
            _shoot(page, out, "help")
        page.goto("/history")
        _shoot(page, out, f"history-empty{suffix}")
        context.close()


def _finished(
    browser: Browser, api: Api, worker: Worker, out: Path, theme: str, first: str
) -> None:
    del worker
    for phone in (False, True):
        suffix = f"{theme}-phone" if phone else theme
        context = _open(browser, api, theme, phone=phone)
        page = context.new_page()
        page.goto("/")
        _shoot(page, out, f"studio-{suffix}")
        page.goto("/history")
        _shoot(page, out, f"history-{suffix}")
        page.goto(f"/g/{first}")
        _shoot(page, out, f"picture-{suffix}")
        if phone:
            page.screenshot(path=out / f"picture-{suffix}-full.png", full_page=True)
        context.close()


def _running(browser: Browser, api: Api, worker: Worker, out: Path, theme: str) -> None:
    worker.hold(step=12)
    context = _open(browser, api, theme)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Prompt", exact=True).fill("a red fox by a frozen lake, northern lights")
    page.locator("summary", has_text="Advanced").click()
    page.get_by_role("button", name="Ratio 3:2").click()
    before = page.locator(".card").count()
    for more in range(1, 4):
        page.keyboard.press("Control+Enter")
        page.locator(".card").nth(before + more - 1).wait_for()
    page.locator(".stage .line", has_text="step 12 of").wait_for()
    _shoot(page, out, f"studio-running-{theme}")
    phone = _open(browser, api, theme, phone=True)
    other = phone.new_page()
    other.goto("/")
    _shoot(other, out, f"studio-running-{theme}-phone")
    phone.close()
    worker.go_on()
    page.locator(".card.is-queued, .card.is-running").first.wait_for(state="detached")
    page.wait_for_timeout(1500)
    context.close()


def _failed(browser: Browser, api: Api, worker: Worker, out: Path) -> None:
    worker.failing = problem(
        "out_of_memory", "KSampler: CUDA out of memory. Tried to allocate 4.50 GiB."
    )
    context = _open(browser, api, "light")
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Prompt", exact=True).fill("a very large panorama of everything")
    page.keyboard.press("Control+Enter")
    page.locator(".card.is-failed").wait_for()
    page.locator(".card.is-failed .card-open").click()
    _shoot(page, out, "studio-failed")
    page.get_by_role("link", name="Details").click()
    page.locator(".attempts").wait_for()
    _shoot(page, out, "picture-failed")
    page.goto("/history?q=nothing+like+this")
    _shoot(page, out, "history-nothing")
    page.goto("/g/00000000-0000-4000-8000-000000000000")
    _shoot(page, out, "picture-gone")
    context.close()


if __name__ == "__main__":
    main()
