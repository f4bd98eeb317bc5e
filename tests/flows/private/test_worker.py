"""Prefect's worker, opened as Easel opens it: a worker of the pool of a real server."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.events.filters import EventAnyResourceFilter
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.workers.base import BaseJobConfiguration, BaseWorker

from flows.prefect.private.cancels import Cancels
from flows.prefect.private.worker import PrefectWorker
from flows.worker.worker import ComfyWorker
from tests.flows.prefect_server import Server
from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


class OneByOne(PrefectWorker):
    """Takes one run after the other, and holds it until it is told to go on."""

    type = "one-by-one"

    def __init__(self, work_pool_name: str) -> None:
        super().__init__(work_pool_name)
        self.has_room = True
        self.begun = asyncio.Queue[bool]()
        self.go_on = asyncio.Event()
        self.cancelling = asyncio.Queue[UUID]()
        self.error: Exception | None = None

    async def find_due(self) -> list[WorkerFlowRunResponse]:
        return await self.ask_for_due()

    async def choose(self, due: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        taken = [entry.flow_run for entry in due[: int(self.has_room)]]
        self.has_room = self.has_room and not taken
        return taken

    async def carry_out(self, flow_run: FlowRun) -> None:
        await self.begun.put(await self.propose_pending(flow_run))
        await self.go_on.wait()
        if self.error is not None:
            await self.propose_crashed(flow_run, self.error)
        self.finish(flow_run.id)
        self.has_room = True

    def on_cancelling(self, flow_run_id: UUID) -> None:
        self.cancelling.put_nowait(flow_run_id)


@asynccontextmanager
async def working() -> AsyncIterator[OneByOne]:
    """A worker of a pool of its own, until its runs have ended. (Not a fixture: one task.)"""
    async with OneByOne(f"pool-{uuid4()}") as worker:
        yield worker
        worker.go_on.set()
        await worker.idle.wait()


def schedule(server: Server, pool: str) -> UUID:
    """Make a run that is due in the pool."""
    flow = server.post("/flows/", name="private")
    deployment = server.post("/deployments/", name=pool, flow_id=flow, work_pool_name=pool)
    return UUID(server.post(f"/deployments/{deployment}/create_flow_run"))


def _state(server: Server, run: UUID) -> dict[str, str]:
    state: dict[str, str] = server.http.get(f"/flow_runs/{run}").json()["state"]
    return state


@pytest.mark.usefixtures("prefect")
async def test_a_run_is_under_way_until_it_is_finished(server: Server) -> None:
    async with working() as worker:
        runs = {schedule(server, worker.pool_name) for _ in range(2)}

        [first] = await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()
        assert _state(server, first.id)["name"] == "Pending"
        assert worker.under_way == {first.id}
        assert not worker.idle.is_set()

        assert await worker.get_and_submit_flow_runs() == []
        worker.has_room = True
        [second] = await worker.get_and_submit_flow_runs()
        assert worker.under_way == runs == {first.id, second.id}

        worker.go_on.set()
        await worker.idle.wait()
        assert worker.under_way == set()


@pytest.mark.usefixtures("prefect")
async def test_a_run_that_is_under_way_is_not_carried_out_a_second_time(server: Server) -> None:
    async with working() as worker:
        schedule(server, worker.pool_name)
        [first] = await worker.get_and_submit_flow_runs()
        worker.take(first)
        worker.go_on.set()
        await worker.idle.wait()
        assert await worker.begun.get()
        assert worker.begun.empty()


@pytest.mark.usefixtures("prefect")
async def test_a_queue_that_is_paused_gives_no_run_until_it_is_resumed(server: Server) -> None:
    async with working() as worker:
        run = schedule(server, worker.pool_name)
        queue = f"/work_pools/{worker.pool_name}/queues/default"

        def pause(*, paused: bool) -> int:
            return server.http.patch(queue, json={"is_paused": paused}).status_code

        assert await asyncio.to_thread(pause, paused=True) == 204
        assert await worker.get_and_submit_flow_runs() == []
        assert await asyncio.to_thread(pause, paused=False) == 204
        [taken] = await worker.get_and_submit_flow_runs()
        assert taken.id == run


@pytest.mark.usefixtures("prefect")
async def test_a_run_that_another_worker_began_is_not_to_be_run(server: Server) -> None:
    async with working() as worker:
        run = schedule(server, worker.pool_name)
        [entry] = await worker.ask_for_due()
        server.post(f"/flow_runs/{run}/set_state", state={"type": "RUNNING"}, force=True)

        assert entry.flow_run.id == run
        assert not await worker.propose_pending(entry.flow_run)


@pytest.mark.usefixtures("prefect")
async def test_the_cancel_of_a_run_is_told_while_it_is_under_way(server: Server) -> None:
    async with working() as worker:
        finished = schedule(server, worker.pool_name)
        await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()
        worker.go_on.set()
        await worker.idle.wait()

        worker.go_on.clear()
        cancelled = schedule(server, worker.pool_name)
        await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()
        for run in (finished, cancelled):
            server.post(f"/flow_runs/{run}/set_state", state={"type": "CANCELLING"}, force=True)

        async with asyncio.timeout(100):
            assert await worker.cancelling.get() == cancelled
        assert worker.cancelling.empty()


@pytest.mark.usefixtures("prefect")
async def test_cancels_are_told_also_when_prefect_has_another_pool_of_that_name(
    server: Server,
) -> None:
    async with working() as worker:
        former = worker.work_pool.id
        assert server.http.delete(f"/work_pools/{worker.pool_name}").is_success
        made = server.post("/work_pools/", name=worker.pool_name, type=worker.type)
        await worker.sync_with_backend()
        worker.use_pool(await worker.client.read_work_pool(worker.pool_name))
        assert worker.work_pool.id == UUID(made) != former

        cancelled = schedule(server, worker.pool_name)
        await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()
        server.post(f"/flow_runs/{cancelled}/set_state", state={"type": "CANCELLING"}, force=True)

        async with asyncio.timeout(100):
            assert await worker.cancelling.get() == cancelled


@pytest.mark.usefixtures("prefect")
async def test_cancels_are_told_though_prefect_was_away_for_longer_than_prefect_waits(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own observer gives up then, for good: as many failures as here, with longer pauses."""
    told = asyncio.Queue[UUID]()

    def tell(flow_run_id: UUID) -> None:
        told.put_nowait(flow_run_id)

    pool = EventAnyResourceFilter(id=["prefect.work-pool.*"])
    run = UUID(server.post("/flow_runs/", flow_id=server.post("/flows/", name="private")))
    assert server.http.base_url.port is not None
    with FaultProxy(server.http.base_url.port) as between:
        through = {PREFECT_API_URL: f"{between.url}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(through):
            async with Cancels(tell, lambda: pool, poll_s=0.1) as cancels:
                cancels.add_in_flight_flow_run_id(run)
                await asyncio.to_thread(between.block)
                await asyncio.to_thread(
                    wait_until, lambda: "watching for cancels begins again" in caplog.text
                )
                path = f"/flow_runs/{run}/set_state"
                server.post(path, state={"type": "CANCELLING"}, force=True)
                await asyncio.to_thread(between.unblock)
                async with asyncio.timeout(100):
                    assert await told.get() == run
            assert told.empty()


@pytest.mark.usefixtures("prefect")
async def test_a_run_that_crashed_says_why(server: Server) -> None:
    async with working() as worker:
        crashed = schedule(server, worker.pool_name)
        worker.error = ValueError("this went wrong")
        worker.go_on.set()
        await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()

    state = _state(server, crashed)
    assert (state["type"], state["message"]) == ("CRASHED", "ValueError: this went wrong")


@pytest.mark.usefixtures("prefect")
async def test_what_is_kept_open_is_left_after_the_runs_have_ended(server: Server) -> None:
    left: list[bool] = []
    worker = OneByOne(f"pool-{uuid4()}")
    opened = await worker.keep_open(AsyncExitStack())
    opened.callback(lambda: left.append(worker.idle.is_set()))
    async with worker:
        schedule(server, worker.pool_name)
        await worker.get_and_submit_flow_runs()
        assert await worker.begun.get()
        asyncio.get_running_loop().call_soon(worker.go_on.set)

    assert left == [True]


@pytest.mark.usefixtures("prefect")
async def test_the_pool_is_made_without_job_variables() -> None:
    async with working() as worker:
        assert worker.work_pool.name == worker.pool_name
        template = worker.work_pool.base_job_template
    assert template == {
        "job_configuration": {"env": {}},
        "variables": {"type": "object", "properties": {}},
    }


@pytest.mark.usefixtures("prefect")
async def test_prefects_way_to_run_a_flow_runs_it_here_too(server: Server) -> None:
    async with working() as worker:
        schedule(server, worker.pool_name)
        [entry] = await worker.ask_for_due()
        worker.go_on.set()
        result = await worker.run(entry.flow_run, BaseJobConfiguration())
        assert result.status_code == 0
        assert await worker.begun.get()


def test_only_the_subclass_is_a_worker_type() -> None:
    known = BaseWorker.get_all_available_worker_types()
    assert {"comfyui", OneByOne.type} <= set(known)
    assert PrefectWorker not in map(BaseWorker.get_worker_class_from_type, known)


OVERRIDDEN = {
    PrefectWorker: {
        "job_configuration", "get_default_base_job_template", "run",
        "_get_scheduled_flow_runs", "_submit_scheduled_flow_runs", "_setup_cancellation_observer",
    },
    ComfyWorker: {"type", "setup", "teardown", "get_and_submit_flow_runs"},
}  # fmt: skip
"""What Prefect calls of ours; the tests above call it through Prefect."""


def _assigned(of: type) -> set[str]:
    """The attributes that a class gives its instances."""
    return set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(of)))


def _own(of: type) -> set[str]:
    """What a class adds to its base."""
    return {name for name in vars(of) if not re.fullmatch("__.*__|_abc_impl", name)} | _assigned(of)


@pytest.mark.parametrize("ours", OVERRIDDEN)
def test_nothing_else_of_ours_has_the_name_of_something_of_prefects(
    ours: type[PrefectWorker],
) -> None:
    # If this fails after an upgrade, give ours another name: it would change what Prefect does.
    prefects = {*dir(BaseWorker), "type", *_assigned(BaseWorker)}
    used = {"_cancelling_observer"} if ours is PrefectWorker else set()

    assert _own(ours) & prefects == OVERRIDDEN[ours] | used


def test_the_worker_replaces_nothing_of_its_base_but_what_it_has_to_supply() -> None:
    assert _own(ComfyWorker) & _own(PrefectWorker) == PrefectWorker.__abstractmethods__


METHODS = [
    (ours, name)
    for ours, names in OVERRIDDEN.items()
    for name in sorted(names)
    if inspect.isroutine(getattr(ours, name))
]


@pytest.mark.parametrize(("ours", "name"), METHODS)
def test_what_is_overridden_has_prefects_parameters(ours: type[PrefectWorker], name: str) -> None:
    own, prefects = (
        [(one.name, one.kind) for one in inspect.signature(method).parameters.values()]
        for method in (getattr(ours, name), getattr(BaseWorker, name))
    )
    assert own == prefects
