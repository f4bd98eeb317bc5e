"""The bulk page without a browser."""

from __future__ import annotations

import pytest
from nicegui import app
from nicegui.elements.upload_files import SmallFileUpload
from nicegui.testing import User

from api.context import Context
from core.requests import ResolvedRequest
from tests.web.batches import begun, fail, ids, succeed
from tests.web.visiting import PATIENT, elements, field, press, texts, tick, until, write
from web.parts.drop import Drop


async def upload(user: User, name: str, data: bytes) -> None:
    assert user.client is not None
    [drop] = [one for one in elements(user) if isinstance(one, Drop)]
    with user.client:
        await drop.handle_uploads([SmallFileUpload(name, "", data)])
    await user.should_see(name, retries=PATIENT)


async def test_it_says_what_to_do_while_there_is_none(user: User) -> None:
    await user.open("/bulk")
    await user.should_see("Many images in one go", retries=PATIENT)
    await press(user, "Preview")
    await user.should_see("Describe the image first.", retries=PATIENT)


async def test_a_dry_run_shows_what_start_makes(user: User, context: Context) -> None:
    await user.open("/bulk")
    write(user, "Prompt", "a {red|silver} fox")
    await press(user, "Steps")
    write(user, "Steps", "20, 30")
    await user.should_see("2 step counts = 2 images")
    await press(user, "Preview")
    await user.should_see("How long they take is not known yet.", retries=PATIENT)
    await user.should_see("dreamshaper_8 × 2")
    assert (await context.batches.page(1, None)).items == []
    await press(user, "Start")
    await user.should_see("0 of 2", retries=PATIENT)
    [made] = (await context.batches.page(10, None)).items
    await user.should_see(made.name)
    items = (await context.batches.items(made.batch_id, 10, None)).items
    requests = [item.request for item in items if isinstance(item.request, ResolvedRequest)]
    assert [request.steps for request in requests] == [20, 30]


async def test_what_was_dry_run_is_what_is_made(user: User, context: Context) -> None:
    await user.open("/bulk")
    write(user, "Prompt", "{a|b|c|d|e|f|g|h} {a|b|c|d|e|f|g|h} {a|b|c|d|e|f|g|h}")
    await press(user, "Preview")
    await user.should_see("Start generates exactly these", retries=PATIENT)
    said = texts(user, "sample-prompt")
    await press(user, "Start")
    await user.should_see("0 of 1", retries=PATIENT)
    [made] = (await context.batches.page(10, None)).items
    [item] = (await context.batches.items(made.batch_id, 10, None)).items
    assert item.request is not None
    assert [item.request.prompt] == said


async def test_mistakes_are_told_at_their_fields(user: User, context: Context) -> None:
    await user.open("/bulk")
    await press(user, "Steps")
    await press(user, "Sampler")
    await press(user, "Start")
    await until(lambda: field(user, "Prompt").error == "Describe the image first.")
    write(user, "Prompt", "a fox")
    write(user, "Steps", "20, 900")
    await press(user, "Start")
    empty = "Sampler: add a value, or remove the field."
    await until(lambda: field(user, "Sampler").error == empty)
    assert field(user, "Prompt").error is None
    await press(user, "Remove Sampler")
    await press(user, "Start")
    await until(lambda: field(user, "Steps").error == "Steps must be a whole number from 1 to 150.")
    write(user, "Steps", "20")
    assert field(user, "Steps").error is None
    write(user, "Parallel jobs", 65)
    write(user, "Stop at % failed", 200)
    await press(user, "Start")
    said = {"Parallel jobs": "A whole number from 1 to 64, or nothing."}
    said["Stop at % failed"] = "A number from 1 to 100, or nothing."
    await until(lambda: {label: field(user, label).error for label in said} == said)
    assert user.notify.messages == []
    assert texts(user, "plan-head") == []
    assert (await context.batches.page(1, None)).items == []


async def test_a_change_of_the_form_takes_the_dry_run_away(user: User) -> None:
    await user.open("/bulk")
    write(user, "Prompt", "a fox")
    await press(user, "Preview")
    await user.should_see("Start generates exactly these", retries=PATIENT)
    write(user, "Prompt", " at dawn")
    await user.should_not_see("Start generates exactly these")


async def test_the_form_is_there_again(user: User) -> None:
    await user.open("/bulk")
    write(user, "Prompt", "half written")
    await press(user, "CFG")
    write(user, "CFG", "4, 7")
    await press(user, "From a file")
    await upload(user, "foxes.csv", b"prompt\na fox\n")
    await user.open("/bulk")
    await user.should_see("foxes.csv")
    await press(user, "Build a grid")
    assert field(user, "CFG").value == "4, 7"
    assert field(user, "Prompt").value == "half written"


async def test_a_bad_file_is_told_row_by_row_and_stays(user: User, context: Context) -> None:
    await user.open("/bulk")
    await press(user, "From a file")
    await upload(user, "foxes.csv", b"prompt,steps\na fox,20\nan owl,many\n{a,20\n")
    for label in ("Preview", "Start"):
        user.notify.messages.clear()
        await press(user, label)
        await user.should_see("Row 3, steps", retries=PATIENT)
        await user.should_see("must be a whole number")
        await user.should_see("Row 4, prompt")
        await user.should_see("foxes.csv")
        assert user.notify.messages == []  # the panel says it
    assert (await context.batches.page(1, None)).items == []


async def test_bad_rows_can_be_left_out(user: User, context: Context) -> None:
    await user.open("/bulk")
    await press(user, "From a file")
    await upload(user, "foxes.jsonl", b'{"prompt": "a fox"}\n{"prompt": ""}\n')
    tick(user, "Skip rows with problems")
    await press(user, "Preview")
    await user.should_see("1 skipped:", retries=PATIENT)
    await press(user, "Start")
    await user.should_see("0 of 1", retries=PATIENT)


async def test_a_file_of_another_kind_is_refused(user: User) -> None:
    await user.open("/bulk")
    await press(user, "From a file")
    assert user.client is not None
    [drop] = [one for one in elements(user) if isinstance(one, Drop)]
    with user.client:
        await drop.handle_uploads([SmallFileUpload("foxes.xlsx", "", b"PK")])
    await user.should_see("CSV or JSON Lines", retries=PATIENT)


async def test_batches_are_listed_newest_first(user: User, context: Context) -> None:
    first = await begun(context, release=2, name="older")
    made = await ids(context, first)
    await succeed(context.facade.store, made[0])
    await fail(context.facade.store, made[1])
    await begun(context, name="newer")
    await user.open("/bulk")
    await user.should_see("1 of 3 · 1 failed", retries=PATIENT)
    assert texts(user, "batch-name") == ["newer", "older"]


async def test_newer_leads_back_from_an_older_page(user: User, context: Context) -> None:
    for number in range(30):
        await begun(context, name=f"batch {number}", count=1)
    first = await context.batches.page(12, None)
    second = await context.batches.page(12, first.next_cursor)
    await user.open(f"/bulk?cursor={second.next_cursor}")
    await user.should_see("batch 5", retries=PATIENT)
    for newest in ("batch 17", "batch 29"):
        await press(user, "Newer")
        await user.should_see(newest, retries=PATIENT)
        assert len(texts(user, "batch-name")) == 12


@pytest.mark.parametrize("cursor", ["nonsense", "aTU"])
async def test_a_page_that_is_none_is_the_first(user: User, context: Context, cursor: str) -> None:
    await begun(context, name="the only one")
    await user.open(f"/bulk?cursor={cursor}")
    await user.should_see("the only one", retries=PATIENT)


async def test_wildcard_lists_are_offered(user: User, context: Context) -> None:
    folder = context.settings.wildcards
    (folder / "sub").mkdir(parents=True)
    (folder / "animal.txt").write_text("fox\nowl\n")
    (folder / "sub" / "time.txt").write_text("dawn\n")
    (folder / "latin.txt").write_bytes(b"\xff")
    (folder / "a__b.txt").write_text("never\n")
    await user.open("/bulk")
    await user.should_see("a__b.txt cannot be named", retries=PATIENT)
    write(user, "Prompt", "an old")
    await press(user, "__animal__")
    await press(user, "__sub/time__")
    assert field(user, "Prompt").value == "an old __animal__ __sub/time__"


async def test_the_form_opens_when_the_time_zone_is_known_already(user: User) -> None:
    await user.open("/bulk")
    assert user.client is not None
    with user.client:
        app.storage.user["zone"] = "Europe/Berlin"
    await user.open("/bulk")
    await press(user, "Preview")
    await user.should_see("Describe the image first.", retries=PATIENT)
    assert field(user, "Time zone").value == "Europe/Berlin"
    assert user.notify.messages == []
