"""The reconciler keeps a batch and its flow run together, whatever an operator or a crash did."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed, Running

from flows.errors import PrefectUnavailableError
from flows.prefect.runs import FlowRuns
from flows.reconcile import batches
from flows.reconcile.batch_rules import UNHELD_LOOKS
from flows.reconcile.batches import Batches
from flows.reconcile.reconciler import Reconciler
from flows.reconcile.reconciliation import QUIET_ASKS
from store.batches.transitions import PAUSED_IN_PREFECT
from store.store import Store
from store.values import Batch
from tests.chaos.model import LEASE_S, LOOK_EVERY_S, Meanwhile, World
from tests.store.batch_making import accepted_batch, children

WINDING_UP_LOOKS = Batches.asks_each * (Batches.orphan_looks + 1)


class Case:
    """A batch of three, its run in a modelled Prefect, and the reconciler."""

    def __init__(self, world: World, batch_id: UUID) -> None:
        self.world = world
        self.batch_id = batch_id
        self.prefect = world.prefect
        self.reconciler = Reconciler(
            world.store, world.runs, look_every_s=LOOK_EVERY_S, lease_s=LEASE_S, now=world.clock
        )

    @property
    async def batch(self) -> Batch:
        return await self.world.store.batches.get(self.batch_id)

    @property
    async def run_id(self) -> UUID:
        run_id = (await self.batch).flow_run_id
        assert run_id is not None
        return run_id

    async def look(self, times: int = 1) -> int:
        """So many rounds, each a little later; how much was put right."""
        repaired = 0
        for _ in range(times):
            repaired += await self.reconciler.look()
            self.world.now += LOOK_EVERY_S / 10
        return repaired

    async def begin(self, holder: UUID, *, released: int = 0) -> None:
        """A worker with that lease does its run."""
        transitions, run_id = self.world.store.batch_transitions, await self.run_id
        await transitions.start(
            self.batch_id,
            flow_run_id=run_id,
            deployment_id=self.prefect.deployment_id,
            holder=holder,
            window_ends_at=None,
        )
        await transitions.release(self.batch_id, released)
        self.to(await self.run_id, Running())

    def to(self, run_id: UUID, state: State) -> None:
        assert self.prefect.move(run_id, state, force=True)


async def break_off() -> None:
    """Prefect's answer is lost."""
    raise httpx.ConnectError("gone")


@pytest.fixture
async def case(store: Store) -> Case:
    """It is accepted, and waits in Prefect."""
    world = World(store, FlowRuns("http://prefect.test/api"))
    case = Case(world, (await accepted_batch(store)).id)
    assert await case.look() == 0  # to begin it is no repair
    assert case.prefect.state_of(await case.run_id) == StateType.SCHEDULED
    return case


async def test_a_prefect_with_nothing_under_way_is_asked_seldom(store: Store) -> None:
    world = World(store, FlowRuns("http://prefect.test/api"))
    reconciler = Reconciler(
        store, world.runs, look_every_s=LOOK_EVERY_S, lease_s=LEASE_S, now=world.clock
    )
    await reconciler.look()

    world.prefect.meanwhile = Meanwhile(1, break_off)
    for _ in range(QUIET_ASKS - 2):
        await reconciler._generations.look()
    with pytest.raises(PrefectUnavailableError):
        await reconciler._generations.look()


async def test_while_no_batch_is_under_way_a_signal_says_that_one_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is not read for a lost signal here, and Prefect is asked in a minute."""
    monkeypatch.setattr(batches, "UNTOLD_READ_EACH", 10_000)
    assert store.database.hears
    world = World(store, FlowRuns("http://prefect.test/api"))
    reconciler = Reconciler(
        store, world.runs, look_every_s=LOOK_EVERY_S, lease_s=LEASE_S, now=world.clock
    )
    async with reconciler:
        for _ in range(Batches.asks_each):
            await reconciler._batches.look()
        assert reconciler._batches._is_unchanged()

        batch = await accepted_batch(store)

        async with asyncio.timeout(20):
            while (await store.batches.get(batch.id)).flow_run_id is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_batch_is_looked_at_again_though_prefect_did_not_answer(store: Store) -> None:
    """That none was under way when Prefect was asked last says nothing of now."""
    world = World(store, FlowRuns("http://prefect.test/api"))
    case = Case(world, (await accepted_batch(store)).id)
    await case.look(2)
    looked_at = case.reconciler._batches
    looked_at._is_quiet, world.prefect.meanwhile = True, Meanwhile(1, break_off)
    looked_at.tell()

    with pytest.raises(PrefectUnavailableError):
        await looked_at.look()

    assert not looked_at._is_unchanged()


async def test_it_begins_once(case: Case) -> None:
    assert await case.look(3) == 0
    assert len(case.prefect.runs) == 1


async def test_it_begins_when_prefect_is_back(case: Case, store: Store) -> None:
    later = await accepted_batch(store)

    # Asked: the states of batches' runs, then to make the second run.
    case.prefect.meanwhile = Meanwhile(2, break_off)
    assert await case.look() == 0
    assert (await store.batches.get(later.id)).flow_run_id is None

    assert await case.look() == 0
    assert (await store.batches.get(later.id)).flow_run_id is not None
    assert len(case.prefect.runs) == 2  # it had made that run, and its answer was lost


@pytest.mark.parametrize("what", ["cancel", "delete"])
async def test_what_an_operator_ends_in_prefect_is_cancelled(case: Case, what: str) -> None:
    await case.begin(uuid4(), released=2)
    case.prefect.operate(await case.run_id, what)

    assert await case.look() == 1

    statuses = [status for _, status, _ in await children(case.world.store, await case.batch)]
    assert statuses == ["cancelled", "cancelled"]  # no worker had begun them
    assert (await case.batch).status == "cancelled"


async def test_what_an_operator_pauses_and_resumes_in_prefect_is_paused(case: Case) -> None:
    case.prefect.operate(await case.run_id, "pause")
    assert await case.look() == 1
    batch = await case.batch
    assert batch.status == "paused"
    assert batch.waiting is not None
    assert batch.waiting.code == PAUSED_IN_PREFECT
    assert await case.look(3) == 0

    await case.world.runs.resume(await case.run_id)
    assert case.prefect.state_of(await case.run_id) == StateType.SCHEDULED


async def test_only_a_paused_run_is_resumed(case: Case) -> None:
    await case.begin(uuid4())
    await case.world.runs.resume(await case.run_id)
    assert case.prefect.state_of(await case.run_id) == StateType.RUNNING
    await case.world.runs.resume(uuid4())


async def test_it_begins_again_when_prefect_lost_its_database(case: Case) -> None:
    before = await case.run_id
    case.prefect.lose_database()

    assert await case.look() == 1

    assert await case.run_id != before
    assert list(case.prefect.runs) == [await case.run_id]
    assert await case.look() == 0


async def test_a_run_is_left_to_a_worker_that_lives(case: Case) -> None:
    holder = uuid4()
    leases = case.world.store.leases
    await leases.take("worker one", holder, LEASE_S)
    await case.begin(holder)
    for _ in range(3 * UNHELD_LOOKS):
        assert await leases.renew("worker one", holder)
        assert await case.look() == 0
    assert (await case.batch).holder == holder


async def test_a_run_is_put_back_whose_worker_is_dead(case: Case) -> None:
    await case.begin(uuid4())
    assert await case.look(UNHELD_LOOKS - 1) == 0
    assert case.prefect.state_of(await case.run_id) == StateType.RUNNING

    assert await case.look() == 1

    assert case.prefect.state_of(await case.run_id) == StateType.SCHEDULED
    assert (await case.batch).holder is None


async def test_it_ends_when_its_run_ended_without_a_word(case: Case) -> None:
    await case.begin(uuid4())
    case.to(await case.run_id, Completed())
    assert await case.look(UNHELD_LOOKS - 1) == 0

    assert await case.look() == 1

    batch = await case.batch
    assert batch.status == "failed"
    assert batch.error is not None
    assert batch.error.code == "run_failed"


async def test_a_run_is_ended_whose_batch_has_ended(case: Case) -> None:
    await case.begin(uuid4())
    assert await case.world.store.batch_transitions.finish(case.batch_id, "succeeded")
    done = 0
    while case.prefect.state_of(await case.run_id) == StateType.RUNNING:
        assert await case.look() in (0, 1)
        done += 1
        assert done <= WINDING_UP_LOOKS

    assert case.prefect.state_of(await case.run_id) == StateType.COMPLETED
    assert done > Batches.asks_each  # its worker had time to do it


async def test_a_cancel_does_not_wait_for_prefect(case: Case, store: Store) -> None:
    await accepted_batch(store)
    await case.look()
    await case.begin(uuid4(), released=3)
    await store.batch_transitions.request_cancel(case.batch_id)

    case.prefect.meanwhile = Meanwhile(1, break_off)
    with pytest.raises(PrefectUnavailableError):  # about the other batch
        await case.reconciler._batches.look()

    assert (await case.batch).status == "cancelled"


async def test_one_that_cannot_be_begun_holds_up_no_other(case: Case, store: Store) -> None:
    first, second = await accepted_batch(store), await accepted_batch(store)

    case.prefect.meanwhile = Meanwhile(2, break_off)
    await case.look()

    assert (await store.batches.get(first.id)).flow_run_id is None
    assert (await store.batches.get(second.id)).flow_run_id is not None
