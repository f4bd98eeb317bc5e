"""What the page may cost, and that everybody can use it."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext, arrived, settled
from tests.browser.house import STUMBLED, Api, Worker, resolved
from tests.harness.receiver import CallbackReceiver, answers

STEPS = 20
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SIZES = pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
_HAS_THEME = "theme => document.body.classList.contains('body--dark') === (theme === 'dark')"


def violations(page: Page) -> list[str]:
    """What axe finds in both themes; the page follows what the visitor's system prefers."""
    found = []
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(_HAS_THEME, arg=theme, polling=50)
        found += [f"{theme}: {violation}" for violation in _violations(page)]
    return found


def _violations(page: Page) -> list[str]:
    settled(page)  # colours on their way are nobody's
    # Of what is in order it would send all elements too, half of what a look costs here.
    wanted = {"runOnly": WCAG, "resultTypes": ["violations"]}
    found = Axe().run(page, options=wanted).response["violations"]
    return [
        f"{item['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for item in found
        for node in item["nodes"]
    ]


def opened(visitor: OpenContext, *, phone: bool) -> Page:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
    return visitor(viewport=size).new_page()


@SIZES
def test_axe_finds_nothing(visitor: OpenContext, worker: Worker, phone: bool) -> None:
    page = opened(visitor, phone=phone)
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
    page.get_by_label("Prompt", exact=True).fill("a red fox")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".stage .canvas img")).to_be_visible()
    expect(page.locator(".stage .line")).to_contain_text("Step 3 of 20")
    assert violations(page) == []


@SIZES
def test_axe_finds_nothing_in_bulk(visitor: OpenContext, phone: bool) -> None:
    page = opened(visitor, phone=phone)
    page.goto("/bulk")
    page.get_by_label("Prompt", exact=True).fill("a {red|silver} fox\nan owl")
    page.get_by_role("combobox", name="Models").click()
    page.get_by_role("option", name="dreamshaper_8").click()
    page.keyboard.press("Escape")
    for name in ("Steps", "Sampler"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_label(name, exact=True)).to_be_visible()
    for name in ("Wildcards", "Negative", "Options"):
        page.locator("summary", has_text=name).click()
    assert violations(page) == []
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("Steps: add a value, or remove the field.")
    assert violations(page) == []
    page.get_by_label("Steps", exact=True).fill("20")
    sampler = page.get_by_label("Sampler", exact=True)
    sampler.fill("euler")
    sampler.press("Enter")
    expect(page.locator("[data-axis=sampler] .q-chip")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".sample-row")).to_have_count(1)
    assert violations(page) == []
    page.get_by_role("button", name="From a file").click()
    page.get_by_label("Drop a CSV").set_input_files(
        {"name": "bad.csv", "mimeType": "text/csv", "buffer": b"prompt,steps\na fox,many\n"}
    )
    expect(page.get_by_text("bad.csv")).to_be_visible()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".problem")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert violations(page) == []


@SIZES
def test_axe_finds_nothing_in_a_batch(
    visitor: OpenContext, api: Api, worker: Worker, phone: bool
) -> None:
    worker.failing = STUMBLED
    worker.fails = lambda request: request.seed == 2
    asked = {"defaults": {"prompt": "a fox", "steps": 2}, "grid": {"seed": [1, 2, 3, 4, 5]}}
    failed = api.begin_batch(name="some failed", **asked)
    page = opened(visitor, phone=phone)
    page.goto(f"/b/{failed}")
    expect(page.get_by_role("button", name="Retry 1 failed")).to_be_visible()
    expect(page.locator(".failure")).to_have_count(1)
    page.locator("summary", has_text="Details").click()
    assert violations(page) == []
    worker.hold(step=1)
    running = api.begin_batch(name="under way", max_in_flight=3, **asked)
    page.goto(f"/b/{running}")
    expect(page.locator(".cell.is-running img")).to_be_visible()
    expect(page.locator(".cell.is-queued")).to_have_count(2)
    expect(page.locator(".cell.is-waiting")).to_have_count(2)
    assert violations(page) == []
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.goto("/bulk")
    expect(page.locator(".batch-row")).to_have_count(2)
    assert violations(page) == []
    page.goto("/b/nonsense")
    expect(page.get_by_role("heading", name="There is no such batch")).to_be_visible()
    assert violations(page) == []


@SIZES
def test_axe_finds_nothing_in_callbacks(
    visitor: OpenContext, api: Api, worker: Worker, phone: bool
) -> None:
    page = opened(visitor, phone=phone)
    long = b"<html>" + b"unbroken" * 60
    with CallbackReceiver(answers(503, body=long), answers(200)) as receiver:
        made = api.create(prompt="a fox", steps=2, callback_url=receiver.url)
        receiver.wait_for(1)
        page.goto(f"/g/{made}")
        page.locator("summary", has_text="1 try").click()
        expect(page.get_by_role("button", name="Try now")).to_be_visible()
        assert violations(page) == []
        asked = {"defaults": {"prompt": "a fox", "steps": 2}}
        batch = api.begin_batch(**asked, callback_url=receiver.url)
        page.goto(f"/b/{batch}")
        expect(page.locator(".callbacks-sum")).to_have_text("1 delivered")
        page.locator(".callbacks > summary").click()
        page.locator("summary", has_text="1 try").click()
        assert violations(page) == []
    worker.keep_callback("shop", receiver.url)
    page.goto("/bulk")
    page.locator("summary", has_text="Options").click()
    expect(page.get_by_role("combobox", name="Callback")).to_be_visible()
    assert violations(page) == []
    page.goto("/schedules")
    page.get_by_role("combobox", name="Callback").click()
    page.get_by_role("option", name="shop").click()
    expect(page.get_by_role("option")).to_have_count(0)
    assert violations(page) == []


@SIZES
def test_axe_finds_nothing_in_schedules(visitor: OpenContext, api: Api, phone: bool) -> None:
    page = opened(visitor, phone=phone)
    page.goto("/schedules")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert violations(page) == []
    api.schedules_there(True)
    page.get_by_role("button", name="Cron", exact=True).click()
    page.get_by_label("Name", exact=True).fill("foxes")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_role("button", name="Create schedule").click()
    expect(page.locator(".schedule")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert violations(page) == []
    page.get_by_role("button", name="Delete foxes").click()
    expect(page.get_by_role("dialog")).to_be_visible()
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
        expect(page.locator(".stage .line")).to_contain_text(f"Step {step} of {STEPS}")
    worker.go_on()
    expect(page.locator(".card.is-succeeded")).to_have_count(1)
    steps: list[str] = page.evaluate("window.ticks")
    assert [int(step) for step in steps] == list(range(1, STEPS + 1))


_WATCH = """() => {
  window.ticks = [];
  new MutationObserver(() => {
    const found = /Step (\\d+)/.exec(document.querySelector('.stage .line')?.textContent ?? '');
    if (found && !window.ticks.includes(found[1])) window.ticks.push(found[1]);
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
