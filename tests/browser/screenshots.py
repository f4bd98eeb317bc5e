"""Pictures of every page for the README: ``python -m tests.browser.screenshots OUT_DIR``.

``studio``, ``bulk`` or ``callbacks`` behind it takes only those.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.browser import chromium
from tests.browser.house import CATALOGUE, Api, Worker, open_house, out_of_memory, resolved
from tests.harness.receiver import CallbackReceiver, answers

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


_ANIMALS: Final = ("a red fox", "an owl", "a cat on a wall", "a sailing boat", "a lighthouse")
_DROP: Final = "Drop a CSV or JSON Lines file here, or choose one"
_BAD_CSV: Final = b"""prompt,steps,cfg,count
a red fox at dawn,20,7,2
a silver fox,many,7,1
an {owl|heron,20,99,1
"a bear",20,7,0
"""
_SCHEDULES: Final = (
    ("Nightly foxes", "a {red|silver} fox at {dawn|dusk}, film grain"),
    ("Something for the lobby", "a lighthouse in the {rain|snow}, oil painting"),
)


def main() -> None:
    """Make them all, or the sets that are named."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or _SETS:
        with (
            tempfile.TemporaryDirectory() as home,
            open_house(Path(home) / "home") as (api, worker),
            sync_playwright() as playwright,
        ):
            browser = chromium.launch(playwright)
            _SETS[name](browser, api, worker, out)
            browser.close()


def _studio(browser: Browser, api: Api, worker: Worker, out: Path) -> None:
    _empty(browser, api, out)
    first = _fill(worker)
    for theme in ("light", "dark"):
        _finished(browser, api, worker, out, theme, first)
    for theme in ("light", "dark"):
        _running(browser, api, worker, out, theme)
    _failed(browser, api, worker, out)


def _bulk(browser: Browser, api: Api, worker: Worker, out: Path) -> None:
    (api.home / "wildcards").mkdir()
    (api.home / "wildcards" / "weather.txt").write_text("snow\nrain\nfog\n")
    (api.home / "wildcards" / "time.txt").write_text("dawn\nnoon\ndusk\n")
    _bulk_empty(browser, api, out)
    done, failed, running = _batches(api, worker)
    for theme in ("light", "dark"):
        for phone in (False, True):
            context = _open(browser, api, theme, phone=phone)
            page = context.new_page()
            suffix = f"{theme}-phone" if phone else theme
            _bulk_pages(page, out, suffix)
            for name, batch_id in (("done", done), ("failed", failed), ("running", running)):
                page.goto(f"/b/{batch_id}")
                page.locator(".cell").first.wait_for()
                _shoot(page, out, f"batch-{name}-{suffix}")
            _schedules(page, api, out, suffix)
            context.close()
    worker.go_on()


def _bulk_empty(browser: Browser, api: Api, out: Path) -> None:
    for phone in (False, True):
        context = _open(browser, api, "light", phone=phone)
        page = context.new_page()
        suffix = "light-phone" if phone else "light"
        page.goto("/bulk")
        page.get_by_role("button", name="From a file").click()
        _shoot(page, out, f"bulk-file-{suffix}")
        page.get_by_label(_DROP).set_input_files(
            {"name": "foxes.csv", "mimeType": "text/csv", "buffer": _BAD_CSV}
        )
        page.get_by_text("foxes.csv").wait_for()
        page.get_by_role("button", name="Preview").click()
        page.locator(".problem").first.wait_for()
        _shoot(page, out, f"bulk-refused-{suffix}")
        page.goto("/b/00000000-0000-4000-8000-000000000000")
        _shoot(page, out, f"batch-gone-{suffix}")
        page.goto("/schedules")
        page.get_by_role("button", name="Try again").wait_for()
        _shoot(page, out, f"schedules-away-{suffix}")
        context.close()


def _batches(api: Api, worker: Worker) -> tuple[str, str, str]:
    """One that is done, one that is not, and one under way; the ids."""
    worker.comfy.step_s = 0.0
    grid = {"prompt": [f"{animal}, __weather__, film grain" for animal in _ANIMALS]}
    done = api.begin_batch(
        name="Animals in any weather",
        grid=grid,
        count=4,
        seed=5,
        defaults={"steps": 2, "width": 384, "height": 256},
    )
    _ended(api, done)
    worker.failing = out_of_memory("CUDA out of memory. Tried to allocate 4.50 GiB.")
    worker.fails = lambda request: (request.width or 0) > 512
    failed = api.begin_batch(
        name="Posters, three sizes",
        items=[{"width": size, "height": size} for size in (384, 512, 640)],
        defaults={"prompt": "a lighthouse in the {rain|snow}, oil painting", "steps": 2},
        count=3,
        seed=9,
    )
    _ended(api, failed)
    worker.failing = None
    running = api.begin_batch(
        name="Foxes by season, two models",
        defaults={"prompt": "a {red|silver} fox at __time__, {spring|autumn|snow}", "steps": 20},
        grid={"model": list(CATALOGUE.checkpoints), "cfg": [4.5, 7.0]},
        count=12,
        seed=3,
        stop_after_failures=5,
        not_after="06:30",
        timezone="Europe/Berlin",
    )
    while api.batch(running)["counts"]["succeeded"] < 17:
        time.sleep(0.05)
    worker.hold(step=11)
    return done, failed, running


def _ended(api: Api, batch_id: str) -> None:
    while api.batch(batch_id)["finished_at"] is None:
        time.sleep(0.2)


def _bulk_pages(page: Page, out: Path, suffix: str) -> None:
    page.goto("/bulk")
    page.get_by_label("Prompt", exact=True).fill("a {red|silver} fox in a __weather__ landscape")
    page.get_by_role("combobox", name="Models").click()
    for name in ("dreamshaper_8", "sd_xl_base_1.0"):
        page.get_by_role("option", name=name).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Steps").click()
    page.get_by_label("Steps", exact=True).fill("20, 30")
    page.get_by_label("Images per combination").fill("3")
    page.get_by_text("= 12 images").wait_for()
    _shoot(page, out, f"bulk-{suffix}")
    page.get_by_role("button", name="Preview").click()
    page.locator(".sample-row").first.wait_for()
    _shoot(page, out, f"bulk-plan-{suffix}")


def _schedules(page: Page, api: Api, out: Path, suffix: str) -> None:
    api.schedules_there(True)
    page.goto("/schedules")
    for name, prompt in _SCHEDULES:
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_role("button", name="Create schedule").click()
        page.get_by_role("switch", name=name).wait_for()
        page.get_by_role("button", name="Repeating").click()
    page.get_by_role("button", name="At a time").click()
    page.get_by_label("Name", exact=True).fill("Posters for Monday")
    page.get_by_text("is created and on").last.wait_for(state="detached")
    _shoot(page, out, f"schedules-{suffix}")
    if "phone" in suffix:
        _shoot_whole(page, out, f"schedules-{suffix}-full")
    api.schedules_there(False)


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


def _shoot_whole(page: Page, out: Path, name: str) -> None:
    """From top to bottom: what stays in reach on a screen would lie across the middle."""
    style = ".bar { position: absolute !important } .generate-bar { position: static !important }"
    page.screenshot(path=out / f"{name}.png", full_page=True, style=style)


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
            _shoot_whole(page, out, f"picture-{suffix}-full")
        context.close()


def _running(browser: Browser, api: Api, worker: Worker, out: Path, theme: str) -> None:
    worker.hold(step=12)
    context = _open(browser, api, theme)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Prompt", exact=True).fill("a red fox by a frozen lake, northern lights")
    page.get_by_role("button", name="Landscape 3:2").click()
    before = page.locator(".card").count()
    for more in range(1, 4):
        page.keyboard.press("Control+Enter")
        page.locator(".card").nth(before + more - 1).wait_for()
    page.locator(".stage .line", has_text="Step 12 of").wait_for()
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
    worker.failing = out_of_memory("CUDA out of memory. Tried to allocate 4.50 GiB.")
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


def _callbacks(browser: Browser, api: Api, worker: Worker, out: Path) -> None:
    """One that is tried again later, and a batch whose receiver heard of its images too."""
    worker.comfy.step_s = 0.0
    away = answers(503, body=b'{"error": "the shop is closed for maintenance"}')
    with CallbackReceiver(away) as shop, CallbackReceiver(answers(body=b"ok")) as archive:
        prompt, size = "a lighthouse in the rain, oil painting", {"width": 512, "height": 512}
        image = api.create(prompt=prompt, seed=11, callback_url=shop.url, **size)
        shop.wait_for(1)
        batch = api.begin_batch(
            name="Animals at dawn",
            grid={"prompt": [f"{animal} at dawn, film grain" for animal in _ANIMALS]},
            defaults={"steps": 2, "width": 384, "height": 256},
            seed=5,
            callback_url=archive.url,
            callback_events=["generation.succeeded", "batch.succeeded"],
        )
        archive.wait_for(len(_ANIMALS) + 1)
        for theme in ("light", "dark"):
            for phone in (False, True):
                context = _open(browser, api, theme, phone=phone)
                page = context.new_page()
                suffix = f"{theme}-phone" if phone else theme
                if phone:
                    _callbacks_of(page, out, f"/g/{image}", f"callback-picture-{suffix}")
                _callbacks_of(page, out, f"/b/{batch}", f"callback-batch-{suffix}")
                context.close()


def _callbacks_of(page: Page, out: Path, place: str, name: str) -> None:
    page.goto(place)
    section = page.locator(".callbacks")
    section.wait_for()
    if section.get_attribute("open") is None:
        section.locator("summary").first.click()
    section.locator(".delivery-tries summary").first.click()
    section.scroll_into_view_if_needed()
    _shoot(page, out, name)


_SETS: Final[dict[str, Callable[[Browser, Api, Worker, Path], None]]] = {
    "studio": _studio,
    "bulk": _bulk,
    "callbacks": _callbacks,
}

if __name__ == "__main__":
    main()
