"""A worker is offered what its ComfyUI can do, however much of the rest waits before it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.workflows.needs import Needs, Offer
from core.workflows.plan import Plan
from store.generations.queue import PAGE
from store.needs import Abilities
from store.store import Store
from store.values import Generation, Queued
from tests.harness.statements import plans_of, statements_of
from tests.store.making import COMFY, LEASE, accepted, claimed
from tests.store.taking import all_taken, taking

FLUX, SDXL = "flux1-dev.safetensors", "sdxl.safetensors"


async def wanting(store: Store, model: str, **fields: Any) -> Generation:
    plan = Plan(model=model, models={"checkpoints": (model,)}, classes=("KSampler",))
    return await accepted(store, model=model, plan=plan, **fields)


class Asked:
    """What is asked of a ComfyUI with one model."""

    def __init__(self, model: str) -> None:
        self.asked: list[Needs] = []
        self.model = model

    def __call__(self, needs: Needs) -> bool:
        self.asked.append(needs)
        return self.model in needs.models["checkpoints"]


async def offered_to(store: Store, abilities: Abilities) -> list[UUID]:
    seen: list[Queued] = []

    def look(page: Sequence[Queued]) -> None:
        seen.extend(page)

    assert await taking(store, choose=look, abilities=abilities) is None
    return [one.generation_id for one in seen]


async def test_only_what_it_can_do_is_offered(store: Store) -> None:
    flux, sdxl = await wanting(store, FLUX), await wanting(store, SDXL)
    anybodys = await accepted(store)

    assert await offered_to(store, Abilities(Asked(SDXL))) == [sdxl.id, anybodys.id]
    assert await offered_to(store, Abilities(Asked(FLUX))) == [flux.id, anybodys.id]


async def test_each_needs_are_judged_once(store: Store) -> None:
    for seed in range(3):
        await wanting(store, FLUX, seed=seed)
    asked = Asked(SDXL)
    abilities = Abilities(asked)

    assert await offered_to(store, abilities) == []
    later = await wanting(store, SDXL)
    await wanting(store, FLUX, seed=9)
    assert await offered_to(store, abilities) == [later.id]

    assert [one.models["checkpoints"] for one in asked.asked] == [(FLUX,), (SDXL,)]


async def test_what_it_can_do_is_found_behind_hundreds_that_it_cannot(store: Store) -> None:
    await asyncio.gather(*(wanting(store, FLUX, seed=n) for n in range(5 * PAGE)))
    mine = await wanting(store, SDXL)
    abilities = Abilities(Asked(SDXL))

    claim = await taking(store, abilities=abilities)
    assert claim is not None
    assert claim.generation_id == mine.id

    with statements_of(store.database) as executed:
        assert await taking(store, abilities=abilities) is None
    assert len([one for one in executed if "FROM generations" in one]) == 2  # one of a priority


async def test_many_kinds_that_it_cannot_do_are_passed_over(store: Store) -> None:
    await asyncio.gather(*(wanting(store, f"{n}.safetensors") for n in range(2 * PAGE + 3)))
    mine = await wanting(store, SDXL)
    assert await offered_to(store, Abilities(Asked(SDXL))) == [mine.id]


async def test_another_one_can_do_what_this_one_gave_back(store: Store) -> None:
    made = await wanting(store, FLUX)
    claim = await claimed(store, made.id, lease=LEASE)
    assert await offered_to(store, Abilities(Asked(FLUX))) == []

    await store.transitions.unclaim(claim)

    assert await offered_to(store, Abilities(Asked(SDXL))) == []
    assert await offered_to(store, Abilities(Asked(FLUX))) == [made.id]


async def test_needs_are_read_by_generation(store: Store) -> None:
    made, other = await wanting(store, FLUX), await accepted(store)
    found = await store.queue.needs([made.id, other.id])
    assert found == {made.id: Needs({"checkpoints": (FLUX,)}, ("KSampler",))}


async def test_a_deleted_one_needs_nothing(store: Store) -> None:
    made = await wanting(store, FLUX)
    await store.transitions.delete(made.id)
    assert await store.queue.needs([made.id]) == {}


async def test_what_cannot_be_done_is_passed_over_by_the_index(fresh_store: Store) -> None:
    store = fresh_store
    await wanting(store, FLUX)
    abilities = Abilities(Asked(SDXL))
    await offered_to(store, abilities)

    plans = await plans_of(store.database, taking(store, abilities=abilities))

    assert plans.count("ix_generations_queue") == 2
    assert "TEMP B-TREE" not in plans
    assert "Sort" not in plans


async def test_two_that_accept_the_same_needs_at_once(store: Store, second: Store) -> None:
    made = await asyncio.gather(
        *(wanting(where, FLUX, seed=n) for n in range(20) for where in (store, second))
    )
    assert len(await store.queue.needs([one.id for one in made])) == 40
    assert set(await all_taken(store)) == {one.id for one in made}


# --- what a ComfyUI offers


async def test_an_offer_is_known_once_both_of_its_parts_are(store: Store, second: Store) -> None:
    offers = store.offers
    assert await offers.of(COMFY) is None

    assert await offers.keep_files(COMFY, {"checkpoints": [FLUX]})
    assert await offers.of(COMFY) is None
    assert (await store.fleet.registered()).offers == {}

    assert await offers.keep_nodes(COMFY, ["KSampler"], ["taesd"])
    assert await second.offers.of(COMFY) == Offer.of(
        {"checkpoints": [FLUX]}, ["KSampler"], ["taesd"]
    )


async def test_an_offer_gets_another_digest_when_it_changes(store: Store) -> None:
    offers = store.offers
    await offers.keep_files(COMFY, {"checkpoints": [FLUX, SDXL]})
    await offers.keep_nodes(COMFY, ["KSampler"], [])
    first = (await store.fleet.registered()).offers

    assert not await offers.keep_files(COMFY, {"checkpoints": [SDXL, FLUX]})
    assert not await offers.keep_nodes(COMFY, ["KSampler"], [])
    assert (await store.fleet.registered()).offers == first

    assert await offers.keep_files(COMFY, {"checkpoints": [SDXL]})
    assert (await store.fleet.registered()).offers != first
