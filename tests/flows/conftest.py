"""A real store and a real emulator; and for those that need it, a real Prefect server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from comfy import ComfySession
from comfy.emulator import Emulator, EmulatorOptions
from flows.runtime import Runtime
from flows.worker.deployed_flows import GENERATE
from store.leases import LeaseKeeper
from store.store import Store
from store.values import Claim, Holder
from tests.comfy.data import resolved
from tests.flows.gates import Pool, a_pool
from tests.flows.prefect_server import Server, started
from tests.flows.private import client
from tests.harness.databases import a_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path / "images")) as store:
        yield store


@pytest.fixture
async def claim(store: Store) -> Claim:
    """The first attempt of a new generation, held by a worker."""
    accepted = await store.acceptance.accept(resolved())
    return await store.transitions.claim(
        accepted.generation.id,
        flow_run_id=uuid4(),
        attempt=1,
        holder=Holder("this one", uuid4(), "http://comfy"),
    )


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    options = EmulatorOptions(step_time=0.005, checkpoints=("sd15.safetensors",))
    async with Emulator(options) as emulator:
        yield emulator


@pytest.fixture
async def runtime(store: Store, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Runtime]:
    async with (
        LeaseKeeper(store.leases, "worker this one", 20) as lease,
        ComfySession(emulator.url, timeout_s=10, settle_s=0.1) as session,
    ):
        holder = Holder("this one", lease.holder, emulator.url)
        yield Runtime(
            store, session, lease, holder, "http://easel.test", None, tmp_path / "wildcards"
        )


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Server]:
    """One for all of the group ``prefect server``: its start takes longer than they do."""
    with started(Server(tmp_path_factory.mktemp("prefect"), prefect_database)) as server:
        yield server


@pytest.fixture(scope="package")
def stock_server(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path
) -> Iterator[Server]:
    """A Prefect server that is not Easel's."""
    folder = tmp_path_factory.mktemp("stock")
    with started(Server(folder, prefect_database, stock=True)) as server:
        yield server


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with a_pool(server) as pool:
        pool.deploy("comfyui", entrypoint=GENERATE)
        yield pool


@pytest.fixture
async def prefect(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Prefect's client in this process, set to the server."""
    async with client.set_to(server, monkeypatch):
        yield
