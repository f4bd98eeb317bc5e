"""A grid's images in labelled tables, and its sheet to save, in a real browser."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext
from tests.browser.house import STUMBLED, Api, Worker
from tests.browser.test_measures import SIZES, opened, violations

GRID: Final[dict[str, Any]] = {
    "name": "foxes compared",
    "defaults": {"prompt": "a red fox in the snow", "width": 512, "height": 512, "seed": 7},
    "grid": {"cfg": [4.5, 6.5, 8.0], "sampler": ["euler", "dpmpp_2m"]},
    "max_in_flight": 6,
}


@SIZES
def test_a_grid_is_a_table_that_fills(
    visitor: OpenContext, api: Api, worker: Worker, phone: bool
) -> None:
    worker.failing = STUMBLED
    worker.fails = lambda request: request.cfg == 8.0 and request.sampler == "dpmpp_2m"
    worker.hold()
    batch = api.begin_batch(**GRID)
    page = opened(visitor, phone=phone)
    page.goto(f"/b/{batch}")
    table = page.get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["CFG 4.5", "CFG 6.5", "CFG 8"])
    expect(table.get_by_role("rowheader")).to_have_text(["Sampler euler", "Sampler dpmpp_2m"])
    expect(table.locator("img")).to_have_count(0)
    page.evaluate("window.untouched = true")
    worker.go_on()
    expect(table.locator(".cell.is-succeeded img")).to_have_count(5)
    expect(table.locator("tbody tr").nth(1).locator("td").nth(2)).to_have_class("cell is-failed")
    # The last parts of the page to arrive: they move the table away from below the mouse.
    expect(page.locator(".failure-list > li")).to_have_count(1)
    expect(page.get_by_role("button", name="Reuse settings")).to_be_visible()
    first = table.locator("td.cell").first
    expect(first.get_by_role("link")).to_have_accessible_name(
        "CFG 4.5, Sampler euler · a red fox in the snow"
    )
    first.get_by_role("link").hover()
    expect(first.locator(".cell-values")).to_have_css("opacity", "1")
    expect(first.locator(".cell-values")).to_have_text("CFG 4.5, Sampler euler")
    assert page.evaluate("window.untouched")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_one_sheet_is_saved(page: Page, api: Api, worker: Worker) -> None:
    batch = api.begin_batch(**GRID)
    page.goto(f"/b/{batch}")
    expect(page.locator(".cell.is-succeeded img")).to_have_count(6)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save sheet").click()
    assert download.value.suggested_filename == "foxes compared.jpg"
    with Pillow.open(io.BytesIO(download.value.path().read_bytes())) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width > 3 * 300 < sheet.height * 3


def test_the_list_is_one_click_away_and_stays(page: Page, api: Api, worker: Worker) -> None:
    batch = api.begin_batch(**GRID)
    page.goto(f"/b/{batch}")
    page.get_by_role("button", name="In order").click()
    expect(page.get_by_role("list", name="Images of the batch").locator("img")).to_have_count(6)
    expect(page.get_by_role("table")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("list", name="Images of the batch").locator("img")).to_have_count(6)
    page.get_by_role("button", name="Table", exact=True).click()
    expect(page.get_by_role("table").locator("img")).to_have_count(6)


@pytest.mark.parametrize("combine", ["product", "zip"])
def test_rows_of_prompts(page: Page, api: Api, worker: Worker, combine: str) -> None:
    grid = {"prompt": ["a fox", "an owl"], "steps": [2, 3]}
    batch = api.begin_batch(defaults={}, grid=grid, combine=combine, count=2)
    page.goto(f"/b/{batch}")
    cells = 4 if combine == "zip" else 8
    expect(page.locator("td.cell.is-succeeded img")).to_have_count(cells)
    heads = page.get_by_role("rowheader")
    if combine == "zip":
        expect(heads).to_have_text(["a fox, Steps 2", "an owl, Steps 3"])
        expect(page.get_by_role("columnheader")).to_have_text(["1 of 2", "2 of 2"])
    else:
        expect(heads).to_have_text(["a fox", "an owl"] * 2)
        expect(page.get_by_role("heading", level=2)).to_have_text(["1 of 2", "2 of 2"])
