"""What the studio says about what was started in it, and what a second click cannot do."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext, connected, seed_seen
from tests.browser.house import Worker, out_of_memory, resolved
from tests.browser.test_journeys import FOX, finished, generate, write


def test_what_ended_badly_keeps_the_stage_and_no_second_click_deletes_a_picture(
    page: Page, worker: Worker
) -> None:
    seed_seen(page, worker, resolved("a picture from before"))
    page.goto("/")
    worker.hold(step=3)
    generate(page, FOX)
    cancel = page.locator(".caption").get_by_role("button", name="Cancel")
    box = cancel.bounding_box()
    assert box is not None
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    cancel.click()
    expect(page.locator(".card.is-cancelled")).to_have_count(1)
    page.mouse.click(*at)
    expect(page.locator(".stage")).to_contain_text("Cancelled")
    expect(page.locator(".stage")).to_contain_text(FOX)
    page.mouse.click(*at)
    page.keyboard.press("?")  # whatever the clicks did is done before this is shown
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    finished(page)

    worker.go_on()
    worker.failing = out_of_memory("CUDA out of memory")
    generate(page, "a fox too large")
    expect(page.locator(".stage .empty-title")).to_contain_text("memory")
    expect(page.locator(".stage")).to_contain_text("a fox too large")
    expect(page.locator(".card.is-failed")).to_contain_text("a fox too large")


def test_the_queue_is_told_by_its_prompts_and_there_is_a_way_back_to_it(
    page: Page, worker: Worker
) -> None:
    seed_seen(page, worker, resolved("a picture from before"))
    page.goto("/")
    worker.hold(step=5)
    for number, prompt in enumerate((FOX, "an owl in a birch forest", "a sailing boat"), start=2):
        generate(page, prompt)
        expect(page.locator(".card")).to_have_count(number)
    expect(page.locator(".made-prompt")).to_have_text(FOX)
    expect(page.locator(".card.is-queued .card-prompt")).to_have_text(
        ["a sailing boat", "an owl in a birch forest"]
    )
    expect(page.locator(".queue")).to_contain_text("2 queued")
    expect(page).to_have_title(re.compile("^[0-9]+% · Easel$"))
    page.locator(".card.is-succeeded .card-open").click()
    expect(page.locator(".made-prompt")).to_have_text("a picture from before")
    page.get_by_role("button", name="Back to the latest").click()
    expect(page.locator(".made-prompt")).to_have_text(FOX)
    expect(page.get_by_role("button", name="Back to the latest")).to_be_hidden()


def test_the_header_says_what_happens_now(page: Page, worker: Worker) -> None:
    page.goto("/")
    header = page.locator("header .service-text")
    expect(header).to_have_text("Ready")
    worker.hold(step=5)
    generate(page, FOX)
    expect(header).to_have_text("Rendering")
    worker.go_on()
    finished(page)
    expect(header).to_have_text("Ready")


def test_on_a_phone_generate_leads_to_the_stage(visitor: OpenContext, worker: Worker) -> None:
    context = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("/")
    connected(page)
    worker.hold(step=5)
    write(page, FOX)
    page.locator("summary", has_text="Advanced").click()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("window.scrollY > 100")
    page.get_by_role("button", name="Generate").tap()
    expect(page.locator(".queue")).to_contain_text("Rendering")
    page.wait_for_function("window.scrollY === 0")


def test_a_file_that_is_dropped_beside_its_place_does_not_replace_the_page(page: Page) -> None:
    page.goto("/")
    connected(page)
    prevented = """(name) => {
      const files = new DataTransfer();
      files.items.add(new File(['x'], 'fox.png', { type: 'image/png' }));
      const at = document.querySelector('.stage');
      const fire = { bubbles: true, cancelable: true, dataTransfer: files };
      return !at.dispatchEvent(new DragEvent(name, fire));
    }"""
    assert page.evaluate(prevented, "dragover")
    assert page.evaluate(prevented, "drop")
