"""What must be seen and was not: sizes and places, on a desktop and on a phone."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Download, Locator, Page, expect

from tests.browser.conftest import OpenContext, connected, seed_seen
from tests.browser.house import Worker, resolved

PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
_FONTS: Final = """() => [...document.querySelectorAll('.filter')].map((field) => getComputedStyle(
  field.querySelector('input.q-field__input') ?? field.querySelector('.q-field__native > span')
).fontSize)"""


def apart(one: Locator, other: Locator) -> bool:
    a, b = one.bounding_box(), other.bounding_box()
    assert a is not None
    assert b is not None
    beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
    return beside or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_the_history_on_a_phone_is_even(visitor: OpenContext, worker: Worker) -> None:
    page = visitor(**PHONE).new_page()
    sizes = ((768, 512), (512, 512), (512, 768), (640, 384), (896, 384))
    seed_seen(
        page,
        worker,
        *(resolved("a fox", width=w, height=h, batch_size=2) for w, h in sizes),
    )
    page.goto("/history")
    connected(page)
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(len(sizes))
    boxes = [tile.bounding_box() for tile in tiles.all()]
    assert len({(round(box["width"]), round(box["height"])) for box in boxes if box}) == 1
    for tile in tiles.all():
        assert apart(tile.locator(".badge"), tile.locator(".tile-check"))
    assert len(set(page.evaluate(_FONTS))) == 1


def test_a_long_prompt_scrolls_below_its_label(page: Page) -> None:
    page.goto("/")
    connected(page)
    field = page.get_by_label("Prompt", exact=True)
    field.fill("an enormous library in a cliff above the sea, " * 60)
    assert field.evaluate("e => e.scrollHeight > e.clientHeight")
    assert apart(field, page.locator(".prompt-field .q-field__label"))


def test_of_a_set_one_is_downloaded_or_all(page: Page, worker: Worker) -> None:
    seed_seen(page, worker, resolved("four foxes", width=256, height=640, batch_size=4))
    expect(page.locator(".picture-link")).to_have_count(4)
    boxes = [one.bounding_box() for one in page.locator(".picture-link").all()]
    assert len({box["y"] for box in boxes if box}) == 1  # in one row they are largest
    saved: list[Download] = []

    def note(download: Download) -> None:
        saved.append(download)

    page.on("download", note)
    third = page.locator(".picture-cell").nth(2)
    third.hover()
    with page.expect_download() as one:
        third.get_by_role("link", name="Download image 3").click()
    assert one.value.suggested_filename.endswith(".png")
    page.keyboard.press("s")
    while len(saved) < 5:
        page.wait_for_event("download")
    names = [download.suggested_filename for download in saved]
    assert len(set(names[1:])) == 4
    assert names[0] in names[1:]


def test_on_a_phone_an_arrow_tells_that_there_are_more_pages(visitor: OpenContext) -> None:
    page = visitor(**PHONE).new_page()
    page.goto("/")
    connected(page)
    pages = page.get_by_role("navigation", name="Pages")
    before, after = (page.locator(f".nav[data-more-{end}]") for end in ("before", "after"))
    expect(after).to_have_count(1)
    expect(before).to_have_count(0)
    assert "›" in pages.evaluate("(e) => getComputedStyle(e, '::after').content")
    pages.evaluate("(e) => e.scrollTo({ left: e.scrollWidth })")
    expect(before).to_have_count(1)
    expect(after).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(before).to_have_count(0)
    assert pages.evaluate("(e) => getComputedStyle(e, '::before').content") == "none"
