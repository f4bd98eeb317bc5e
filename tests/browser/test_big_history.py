"""A long history shows what is asked for, page by page."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from bench.rows import copy_rows
from tests.browser.conftest import connected
from tests.browser.house import Api, Worker, resolved

ROWS = 2_000


@pytest.fixture
def _many(api: Api, worker: Worker) -> Iterator[None]:
    worker.seed(resolved("the one that is copied"))
    path = api.home / "easel.db"
    with sqlite3.connect(path, timeout=30) as database:
        copy_rows(database, ROWS)
    yield
    with sqlite3.connect(path, timeout=30) as database:
        for table in ("artefacts", "attempts", "generations", "search"):
            database.execute(f"DELETE FROM {table}")


@pytest.mark.usefixtures("_many")
def test_turning_pages_and_searching(page: Page) -> None:
    page.goto("/history")
    expect(page.locator(".tile")).to_have_count(48)
    seen: list[str | None] = []
    for _ in range(4):
        first = page.locator(".tile-open").first
        seen.append(first.get_attribute("href"))
        page.locator("[data-key=ArrowRight]").click()
        expect(first).not_to_have_attribute("href", seen[-1] or "")
    assert len(set(seen)) == 4
    page.reload()
    page.locator(".tile-open").nth(3).click()
    expect(page.locator(".viewer-image")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tile")).to_have_count(48)
    connected(page)
    for href in reversed(seen):
        page.locator(".pager [data-key=ArrowLeft]").click()
        picture = re.compile(re.escape((href or "").partition("?")[0]))
        expect(page.locator(".tile-open").first).to_have_attribute("href", picture)
    expect(page).to_have_url(re.compile("/history$"))
    expect(page.locator(".pager [data-key=ArrowLeft]")).to_be_disabled()
    page.get_by_role("textbox", name="Search the history").fill("number 99")
    expect(page.locator(".tile-prompt").first).to_contain_text("number 99")
    page.reload()
    expect(page.locator(".tile-prompt").first).to_contain_text("number 99")
