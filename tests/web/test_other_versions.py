"""Pages of what another version of Easel stored: shown as such, beside the others."""

from __future__ import annotations

from uuid import UUID

import pytest
from nicegui.testing import User

from api.context import Context
from api.generations.facade import Facade
from core.requests import GenerationRequest
from tests.store.making import a_picture, running
from tests.store.other_versions import (
    OTHERS,
    Change,
    rewritten,
    rewritten_item,
    rewritten_options,
    with_another_field,
)
from tests.web.batches import begun, ids, succeed
from tests.web.visiting import PATIENT, elements, texts

every_change = pytest.mark.parametrize(("change", "reason"), OTHERS.items())


async def made(facade: Facade, prompt: str, *, done: bool = True) -> UUID:
    created = await facade.create(GenerationRequest(prompt=prompt))
    task_id = created.task_id
    if done:
        claim = await running(facade.store, task_id)
        kept = await facade.store.files.keep(task_id, 1, 0, a_picture())
        await facade.store.transitions.succeed(claim, [kept])
    return task_id


def labels(user: User) -> set[str]:
    """What the buttons and links say or are called."""
    return {
        str(element.props.get("aria-label") or getattr(child, "text", ""))
        for element in elements(user)
        if element.tag in ("button", "a")
        for child in element
    }


@every_change
async def test_the_picture_page_shows_it_as_it_was_stored(
    user: User, facade: Facade, change: Change, reason: str
) -> None:
    task_id = await made(facade, "a barn owl")
    await rewritten(facade.store, task_id, change)

    await user.open(f"/g/{task_id}")

    await user.should_see("a barn owl")
    await user.should_see("Another version of Easel stored these settings")
    await user.should_see(reason)
    await user.should_see("dreamshaper_8.safetensors")
    assert labels(user) >= {"Download", "Delete"}
    assert not labels(user) & {"Vary", "Retry", "Reuse settings", "Seed only", "curl"}


async def test_the_picture_page_shows_values_that_it_does_not_know(
    user: User, facade: Facade
) -> None:
    task_id = await made(facade, "a barn owl")
    await rewritten(facade.store, task_id, with_another_field)

    await user.open(f"/g/{task_id}")

    await user.should_see("loras")
    await user.should_see('[{"name": "ink.safetensors", "strength": 0.8}]')


@pytest.mark.parametrize("change", OTHERS)
async def test_the_studio_shows_it_and_the_others(
    user: User, facade: Facade, change: Change
) -> None:
    await made(facade, "a red fox")
    unread = await made(facade, "a barn owl")
    await rewritten(facade.store, unread, change)

    await user.open(f"/?g={unread}")

    assert labels(user) >= {"Done: a red fox", "Done: a barn owl", "Open"}
    assert not labels(user) & {"Vary", "Reuse settings"}


async def test_the_studio_shows_one_that_runs_and_one_that_failed(
    user: User, facade: Facade
) -> None:
    runs, failed = [await made(facade, prompt, done=False) for prompt in ("an owl", "a hen")]
    await running(facade.store, runs)  # by a worker of that version
    for one in (runs, failed):
        await rewritten(facade.store, one, with_another_field)
    await facade.store.transitions.fail_unreadable(failed, 1)

    await user.open(f"/?g={failed}")

    await user.should_see("It was stored by another version of Easel")
    await user.should_see("Generate it again")
    assert not labels(user) & {"Retry", "Reuse settings"}
    await user.open(f"/?g={runs}")
    assert "Rendering: an owl" in labels(user)


@pytest.mark.parametrize("change", OTHERS)
async def test_the_history_shows_it_between_the_others(
    user: User, facade: Facade, change: Change
) -> None:
    made_ids = [await made(facade, prompt) for prompt in ("a fox", "an owl", "a hen")]
    await rewritten(facade.store, made_ids[1], change)

    await user.open("/history")

    tiles = [tile for element in elements(user) for tile in element.props.get("tiles", [])]
    assert [tile["title"] for tile in tiles] == ["a hen", "an owl", "a fox"]
    assert all(tile["src"] for tile in tiles)


@every_change
async def test_a_batchs_page_shows_it_between_the_others(
    user: User, context: Context, change: Change, reason: str
) -> None:
    store = context.facade.store
    batch_id = await begun(context, 2, defaults={"prompt": "a fox"})
    first, second, _ = await ids(context, batch_id)
    await succeed(store, first)
    await rewritten(store, second, change)
    await rewritten_item(store, batch_id, 2, change)
    await store.transitions.fail_unreadable(second, 1)

    await user.open(f"/b/{batch_id}")

    await user.should_see("1 failed", retries=PATIENT)
    await user.should_see(reason)
    assert texts(user, "failure-prompt") == ["a fox"]
    tiles = [tile for element in elements(user) for tile in element.props.get("tiles", [])]
    assert [(tile["status"], tile["title"]) for tile in tiles] == [
        ("succeeded", "a fox"),
        ("failed", "a fox"),
        ("waiting", "a fox"),
    ]


async def test_a_batchs_page_shows_options_as_they_were_stored(
    user: User, context: Context
) -> None:
    batch_id = await begun(context)
    await rewritten_options(context.facade.store, batch_id)

    await user.open(f"/b/{batch_id}")

    await user.should_see("order", retries=PATIENT)
    await user.should_see("shuffled")
    await user.open("/bulk")
    await user.should_see("foxes")
