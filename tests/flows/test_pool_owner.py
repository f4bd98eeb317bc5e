"""Whose a pool is: who knows it asks a real Prefect for one variable, and for all if that is lost.

Prefect that has lost its database has lost the variable too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from flows.errors import OtherStoreError
from flows.prefect import runs
from flows.prefect.declared import default_pool
from flows.prefect.pool_owner import claim_pool, variable_name
from flows.prefect.runs import DEPLOYMENT, FlowRuns
from flows.worker import registration
from flows.worker.events import EventStream
from flows.worker.registration import Registration
from store.store import Store
from tests.flows.gates import Pool
from tests.flows.leader import Leader, url_of
from tests.flows.prefect_server import Server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _nothing_is_asked_for_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is. The API trusts an answer for a while: here it asks each time."""
    monkeypatch.setattr(runs, "OWNED_FOR_S", 0.0)
    monkeypatch.setattr(runs, "SAME_POOL_S", 3600.0)
    monkeypatch.setattr(registration, "THERE_FOR_S", 3600.0)


@contextmanager
def requests_of(client: PrefectClient) -> Iterator[list[str]]:
    """The requests that it sends meanwhile, each with its path; without a token for writes."""
    sent: list[str] = []

    async def note(request: httpx.Request) -> None:
        path = request.url.path.removeprefix("/api")
        if path != "/csrf-token":  # Prefect's client asks for one an hour
            sent.append(f"{request.method} {path}")

    hooks = client._client.event_hooks["request"]
    hooks.append(note)
    try:
        yield sent
    finally:
        hooks.remove(note)


def path_of_variable(pool_id: UUID | str) -> str:
    return f"/variables/name/{variable_name(UUID(str(pool_id)))}"


def owner_in(server: Server, pool_id: UUID | str) -> UUID:
    return UUID(server.send("GET", path_of_variable(pool_id)).json()["value"]["store"])


# --- the API


async def test_the_api_asks_for_the_variable_alone_until_that_is_lost(
    store: Store, server: Server, pool: Pool
) -> None:
    variable = path_of_variable(pool.id)
    everything = [
        f"GET /deployments/name/{DEPLOYMENT}",
        f"GET /work_pools/{pool.name}",
        f"GET {variable}",
        "POST /variables/",
    ]
    async with FlowRuns(url_of(server), store.identity) as api:

        async def asked() -> list[str]:
            with requests_of(api.client) as sent:
                await api.confirm_owner()
            return sent

        assert await asked() == everything
        for _ in range(2):
            assert await asked() == [f"GET {variable}"]

        await asyncio.to_thread(server.send, "DELETE", variable)
        assert await asked() == [f"GET {variable}", *everything]
        assert owner_in(server, pool.id) == store.identity
        assert await asked() == [f"GET {variable}"]


async def test_the_api_sees_in_the_variable_that_another_store_took_over(
    store: Store, server: Server, pool: Pool
) -> None:
    other = uuid4()
    async with FlowRuns(url_of(server), store.identity) as api:
        await api.confirm_owner()
        value = {"value": {"store": str(other), "pool": pool.name}}
        await asyncio.to_thread(server.send, "PATCH", path_of_variable(pool.id), value)

        with pytest.raises(OtherStoreError):
            await api.confirm_owner()

    assert owner_in(server, pool.id) == other


# --- a worker


class Registered:
    """A worker of the pool that ``prefect.yaml`` declares, registered for a store."""

    def __init__(self, worker: Leader, store: Store) -> None:
        self.worker = worker
        self.first = 0
        self.again = 0
        self._store = store
        self.stream = EventStream(worker, lambda: None, lambda _: None)
        self.registration = Registration(
            worker, store, self.stream, self._claim, self._on_first, self._on_again
        )

    async def _claim(self, client: PrefectClient) -> None:
        await claim_pool(client, self.worker.pool_name, self._store.identity)

    async def _on_first(self) -> None:
        self.first += 1

    def _on_again(self) -> None:
        self.again += 1

    async def asked(self) -> list[str]:
        """What a look of its loop asks Prefect for."""
        with requests_of(self.worker.client) as sent:
            await self.registration._stay()
        return sent

    async def hears(self) -> None:
        """Return when its stream is that of the pool."""
        async with asyncio.timeout(60):
            while self.stream.pool_id != self.worker.work_pool.id:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)


def forget_pool(server: Server) -> None:
    """Let Prefect have none of that name: other tests may have left one."""
    answer = server.http.delete(f"/work_pools/{default_pool()}")
    assert answer.status_code in (204, 404), answer.text


@asynccontextmanager
async def registered(store: Store, server: Server) -> AsyncIterator[Registered]:
    """(Not a fixture: one task.)"""
    await asyncio.to_thread(forget_pool, server)
    async with Leader(default_pool()) as worker:
        its = Registered(worker, store)
        await its.registration.begin()
        await its.registration.begun()
        its.stream.start()
        try:
            await its.hears()
            yield its
        finally:
            await its.stream.stop()
    await asyncio.to_thread(forget_pool, server)


@pytest.mark.usefixtures("prefect")
async def test_a_worker_asks_for_the_variable_alone_until_that_is_lost(
    store: Store, server: Server
) -> None:
    async with registered(store, server) as its:
        pool_id = its.worker.work_pool.id
        variable = path_of_variable(pool_id)
        everything = [
            f"GET /work_pools/{default_pool()}",
            f"GET /deployments/name/{DEPLOYMENT}",
            f"GET /work_pools/{default_pool()}",
            f"GET {variable}",
        ]
        assert await its.asked() == everything
        for _ in range(2):
            assert await its.asked() == [f"GET {variable}"]

        await asyncio.to_thread(server.send, "DELETE", variable)
        assert await its.asked() == [f"GET {variable}", *everything, "POST /variables/"]
        assert owner_in(server, pool_id) == store.identity
        assert await its.asked() == [f"GET {variable}"]
        assert (its.first, its.again) == (1, 0)


@pytest.mark.usefixtures("prefect")
async def test_a_worker_whose_pool_is_lost_with_its_variable_registers_again(
    store: Store, server: Server
) -> None:
    async with registered(store, server) as its:
        await its.asked()
        former = its.worker.work_pool.id
        deployment = server.send("GET", f"/deployments/name/{DEPLOYMENT}").json()["id"]
        for path in (
            path_of_variable(former),
            f"/deployments/{deployment}",
            f"/work_pools/{default_pool()}",
        ):
            await asyncio.to_thread(server.send, "DELETE", path)

        await its.asked()

        now = its.worker.work_pool.id
        assert now != former
        assert owner_in(server, now) == store.identity
        made = server.send("GET", f"/deployments/name/{DEPLOYMENT}").json()
        assert made["id"] != deployment
        assert made["work_pool_name"] == default_pool()
        assert (its.first, its.again) == (1, 1)
        await its.hears()
        await its.asked()
        assert await its.asked() == [f"GET {path_of_variable(now)}"]
