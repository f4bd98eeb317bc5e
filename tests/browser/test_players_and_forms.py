"""The pages with imported workflows in a real browser: players, frames, and forms."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_S, OpenContext, connected
from tests.browser.house import Api, Worker, resolved
from tests.harness.films import film
from tests.harness.waiting import wait_until
from tests.web.workflows import CLIP, ENLARGE

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
_STANDS_AT = "(video) => video.currentTime"
_HAS_FRAME = "() => document.querySelector('video')?.readyState >= 2"
_IS_THERE: Final = "() => document.querySelector('.chosen-thumb')?.naturalWidth > 0"
_ANOTHER_PLAYER: Final = """() => {
  const other = document.createElement("video");
  other.className = "player";
  document.querySelector(".stage").prepend(other);
}"""
"""Another video before the one that is shown."""


@pytest.fixture
def clip(api: Api, worker: Worker) -> str:
    """A video of an imported workflow; its generation's id."""
    for workflow in (CLIP, ENLARGE):
        worker.keep_workflow(workflow)
    worker.hold()
    task_id = api.create(workflow="clip", words="a bar that moves", length=41)
    worker.finish_with(task_id, "clip.webm", film(), node="2")
    worker.go_on()
    return task_id


def playing(page: Page) -> None:
    """The player has the video's length, and moves when it is started."""
    page.wait_for_function(_HAS_FRAME, polling=50)
    video = page.locator("video")
    assert video.evaluate("(video) => video.duration") == pytest.approx(4, abs=0.3)
    assert video.evaluate(_STANDS_AT) == 0
    video.evaluate("(video) => { video.muted = true; return video.play(); }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2", polling=50)


def at(page: Page, seconds: float) -> None:
    """Move the player to a time."""
    page.wait_for_function(_HAS_FRAME, polling=50)
    page.locator("video").evaluate(
        """(video, seconds) => new Promise((done) => {
          video.pause();
          video.addEventListener("seeked", done, { once: true });
          video.currentTime = seconds;
        })""",
        seconds,
    )


def uploaded(page: Page) -> str:
    """The address of the image that the form has, once it is shown."""
    chosen = page.locator(".chosen-thumb")
    expect(chosen).to_be_visible()
    page.wait_for_function(_IS_THERE, polling=50)
    return str(chosen.get_attribute("src"))


def test_the_player_plays(page: Page, clip: str) -> None:
    page.goto(f"/g/{clip}")
    playing(page)
    expect(page).to_have_title("Video · Easel")
    page.goto("/")
    expect(page.locator(".stage video")).to_have_count(1)
    playing(page)


def test_a_frame_becomes_the_start_image_of_a_workflow(page: Page, clip: str) -> None:
    page.goto(f"/g/{clip}")
    at(page, 2.0)
    page.get_by_role("button", name="Use frame as start image").click()
    places = page.get_by_role("dialog", name="Use this frame").locator(".place-workflow")
    expect(places).to_have_text(["A clip", "Use as start image"])  # what made it comes first
    places.first.click()
    expect(page.get_by_label("What happens")).to_be_visible()
    src = uploaded(page)
    assert re.fullmatch("/api/v1/uploads/[0-9a-f]{64}", src)
    size = page.locator(".chosen-thumb").evaluate("(i) => [i.naturalWidth, i.naturalHeight]")
    assert size == [160, 96]
    red = page.evaluate(
        """async (src) => {
          const image = await createImageBitmap(await (await fetch(src)).blob());
          const canvas = new OffscreenCanvas(image.width, image.height);
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return context.getImageData(4, 48, 1, 1).data[0];
        }""",
        src,
    )
    assert 80 < red < 120  # the middle of the film: its colour goes from 0 to 200


def test_the_stage_gives_its_frame_to_the_form_beside_it(page: Page, clip: str) -> None:
    page.goto(f"/?g={clip}")
    at(page, 1.0)
    page.evaluate(_ANOTHER_PLAYER)
    page.get_by_role("button", name="Use frame as start image").click()
    places = page.get_by_role("dialog", name="Use this frame").locator(".place-workflow")
    expect(places).to_have_text(["A clip", "Use as start image"])  # what made it comes first
    places.first.click()
    expect(page.get_by_label("What happens")).to_be_visible()
    assert "/uploads/" in uploaded(page)


def test_an_image_goes_on_to_a_chosen_workflow(page: Page, worker: Worker, clip: str) -> None:
    assert clip
    made = worker.seed(resolved("a red fox"))
    page.goto(f"/g/{made}")
    page.get_by_role("button", name="Use as…").click()
    sheet = page.get_by_role("dialog", name="Use this image")
    expect(sheet.locator(".place")).to_have_count(8)  # six operations, and two added workflows
    sheet.get_by_role("button", name="Enlarge Picture").click()
    expect(page.get_by_role("group", name="Picture")).to_be_visible()
    assert "/artefacts/" in uploaded(page)
    page.get_by_role("button", name="Remove: Picture").click()
    page.get_by_role("button", name="From history").click()
    page.get_by_role("dialog", name="From history").get_by_role("button", name="a red fox").click()
    assert "/artefacts/" in uploaded(page)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_history_shows_a_kind(page: Page, worker: Worker, clip: str) -> None:
    worker.seed(resolved("a red fox"))
    page.goto("/history")
    expect(page.locator(".tile")).to_have_count(2)
    page.get_by_role("combobox", name="Kind").click()
    page.get_by_role("option", name="Videos").click()
    expect(page).to_have_url(re.compile("kind=videos"))
    expect(page.locator(".tile")).to_have_count(1)
    page.reload()
    expect(page.locator(".tile")).to_have_count(1)
    page.locator(".tile a").click()
    expect(page).to_have_url(re.compile(f"/g/{clip}.*kind=videos"))
    expect(page.locator("video")).to_be_visible()


def test_a_batch_of_an_imported_workflow(page: Page, api: Api, worker: Worker, clip: str) -> None:
    assert clip
    worker.hold()
    page.goto("/bulk")
    connected(page)
    page.get_by_role("combobox", name="Workflow").click()
    page.get_by_role("option", name="A clip").click()
    page.get_by_label("What happens").fill("a fox\nan owl")
    page.get_by_text("Each line is its own prompt").click()
    page.get_by_role("group", name="Add a list").get_by_role("button", name="Length").click()
    page.get_by_role("textbox", name="Length").fill("41, 81")
    expect(page.get_by_text("2 prompts × 2 Length values = 4 videos")).to_be_visible()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="4 videos")).to_be_visible()
    expect(page.locator(".sample-row").first).to_contain_text("a fox")
    expect(page.get_by_text("Something went wrong")).to_have_count(0)
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile("/b/"))
    expect(page.locator(".cell")).to_have_count(4)
    batch_id = page.url.rpartition("/")[2].partition("?")[0]
    wait_until(lambda: api.batch(batch_id)["total"] == 4, "the batch", within=PATIENCE_S)


def test_rows_are_moved_on_a_phone(visitor: OpenContext, clip: str) -> None:
    assert clip
    page = visitor(**PHONE).new_page()
    page.goto("/")
    connected(page)
    page.get_by_role("combobox", name="Workflow").click()
    page.get_by_role("option", name="A clip").click()
    files = page.get_by_label("File")
    expect(files).to_have_count(1)  # the form before has LoRAs, too
    page.get_by_role("button", name="Add to LoRAs").click()
    expect(files).to_have_count(2)
    files.nth(1).fill("two")
    page.get_by_role("button", name="Move up 2 of LoRAs").click()
    expect(files.nth(0)).to_have_value("two")
    expect(files.nth(1)).to_have_value("one")
    expect(page.get_by_role("button", name="Move up 1 of LoRAs")).to_be_focused()
    page.reload()
    expect(files.nth(0)).to_have_value("two")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
