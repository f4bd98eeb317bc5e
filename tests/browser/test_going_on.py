"""An image goes on in a browser: to the forms of operations, to a batch; and what is said of it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from core.notices import Notice
from core.requests import ResolvedRequest
from core.workflows.plan import Plan
from tests.browser.conftest import OpenContext, arrived, connected, seed_seen
from tests.browser.house import Worker, resolved
from tests.browser.test_looks import PHONE
from tests.browser.test_measures import SIZES, violations
from tests.browser.test_workflows_page import no_sideways

_SAID = ("the negative prompt is not heard at cfg 1", "the width was rounded to 512")


def noted(*messages: str) -> ResolvedRequest:
    notices = tuple(Notice(code="size_rounded", message=each) for each in messages)
    plan = Plan(outputs=1, cost=1.0, notices=notices)
    return resolved("a red fox").model_copy(update={"plan": plan})


def prompt_of(page: Page) -> Locator:
    """The field of the form that is shown: that of text to image is hidden meanwhile."""
    return page.get_by_role("textbox", name="Prompt", exact=True)


def test_in_the_studio_an_image_is_upscaled_without_leaving(page: Page, worker: Worker) -> None:
    seed_seen(page, worker, resolved("a red fox"))
    page.get_by_role("button", name="Upscale").dblclick()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Upscale")
    expect(page.locator(".form .chosen-thumb")).to_be_visible()
    expect(page.locator(".stage .picture-link img")).to_be_visible()
    page.get_by_role("button", name="Use as…").click()
    page.get_by_role("dialog").get_by_role("button", name="Use as start image").dblclick()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Image to image")
    expect(prompt_of(page)).to_have_value("a red fox")
    page.reload()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Image to image")
    expect(page.locator(".form .chosen-thumb")).to_be_visible()


def test_with_the_keyboard_alone(page: Page, worker: Worker) -> None:
    [made] = seed_seen(page, worker, resolved("a red fox"))
    page.goto(f"/g/{made}")
    arrived(page)
    opener = page.get_by_role("button", name="Use as…")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Outpaint").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Outpaint")
    expect(prompt_of(page)).to_have_value("a red fox")


def test_what_a_form_had_comes_back(page: Page, worker: Worker) -> None:
    fox, owl = seed_seen(page, worker, resolved("a red fox"), resolved("an owl"))
    for made, prompt in ((fox, "a red fox"), (owl, "an owl")):
        page.goto(f"/g/{made}")
        arrived(page)
        page.get_by_role("button", name="Use as…").click()
        page.get_by_role("button", name="Use as start image").click()
        expect(prompt_of(page)).to_have_value(prompt)
    page.get_by_role("button", name="Undo").click()
    expect(prompt_of(page)).to_have_value("a red fox")


def test_of_the_history_several_are_the_rows_of_a_batch(page: Page, worker: Worker) -> None:
    seed_seen(page, worker, resolved("a red fox"), resolved("an owl"), resolved("a cat"))
    page.goto("/history")
    connected(page)
    for place in (0, 2):
        page.locator(".tile-check").nth(place).check(force=True)
    page.get_by_role("button", name="Use as…", exact=True).click()
    page.get_by_role("button", name="Use each as start image").click()
    expect(page).to_have_url(re.compile("/bulk"))
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Image to image")
    expect(page.locator(".axis .chosen-thumb")).to_have_count(2)
    prompt_of(page).fill("in the rain")
    expect(page.locator(".bulk-sum")).to_contain_text("2 images")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile("/b/"))
    expect(page.locator(".cell")).to_have_count(2)
    page.get_by_role("button", name="Table").click()
    expect(page.locator(".header-pictures img")).to_have_count(2)


def test_a_tile_has_its_own_button(page: Page, worker: Worker) -> None:
    seed_seen(page, worker, resolved("a red fox"))
    page.goto("/history")
    connected(page)
    page.locator(".tile").hover()
    page.get_by_role("button", name="Use as…: a red fox").click()
    page.get_by_role("button", name="Edit Changes it").click()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("Edit")
    expect(page.locator(".form .chosen-thumb")).to_have_count(1)


@SIZES
def test_everybody_can_use_it(visitor: OpenContext, worker: Worker, phone: bool) -> None:
    page = visitor(**PHONE if phone else {}).new_page()
    [made] = seed_seen(page, worker, noted(*_SAID))
    expect(page.locator(".stage .picture-link img")).to_be_visible()  # built for the last time
    page.locator("summary", has_text="2 notes").click()
    expect(page.get_by_text("The width was rounded to 512.")).to_be_visible()
    no_sideways(page)
    assert violations(page) == []
    page.goto(f"/g/{made}")
    arrived(page)
    expect(page.get_by_text("The width was rounded to 512.")).to_be_visible()
    no_sideways(page)
    page.get_by_role("button", name="Use as…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.goto("/history")
    connected(page)
    page.locator(".tile-check").check(force=True)
    expect(page.get_by_role("button", name="Use as…", exact=True)).to_be_visible()
    no_sideways(page)
    assert violations(page) == []
