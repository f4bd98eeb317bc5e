"""Many pictures at once, and batches by the clock, in a real browser."""

from __future__ import annotations

import io
import re
import zipfile

import pytest
from playwright.sync_api import Download, FilePayload, Locator, Page, Route, expect

from tests.browser.conftest import PATIENCE_S, OpenContext, connected, kept
from tests.browser.house import STUMBLED, Api, Worker
from tests.harness.waiting import wait_until

DROP = "Drop a CSV or JSON Lines file here, or choose one"
CSV = b'prompt,steps,count\na red fox at dawn,2,2\nan old owl,2,1\n"a bear, asleep",2,1\n'
COUNT = re.compile("^Images per ")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def choose(page: Page, name: str, data: bytes) -> None:
    """Upload a manifest."""
    page.get_by_role("button", name="From a file").click()
    page.get_by_label(DROP).set_input_files({"name": name, "mimeType": "", "buffer": data})
    expect(page.get_by_text(name, exact=True)).to_be_visible()


def pictures(page: Page) -> Locator:
    """The cells that have their picture."""
    return page.locator(".cell.is-succeeded img")


def ended(page: Page, word: str) -> None:
    expect(page.locator(".batch-top .batch-state")).to_have_text(word)


def saved(download: Download) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(download.path().read_bytes())) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_from_a_file_to_pictures_and_what_failed_again(page: Page, worker: Worker) -> None:
    worker.failing = STUMBLED
    worker.fails = lambda request: "owl" in request.prompt
    page.goto("/bulk")
    choose(page, "animals.csv", CSV)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="4 images")).to_be_visible()
    expect(page.locator(".sample-prompt").first).to_have_text("a red fox at dawn")

    worker.hold()
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile("/b/"))
    expect(page.locator(".cell")).to_have_count(4)
    expect(pictures(page)).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "0")
    page.evaluate("window.untouched = true")
    worker.go_on()
    expect(pictures(page)).to_have_count(3)
    ended(page, "Finished with 1 failure")
    expect(page.locator(".failure")).to_contain_text("KSampler (node 5): stumbled")
    expect(page.locator(".cell.is-failed")).to_have_count(1)

    worker.failing = None
    page.get_by_role("button", name="Retry 1 failed").click()
    ended(page, "Done")
    expect(pictures(page)).to_have_count(4)
    expect(page.locator(".failure")).to_have_count(0)
    assert page.evaluate("window.untouched")  # it was never loaded anew

    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download all").click()
    names = saved(downloading.value)
    assert sum(name.endswith(".png") for name in names) == 4

    page.locator(".cell a").first.click()
    expect(page.get_by_role("heading", name="a red fox at dawn")).to_be_visible()
    page.get_by_role("link", name="of 4 in").click()
    expect(page.locator(".cell")).to_have_count(4)


def closes_lists(page: Page) -> bool:
    page.keyboard.press("Escape")
    return page.locator(".q-menu").count() == 0


def test_a_grid_is_built_and_counted(page: Page, api: Api) -> None:
    page.goto("/bulk")
    page.get_by_label("Prompt", exact=True).fill("a {red|silver} fox")
    page.get_by_role("combobox", name="Models").click()
    page.get_by_role("option", name="dreamshaper_8").click()
    page.get_by_role("option", name="sd_xl_base_1.0").click()
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Sizes").fill("128x64")
    page.keyboard.press("Enter")
    # The list of the sizes may open late.
    wait_until(lambda: closes_lists(page), "the list to close")
    page.get_by_role("button", name="Steps").click()
    expect(page.get_by_label("Steps", exact=True)).to_be_focused()
    page.get_by_label("Steps", exact=True).fill("1, 2")
    page.get_by_label("Images per combination").fill("2")
    expect(page.get_by_text("2 models × 2 step counts × 2 each = 8 images")).to_be_visible()
    page.get_by_role("button", name="Pair up").click()
    expect(page.get_by_text("2 paired × 2 each = 4 images")).to_be_visible()

    def is_kept() -> bool:
        return bool(kept(api, page).get("bulk", {}).get("combine") == "zip")

    wait_until(is_kept, "the form", within=PATIENCE_S)
    page.reload()
    expect(page.get_by_text("2 paired × 2 each = 4 images")).to_be_visible()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("1, 2")
    connected(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="4 images")).to_be_visible()
    expect(page.locator(".sample-row").last).to_contain_text("sd_xl_base_1.0 · 128 × 64 · 2 steps")
    page.get_by_role("button", name="Start").click()
    ended(page, "Done")
    expect(pictures(page)).to_have_count(4)
    page.get_by_role("link", name="Bulk").click()
    expect(page.locator(".batch-row")).to_contain_text("4 of 4")


def test_what_is_typed_stays_where_it_was_begun(page: Page) -> None:
    page.goto("/bulk")
    connected(page)
    page.get_by_role("button", name="Steps").click()
    steps = page.get_by_label("Steps", exact=True)
    expect(steps).to_be_focused()
    steps.fill("1, 2")
    count = page.get_by_label("Images per combination")
    count.press("End")
    # As the answer to the button does when it comes late.
    page.evaluate("new Promise((done) => { easel.toAxis('steps'); setTimeout(done, 60); })")
    page.keyboard.press("2")
    expect(steps).to_have_value("1, 2")
    expect(page.get_by_text("2 step counts × 12 each = 24 images")).to_be_visible()


def test_a_name_that_is_typed_is_chosen_by_enter(page: Page, api: Api) -> None:
    page.goto("/bulk")
    connected(page)
    models = page.get_by_role("combobox", name="Models")
    models.click()
    models.press_sequentially("xl_base")
    models.press("Enter")
    expect(page.locator(".q-chip", has_text="sd_xl_base_1.0")).to_be_visible()
    expect(models).to_have_value("")
    page.get_by_role("button", name="Sampler").click()
    sampler = page.get_by_role("combobox", name="Sampler")
    expect(sampler).to_be_focused()
    for typed, name in (("dpmpp_2m", "dpmpp_2m"), ("euler", "euler")):
        sampler.press_sequentially(typed)
        sampler.press("Enter")
        expect(page.locator(".q-chip").get_by_text(name, exact=True)).to_be_visible()
        expect(sampler).to_have_value("")
    expect(page.get_by_text("2 samplers = 2 images")).to_be_visible()

    page.goto("/")
    connected(page)
    page.locator("summary", has_text="Advanced").click()
    own = page.get_by_role("combobox", name="Sampler")
    own.click()
    own.press("ControlOrMeta+a")
    own.press_sequentially("ancestral")
    own.press("Enter")
    expect(own).to_have_value("euler_ancestral")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("combobox", name="Model").fill("sd_xl")
    page.get_by_role("combobox", name="Model").press("Enter")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("sd_xl_base_1.0")

    def is_kept() -> bool:
        form = kept(api, page).get("draft", {})
        chosen = (form.get("sampler"), form.get("model"))
        return chosen == ("euler_ancestral", "sd_xl_base_1.0.safetensors")

    wait_until(is_kept, "the choices", within=PATIENCE_S)


def test_a_bad_file_names_row_and_column_and_is_not_lost(page: Page) -> None:
    page.goto("/bulk")
    choose(page, "bad.csv", b"prompt,steps,cfg\na fox,many,7\nan owl,20,99\n")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".problem")).to_have_count(2)
    expect(page.locator(".problem").first).to_contain_text("Row 2, steps")
    expect(page.locator(".problem").last).to_contain_text("Row 3, CFG")
    expect(page.get_by_text("bad.csv", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("/bulk$"))
    choose(page, "good.csv", b"prompt\na fox\n")
    expect(page.get_by_text("bad.csv", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="1 image")).to_be_visible()


def switch(page: Page, workflow: str) -> None:
    """Choose a workflow, until the form is the one of it."""
    page.get_by_role("combobox", name="Workflow", exact=True).click()
    page.get_by_role("option", name=workflow).click()
    expect(page.locator("pre.sample")).to_contain_text("init_image")


def test_a_file_on_its_way_stays_when_the_workflow_is_switched(page: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/upload/*", hold)
    page.goto("/bulk")
    connected(page)
    page.get_by_role("button", name="From a file").click()
    file = FilePayload(name="late.csv", mimeType="", buffer=CSV)
    page.get_by_label(DROP).set_input_files(file)
    expect(page.locator(".drop.is-busy")).to_be_visible()
    switch(page, "Image to image")
    assert len(held) == 1
    held[0].continue_()
    expect(page.get_by_text("late.csv", exact=True)).to_be_visible()
    expect(page.locator(".drop.is-busy")).to_have_count(0)


def test_a_file_chosen_in_a_dialog_stays_when_the_form_is_another_by_then(page: Page) -> None:
    page.goto("/bulk")
    connected(page)
    page.get_by_role("button", name="From a file").click()
    with page.expect_file_chooser() as choosing:
        page.locator(".drop").click()
    switch(page, "Image to image")
    choosing.value.set_files(FilePayload(name="late.csv", mimeType="", buffer=CSV))
    expect(page.get_by_text("late.csv", exact=True)).to_be_visible()
    page.reload()  # the form is first built for the usual workflow
    expect(page.locator("pre.sample")).to_contain_text("init_image")
    expect(page.get_by_text("late.csv", exact=True)).to_be_visible()


def test_a_batch_is_paused_resumed_and_cancelled(page: Page, api: Api, worker: Worker) -> None:
    worker.hold(step=2)
    batch_id = api.begin_batch(
        name="long", defaults={"prompt": "a fox", "steps": 4}, count=30, max_in_flight=2
    )
    page.goto(f"/b/{batch_id}")
    expect(page.locator(".cell.is-running")).to_contain_text("%")
    page.get_by_role("button", name="Pause").click()
    ended(page, "Paused")
    worker.go_on()
    expect(pictures(page)).to_have_count(2)
    page.get_by_role("button", name="Resume").click()
    expect(pictures(page).nth(4)).to_be_visible()
    worker.hold()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel this batch?")
    page.get_by_role("button", name="Keep running").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the batch").click()
    ended(page, "Cancelled")
    expect(page.locator(".note")).to_contain_text("of 30 images finished")
    expect(page.get_by_role("button", name="Generate the rest")).to_be_visible()


def test_a_second_device_sees_the_same_and_markup_stays_text(
    visitor: OpenContext, api: Api, worker: Worker
) -> None:
    worker.hold()
    name = "狐 <img src=x onerror=alert(1)> {{ 7*7 }}"
    batch_id = api.begin_batch(name=name, defaults={"prompt": name, "steps": 1}, wildcards=False)
    pages = [visitor().new_page() for _ in range(2)]
    for page in pages:
        page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(dialog.message)))
        page.goto(f"/b/{batch_id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    worker.go_on()
    for page in pages:
        ended(page, "Done")
        expect(pictures(page)).to_have_attribute("alt", name)
    pages[0].goto("/bulk")
    expect(pages[0].locator(".batch-name")).to_have_text(name)


def test_a_batch_on_a_phone(visitor: OpenContext, api: Api) -> None:
    page = visitor(**PHONE).new_page()
    for url in ("/bulk", "/schedules"):
        page.goto(url)
        connected(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto("/bulk")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_label("Images per combination").fill("3")
    expect(page.get_by_text("3 images")).to_be_visible()
    page.get_by_role("button", name="Start").tap()
    ended(page, "Done")
    expect(pictures(page)).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".cell a").first.tap()
    expect(page.locator(".viewer-image")).to_be_visible()


def test_a_schedule_is_made_switched_off_and_deleted(page: Page, api: Api) -> None:
    api.schedules_there(True)
    page.goto("/schedules")
    expect(page.get_by_role("switch", name="nightly is on")).not_to_be_checked()
    page.get_by_label("Name", exact=True).fill("foxes")
    page.get_by_label("Time", exact=True).fill("22:30")
    page.get_by_label("Prompt", exact=True).fill("a {red|silver} fox")
    expect(page.get_by_text("At 22:30 (UTC). Next: ")).to_be_visible()
    page.get_by_role("button", name="Create schedule").click()
    switch = page.get_by_role("switch", name="foxes is on")
    expect(switch).to_be_checked()
    made = page.locator(".schedule", has=switch)
    expect(made).to_contain_text("4 images")
    expect(made).to_contain_text("Next: ")
    switch.click()
    expect(switch).not_to_be_checked()
    expect(made).to_contain_text("Switched off")
    page.reload()
    expect(switch).not_to_be_checked()
    page.get_by_role("button", name="Delete foxes").click()
    page.get_by_role("button", name="Delete schedule").click()
    expect(switch).to_have_count(0)
    expect(page.get_by_role("button", name="Delete nightly")).to_have_count(0)


def test_the_visitors_own_clock_is_meant(visitor: OpenContext, api: Api) -> None:
    api.schedules_there(True)
    page = visitor(timezone_id="Asia/Tokyo").new_page()
    page.goto("/schedules")
    expect(page.get_by_text("Every day at 02:00 (Asia/Tokyo). Next: ")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("foxes")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_role("button", name="Create schedule").click()
    expect(page.locator(".schedule").last).to_contain_text("Every day at 02:00 (Asia/Tokyo)")


def test_schedules_without_prefect(page: Page, api: Api) -> None:
    page.goto("/schedules")
    expect(page.get_by_role("heading", name="Prefect isn't answering")).to_be_visible()
    api.schedules_there(True)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="nightly")).to_be_visible()


@pytest.mark.parametrize(("path", "key"), [("/bulk", "bulk"), ("/schedules", "schedule")])
def test_each_tab_keeps_its_own_form(visitor: OpenContext, api: Api, path: str, key: str) -> None:
    context = visitor()
    pages = {name: context.new_page() for name in ("a fox", "an owl")}
    for name, page in pages.items():
        page.goto(path)
        connected(page)
        page.get_by_label("Prompt", exact=True).fill(name)
        page.get_by_label(COUNT).fill("3")

        def is_kept(name: str = name, page: Page = page) -> bool:
            form = kept(api, page).get(key, {})
            return (form.get("prompt"), form.get("count")) == (name, 3)

        wait_until(is_kept, name, within=PATIENCE_S)
    for name, page in pages.items():
        page.reload()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value(name)


@pytest.mark.parametrize(
    ("path", "button", "field"),
    [("/bulk", "Start", "Name"), ("/schedules", "Create schedule", "Cron")],
)
def test_what_is_typed_without_the_server_is_kept(
    page: Page, api: Api, path: str, button: str, field: str
) -> None:
    page.goto(path)
    connected(page)
    for closed in ("Options", "Cron"):
        for one in page.locator("summary, .segment", has_text=closed).all():
            one.click()
    expect(page.get_by_label(field, exact=True)).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("a fox")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    api.stop()
    expect(page.locator("#popup")).to_be_visible()
    page.get_by_label("Prompt", exact=True).fill("a fox, typed without the server")
    page.get_by_label(field, exact=True).fill("1 2 3 4 5")
    page.get_by_label(COUNT).fill("7")
    start = page.locator(".bulk-bar .btn", has_text=button)
    expect(start).to_have_css("pointer-events", "none")
    api.start()
    expect(page.locator("#popup")).to_be_hidden()
    expect(start).to_have_css("pointer-events", "auto")
    for label, text in (
        ("Prompt", "a fox, typed without the server"),
        (field, "1 2 3 4 5"),
        (COUNT, "7"),
    ):
        expect(page.get_by_label(label, exact=True)).to_have_value(text)
