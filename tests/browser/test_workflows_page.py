"""The page of workflows in a browser: files are dropped, inputs are ticked and moved."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from comfy import BUILT_IN
from core.workflows.declaration import Workflow
from tests.api.test_workflow_import import PAGE
from tests.browser.conftest import PATIENCE_S, OpenContext, connected
from tests.browser.house import Api, Worker, open_house
from tests.browser.test_hostile_texts import PAYLOADS
from tests.browser.test_looks import PHONE
from tests.browser.test_measures import SIZES, violations
from tests.harness.emulator import EmulatorControl, open_emulator
from tests.harness.waiting import wait_until
from tests.web.workflow_files import FOX, lacking, png

_DROP: Final = """([place, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  const fire = { bubbles: true, cancelable: true, dataTransfer: files };
  document.querySelector(place).dispatchEvent(new DragEvent('drop', fire));
}"""
_WIDTHS: Final = "[document.documentElement.scrollWidth, window.innerWidth]"
_TAB_SEEN: Final = """() => {
  const nav = document.querySelector('.nav').getBoundingClientRect();
  const tab = document.querySelector('.nav-link[aria-current]').getBoundingClientRect();
  return tab.left >= nav.left - 1 && tab.right <= nav.right + 1;
}"""


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorControl]:
    with open_emulator(tmp_path_factory.mktemp("comfyui")) as control:
        yield control


@pytest.fixture(scope="module")
def _house(
    tmp_path_factory: pytest.TempPathFactory, comfyui: EmulatorControl
) -> Iterator[tuple[Api, Worker]]:
    with open_house(tmp_path_factory.mktemp("workflows") / "home", comfyui.url) as house:
        yield house


def drop(page: Page, name: str, file: Any) -> None:
    data = file if isinstance(file, bytes) else json.dumps(file).encode()
    page.evaluate(_DROP, [".workflow-file .drop", name, base64.b64encode(data).decode()])


def opened(page: Page) -> None:
    page.goto("/workflows")
    connected(page)
    expect(page.locator(".workflow-card").first).to_be_visible()


def proposed(page: Page) -> list[str]:
    """The names of the inputs in the editor, in their order."""
    expect(page.locator(".input-row").first).to_be_visible()
    labels = page.locator(".input-row-label input").all()
    return [str(one.get_attribute("aria-label")).removeprefix("Label of ") for one in labels]


def no_sideways(page: Page) -> None:
    content, window = page.evaluate(_WIDTHS)
    assert content <= window


@pytest.mark.parametrize(
    ("name", "file"),
    [("fox.json", FOX), ("fox of the page.json", PAGE), ("ComfyUI_00001_.png", png(FOX))],
)
def test_a_dropped_file_is_proposed_and_added(
    page: Page, worker: Worker, name: str, file: Any
) -> None:
    opened(page)
    drop(page, name, file)
    assert proposed(page)[:3] == ["prompt", "negative_prompt", "seed"]
    page.get_by_label("Name", exact=True).fill("dropped")
    page.get_by_role("button", name="Add", exact=True).dblclick()
    expect(page.locator(".workflow-card", has_text="dropped")).to_be_visible()
    assert worker.workflow("dropped").of_role("prompt") is not None
    assert page.locator(".workflow-card").count() == len(BUILT_IN) + 1


def test_what_is_ticked_and_moved_is_the_form_in_the_studio(page: Page, worker: Worker) -> None:
    opened(page)
    drop(page, "fox.json", FOX)
    names = proposed(page)
    page.get_by_label("Take denoise").uncheck()
    up = page.get_by_role("button", name="Move steps up")
    up.focus()
    for place in range(names.index("steps") - 1, -1, -1):
        page.keyboard.press("Enter")
        expect(page.locator(".input-row").nth(place).get_by_label("Take steps")).to_be_visible()
        expect(up).to_be_focused()
    grip = page.locator(".input-row", has=page.get_by_label("Take scheduler")).locator(".grip")
    grip.drag_to(page.locator(".input-row", has=page.get_by_label("Take sampler")))
    moved = ["steps", *(name for name in names if name not in ("steps", "scheduler"))]
    moved.insert(moved.index("sampler"), "scheduler")
    row = page.locator(".input-row").nth(moved.index("scheduler"))
    expect(row.get_by_label("Take scheduler")).to_be_visible()
    assert proposed(page) == moved
    page.get_by_label("Label of scheduler").fill("Rhythm")
    page.get_by_role("button", name="Add and try").dblclick()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("fox")
    expect(page).to_have_url(re.compile(r"/$"))
    kept = worker.workflow("fox")
    assert [one.name for one in kept.inputs] == [name for name in moved if name != "denoise"]
    shown = page.locator(".form-part:visible .q-field__label").all_text_contents()
    of_form = [text for text in shown if text in ("Steps", "Rhythm", "CFG", "Sampler", "Denoise")]
    assert of_form == ["Steps", "CFG", "Rhythm", "Sampler"]  # the last two are under Advanced
    page.reload()
    expect(page.get_by_label("Workflow", exact=True)).to_have_value("fox")


def test_json_can_be_pasted_and_what_is_no_workflow_is_said(page: Page) -> None:
    opened(page)
    page.locator("summary", has_text="Paste JSON").click()
    page.get_by_label("JSON of a workflow").fill('{"a": 1}')
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be imported")).to_be_visible()
    page.get_by_label("JSON of a workflow").fill(json.dumps(FOX))
    page.get_by_role("button", name="Read it").click()
    assert "prompt" in proposed(page)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".workflow-card").first).to_be_visible()
    expect(page.locator(".refused")).to_be_hidden()


def test_a_mistake_far_down_is_brought_into_view(page: Page) -> None:
    opened(page)
    drop(page, "fox.json", FOX)
    row = page.locator(".input-row").last
    row.locator("summary").click()
    steps = page.locator(".input-row", has=page.get_by_label("Take steps"))
    steps.locator("summary").click()
    steps.get_by_label("Default").fill("0")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(steps.get_by_role("alert")).to_have_text("Must be at least 1.")
    expect(steps.get_by_role("alert")).to_be_in_viewport()


def test_two_editors_of_one_workflow(visitor: OpenContext, worker: Worker) -> None:
    worker.keep_workflow(Workflow(name="mine", title="Mine", graph=FOX))
    pages = [visitor().new_page() for _ in range(2)]
    for page in pages:
        opened(page)
        page.get_by_role("button", name="Edit Mine").click()
        expect(page.locator(".workflow-heading")).to_be_focused()
        page.get_by_label("Title").fill(f"By {pages.index(page)}")
    pages[0].get_by_role("button", name="Save").click()
    expect(pages[0].locator(".workflow-title", has_text="By 0")).to_be_visible()
    expect(pages[0].get_by_role("button", name="Edit By 0")).to_be_focused()
    pages[1].get_by_role("button", name="Save").click()
    expect(pages[1].get_by_role("alert").filter(has_text="someone else")).to_be_visible()
    assert worker.workflow("mine").title == "By 0"
    expect(pages[1].get_by_label("Title")).to_have_value("By 1")


def test_on_a_phone_all_of_it_can_be_reached(visitor: OpenContext, worker: Worker) -> None:
    worker.keep_workflow(Workflow(name="mine", title="M" * 200, graph=lacking("m" * 200)))
    page = visitor(**PHONE).new_page()
    opened(page)
    page.wait_for_function(_TAB_SEEN, polling=50)
    no_sideways(page)
    card = page.locator(".workflow-card", has_text="MMM")
    for name in ("Edit", "Remove"):
        button = card.get_by_role("button", name=name)
        button.scroll_into_view_if_needed()
        expect(button).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Add from this ComfyUI").tap()
    expect(page.locator(".source, .sources .nothing").first).to_be_visible()
    no_sideways(page)
    drop(page, "fox.json", lacking("n" * 200))
    expect(page.locator(".input-row").first).to_be_visible()
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_in_viewport(ratio=1)
    page.locator(".input-row summary").first.tap()
    expect(page.get_by_label("Help of prompt")).to_be_visible()
    no_sideways(page)
    page.get_by_role("button", name="Add", exact=True).tap()
    expect(page.locator(".workflow-title", has_text="fox")).to_be_visible()
    no_sideways(page)


@SIZES
def test_axe_finds_nothing(visitor: OpenContext, worker: Worker, phone: bool) -> None:
    worker.keep_workflow(Workflow(name="mine", title="Mine", graph=lacking()))
    page = visitor(**(PHONE if phone else {})).new_page()
    opened(page)
    page.get_by_role("button", name="Add from this ComfyUI").click()
    expect(page.locator(".source, .sources .nothing").first).to_be_visible()
    drop(page, "wrong.json", {})
    expect(page.get_by_role("alert").filter(has_text="cannot be imported")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Edit Mine").click()
    page.locator(".input-row summary").first.click()
    expect(page.locator(".input-row-details").get_by_label("Default").first).to_be_visible()
    page.get_by_label("Take cfg").uncheck()
    page.get_by_label("Title").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Enter a title first.")).to_be_visible()
    assert violations(page) == []


def test_no_text_of_a_file_runs(page: Page, worker: Worker) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for number, text in enumerate(PAYLOADS):
        graph = lacking(f"{text}.safetensors", text)
        graph["2"] = {
            **FOX["2"],
            "inputs": {"text": text, "clip": ["1", 1]},
            "_meta": {"title": text},
        }
        opened(page)
        drop(page, f"{text}.json".replace("/", "|"), graph)
        assert "prompt" in proposed(page)
        page.locator(".input-row summary").first.click()
        page.get_by_label("Name", exact=True).fill(f"of-{number}")
        page.get_by_label("Title").fill(text)
        page.get_by_label("Description").fill(text)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator(".workflow-title", has_text=text)).to_be_visible()
        page.get_by_role("button", name=f"Edit {text}", exact=True).click()
        expect(page.locator(".workflow-heading")).to_have_text(text)
        assert page.evaluate("window.ran") is None, text
        assert page.locator("img[onerror], svg[onload], iframe").count() == 0, text
        page.goto(f"/?workflow=of-{number}")
        expect(page.get_by_label("Workflow", exact=True)).to_have_value(text)
        assert page.evaluate("window.ran") is None, text
    assert dialogs == []


def test_a_removed_one_is_gone_for_all_and_can_be_taken_back(
    visitor: OpenContext, worker: Worker
) -> None:
    worker.keep_workflow(Workflow(name="mine", title="Mine", graph=FOX))
    one, other = (visitor().new_page() for _ in range(2))
    for page in (one, other):
        opened(page)
    one.get_by_role("button", name="Remove Mine").click()
    expect(other.locator(".workflow-title", has_text="Mine")).to_have_count(0)
    one.get_by_role("button", name="Undo").click()
    expect(other.locator(".workflow-title", has_text="Mine")).to_be_visible()
    with one.expect_download() as saved:
        one.get_by_role("link", name="Export Mine").click()
    assert saved.value.suggested_filename == "mine.json"


def test_what_comfyui_lacks_is_told_until_it_has_it(page: Page, worker: Worker) -> None:
    worker.keep_workflow(Workflow(name="mine", title="Mine", graph=lacking()))
    opened(page)
    card = page.locator(".workflow-card", has_text="Mine")
    expect(card).to_contain_text("Nodes are missing")
    expect(card).to_contain_text("FancyUpscaler")
    worker.change_workflow(Workflow(name="mine", title="Mine", graph=FOX))
    expect(card).to_contain_text("Ready")
    wait_until(lambda: "FancyUpscaler" not in card.inner_text(), "the card", within=PATIENCE_S)
