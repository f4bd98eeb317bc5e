"""Moving about in a picture and taking things from it: zoom, pan, swipe, pinch, copy."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import OpenContext, arrived, connected, seed_seen, stop_clock
from tests.browser.house import Api, Worker, resolved

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
_SCALE = """() => new DOMMatrix(getComputedStyle(document.querySelector('.viewer-image'))
  .transform).a"""
_AT = """() => { const m = new DOMMatrix(getComputedStyle(document.querySelector('.viewer-image'))
  .transform); return [m.e, m.f]; }"""


def touch(session: CDPSession, kind: str, *points: tuple[float, float]) -> None:
    found = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": found})


def swipe(page: Page, session: CDPSession, dx: float) -> None:
    box = page.locator(".viewer-image").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch(session, "touchStart", (x - dx / 2, y))
    for part in range(1, 6):
        touch(session, "touchMove", (x - dx / 2 + dx * part / 5, y))
    touch(session, "touchEnd")


def test_zoom_by_key_and_wheel_pan_and_back(page: Page, worker: Worker) -> None:
    (made,) = seed_seen(page, worker, resolved("a red fox"))
    page.goto(f"/g/{made}")
    expect(page.locator(".viewer-image")).to_be_visible()
    arrived(page)
    page.keyboard.press("z")
    page.wait_for_function(f"({_SCALE})() > 2")
    before = page.evaluate(_AT)
    page.mouse.move(400, 400)
    page.mouse.down()
    page.mouse.move(460, 430, steps=4)
    page.mouse.up()
    page.wait_for_function(f"([x, y]) => ({_AT})()[0] > x && ({_AT})()[1] > y", arg=before)
    page.keyboard.press("Escape")
    page.wait_for_function(f"({_SCALE})() === 1")
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"({_SCALE})() > 1.5")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(str(made)))


def test_a_swipe_turns_to_the_older_and_the_newer_picture(
    visitor: OpenContext, worker: Worker
) -> None:
    context = visitor(**PHONE)
    page = context.new_page()
    older, newer = seed_seen(page, worker, resolved("the older"), resolved("the newer"))
    page.goto(f"/g/{newer}")
    session = context.new_cdp_session(page)
    expect(page.get_by_role("button", name="Older image")).to_be_enabled()
    arrived(page)
    swipe(page, session, -200)
    expect(page).to_have_url(re.compile(str(older)))
    expect(page.get_by_role("heading", name="the older")).to_be_visible()
    expect(page.get_by_role("button", name="Newer image")).to_be_enabled()
    arrived(page)
    swipe(page, session, 200)
    expect(page).to_have_url(re.compile(str(newer)))


def test_two_fingers_zoom(visitor: OpenContext, worker: Worker) -> None:
    context = visitor(**PHONE)
    page = context.new_page()
    (made,) = seed_seen(page, worker, resolved("a red fox"))
    page.goto(f"/g/{made}")
    expect(page.locator(".viewer-image")).to_be_visible()
    arrived(page)
    session = context.new_cdp_session(page)
    touch(session, "touchStart", (180, 250), (210, 250))
    for part in range(1, 8):
        touch(session, "touchMove", (180 - 10 * part, 250), (210 + 10 * part, 250))
    touch(session, "touchEnd")
    page.wait_for_function(f"({_SCALE})() > 1.5")


def test_prompt_link_and_curl_can_be_copied(visitor: OpenContext, worker: Worker) -> None:
    context = visitor()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    (made,) = seed_seen(page, worker, resolved("a red fox, it's dawn"))
    page.goto(f"/g/{made}")
    stop_clock(page)
    copied = {}
    for name in ("Prompt", "Link", "curl"):
        page.locator("[data-copy]", has_text=name).click()
        expect(page.get_by_text("Copied", exact=True)).to_be_visible()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
        page.clock.run_for(2_000)
        expect(page.get_by_text("Copied", exact=True)).to_be_hidden()
    assert copied["Prompt"] == "a red fox, it's dawn"
    assert copied["Link"] == page.url
    assert copied["curl"].startswith("curl ")
    assert "/api/v1/generation/create" in copied["curl"]


def test_the_original_is_downloaded_as_it_is(page: Page, worker: Worker) -> None:
    (made,) = seed_seen(page, worker, resolved("a red fox"))
    page.goto(f"/g/{made}")
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    with page.expect_download() as downloading:
        page.keyboard.press("s")
    assert downloading.value.suggested_filename.endswith(".png")
    assert downloading.value.path().read_bytes().startswith(b"\x89PNG")


def test_the_arrows_stay_in_a_search_and_esc_leads_back_to_it(page: Page, worker: Worker) -> None:
    first, _, third = seed_seen(
        page, worker, resolved("a red fox"), resolved("an owl"), resolved("a silver fox")
    )
    page.goto("/history")
    page.get_by_role("textbox", name="Search the history").fill("fox")
    expect(page.locator(".tile")).to_have_count(2)
    page.locator(".tile-open").first.click()
    expect(page.get_by_role("heading", name="a silver fox")).to_be_visible()
    page.get_by_role("button", name="Older image").click()
    expect(page.get_by_role("heading", name="a red fox")).to_be_visible()
    expect(page).to_have_url(re.compile(f"/g/{first}.*q=fox"))
    expect(page.locator(".viewer-nav.is-after")).to_be_disabled()
    page.reload()
    page.get_by_role("button", name="Newer image").click()
    expect(page).to_have_url(re.compile(f"/g/{third}.*q=fox"))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/history\\?q=fox$"))
    expect(page.locator(".tile")).to_have_count(2)


def test_a_picture_of_a_batch_in_a_tab_of_its_own(visitor: OpenContext, api: Api) -> None:
    context = visitor()
    page = context.new_page()
    prompts = [f"fox number {number}" for number in range(3)]
    batch_id = api.begin_batch(items=[{"prompt": prompt, "steps": 1} for prompt in prompts])
    page.goto(f"/b/{batch_id}")
    expect(page.locator(".batch-top .batch-state")).to_have_text("Done")
    expect(page.locator(".cell.is-succeeded img")).to_have_count(3)
    with context.expect_page() as opened:
        page.locator(".cell a").nth(1).click(modifiers=["ControlOrMeta"])
    own = opened.value
    expect(own.get_by_role("heading", name=prompts[1])).to_be_visible()
    connected(own)
    own.keyboard.press("ArrowRight")
    expect(own.get_by_role("heading", name=prompts[2])).to_be_visible()
    expect(own.locator(".viewer-nav.is-after")).to_be_disabled()
    own.keyboard.press("ArrowLeft")
    expect(own.get_by_role("heading", name=prompts[1])).to_be_visible()
    own.keyboard.press("ArrowLeft")
    expect(own.get_by_role("heading", name=prompts[0])).to_be_visible()
    own.keyboard.press("Escape")
    expect(own).to_have_url(re.compile(f"/b/{batch_id}"))
    expect(own.locator(".cell.is-succeeded img")).to_have_count(3)


def test_undo_leads_back_to_the_picture_that_was_deleted(page: Page, worker: Worker) -> None:
    older, newer = seed_seen(page, worker, resolved("the older"), resolved("the newer"))
    page.goto(f"/g/{newer}")
    expect(page.locator(".viewer-image")).to_be_visible()
    connected(page)
    page.keyboard.press("Delete")
    expect(page.get_by_role("heading", name="the older")).to_be_visible()
    expect(page).to_have_url(re.compile(str(older)))
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="the newer")).to_be_visible()
    expect(page).to_have_url(re.compile(str(newer)))
    page.get_by_role("button", name="Older image").click()
    expect(page.get_by_role("heading", name="the older")).to_be_visible()
