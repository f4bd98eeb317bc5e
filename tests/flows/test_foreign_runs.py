"""Runs under way that this store never had stay as they are, in a real Prefect.

Another store's worker may be executing them. Beside each of them, a run of this store's own shows
that the rule at work here does something.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.prefect.runs import STORE_LABEL, FlowRuns, batch_key, idempotency_key
from flows.reconcile.batches import Batches
from flows.reconcile.generations import Generations
from flows.reconcile.reconciler import Reconciler
from flows.worker.recovery import take_batches_back
from store.store import Store
from tests.flows.prefect_server import Server
from tests.store.batch_making import accepted_batch, started
from tests.store.making import accepted, brought_to

pytestmark = pytest.mark.timeout(300)
UNDER_WAY: Final = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
POOL: Final = "of two stores"


class Runs:
    """Makes runs under way of generations and batches, past the API."""

    def __init__(self, client: PrefectClient, generate: UUID, bulk: UUID) -> None:
        self.client = client
        self._generate = generate
        self._bulk = bulk

    async def of_generation(
        self, generation_id: UUID | None, state: StateType = StateType.RUNNING, **more: Any
    ) -> FlowRun:
        key = idempotency_key(generation_id, 1) if generation_id else None
        return await self._under_way(self._generate, state, idempotency_key=key, **more)

    async def of_batch(
        self, batch_id: UUID, state: StateType = StateType.RUNNING, **more: Any
    ) -> FlowRun:
        return await self._under_way(
            self._bulk, state, idempotency_key=batch_key(batch_id, 1), **more
        )

    async def of_another_store(self) -> list[FlowRun]:
        """One of a generation and one of a batch in each state that a run under way has."""
        labels = {STORE_LABEL: str(uuid4())}
        return [
            run
            for state in UNDER_WAY
            for run in (
                await self.of_generation(uuid4(), state, labels=labels),
                # Of an earlier version: it does not say which store it was made for.
                await self.of_generation(uuid4(), state),
                await self.of_batch(uuid4(), state, labels=labels),
            )
        ]

    async def _under_way(self, deployment: UUID, state: StateType, **more: Any) -> FlowRun:
        run = await self.client.create_flow_run_from_deployment(deployment, **more)
        await self.client.set_flow_run_state(run.id, State(type=state), force=True)
        return await self.now(run)

    async def now(self, run: FlowRun) -> FlowRun:
        return await self.client.read_flow_run(run.id)

    async def state_of(self, run: FlowRun) -> StateType | None:
        return (await self.now(run)).state_type

    async def assert_untouched(self, runs: list[FlowRun]) -> None:
        for run in runs:
            assert run.state is not None
            now = await self.now(run)
            assert now.state is not None
            assert (now.state.id, now.state.type) == (run.state.id, run.state.type)


@pytest.fixture
async def prefect(server: Server) -> AsyncIterator[FlowRuns]:
    async with FlowRuns(str(server.http.base_url).rstrip("/")) as prefect:
        yield prefect


@pytest.fixture
async def runs(server: Server, prefect: FlowRuns) -> AsyncIterator[Runs]:
    """The pool and both deployments, as a worker registers them."""
    server.http.post("/work_pools/", json={"name": POOL, "type": "comfyui"})
    made = {
        name: server.post(
            "/deployments/",
            name=name,
            flow_id=server.post("/flows/", name=flow),
            work_pool_name=POOL,
            # One of that name that another test made keeps its schema.
            enforce_parameter_schema=False,
        )
        for flow, name in (("generate", "comfyui"), ("bulk", "batch"))
    }
    yield Runs(prefect.client, UUID(made["comfyui"]), UUID(made["batch"]))
    for deployment in made.values():
        server.http.delete(f"/deployments/{deployment}")
    server.http.delete(f"/work_pools/{POOL}")


async def test_the_rule_of_orphans_leaves_them(store: Store, prefect: FlowRuns, runs: Runs) -> None:
    theirs = await runs.of_another_store()
    ended, _ = await brought_to(store, "succeeded")
    of_ended = await runs.of_generation(ended.id)
    of_waiting = await runs.of_generation((await accepted(store)).id)
    batch = await accepted_batch(store)
    of_batch = await runs.of_batch(batch.id)
    await started(store, batch, flow_run_id=of_batch.id)
    assert await store.batch_transitions.finish(batch.id, "cancelled")
    reconciler = Reconciler(store, prefect, look_every_s=1, lease_s=5)

    for _ in range(_looks_at_all()):
        await reconciler.look()

    await runs.assert_untouched(theirs)
    assert await runs.state_of(of_ended) == StateType.COMPLETED
    assert await runs.state_of(of_waiting) == StateType.SCHEDULED
    assert await runs.state_of(of_batch) == StateType.CANCELLED


async def test_a_worker_that_starts_does_not_take_them_back(
    store: Store, prefect: FlowRuns, runs: Runs
) -> None:
    theirs = await runs.of_another_store()
    ours = await runs.of_batch((await accepted_batch(store)).id)

    await take_batches_back(prefect.client, POOL, store, frozenset(), alone=True)

    await runs.assert_untouched(theirs)
    assert await runs.state_of(ours) == StateType.SCHEDULED


def _looks_at_all() -> int:
    """After so many, a run that its row does not want is an orphan, of either kind."""
    return 1 + max(rule.asks_each * (rule.orphan_looks + 1) for rule in (Generations, Batches))
