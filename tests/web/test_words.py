"""The words on every page, in each of its states: none that is retired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.testing import User

from api.context import Context
from api.generations.facade import Facade
from core.callbacks.callback import BATCH_EVENTS, GENERATION_EVENTS
from core.problems import problem
from core.requests import GenerationRequest
from core.status import STATUSES
from flows.testing import InProcessWorker
from store.callbacks.values import DELIVERY_STATES
from store.values import Waiting
from tests.retired_words import retired_words
from tests.web.batches import OUT_OF_MEMORY, begun, fail, ids, succeed
from tests.web.deliveries import URL, one_try, put_delivery
from tests.web.kept_schedules import KeptSchedules, visitor_of
from tests.web.test_expired import expired
from tests.web.visiting import PATIENT, elements, field, press, texts, until, write
from web.parts.deliveries import STATE_WORDS

_SAID_IN: Final = ("aria-label", "title", "label", "placeholder", "hint", "alt", "error-message")
_SAID_OF_TILES: Final = ("said", "headline", "title", "when")
AWAY: Final = Waiting("waiting_for_comfyui", "ComfyUI at gpu:8188 isn't answering.")


@pytest.fixture
def kept() -> KeptSchedules:
    return KeptSchedules()


@pytest.fixture
async def user(context: Context, kept: KeptSchedules) -> AsyncIterator[User]:
    async with visitor_of(context, kept) as user:
        yield user


def said(user: User) -> Iterator[str]:
    """Everything that the page says, to the eye or to a screen reader."""
    for element in elements(user):
        if isinstance(element, TextElement):
            yield element.text
        yield from (str(element.props.get(name) or "") for name in _SAID_IN)
        if isinstance(element, ui.select):
            options = element.options
            yield from map(str, options.values() if isinstance(options, dict) else options)
        tiles: list[dict[str, Any]] = element.props.get("tiles") or []
        yield from (str(tile.get(name) or "") for tile in tiles for name in _SAID_OF_TILES)


def check(user: User) -> None:
    found = {text: words for text in said(user) if (words := retired_words(text))}
    assert found == {}


async def of_each_status(facade: Facade) -> dict[str, UUID]:
    """A generation of each status, by it; and one that waits for ComfyUI."""
    worker = InProcessWorker(facade.store)
    made: dict[str, UUID] = {}
    for name in ("succeeded", "failed", "cancelled", "cancelling", "away", "running", "queued"):
        made[name] = (await facade.create(GenerationRequest(prompt=f"a fox, {name}"))).task_id
    await worker.finish(made["succeeded"])
    await worker.fail(await worker.start(made["failed"]), OUT_OF_MEMORY)
    await facade.cancel(made["cancelled"])
    await worker.start(made["cancelling"])
    await facade.cancel(made["cancelling"])
    claim = await worker.start(made["away"])
    await facade.store.transitions.record_progress(claim, None, None, AWAY)
    await worker.start(made["running"])
    return made


def test_the_check_sees_retired_words() -> None:
    for text in ("Your pictures", "3 ahead", "37 %", "Mend this", "Not all was made", "In line"):
        assert retired_words(text), text
    for text in (
        "37%",
        "/g/picture",
        "--out pictures/x",
        "picture-cell",
        "easel_pictures",
        "made-by",
    ):
        assert not retired_words(text), text


@pytest.mark.parametrize(
    "page", ["/", "/history", "/history?q=none", "/bulk", "/schedules", "/workflows"]
)
async def test_an_empty_page(user: User, page: str) -> None:
    await user.open(page)
    check(user)


async def test_generations_of_each_status(user: User, facade: Facade) -> None:
    made = await of_each_status(facade)
    old = await expired(facade)
    assert {(await facade.status(one)).status for one in made.values()} == set(STATUSES)
    for page in ("/", "/history"):
        await user.open(page)
        check(user)
    for one in (*made.values(), old, UUID(int=0)):
        for page in (f"/g/{one}", f"/?g={one}"):
            await user.open(page)
            check(user)


async def test_batches_of_each_status(user: User, context: Context) -> None:
    store = context.facade.store
    ended: dict[str, UUID] = {}
    for status in ("succeeded", "failed", "cancelled"):
        batch_id = await begun(context, 3, name=status)
        first, second, third = await ids(context, batch_id)
        await succeed(store, first)
        await fail(store, second)
        await succeed(store, third)
        why = problem("batch_incomplete", "Of 3 generations, 1 failed.")
        await store.batch_transitions.finish(batch_id, status, why if status == "failed" else None)
        ended[status] = batch_id
    running, paused = await begun(context, 2, name="running"), await begun(context, name="paused")
    await context.batches.pause(paused)
    await user.open("/bulk")
    await until(lambda: len(texts(user, "batch-name")) == 5)
    check(user)
    for batch_id in (*ended.values(), running, paused, UUID(int=0)):
        await user.open(f"/b/{batch_id}")
        check(user)


async def test_deliveries_of_each_state(user: User, context: Context) -> None:
    store = context.facade.store
    await store.callbacks.add("shop", URL)
    told = {"callback": "shop", "callback_events": [*GENERATION_EVENTS, *BATCH_EVENTS]}
    batch_id = await begun(context, 1, **told)
    [item, *_] = await ids(context, batch_id)
    for state in DELIVERY_STATES:
        await put_delivery(
            store,
            "generation.failed",
            state,
            generation_id=item,
            batch_id=batch_id,
            reason="answered 500",
            tries=[one_try(500, answer="not now"), one_try(None, error="the host is unknown")],
            next_try_at=datetime.now(UTC) + timedelta(hours=1) if state == "pending" else None,
        )
    for page in (f"/b/{batch_id}", f"/g/{item}"):
        await user.open(page)
        assert set(texts(user, "delivery-state")) == set(STATE_WORDS.values())
        check(user)
    for page in ("/bulk", "/schedules"):
        await user.open(page)
        await until(lambda: field(user, "Callback").value == "")
        check(user)


async def test_a_cancel_of_a_batch(user: User, context: Context) -> None:
    batch_id = await begun(context, 1)
    await user.open(f"/b/{batch_id}")
    await press(user, "Cancel")
    await user.should_see("Cancel this batch?", retries=PATIENT)
    check(user)


async def test_a_preview_of_a_batch_and_what_is_wrong_with_it(user: User) -> None:
    await user.open("/bulk")
    await press(user, "Preview")
    await user.should_see("Describe the image first.", retries=PATIENT)
    check(user)
    write(user, "Prompt", "a {red|silver} fox")
    await press(user, "Preview")
    await user.should_see("Start generates exactly these", retries=PATIENT)
    check(user)
    write(user, "Prompt", "a {red|silver fox")
    await press(user, "Preview")
    await until(lambda: "never closed" in (field(user, "Prompt").error or ""))
    check(user)


async def test_schedules(user: User, kept: KeptSchedules) -> None:
    await user.open("/schedules")
    await user.should_see("nightly", retries=PATIENT)
    check(user)
    write(user, "Name", "foxes")
    write(user, "Prompt", "a fox")
    for way in ("Repeating", "Cron", "At a time"):
        await press(user, way)
        check(user)
    await press(user, "Create schedule")
    await until(lambda: "foxes" in texts(user, "schedule-name"))
    check(user)
    await press(user, "Delete foxes")
    await user.should_see("Delete “foxes”?", retries=PATIENT)
    check(user)
    kept.away = True
    await user.open("/schedules")
    await user.should_see("Prefect isn't answering", retries=PATIENT)
    check(user)
