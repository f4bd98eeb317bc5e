"""What an operator holds back in a real Prefect, as a worker knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.events.clients import PrefectEventSubscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.states import Completed, Pending, Running

from flows import tasks
from flows.errors import DeploymentMissingError, PrefectUnavailableError
from flows.prefect.endpoint import Endpoint
from flows.prefect.gate import Gate, Paused, read_gate
from flows.prefect.runs import FlowRuns, workflow_tag
from flows.worker.events import GATE_EVENTS
from flows.worker.gate import GateWatch
from store.store import Store
from tests.flows.gates import Pool, a_pool
from tests.flows.prefect_server import Server
from tests.harness.processes import free_port
from tests.store.making import wait_until

pytestmark = pytest.mark.timeout(300)

LIMITED: Final = {"concurrency_limit": 2}
PAUSE_WORDS: Final = "is paused. Resume it in the Prefect UI."
ZERO_WORDS: Final = "has a concurrency limit of 0. Raise or remove it in the Prefect UI."


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrefectClient]:
    async with FlowRuns(str(server.http.base_url)) as runs:
        yield runs.client


@pytest.fixture
async def other(store: Store, tmp_path: Path) -> AsyncIterator[Store]:
    """The same store, as another process has it."""
    async with Store(store.database.url, str(tmp_path / "images")) as other:
        yield other


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with a_pool(server) as pool:
        yield pool


async def until(watch: GateWatch, expected: Gate) -> None:
    """Wake it until it knows."""
    async with asyncio.timeout(60):
        while watch.now != expected:
            watch.wake()
            await asyncio.sleep(0.05)


async def read_in_each_way(client: PrefectClient, pool: str) -> Gate:
    """By Easel's own endpoint, and by Prefect's own requests: it is the same gate."""
    endpoint = Endpoint(client)
    gate = await read_gate(client, pool, endpoint)
    assert not endpoint.is_missing
    assert await read_gate(client, pool) == gate
    return gate


# --- read from Prefect


@pytest.mark.parametrize(
    ("place", "fields", "paused", "limits"),
    [
        ("pool", {"is_paused": True}, Paused(f"The work pool POOL {PAUSE_WORDS}"), ()),
        ("pool", {"concurrency_limit": 0}, Paused(f"The work pool POOL {ZERO_WORDS}"), ()),
        ("pool", LIMITED, Paused(), ("The work pool POOL has a concurrency limit of 2.",)),
        (
            "interactive",
            {"is_paused": True},
            Paused(None, {"interactive": f"The work queue interactive {PAUSE_WORDS}"}),
            (),
        ),
        (
            "bulk",
            {"concurrency_limit": 0},
            Paused(None, {"bulk": f"The work queue bulk {ZERO_WORDS}"}),
            (),
        ),
        ("bulk", LIMITED, Paused(), ("The work queue bulk has a concurrency limit of 2.",)),
        ("batches", LIMITED, Paused(), ()),  # its runs generate nothing
        (
            "deployment",
            LIMITED,
            Paused(),
            ("The deployment generate/comfyui has a concurrency limit of 2.",),
        ),
    ],
)
async def test_each_is_read_and_is_gone_when_it_is_removed(
    pool: Pool,
    client: PrefectClient,
    place: str,
    fields: dict[str, Any],
    paused: Paused,
    limits: tuple[str, ...],
) -> None:
    assert await read_in_each_way(client, pool.name) == Gate()

    pool.change(place, **fields)
    gate = await read_in_each_way(client, pool.name)
    assert gate == pool.named(Gate(paused, limits))
    assert gate.is_strict is bool(limits)

    pool.change(place, **({"is_paused": False} if "is_paused" in fields else _NO_LIMIT))
    assert await read_in_each_way(client, pool.name) == Gate()


_NO_LIMIT: Final[dict[str, Any]] = {"concurrency_limit": None}


async def test_a_limit_that_deployments_share_counts_however_it_is_set(
    pool: Pool, client: PrefectClient, server: Server
) -> None:
    """Prefect refuses 0 for a deployment's own. One that is switched off gives nobody a slot."""
    name = f"house-{uuid4()}"
    path = f"/v2/concurrency_limits/{name}"
    limit = server.post("/v2/concurrency_limits/", name=name, limit=4)
    try:
        assert await read_in_each_way(client, pool.name) == Gate()
        pool.change("deployment", global_concurrency_limit_id=limit)
        for fields, words in (({}, "of 4."), ({"active": False}, "of 4."), ({"limit": 0}, "of 0.")):
            assert not fields or server.http.patch(path, json=fields).is_success
            [said] = (await read_in_each_way(client, pool.name)).limits
            assert said == f"The deployment generate/comfyui has a concurrency limit {words}"
    finally:
        assert server.http.delete(path).is_success
    assert await read_in_each_way(client, pool.name) == Gate()


async def test_the_deployments_of_workflows_count_and_others_do_not(
    pool: Pool, client: PrefectClient
) -> None:
    pool.deploy("upscale", tags=[workflow_tag("upscale")], concurrency_limit=1)
    pool.deploy("somebodys-own", tags=["easel"], concurrency_limit=1)

    gate = await read_in_each_way(client, pool.name)

    assert gate.limits == ("The deployment generate/upscale has a concurrency limit of 1.",)


async def test_a_limit_on_a_tag_is_none(pool: Pool, client: PrefectClient, server: Server) -> None:
    """It is for task runs with that tag (see the contract test of the engine): there are none."""
    server.post("/concurrency_limits/", tag="easel", concurrency_limit=1)
    try:
        assert await read_in_each_way(client, pool.name) == Gate()
    finally:
        assert server.http.delete("/concurrency_limits/tag/easel").is_success
    for task in (tasks.build_workflow, tasks.submit, tasks.poll, tasks.save):
        assert task.tags == set()


@pytest.mark.parametrize("place", ["pool", "interactive"])
@pytest.mark.parametrize("fields", [{"is_paused": True}, {"concurrency_limit": 0}])
async def test_prefect_heeds_pool_and_queue_when_it_lists_what_is_due_and_never_else(
    pool: Pool, client: PrefectClient, place: str, fields: dict[str, Any]
) -> None:
    """So a worker that takes work without asking for what is due must know the gate."""
    run = await asyncio.to_thread(pool.run)
    [due] = await client.get_scheduled_flow_runs_for_work_pool(pool.name)
    assert due.flow_run.id == run

    await asyncio.to_thread(pool.change, place, **fields)

    assert await client.get_scheduled_flow_runs_for_work_pool(pool.name) == []
    states: tuple[State, ...] = (Pending(), Running())
    for state in states:
        answer = await client.set_flow_run_state(run, state)
        assert answer.status is SetStateStatus.ACCEPT


async def test_prefect_heeds_a_deployments_limit_at_pending_and_never_else(
    pool: Pool, client: PrefectClient
) -> None:
    """A run that comes to Running without it takes no slot, and frees one of another at its end."""
    await asyncio.to_thread(pool.change, "deployment", concurrency_limit=1)
    runs = [await asyncio.to_thread(pool.run) for _ in range(4)]

    async def proposed(run: UUID, state: State, *, force: bool = False) -> tuple[str, str]:
        answer = await client.set_flow_run_state(run, state, force=force)
        assert answer.state is not None
        return answer.status.value, answer.state.name or ""

    assert len(await client.get_scheduled_flow_runs_for_work_pool(pool.name)) == 4
    assert await proposed(runs[0], Pending()) == ("ACCEPT", "Pending")
    assert await proposed(runs[0], Running()) == ("ACCEPT", "Running")
    assert await proposed(runs[1], Pending()) == ("REJECT", "AwaitingConcurrencySlot")
    assert await proposed(runs[1], Pending(), force=True) == ("ACCEPT", "Pending")

    assert await proposed(runs[2], Running()) == ("ACCEPT", "Running")
    assert await proposed(runs[3], Pending()) == ("REJECT", "AwaitingConcurrencySlot")
    assert await proposed(runs[2], Completed()) == ("ACCEPT", "Completed")
    assert await proposed(runs[3], Pending()) == ("ACCEPT", "Pending")


async def test_without_the_pool_or_prefect_it_says_so(client: PrefectClient) -> None:
    for endpoint in (None, Endpoint(client)):
        with pytest.raises(DeploymentMissingError):
            await read_gate(client, "no-such-pool", endpoint)
    async with FlowRuns(f"http://127.0.0.1:{free_port()}/api") as runs:
        for endpoint in (None, Endpoint(runs.client)):
            with pytest.raises(PrefectUnavailableError):
                await read_gate(runs.client, "gpu", endpoint)
            assert endpoint is None or not endpoint.is_missing


async def test_a_server_without_the_endpoint_is_asked_by_prefects_own_requests(
    stock_server: Server,
) -> None:
    with a_pool(stock_server) as pool:
        pool.change("pool", **LIMITED)
        async with FlowRuns(str(stock_server.http.base_url)) as runs:
            endpoint = Endpoint(runs.client)
            for _ in range(2):  # the second time it is known
                gate = await read_gate(runs.client, pool.name, endpoint)
                assert gate.is_strict
                assert endpoint.is_missing


async def test_events_tell_of_all_but_a_deployments_own_limit(pool: Pool, server: Server) -> None:
    """With the filter of the worker."""
    wanted = EventFilter(
        event=EventNameFilter(name=[*GATE_EVENTS]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool.id}"]),
    )
    url = str(server.http.base_url).rstrip("/")
    async with PrefectEventSubscriber(filter=wanted, api_url=url) as events:

        async def told(*changes: tuple[str, dict[str, Any]]) -> str:
            """The first event of these changes: that of the pool's beginning may come late."""
            before = datetime.now(UTC)
            for place, fields in changes:
                await asyncio.to_thread(pool.change, place, **fields)
            while (event := await anext(events)).occurred < before:
                pass
            return event.event

        paused, resumed = {"is_paused": True}, {"is_paused": False}
        assert await told(("pool", paused)) == "prefect.work-pool.paused"
        # No worker is there; with one it is `ready`.
        assert await told(("pool", resumed)) == "prefect.work-pool.not-ready"
        assert await told(("pool", LIMITED)) == "prefect.work-pool.updated"
        assert await told(("pool", _NO_LIMIT)) == "prefect.work-pool.updated"
        assert await told(("bulk", paused)) == "prefect.work-queue.paused"
        assert await told(("bulk", resumed)) == "prefect.work-queue.not-ready"
        assert await told(("bulk", LIMITED)) == "prefect.work-queue.updated"
        assert await told(("bulk", _NO_LIMIT)) == "prefect.work-queue.updated"

        both = ("deployment", LIMITED), ("pool", paused)
        assert await told(*both) == "prefect.work-pool.paused"
        assert await told(("deployment", _NO_LIMIT)) == "prefect.deployment.updated"


# --- as a value


HELD: Final = Gate(Paused("The pool rests.", {"bulk": "The queue rests."}), ("At most 2.",))


def test_it_is_the_same_when_it_was_stored() -> None:
    assert Gate.from_json(HELD.to_json()) == HELD
    assert Gate.from_json(Gate().to_json()) == Gate()


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        7,
        "paused",
        [],
        {},
        {"paused": None, "limits": None},
        {"paused": {"pool": 3, "queues": ["bulk"]}, "limits": "many"},
        {"paused": {"pool": "", "queues": {"bulk": 1}}, "limits": [None, 2, {}]},
        {"opened": True},
    ],
)
def test_what_another_version_stored_holds_nothing_back(foreign: object) -> None:
    assert Gate.from_json(foreign) == Gate()


# --- as a worker knows it


async def test_it_is_stored_when_it_differs_and_others_hear(store: Store, other: Store) -> None:
    heard = asyncio.Event()
    with other.database.hearing.listening("gate", heard.set):
        assert await store.registry.keep_gate("gpu", HELD.to_json())
        await asyncio.wait_for(heard.wait(), 60)
    assert Gate.from_json(await other.registry.gate("gpu")) == HELD
    assert await other.registry.gate("another") is None
    assert not await other.registry.keep_gate("gpu", HELD.to_json())
    assert await other.registry.keep_gate("gpu", Gate().to_json())


async def test_a_worker_tells_of_a_change_and_stores_it(
    pool: Pool, client: PrefectClient, store: Store, other: Store
) -> None:
    told: list[Gate] = []
    watch = GateWatch(store, lambda: client, pool.name, told.append)
    await watch.recall()
    limited = pool.named(Gate(limits=("The work pool POOL has a concurrency limit of 2.",)))
    async with watch.loop:
        await asyncio.to_thread(pool.change, "pool", **LIMITED)
        await until(watch, limited)
        await _stored(other, pool.name, limited)
        await asyncio.to_thread(pool.change, "pool", **_NO_LIMIT)
        await until(watch, Gate())
        await _stored(other, pool.name, Gate())
    assert told == [limited, Gate()]


async def _stored(store: Store, pool: str, expected: Gate) -> None:
    async def is_there() -> bool:
        return Gate.from_json(await store.registry.gate(pool)) == expected

    await wait_until(is_there)


async def test_what_was_last_known_holds_while_prefect_is_away(store: Store) -> None:
    await store.registry.keep_gate("gpu", HELD.to_json())
    async with FlowRuns(f"http://127.0.0.1:{free_port()}/api") as runs:
        await asyncio.gather(
            _looks_in_vain(store, runs.client, "gpu", HELD),
            _looks_in_vain(store, runs.client, "never-seen", Gate()),
        )


async def test_what_was_last_known_holds_until_the_pool_is_there_again(
    pool: Pool, client: PrefectClient, store: Store
) -> None:
    await store.registry.keep_gate("lost", HELD.to_json())
    await _looks_in_vain(store, client, "lost", HELD)

    await store.registry.keep_gate(pool.name, HELD.to_json())
    watch = GateWatch(store, lambda: client, pool.name)
    await watch.recall()
    assert watch.now == HELD
    async with watch.loop:
        await until(watch, Gate())


async def test_a_stored_gate_that_cannot_be_read_is_open(
    pool: Pool, client: PrefectClient, store: Store
) -> None:
    await store.registry.keep_gate(pool.name, {"limits": {"pool": 2}})
    watch = GateWatch(store, lambda: client, pool.name)
    await watch.recall()
    assert watch.now == Gate()
    async with watch.loop:
        await asyncio.to_thread(pool.change, "pool", **LIMITED)
        limited = Gate(limits=("The work pool POOL has a concurrency limit of 2.",))
        await until(watch, pool.named(limited))
        await _stored(store, pool.name, pool.named(limited))


async def _looks_in_vain(store: Store, client: PrefectClient, pool: str, known: Gate) -> None:
    """A worker that starts now, and has looked once when its second look begins."""
    looks = asyncio.Semaphore(0)

    def asked() -> PrefectClient:
        looks.release()
        return client

    watch = GateWatch(store, asked, pool)
    await watch.recall()
    assert watch.now == known
    stored = await store.registry.gate(pool)
    async with watch.loop:
        watch.wake()
        for _ in range(2):
            await asyncio.wait_for(looks.acquire(), 60)
            watch.wake()
        assert watch.now == known
    assert await store.registry.gate(pool) == stored
