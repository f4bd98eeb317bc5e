"""Easel's own endpoint in a Prefect server whose database is PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from flows.errors import PrefectUnavailableError
from flows.prefect.accounts import Account, Answer, ToldLine
from flows.prefect.endpoint import Endpoint
from flows.prefect.gate import read_gate
from flows.worker.deployed_flows import GENERATE
from tests.flows.gates import Pool, a_pool
from tests.flows.prefect_server import Server, started
from tests.flows.private import client
from tests.flows.test_endpoint import BEGAN, begun, ended, lines_of

pytestmark = pytest.mark.timeout(400)
_END_CONNECTIONS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def execute(url: str, statement: str) -> None:
    """Beside Prefect's server, each statement by itself."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Server]:
    """Easel's Prefect server with a new database."""
    url = os.environ.get("EASEL_TEST_POSTGRES_URL")
    if url is None:
        pytest.skip("EASEL_TEST_POSTGRES_URL names no server")
    name = f"prefect_{uuid4().hex}"
    asyncio.run(execute(url, f"CREATE DATABASE {name}"))
    own = f"{url.rpartition('/')[0]}/{name}"
    folder = tmp_path_factory.mktemp("postgresql")
    try:
        with started(Server(folder, prefect_database, database_url=own), within=300) as server:
            yield server
    finally:
        asyncio.run(execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def server(there: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with client.set_to(there, monkeypatch):
        yield there


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with a_pool(server) as pool:
        pool.deploy("comfyui", entrypoint=GENERATE)
        yield pool


async def answered(endpoint: Endpoint, account: Account) -> Answer:
    """The answer to the account, sent again while Prefect is away or slow."""
    while True:
        with suppress(PrefectUnavailableError):
            [answer] = await endpoint.send([account])
            return answer


async def test_it_is_the_same_on_postgresql(pool: Pool) -> None:
    first, whole = begun(pool), begun(pool)
    end = ended(whole)
    async with get_client() as prefect_client:
        endpoint = Endpoint(prefect_client)
        answers = await endpoint.send([first])
        again = first.model_copy(update={"is_repeated": True})
        answers += await endpoint.send([again, whole, end])  # all in one, and by two transactions
        answers += await endpoint.send([ended(first), end.model_copy(update={"is_repeated": True})])
        answers += await endpoint.send([end])  # nobody knows that it is told again
        assert {one.verdict for one in answers} == {"written"}
        for account in (first, whole):
            run = await prefect_client.read_flow_run(account.run_id)
            assert (run.state_type, run.total_run_time) == (
                StateType.COMPLETED,
                timedelta(seconds=3),
            )
            assert await lines_of(prefect_client, account.run_id) == ["kept"]


async def test_the_gate_is_the_same_on_postgresql(pool: Pool) -> None:
    async with get_client() as prefect_client:
        endpoint = Endpoint(prefect_client)
        await asyncio.to_thread(pool.change, "bulk", is_paused=True)
        await asyncio.to_thread(pool.change, "pool", concurrency_limit=2)
        pool.limit_deployment(1)
        gate = await read_gate(prefect_client, pool.name, endpoint)
        assert not endpoint.is_missing
        assert gate == await read_gate(prefect_client, pool.name)
        assert (set(gate.paused.queues), len(gate.limits)) == ({"bulk"}, 2)


async def test_more_than_a_statement_of_postgresql_takes_is_told_again(pool: Pool) -> None:
    """Prefect was away for a day."""
    first = begun(pool)
    many = tuple(ToldLine(id=uuid4(), at=BEGAN, level=20, text="here") for _ in range(33_000))
    async with get_client() as prefect_client:
        endpoint = Endpoint(prefect_client)
        await endpoint.send([first])
        answer = await answered(endpoint, ended(first, lines=many, is_repeated=True))
        assert answer.verdict == "written"


async def test_what_a_database_that_restarts_cannot_take_is_no_accounts_fault(
    pool: Pool, server: Server
) -> None:
    """The worker tells it again, and does not lead the run in another way."""
    first = begun(pool)
    async with get_client() as prefect_client:
        endpoint = Endpoint(prefect_client)
        await endpoint.send([first])
        await execute(server.database_url or "", _END_CONNECTIONS)
        answer = await answered(endpoint, ended(first))
        assert answer.verdict == "written"
