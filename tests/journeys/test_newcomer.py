"""A newcomer with a browser: two workflows are dropped on the page, tried, batched, scheduled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from comfy.shipped import packaged
from tests.api.service import CHECKPOINTS
from tests.api.test_workflow_import import PAGE
from tests.browser import chromium
from tests.browser.conftest import connected
from tests.browser.test_bulk import choose
from tests.browser.test_workflows_page import drop
from tests.harness.processes import Process
from tests.harness.shared_stack import shared
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until
from tests.journeys.test_workflows import AnyModelStack

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium found (install `chromium`)"),
]
WAN: Final = "video_wan2_2_5B_ti2v"
PORTRAIT: Final = json.dumps(PAGE).replace(CHECKPOINTS[0], "emulator-sd15.safetensors")
PROMPTS: Final = ("a red fox", "an old owl", "a bear, asleep", "a heron", "two otters")
PATIENCE_MS: Final = 120_000
"""Only a test that fails ever waits so long: the parts share the machine with other tests."""


class PageStack(AnyModelStack):
    """Its API has the page on it."""

    def _part(self, name: str, *arguments: str, **more: str) -> Process:
        served = [one.replace("api.app:", "web.app:") for one in arguments]
        return super()._part(name, *served, **more)


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Any, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    stack = PageStack(tmp_path_factory.mktemp("newcomer"), prefect_database)
    with shared(stack, pytestconfig):
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = chromium.launch(playwright)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    context = browser.new_context(base_url=str(stack.api.base_url))
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield context.new_page()
    expect.set_options(timeout=None)
    context.close()


def bring(page: Page, name: str, file: bytes) -> None:
    """Drop a file on the page of workflows, take what is proposed, and go to its form."""
    page.goto("/workflows")
    connected(page)
    drop(page, f"{name}.json", file)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add and try").click()
    expect(page).to_have_url(re.compile(r"/$"))


def generate(page: Page, prompt: str, **small: int) -> None:
    form = page.locator(".form-part:visible")
    for label, value in small.items():
        form.get_by_label(label, exact=True).fill(str(value))
    form.get_by_label("Prompt", exact=True).fill(prompt)
    form.get_by_role("button", name="Generate").click()


def test_from_two_files_to_a_video_an_image_a_batch_and_a_schedule(
    page: Page, stack: Stack
) -> None:
    wan = packaged(WAN)
    assert wan is not None
    bring(page, "wan", wan)
    generate(page, "a red fox runs", Width=64, Height=64, Length=5)
    expect(page.locator(".stage video")).to_be_visible()

    bring(page, "portrait", PORTRAIT.encode())
    generate(page, "a portrait of a fox", Width=64, Height=64, Steps=2)
    expect(page.locator(".made-prompt")).to_have_text("a portrait of a fox")
    expect(page.locator(".picture-link img")).to_have_js_property("complete", True)

    page.goto("/history?q=fox")
    expect(page.locator(".tile")).to_have_count(2)
    page.goto("/history?q=fox&kind=videos")
    expect(page.locator(".tile")).to_have_count(1)

    page.goto("/bulk")
    connected(page)
    page.get_by_role("combobox", name="Workflow").click()
    page.get_by_role("option", name=re.compile("Wan|wan")).click()
    expect(page.get_by_label(re.compile("^Videos per"))).to_be_visible()
    rows = "".join(f'"{prompt}",64,64,5\n' for prompt in PROMPTS)
    choose(page, "five.csv", f"prompt,width,height,length\n{rows}".encode())
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="5 videos")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile("/b/"))
    expect(page.locator(".batch-top .batch-state")).to_have_text("Done")
    expect(page.locator(".cell.is-succeeded")).to_have_count(5)

    page.goto("/schedules")
    connected(page)
    page.get_by_role("combobox", name="Workflow").click()
    page.get_by_role("option", name="portrait").click()
    expect(page.get_by_label("Steps", exact=True)).to_be_visible()
    page.get_by_label("Name", exact=True).fill("portraits")
    page.get_by_label("Time", exact=True).fill("22:30")
    page.get_by_label("Prompt", exact=True).fill("a portrait of an owl")
    page.get_by_role("button", name="Create schedule").click()
    expect(page.get_by_role("switch", name="portraits is on")).to_be_checked()
    [made] = [one for one in _schedules(stack) if one["name"] == "portraits"]
    assert made["next_runs"]
    assert made["batch"]["workflow"] == "portrait"
    url = f"/api/v1/schedules/{made['schedule_id']}"
    wait_until(lambda: stack.api.delete(url).status_code in {204, 404}, "its removal")


def _schedules(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.api.get("/api/v1/schedules").json()["items"]
    return found
