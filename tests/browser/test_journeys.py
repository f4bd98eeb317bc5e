"""What people do with the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.browser.conftest import (
    PATIENCE_S,
    OpenContext,
    arrived,
    connected,
    drafted,
    remembered,
    seed_seen,
    stop_clock,
)
from tests.browser.house import Api, Worker, out_of_memory, resolved
from tests.harness.waiting import wait_until

FOX = "a red fox at dawn"


def write(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)


def generate(page: Page, prompt: str) -> None:
    write(page, prompt)
    page.keyboard.press("Control+Enter")


def finished(page: Page, count: int = 1) -> None:
    expect(page.locator(".card.is-succeeded")).to_have_count(count)


def test_from_prompt_to_picture_to_history_and_back(page: Page, worker: Worker) -> None:
    worker.hold(step=3)
    page.goto("/")
    write(page, FOX)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".stage .line")).to_contain_text("Step")
    expect(page.locator(".stage .canvas img")).to_have_attribute("src", re.compile("preview"))
    worker.go_on()
    finished(page)
    expect(page.locator(".picture-link img")).to_have_js_property("complete", True)

    page.locator(".picture-link").click()
    expect(page).to_have_url(re.compile("/g/"))
    expect(page.get_by_role("heading", name=FOX)).to_be_visible()
    page.get_by_role("button", name="Reuse settings").click()
    expect(page).to_have_url(re.compile("/$"))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(FOX)
    expect(page.get_by_role("button", name="Keep", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )

    page.get_by_role("link", name="History").click()
    search = page.get_by_role("textbox", name="Search the history")
    search.fill("no such thing")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    search.fill("red fox")
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("checkbox").check(force=True)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".tile")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile")).to_have_count(1)


def test_a_reload_in_mid_run_loses_nothing(page: Page, api: Api, worker: Worker) -> None:
    page.goto("/")
    worker.hold(step=3)
    generate(page, FOX)
    write(page, "and something half written")
    expect(page.locator(".card.is-running")).to_have_count(1)
    drafted(api, page, "and something half written")
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("and something half written")
    expect(page.locator(".stage .headline")).to_contain_text("%")
    worker.go_on()
    finished(page)


def test_a_second_device_sees_the_same_by_its_address(
    visitor: OpenContext, api: Api, worker: Worker
) -> None:
    first = visitor().new_page()
    first.goto("/")
    worker.hold(step=3)
    generate(first, FOX)
    remembered(api, first, FOX)  # the last thing it does before the address may change again
    first.locator(".card-open").click()
    expect(first).to_have_url(re.compile(r"\?g="))
    second = visitor().new_page()
    second.goto(first.url)
    expect(second.locator(".stage .line")).to_contain_text("Step")
    worker.go_on()
    finished(first)
    finished(second)


def test_two_tabs_follow_each_other(visitor: OpenContext) -> None:
    context: BrowserContext = visitor()
    one, other = context.new_page(), context.new_page()
    one.goto("/")
    other.goto("/")
    expect(other.get_by_label("Prompt", exact=True)).to_be_visible()
    generate(one, FOX)
    finished(one)
    finished(other)


def test_more_may_be_queued_and_cancelled_while_one_runs(page: Page, worker: Worker) -> None:
    page.goto("/")
    worker.hold(step=3)
    generate(page, FOX)
    expect(page.locator(".card.is-running")).to_have_count(1)
    expect(page.locator(".stage .line")).to_contain_text("Step 3")
    worker.hold()  # where it is, and nothing else begins
    for count in (2, 3):
        generate(page, FOX)
        expect(page.locator(".card")).to_have_count(count)
    expect(page.locator(".card.is-queued").first).to_contain_text("2nd in queue")
    expect(page.locator(".card.is-queued").last).to_contain_text("Next in queue")
    page.locator(".card.is-queued .card-cancel").last.click()
    expect(page.locator(".card.is-cancelled")).to_have_count(1)
    expect(page.locator(".card.is-queued")).to_contain_text("Next in queue")
    page.locator(".caption").get_by_role("button", name="Cancel").click()
    expect(page.locator(".card.is-cancelled")).to_have_count(2)
    worker.go_on()
    finished(page)
    expect(page.locator(".card.is-cancelled")).to_have_count(2)


def test_a_cut_connection_is_said_and_heals(
    page: Page, api: Api, worker: Worker, screenshots: Path
) -> None:
    page.goto("/")
    write(page, "written before the cut")
    connected(page)
    drafted(api, page, "written before the cut")
    expect(page.locator("#popup")).to_be_hidden()
    page.context.set_offline(True)
    page.evaluate("window.socket.io.engine.close()")
    expect(page.locator("#popup")).to_be_visible()
    page.screenshot(path=screenshots / "cut.png")
    page.get_by_label("Prompt", exact=True).press_sequentially(", and during it")
    worker.seed(resolved("made during the cut"))
    page.context.set_offline(False)
    expect(page.locator("#popup")).to_be_hidden()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(
        "written before the cut, and during it"
    )
    finished(page)


def test_the_form_outlives_a_restart_of_the_api(page: Page, api: Api, worker: Worker) -> None:
    page.goto("/")
    write(page, "still here after the restart")
    drafted(api, page, "still here after the restart")
    api.stop()
    expect(page.locator("#popup")).to_be_visible()
    page.get_by_label("Prompt", exact=True).press_sequentially(", and typed without it")
    expect(page.locator(".generate")).to_have_css("pointer-events", "none")
    page.keyboard.press("Control+Enter")
    worker.seed(resolved("made meanwhile"))
    api.start()
    finished(page)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(
        "still here after the restart, and typed without it"
    )
    drafted(api, page, "still here after the restart, and typed without it")
    expect(page.locator(".card")).to_have_count(1)


def test_a_refusal_is_told_and_the_form_stays(page: Page) -> None:
    page.goto("/")
    stop_clock(page)
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert")).to_contain_text("Describe the image first")
    write(page, FOX)
    page.locator("summary", has_text="Advanced").click()
    page.get_by_label("Steps").fill("9999")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="150")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(FOX)


def test_a_failure_says_what_to_do_and_can_be_retried(page: Page, worker: Worker) -> None:
    worker.failing = out_of_memory("CUDA out of memory")
    page.goto("/")
    generate(page, FOX)
    expect(page.locator(".stage")).to_contain_text("smaller size")
    worker.failing = None
    page.get_by_role("link", name="Details").click()
    expect(page.locator(".attempts")).to_contain_text("KSampler (node 5): CUDA out of memory")
    expect(page.get_by_role("link", name="Open in Prefect")).to_have_attribute(
        "href", re.compile("flow-run")
    )
    page.locator(".details").get_by_role("button", name="Retry").click()
    expect(page.locator(".viewer-image")).to_be_visible()
    expect(page.locator(".fold-head")).to_contain_text("2 attempts")


def test_keyboard_only(page: Page, api: Api, worker: Worker) -> None:
    seed_seen(page, worker, *(resolved(f"picture {number}", seed=number) for number in range(3)))
    page.goto("/")
    expect(page.locator(".card")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("first words")
    page.keyboard.press("Control+Enter")
    finished(page, 4)
    remembered(api, page, "first words")
    page.get_by_label("Prompt", exact=True).fill("")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("first words")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()

    page.goto("/history")
    page.locator(".tile-open").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="first words")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="picture 2")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="first words")).to_be_visible()
    arrived(page)
    page.keyboard.press("z")
    expect(page.locator(".viewer")).to_have_class(re.compile("is-zoomed"))
    page.keyboard.press("Escape")
    expect(page.locator(".viewer")).not_to_have_class(re.compile("is-zoomed"))
    page.keyboard.press("Delete")
    expect(page.get_by_role("heading", name="picture 2")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/history"))
    expect(page.locator(".tile")).to_have_count(3)


def test_a_deleted_picture_is_gone_for_good_after_a_while(
    page: Page, api: Api, worker: Worker
) -> None:
    api.undo_within(None)
    (made,) = seed_seen(page, worker, resolved(FOX))
    page.goto(f"/g/{made}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This generation was deleted")).to_be_visible()

    def is_gone() -> bool:
        return page.request.get(f"/api/v1/generation/status/{made}").status == 410

    wait_until(is_gone, "410 for what was deleted", within=PATIENCE_S)


def test_on_a_phone_the_newest_picture_the_prompt_and_generate_are_on_one_screen(
    visitor: OpenContext, worker: Worker
) -> None:
    worker.seed(resolved(FOX))
    context = visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto("/")
    expect(page.locator(".picture-link img")).to_have_js_property("complete", True)
    for wanted in (".picture-link img", ".generate", ".prompt-field textarea"):
        box = page.locator(wanted).bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".picture-link").tap()
    expect(page.locator(".viewer-image")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_who_is_faster_than_the_connection_is_understood_in_order(page: Page) -> None:
    """What is done before it stands is told afterwards: the prompt, the press, what came later."""
    early: list[Callable[[], None]] = []

    def hold(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(
            lambda said: early.append(lambda: socket.send(said)) if holding else socket.send(said)
        )

    holding = True
    page.route_web_socket(re.compile("socket.io"), hold)
    page.goto("/")
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    write(page, FOX)
    page.clock.run_for(5)
    page.keyboard.press("Control+Enter")
    page.clock.run_for(5)
    write(page, "a later thought")
    page.clock.run_for(3)
    holding = False
    for tell in early:
        tell()
    connected(page)
    page.clock.run_for(1_000)
    page.clock.resume()
    finished(page)
    expect(page.locator(".stage")).to_contain_text(FOX)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a later thought")


def test_prompts_in_any_script_and_markup_stay_text(page: Page) -> None:
    prompt = "狐 ثعلب 🦊 <img src=x onerror=alert(1)> \" ' {{ 7*7 }} %s"
    page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(dialog.message)))
    page.goto("/")
    generate(page, prompt)
    finished(page)
    page.locator(".picture-link").click()
    expect(page.locator(".prompt-text")).to_have_text(prompt)
    page.goto("/history")
    expect(page.locator(".tile-prompt")).to_contain_text("<img src=x")
