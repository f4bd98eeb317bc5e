"""Who was fenced out, and prompts that nobody wants any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from store.store import Store
from store.values import (
    Claim,
    Generation,
    Standing,
    Stray,
)
from tests.store.making import (
    COMFY,
    LEASE,
    OTHER_LEASE,
    OTHER_RUN,
    OUT_OF_MEMORY,
    RUN,
    an_image,
    claimed,
    held,
    running,
    taken_over,
)

# --- where a worker stands that was fenced out


async def _held_elsewhere(store: Store, claim: Claim) -> None:
    await taken_over(store, claim.generation_id, flow_run_id=RUN, lease=OTHER_LEASE)


async def _let_go(store: Store, claim: Claim) -> None:
    assert await store.flow_runs.let_go(claim.generation_id, RUN, claim.fence)


async def _done_by_another_run(store: Store, claim: Claim) -> None:
    await taken_over(store, claim.generation_id, flow_run_id=OTHER_RUN, lease=OTHER_LEASE)


async def _succeeded(store: Store, claim: Claim) -> None:
    winner = await taken_over(store, claim.generation_id, flow_run_id=RUN, lease=OTHER_LEASE)
    await store.transitions.succeed(winner, [an_image(winner)])


async def _failed(store: Store, claim: Claim) -> None:
    assert await store.flow_runs.settle(claim.generation_id, RUN, "failed", OUT_OF_MEMORY)


async def _cancelled(store: Store, claim: Claim) -> None:
    assert await store.flow_runs.settle(claim.generation_id, RUN, "cancelled", None)


async def _cancelling_elsewhere(store: Store, claim: Claim) -> None:
    await _held_elsewhere(store, claim)
    await store.transitions.request_cancel(claim.generation_id)


async def _deleted(store: Store, claim: Claim) -> None:
    await store.transitions.delete(claim.generation_id)


async def _deleted_after_success(store: Store, claim: Claim) -> None:
    await _succeeded(store, claim)
    await _deleted(store, claim)


async def _again_by_the_same_run(store: Store, claim: Claim) -> None:
    await _failed(store, claim)
    await claimed(store, claim.generation_id, flow_run_id=RUN, attempt=1, rerun=True)


async def _again_by_another_run(store: Store, claim: Claim) -> None:
    await _failed(store, claim)
    await store.transitions.retry(claim.generation_id)
    await claimed(store, claim.generation_id, flow_run_id=OTHER_RUN, attempt=2)


async def _again_and_not_yet_dispatched(store: Store, claim: Claim) -> None:
    await _cancelled(store, claim)
    await store.transitions.retry(claim.generation_id)


NOTHING_WANTED: Final = Standing(prompt_wanted=False, run_wanted=False)
BOTH_WANTED: Final = Standing(prompt_wanted=True, run_wanted=True)
STANDINGS: dict[Callable[[Store, Claim], Awaitable[None]], Standing] = {
    _held_elsewhere: BOTH_WANTED,
    _let_go: BOTH_WANTED,
    _cancelling_elsewhere: BOTH_WANTED,
    _done_by_another_run: Standing(prompt_wanted=True, run_wanted=False),
    _succeeded: BOTH_WANTED,
    _failed: NOTHING_WANTED,
    _cancelled: NOTHING_WANTED,
    _deleted: NOTHING_WANTED,
    _deleted_after_success: NOTHING_WANTED,
    _again_by_the_same_run: Standing(prompt_wanted=False, run_wanted=True),
    _again_by_another_run: NOTHING_WANTED,
    _again_and_not_yet_dispatched: NOTHING_WANTED,
}


@pytest.mark.parametrize("became", STANDINGS, ids=lambda became: became.__name__.strip("_"))
async def test_what_a_worker_that_was_fenced_out_leaves_alone(
    store: Store, became: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    _, claim = await held(store)
    await became(store, claim)

    assert await store.flow_runs.standing(claim, RUN) == STANDINGS[became]


# --- strays


async def submitted(store: Store) -> tuple[Generation, Stray]:
    made, claim = await held(store, comfy_url=COMFY)
    await store.transitions.record_submission(claim)
    return made, Stray(claim.prompt_id, COMFY)


async def _settle(store: Store, made: Generation) -> None:
    assert await store.flow_runs.settle(made.id, RUN, "cancelled", None)


async def _delete(store: Store, made: Generation) -> None:
    await store.transitions.delete(made.id)


async def _cancel_unheld(store: Store, made: Generation) -> None:
    assert await store.flow_runs.let_go(made.id, RUN, made.fence)
    assert (await store.transitions.request_cancel(made.id)).status == "cancelled"


ENDS: Final = (_settle, _delete, _cancel_unheld)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_what_ends_without_its_worker_leaves_a_stray(
    store: Store, end: Callable[[Store, Generation], Awaitable[None]]
) -> None:
    made, stray = await submitted(store)
    assert await store.strays.of(COMFY) == ()

    await end(store, made)

    assert await store.strays.of(COMFY) == (stray,)
    assert await store.strays.of("http://another:8188") == ()
    assert not await store.strays.is_wanted(stray)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
async def test_what_was_never_submitted_leaves_none(
    store: Store, end: Callable[[Store, Generation], Awaitable[None]]
) -> None:
    made, _ = await held(store, comfy_url=COMFY)

    await end(store, made)

    assert await store.strays.of(COMFY) == ()


@pytest.mark.parametrize("is_left", [True, False])
@pytest.mark.parametrize("end", ["fail", "cancelled"])
async def test_a_worker_says_itself_whether_it_leaves_a_stray(
    store: Store, end: str, is_left: bool
) -> None:
    _, claim = await held(store, comfy_url=COMFY)
    await store.transitions.record_submission(claim)

    if end == "fail":
        assert await store.transitions.fail(claim, OUT_OF_MEMORY, stray=is_left)
    else:
        assert await store.transitions.cancelled(claim, stray=is_left)

    assert len(await store.strays.of(COMFY)) == is_left


async def test_a_worker_that_was_fenced_out_leaves_none(store: Store) -> None:
    made, claim = await held(store, comfy_url=COMFY)
    await store.transitions.record_submission(claim)
    await store.flow_runs.let_go(made.id, RUN, made.fence)

    assert not await store.transitions.fail(claim, OUT_OF_MEMORY, stray=True)

    assert await store.strays.of(COMFY) == ()


async def test_a_picture_that_was_deleted_leaves_one(store: Store) -> None:
    """Its prompt came to its end long ago, but ComfyUI still has it in its history."""
    made, claim = await held(store, comfy_url=COMFY)
    await store.transitions.record_submission(claim)
    await store.transitions.succeed(claim, [an_image(claim)])

    await store.transitions.delete(made.id)

    assert await store.strays.of(COMFY) == (Stray(claim.prompt_id, COMFY),)


async def test_a_delete_leaves_one_of_each_attempt(store: Store) -> None:
    made, first = await submitted(store)
    await _settle(store, made)
    await store.strays.gone(first)
    await store.transitions.retry(made.id)
    second = await running(store, made.id, flow_run_id=RUN, lease=LEASE, comfy_url=COMFY)
    await store.transitions.record_submission(second)

    await _delete(store, made)

    left = {stray.prompt_id for stray in await store.strays.of(COMFY)}
    assert left == {first.prompt_id, second.prompt_id}


async def test_a_stray_is_gone_when_its_comfyui_has_it_no_more(store: Store) -> None:
    made, stray = await submitted(store)
    await _settle(store, made)

    await store.strays.gone(Stray(stray.prompt_id, "http://another:8188"))
    assert await store.strays.of(COMFY) == (stray,)

    await store.strays.gone(stray)
    await store.strays.gone(stray)
    assert await store.strays.of(COMFY) == ()


async def test_a_prompt_is_wanted_while_its_attempt_is_done_there(store: Store) -> None:
    made, stray = await submitted(store)
    assert await store.strays.is_wanted(stray)
    assert not await store.strays.is_wanted(Stray(stray.prompt_id, "http://another:8188"))
    assert not await store.strays.is_wanted(Stray("never", COMFY))

    await store.flow_runs.let_go(made.id, RUN, made.fence)
    assert await store.strays.is_wanted(stray)

    await _delete(store, made)
    assert not await store.strays.is_wanted(stray)


async def test_the_prompt_of_an_attempt_that_is_over_is_not_wanted(store: Store) -> None:
    made, stray = await submitted(store)
    await _settle(store, made)

    await store.transitions.retry(made.id)

    assert not await store.strays.is_wanted(stray)
    assert await store.strays.of(COMFY) == (stray,)
