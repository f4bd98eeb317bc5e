"""The page of schedules without a browser and without Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from nicegui.testing import User

from api.context import Context
from comfy.workflows.known import Known
from core.batches.lists import Lists
from core.batches.request import BatchRequest
from flows.batches.acceptance import Source, accept_batch
from flows.prefect.schedules import Timing
from tests.web.kept_schedules import NIGHTLY, KeptSchedules, visitor_of
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from web.parts.elements import Text


@pytest.fixture
def kept() -> KeptSchedules:
    return KeptSchedules()


@pytest.fixture
async def user(context: Context, kept: KeptSchedules) -> AsyncIterator[User]:
    async with visitor_of(context, kept) as user:
        yield user


async def make(user: User, name: str) -> None:
    write(user, "Name", name)
    write(user, "Prompt", "a {red|silver} fox")
    await press(user, "Create schedule")
    await user.should_see(f"“{name}” is created and on.", retries=PATIENT)
    assert field(user, "Name").value == ""


async def test_those_of_the_file_are_shown_and_cannot_be_deleted(user: User) -> None:
    await user.open("/schedules")
    await user.should_see("nightly", retries=PATIENT)
    await user.should_see("Every day at 02:00 (UTC)")
    await user.should_see("and 3 more")
    await user.should_see("8 images · stops starting at 07:00")
    await user.should_see("Switched off")
    assert not any("Delete" in str(one.props.get("aria-label")) for one in elements(user))


async def test_those_that_were_made_in_prefect_are_shown_whatever_they_are(
    user: User, kept: KeptSchedules
) -> None:
    odd_parameters = {"batch": 5, "catch_up_minutes": "x"}
    of_prefect = replace(NIGHTLY, active=True, in_file=False)
    for number, one in enumerate(
        (
            replace(
                of_prefect, timing=Timing("0 0 30 2 *", None, "UTC"), no_times="it never comes"
            ),
            replace(of_prefect, timing=Timing(None, None, "UTC", rrule="FREQ=DAILY")),
            replace(of_prefect, timing=Timing(None, None, "")),
            replace(of_prefect, timing=Timing("0 0 13 * 5", None, "UTC", day_or=False)),
            replace(of_prefect, timing=Timing("", None, "UTC"), parameters=odd_parameters),
        )
    ):
        kept.put(replace(one, id=UUID(int=10 + number), name=f"odd {number}"))
    await user.open("/schedules")
    await user.should_see("Will not run again: it never comes", retries=PATIENT)
    assert texts(user, "schedule-name") == ["nightly", *(f"odd {number}" for number in range(5))]
    assert texts(user, "schedule-when")[1:] == [
        "By cron 0 0 30 2 * (UTC)",
        "By the rule FREQ=DAILY",
        "Set in Prefect",
        "By cron 0 0 13 * 5, day and weekday both (UTC)",
        "By cron  (UTC)",
    ]
    await user.should_see("its batch cannot be created")


async def test_mistakes_are_told_at_their_fields(user: User, kept: KeptSchedules) -> None:
    await user.open("/schedules")
    await user.should_see("nightly", retries=PATIENT)
    await press(user, "Create schedule")
    await until(lambda: field(user, "Name").error == "Enter a name first.")
    write(user, "Name", "foxes")
    await press(user, "Create schedule")
    await until(lambda: field(user, "Prompt").error == "Describe the image first.")
    write(user, "Prompt", "a {fox")
    await press(user, "Create schedule")
    await until(lambda: "{" in (field(user, "Prompt").error or ""))
    write(user, "Prompt", "a fox")
    write(user, "Images per prompt", 1001)
    await press(user, "Create schedule")
    await until(lambda: "1,000" in (field(user, "Images per prompt").error or ""))
    write(user, "Images per prompt", 1)
    await press(user, "Cron")
    write(user, "Cron", "every night")
    await press(user, "Create schedule")
    await until(lambda: (field(user, "Cron").error or "").startswith("Cron "))
    assert user.notify.messages == []
    assert [one.name for one in await kept.all()] == ["nightly"]


async def test_one_is_made_switched_off_and_deleted(user: User, kept: KeptSchedules) -> None:
    await user.open("/schedules")
    await make(user, "foxes")
    await until(lambda: "foxes" in texts(user, "schedule-name"))
    [_, made] = await kept.all()
    assert (made.name, made.timing.cron, made.active) == ("foxes", "0 2 * * *", True)
    await press(user, "foxes is on")
    await until(lambda: not kept.is_on(made.id))
    await press(user, "Delete foxes")
    await user.should_see("Delete “foxes”?", retries=PATIENT)
    assert len(await kept.all()) == 2
    await press(user, "Delete schedule")
    await user.should_not_see("a {red|silver} fox”", retries=PATIENT)
    assert len(await kept.all()) == 1


async def test_an_answer_of_before_never_hides_a_newer_one(user: User, kept: KeptSchedules) -> None:
    kept.held = of_before = asyncio.Event()
    await user.open("/schedules")
    await until(lambda: kept.held is None)
    await make(user, "foxes")
    of_before.set()
    await until(lambda: texts(user, "schedule-name") == ["nightly", "foxes"])
    await press(user, "foxes is on")
    await until(lambda: not_on(user) == 2)


def not_on(user: User) -> int:
    """How many are shown as switched off."""
    return sum(isinstance(one, Text) and one.text == "Switched off" for one in elements(user))


async def test_what_it_has_begun_is_linked(
    user: User, context: Context, kept: KeptSchedules
) -> None:
    source = Source(
        request=BatchRequest(defaults={"prompt": "x"}),
        rows=None,
        lists=Lists.of({}),
        known=Known(context.facade.catalogue.current),
    )
    batch_id = uuid4()
    await accept_batch(context.facade.store, source, batch_id, "a run", schedule="nightly")
    await user.open("/schedules")
    await user.should_see("just now (queued)", retries=PATIENT)
    assert any(one.props.get("href") == f"/b/{batch_id}" for one in elements(user))


async def test_a_list_that_is_no_utf_8_does_not_disturb_the_page(
    user: User, context: Context
) -> None:
    context.settings.wildcards.mkdir(parents=True)
    (context.settings.wildcards / "latin.txt").write_bytes("Füchslein".encode("cp1252"))
    await user.open("/schedules")
    await user.should_see("__latin__", retries=PATIENT)


async def test_the_form_says_when_in_words(user: User) -> None:
    await user.open("/schedules")
    assert "Every day at 02:00 (UTC). Next: " in texts(user, "when-said")[0]
    await press(user, "Repeating")
    await until(lambda: "Every 30 minutes" in texts(user, "when-said")[0])
    await press(user, "Cron")
    write(user, "Cron", "0 18 * * 1-5")
    await until(lambda: "At 18:00, Monday through Friday" in texts(user, "when-said")[0])
    write(user, "Cron", "now and then")
    assert "must be five fields" in texts(user, "when-said")[0]


@pytest.mark.parametrize(
    ("name", "prompt", "said"),
    [
        ("", "a fox", "Enter a name first."),
        ("foxes", "", "Describe the image first."),
        ("foxes", "a {red fox", "never closed"),
    ],
)
async def test_what_cannot_be_made_is_told(
    user: User, kept: KeptSchedules, name: str, prompt: str, said: str
) -> None:
    await user.open("/schedules")
    write(user, "Name", name)
    write(user, "Prompt", prompt)
    await press(user, "Create schedule")
    await user.should_see(said, retries=PATIENT)
    assert len(await kept.all()) == 1


async def test_without_prefect_it_says_so_and_tries_again(user: User, kept: KeptSchedules) -> None:
    kept.away = True
    await user.open("/schedules")
    await user.should_see("Prefect isn't answering", retries=PATIENT)
    write(user, "Name", "foxes")
    write(user, "Prompt", "a fox")
    await press(user, "Create schedule")
    await user.should_see("Prefect keeps the schedules", retries=PATIENT)
    kept.away = False
    await press(user, "Try again")
    await user.should_see("nightly", retries=PATIENT)
    await user.should_not_see("Prefect isn't answering")


async def test_the_form_is_there_again(user: User) -> None:
    await user.open("/schedules")
    write(user, "Name", "half written")
    await user.open("/schedules")
    assert field(user, "Name").value == "half written"
