"""One house and one browser for all journeys; each begins with an empty history.

House and browser end with the last journey: while Playwright runs, its event loop does too, and no
other test of the process could start one.

No journey depends on how fast the machine is. What would pass by is held until it was looked at
(``Worker.hold``, ``stop_clock``), and what must come is waited for with ``PATIENCE_S``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from core.requests import ResolvedRequest
from tests.browser import chromium
from tests.browser.house import Api, Worker, open_house
from tests.harness.waiting import wait_until
from web.app import cookie_name

PATIENCE_S: Final = 60.0
"""How long anything is waited for: only a test that fails ever waits so long."""
_TEST_S: Final = 600.0
"""How long a whole test may take; pytest's own limit is meant for tests without a browser."""
_UNDO_S: Final = 600.0
_ARRIVALS = """
  window.arrivals = new WeakMap();
  document.addEventListener('load', (e) => window.arrivals.set(e.target, e.target.src), true);
"""
_ARRIVED = """() => {
  const image = document.querySelector('.viewer-image');
  return image !== null && window.arrivals.get(image) === image.src;
}"""

_NO_CHROMIUM: Final = pytest.mark.skipif(
    chromium.find() is None, reason="no Chromium found (install `chromium`)"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(_TEST_S))
            item.add_marker(_NO_CHROMIUM)


@pytest.fixture(scope="session", autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="package")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Worker]]:
    with open_house(tmp_path_factory.mktemp("house") / "home") as house:
        yield house


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = chromium.launch(playwright)
        yield started
        started.close()


@pytest.fixture
def api(_house: tuple[Api, Worker]) -> Api:
    api = _house[0]
    api.undo_within(_UNDO_S)  # whatever is deleted can be taken back until the test is over
    api.schedules_there(False)
    return api


@pytest.fixture
def worker(_house: tuple[Api, Worker]) -> Iterator[Worker]:
    worker = _house[1]
    worker.failing, worker.fails = None, lambda _request: True
    worker.go_on()
    yield worker
    worker.failing = None
    worker.go_on()
    worker.clear()


OpenContext = Callable[..., BrowserContext]


@pytest.fixture
def visitor(browser: Browser, api: Api, worker: Worker) -> Iterator[OpenContext]:
    """A new visitor: cookies, and so drafts, of their own. Requests elsewhere are refused."""
    contexts: list[BrowserContext] = []
    elsewhere: list[str] = []

    def watch(url: str) -> None:
        if not url.startswith((api.url, api.url.replace("http", "ws"), "data:", "blob:")):
            elsewhere.append(url)

    def open_context(**options: Any) -> BrowserContext:
        viewport = options.pop("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(base_url=api.url, viewport=viewport, **options)
        context.on("request", lambda request: watch(request.url))
        context.set_default_timeout(PATIENCE_S * 1000)
        context.add_init_script(_ARRIVALS)
        contexts.append(context)
        return context

    yield open_context
    for context in contexts:
        context.close()
    assert elsewhere == []


@pytest.fixture
def page(visitor: OpenContext) -> Page:
    return visitor().new_page()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screenshots")


def connected(page: Page) -> None:
    """Its connection to the server stands: only then can it be cut."""
    page.wait_for_function("window.socket?.connected", polling=50)


def arrived(page: Page) -> None:
    """The large picture is there to its last byte: its arrival would undo a zoom."""
    page.wait_for_function(_ARRIVED, polling=50)


def settled(page: Page) -> None:
    """Every transition that ends has ended."""
    page.wait_for_function(_SETTLED, polling=50)


_SETTLED = """() => document.getAnimations().every((animation) =>
  animation.playState !== 'running' || animation.effect.getComputedTiming().endTime === Infinity)"""


def stop_clock(page: Page) -> None:
    """The page's clock stands still: what is shown for a moment stays until ``run_for``."""
    connected(page)
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))


def kept(api: Api, page: Page) -> dict[str, Any]:
    """What the server has on disk for the visitor: the ``draft``, and the earlier ``prompts``."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    return api.kept(cookies[cookie_name(api.port)])


def remembered(api: Api, page: Page, prompt: str) -> None:
    """The prompt is among the earlier ones: all that Generate does has been done."""
    wait_until(lambda: prompt in kept(api, page).get("prompts", ()), prompt, within=PATIENCE_S)


def drafted(api: Api, page: Page, prompt: str) -> None:
    """What was typed is kept."""

    def is_kept() -> bool:
        return bool(kept(api, page).get("draft", {}).get("prompt") == prompt)

    wait_until(is_kept, f"the draft {prompt!r}", within=PATIENCE_S)


def seed_seen(page: Page, worker: Worker, *requests: ResolvedRequest) -> list[UUID]:
    """Make them while the studio looks on: no page that is opened later hears late news of them.

    Such news would build the page anew while a test is busy with it.
    """
    page.goto("/")
    connected(page)
    made = [worker.seed(request) for request in requests]
    expect(page.locator(".card.is-succeeded")).to_have_count(len(made))
    return made
