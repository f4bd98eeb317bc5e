"""What the page may cost, and that everybody can use it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext, arrived, settled
from tests.browser.house import Worker, resolved

STEPS = 20
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def violations(page: Page) -> list[str]:
    settled(page)  # colours on their way are nobody's
    found = Axe().run(page, options={"runOnly": WCAG}).response["violations"]
    return [
        f"{item['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for item in found
        for node in item["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_axe_finds_nothing(visitor: OpenContext, worker: Worker, theme: str, phone: bool) -> None:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    page = visitor(color_scheme=theme, viewport=size).new_page()
    page.goto("/")
    expect(page.get_by_text("What would you like to see?")).to_be_visible()
    assert violations(page) == []
    made = worker.seed(resolved("a red fox", batch_size=2))
    expect(page.locator(".card.is-succeeded")).to_have_count(1)
    page.goto("/history")
    expect(page.locator(".tile")).to_have_count(1)
    page.locator(".tile-check").check(force=True)
    expect(page.get_by_text("1 selected")).to_be_visible()
    assert violations(page) == []
    page.goto(f"/g/{made}")
    arrived(page)
    page.locator("summary").click()
    assert violations(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    worker.hold(step=3)
    page.goto("/")
    page.locator("summary", has_text="Advanced").click()
    page.locator("summary", has_text="Negative").click()
    page.get_by_label("Prompt", exact=True).fill("a red fox")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".stage .canvas img")).to_be_visible()
    expect(page.locator(".stage .line")).to_contain_text("step 3 of 20")
    assert violations(page) == []


def test_the_first_load_is_small(visitor: OpenContext, worker: Worker) -> None:
    worker.seed(resolved("a red fox"))
    context = visitor()
    page = context.new_page()
    asked: dict[str, str] = {}
    received: dict[str, int] = {}
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on(
        "Network.requestWillBeSent", lambda e: asked.update({e["requestId"]: e["request"]["url"]})
    )
    session.on(
        "Network.loadingFinished",
        lambda e: received.update({e["requestId"]: e["encodedDataLength"]}),
    )
    page.goto("/")
    page.get_by_label("Prompt", exact=True).fill("usable")
    expect(page.locator(".picture-link img")).to_have_js_property("complete", True)
    page.wait_for_load_state("networkidle")
    # By address, not by what the browser says later: a picture that came late is a picture still.
    code = [size for key, size in received.items() if "/images/" not in asked.get(key, "")]
    assert 0 < sum(code) <= 600_000


def test_every_tick_is_on_the_page(page: Page, worker: Worker) -> None:
    """A slow page may leave ticks out, so each waits here until the page has shown it."""
    page.goto("/")
    page.evaluate(_WATCH)
    worker.hold(step=1)
    page.get_by_label("Prompt", exact=True).fill("a red fox")
    page.keyboard.press("Control+Enter")
    for step in range(1, STEPS + 1):
        worker.hold(step=step)
        expect(page.locator(".stage .line")).to_contain_text(f"step {step} of {STEPS}")
    worker.go_on()
    expect(page.locator(".card.is-succeeded")).to_have_count(1)
    steps: list[str] = page.evaluate("window.ticks")
    assert [int(step) for step in steps] == list(range(1, STEPS + 1))


_WATCH = """() => {
  window.ticks = [];
  new MutationObserver(() => {
    const found = /step (\\d+)/.exec(document.querySelector('.stage .line')?.textContent ?? '');
    if (found && !window.ticks.includes(found[1])) window.ticks.push(found[1]);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
