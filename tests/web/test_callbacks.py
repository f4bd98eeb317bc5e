"""Callbacks on the pages of a generation and a batch, and in the forms, without a browser."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction
from sqlalchemy import delete, func, select, update

from api.batches.documents import BatchDocument
from api.context import Context
from api.generations.facade import Facade
from core.callbacks.callback import BATCH_ENDS
from core.requests import GenerationRequest
from store.callbacks.events import DELIVER
from store.tables import deliveries, generations, outbox
from tests.harness.statements import statements_of
from tests.harness.transactions import open_read, open_write
from tests.web.batches import begun, ids
from tests.web.deliveries import HOST, URL, change_delivery, one_try, put_delivery
from tests.web.kept_schedules import KeptSchedules, visitor_of
from tests.web.visiting import DEADLINE_S, PATIENT, elements, field, press, texts, until, write
from web.parts.callbacks import SHOWN, Callbacks

NAME: Final = "shop"
_CANARY: Final = "zx81canary"


async def generation(facade: Facade) -> UUID:
    """One that waits, with a stored callback."""
    await facade.store.callbacks.add(NAME, URL)
    asked = GenerationRequest(prompt="a red fox", callback=NAME)
    return (await facade.create(asked)).task_id


async def batch(context: Context, *events: str, **request: Any) -> UUID:
    await context.facade.store.callbacks.add(NAME, URL)
    wanted = list(events) or None
    return await begun(context, callback=NAME, callback_events=wanted, **request)


def rows(user: User) -> list[str]:
    """The state of each delivery, from top to bottom."""
    [shown] = [one for one in elements(user) if "deliveries" in one.classes]
    return [state for item in shown for state in item.classes if state.startswith("is-")]


def is_shown(user: User) -> bool:
    return any("callbacks" in one.classes for one in elements(user))


def all_texts(user: User) -> str:
    return json.dumps([str(one.props) + str(getattr(one, "text", "")) for one in elements(user)])


async def test_every_delivery_of_a_generation_is_shown_with_its_tries(
    user: User, facade: Facade
) -> None:
    made = await generation(facade)
    refused = one_try(503, answer="come <b>back</b> later")
    cut = one_try(None, error="the connection was closed before an answer came")
    await put_delivery(
        facade.store,
        "generation.failed",
        "failed",
        generation_id=made,
        name=NAME,
        reason="shop answered 503",
        tries=[cut, refused],
    )
    await put_delivery(
        facade.store,
        "generation.succeeded",
        "delivered",
        generation_id=made,
        tries=[one_try(200, answer="ok")],
    )
    await user.open(f"/g/{made}")
    assert rows(user) == ["is-delivered", "is-failed"]
    assert sorted(texts(user, "delivery-state")) == ["Delivered", "Failed"]
    assert texts(user, "callbacks-sum") == ["1 delivered, 1 failed"]
    assert texts(user, "callback-receiver") == [NAME]
    for said in (
        f"to {HOST} · ",  # not the one that the callback names now
        "Shop answered 503.",
        "2 tries",
        "1 try",
        "Status 503",
        "No answer",
        "1,234 ms",
        "come <b>back</b> later",
        "The connection was closed before an answer came.",
    ):
        await user.should_see(said)
    await user.should_not_see(f"to {NAME} · ")
    assert _CANARY not in all_texts(user)


async def test_a_page_without_a_callback_neither_shows_nor_reads_any(
    user: User, context: Context
) -> None:
    alone = (await context.facade.create(GenerationRequest(prompt="a fox"))).task_id
    batch_id = await begun(context, release=1)
    [item, *_] = await ids(context, batch_id)
    with statements_of(context.facade.store.database) as seen:
        for page in (f"/g/{alone}", f"/g/{item}", f"/b/{batch_id}"):
            await user.open(page)
            assert not is_shown(user), page
        without = Callbacks(context.deliveries, [], task_id=alone)
        await without.read()
        without.build()
        for _ in range(10):
            await without.look()
    assert not [one for one in seen if deliveries.name in one]


async def test_an_open_page_follows_a_delivery(user: User, facade: Facade) -> None:
    made = await generation(facade)
    await user.open(f"/g/{made}")
    assert texts(user, "callbacks-sum") == ["nothing sent yet"]
    one = await put_delivery(
        facade.store, "generation.succeeded", "pending", generation_id=made, name=NAME
    )
    await until(lambda: rows(user) == ["is-pending"])
    await user.should_see("Sending…")
    failed = one_try(500)
    await change_delivery(facade.store, one, "failed", reason="answered 500", tries=[failed])
    await until(lambda: rows(user) == ["is-failed"])
    await user.should_see("Deliver again")
    await change_delivery(facade.store, one, "delivered", tries=[failed, one_try(200)])
    await until(lambda: rows(user) == ["is-delivered"])
    await user.should_see("2 tries")
    await user.should_see("generation.succeeded: delivered")  # to a screen reader
    await user.should_not_see("Answered 500.")


@pytest.mark.parametrize("of_batch", [False, True], ids=["image", "batch"])
async def test_times_change_to_the_visitors_zone_in_place(
    user: User, context: Context, of_batch: bool
) -> None:
    subject = await batch(context) if of_batch else await generation(context.facade)
    later = datetime.now(UTC).replace(hour=23, minute=30, second=0) + timedelta(days=2)
    await put_delivery(
        context.facade.store,
        "batch.failed" if of_batch else "generation.failed",
        "pending",
        generation_id=None if of_batch else subject,
        batch_id=subject if of_batch else None,
        reason="answered 500",
        tries=[one_try(500)],
        next_try_at=later,
    )
    await user.open(f"/b/{subject}" if of_batch else f"/g/{subject}")
    await user.should_see("Next try: ")
    await user.should_see("23:30 UTC")
    await user.should_see("29 Nov, 04:12:07 UTC")
    await user.should_see("Try now")
    assert user.client is not None
    UserInteraction(user, {user.client.layout}, None).trigger("zone", "Asia/Kolkata")
    await user.should_see("05:00", retries=PATIENT)
    await user.should_see("29 Nov, 09:42:07", retries=PATIENT)
    await user.should_not_see("UTC", retries=PATIENT)


async def test_deliver_again_sends_it_once_more(user: User, facade: Facade) -> None:
    made = await generation(facade)
    one = await put_delivery(
        facade.store, "generation.succeeded", "failed", generation_id=made, name=NAME
    )
    await user.open(f"/g/{made}")
    await press(user, "Deliver again")
    await press(user, "Deliver again")  # a double click
    await until(lambda: rows(user) == ["is-pending"])
    assert (await facade.store.deliveries.get(one)).state == "pending"
    async with open_read(facade.store.database) as connection:
        waiting = await connection.execute(
            select(func.count()).where(outbox.c.kind == DELIVER, outbox.c.subject == made)
        )
    assert waiting.scalar_one() == 1


async def test_deliver_again_says_that_it_is_gone(user: User, facade: Facade) -> None:
    made = await generation(facade)
    await put_delivery(facade.store, "generation.failed", "failed", generation_id=made, name=NAME)
    await user.open(f"/g/{made}")
    async with open_write(facade.store.database) as connection:
        await connection.execute(delete(deliveries))
    await press(user, "Deliver again")
    await until(lambda: any("no delivery with this id" in said for said in user.notify.messages))
    await until(lambda: rows(user) == [])


async def test_a_dropped_start_cannot_be_delivered_again(user: User, facade: Facade) -> None:
    made = await generation(facade)
    await put_delivery(
        facade.store,
        "generation.running",
        "dropped",
        generation_id=made,
        reason="it had ended before this could be delivered",
    )
    await user.open(f"/g/{made}")
    await user.should_see("It had ended before this could be delivered.")
    [label] = [one for one in elements(user) if getattr(one, "text", "") == "Deliver again"]
    assert label.parent_slot is not None
    assert "is-away" in label.parent_slot.parent.classes


async def test_a_batch_shows_its_own_and_those_of_its_images(user: User, context: Context) -> None:
    store = context.facade.store
    batch_id = await batch(context, "generation.failed", *BATCH_ENDS, release=1)
    [item, *_] = await ids(context, batch_id)
    await put_delivery(
        store, "generation.failed", "delivered", generation_id=item, batch_id=batch_id, name=NAME
    )
    await put_delivery(store, "batch.failed", "failed", batch_id=batch_id, name=NAME)
    await user.open(f"/b/{batch_id}")
    assert rows(user) == ["is-failed", "is-delivered"]
    assert [one.props["href"] for one in elements(user) if one.props.get("href") == f"/g/{item}"]
    await user.open(f"/g/{item}")
    assert rows(user) == ["is-delivered"]
    heard = [text for text in texts(user, "code") if text.startswith("batch.")]
    assert heard == []  # of the batch's events none is of this image


async def test_an_image_of_a_batch_whose_callback_hears_of_the_batch_alone(
    user: User, context: Context
) -> None:
    batch_id = await batch(context, release=1)
    [item, *_] = await ids(context, batch_id)
    await user.open(f"/g/{item}")
    assert not is_shown(user)
    await user.open(f"/b/{batch_id}")
    assert is_shown(user)


async def test_many_deliveries_are_shown_ten_by_ten(user: User, context: Context) -> None:
    store = context.facade.store
    batch_id = await batch(context, "generation.succeeded", release=1)
    [item, *_] = await ids(context, batch_id)
    for _ in range(SHOWN + 3):
        await put_delivery(
            store, "generation.succeeded", "delivered", generation_id=item, batch_id=batch_id
        )
    await user.open(f"/b/{batch_id}")
    assert len(rows(user)) == SHOWN
    assert texts(user, "callbacks-sum") == [f"newest {SHOWN}: {SHOWN} delivered"]
    await press(user, "Older deliveries")
    await until(lambda: len(rows(user)) == SHOWN + 3)
    assert texts(user, "callbacks-sum") == [f"{SHOWN + 3} delivered"]


async def test_settings_of_another_version_are_shown_without_their_callback(
    user: User, facade: Facade
) -> None:
    made = (await facade.create(GenerationRequest(prompt="a fox"))).task_id
    stored = {"prompt": "a fox", "callback_url": f"https://shop.invalid/{_CANARY}", "quality": 9}
    async with open_write(facade.store.database) as connection:
        await connection.execute(
            update(generations).where(generations.c.id == made).values(request=stored)
        )
    await user.open(f"/g/{made}")
    await user.should_see("quality")
    assert _CANARY not in all_texts(user)
    assert "callback" not in all_texts(user)


# --- the forms


async def second_batch(context: Context) -> BatchDocument:
    """The newer of two batches, as soon as it is there."""
    async with asyncio.timeout(DEADLINE_S):
        while len(found := (await context.batches.page(2, None)).items) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found[0]


def offered(user: User) -> list[str]:
    made = field(user, "Callback")
    assert isinstance(made, ui.select)
    assert isinstance(made.options, dict)
    return list(made.options.values())


def is_away(user: User) -> bool:
    slot = field(user, "Callback").parent_slot
    assert slot is not None
    return "is-away" in slot.parent.classes


@pytest.mark.parametrize("page", ["/bulk", "/schedules"])
async def test_a_form_offers_the_names_of_stored_callbacks(
    user: User, context: Context, page: str
) -> None:
    await user.open(page)
    assert is_away(user)
    for name in ("shop", "archive"):
        await context.facade.store.callbacks.add(name, URL)
    await user.open(page)
    assert not is_away(user)
    assert offered(user) == ["None", "archive", "shop"]
    assert _CANARY not in all_texts(user)


async def test_a_batch_is_started_with_the_chosen_callback(user: User, context: Context) -> None:
    await context.facade.store.callbacks.add(NAME, URL)
    await user.open("/bulk")
    write(user, "Prompt", "a fox")
    write(user, "Callback", NAME)
    await press(user, "Start")
    await user.should_see("0 of 1", retries=PATIENT)
    [made] = (await context.batches.page(1, None)).items
    assert made.callback is not None
    assert (made.callback.name, made.callback.events) == (NAME, list(BATCH_ENDS))


async def test_a_callback_that_is_not_stored_any_more_is_refused_at_its_field(
    user: User, context: Context
) -> None:
    await context.facade.store.callbacks.add(NAME, URL)
    await user.open("/bulk")
    write(user, "Prompt", "a fox")
    write(user, "Callback", NAME)
    await context.facade.store.callbacks.remove(NAME)
    await user.open("/bulk")
    assert offered(user) == ["None", NAME]
    await press(user, "Start")
    await until(
        lambda: "No callback of this name is stored" in (field(user, "Callback").error or "")
    )


@pytest.mark.parametrize("events", [("batch.running", "generation.failed"), BATCH_ENDS])
async def test_reused_settings_keep_the_callback(
    user: User, context: Context, events: tuple[str, ...]
) -> None:
    batch_id = await batch(context, *events, defaults={"prompt": "a fox"}, count=1)
    await context.batches.cancel(batch_id)
    await context.facade.store.batch_transitions.finish(batch_id, "cancelled")
    await user.open(f"/b/{batch_id}")
    await press(user, "Reuse settings")
    await user.should_see("Preview", retries=PATIENT)
    assert field(user, "Callback").value == NAME
    await press(user, "Start")
    again = await second_batch(context)
    assert again.callback is not None
    assert (again.callback.name, again.callback.events) == (NAME, list(events))


async def test_another_callback_has_its_own_events(user: User, context: Context) -> None:
    await context.facade.store.callbacks.add("archive", URL)
    batch_id = await batch(context, "batch.running", defaults={"prompt": "a fox"}, count=1)
    await context.batches.cancel(batch_id)
    await context.facade.store.batch_transitions.finish(batch_id, "cancelled")
    await user.open(f"/b/{batch_id}")
    await press(user, "Reuse settings")
    await user.should_see("Preview", retries=PATIENT)
    write(user, "Callback", "archive")
    await press(user, "Start")
    again = await second_batch(context)
    assert again.callback is not None
    assert (again.callback.name, again.callback.events) == ("archive", list(BATCH_ENDS))


async def test_a_schedule_names_its_callback_and_keeps_it(context: Context) -> None:
    kept = KeptSchedules()
    await context.facade.store.callbacks.add(NAME, URL)
    async with visitor_of(context, kept) as user:
        await user.open("/schedules")
        write(user, "Name", "foxes")
        write(user, "Prompt", "a fox")
        write(user, "Callback", NAME)
        await press(user, "Create schedule")
        await until(lambda: "foxes" in texts(user, "schedule-name"))
        await user.should_see(f"callback {NAME}")
        [made] = [one for one in await kept.all() if one.name == "foxes"]
        assert made.parameters["batch"]["callback"] == NAME
        assert "callback_url" not in made.parameters["batch"]
