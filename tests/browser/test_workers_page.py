"""The page of workers in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from store.values import WorkerRecord
from tests.browser.conftest import OpenContext, connected
from tests.browser.house import Worker
from tests.browser.test_looks import PHONE
from tests.browser.test_measures import SIZES, violations
from tests.browser.test_workflows_page import no_sideways

LONG_AGO = datetime.now(UTC) - timedelta(hours=3)
AWAY = WorkerRecord(
    name="render-box-in-the-basement-with-a-name-that-does-not-end",
    comfy_url="http://gpu-7:8188",
    comfy_reachable=False,
    detail="connection refused",
    started_at=LONG_AGO,
    seen_at=LONG_AGO,
    last_model="an/other/folder/with/flux1-dev-fp8-scaled-and-more.safetensors",
    seconds_per_cost=0.31,
)


@pytest.fixture
def away(worker: Worker) -> Iterator[WorkerRecord]:
    worker.record(AWAY)
    yield AWAY
    worker.forget(AWAY)


def opened(page: Page) -> None:
    page.goto("/workers")
    connected(page)
    expect(page.locator(".model-row")).to_have_count(2)


@SIZES
def test_workers_are_listed_and_fit(visitor: OpenContext, away: WorkerRecord, phone: bool) -> None:
    page = visitor(**(PHONE if phone else {})).new_page()
    opened(page)
    row = page.locator(".model-row", has_text=away.name)
    expect(row).to_contain_text("Away: it does not answer, 3 hours ago")
    expect(row).to_contain_text("6.2 s for a megapixel in 20 steps")
    expect(page.locator(".model-row", has_text="gpu-1")).to_contain_text("Ready")
    expect(page.get_by_role("navigation").get_by_role("link", name="Workers")).to_have_attribute(
        "aria-current", "page"
    )
    no_sideways(page)
    assert violations(page) == []
