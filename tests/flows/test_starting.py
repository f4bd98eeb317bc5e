"""The flow runs of what waits: by Easel's own endpoint, as Prefect's own request makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from flows.prefect.runs import FlowRuns
from flows.prefect.starting import Started, Starts
from flows.worker.deployed_flows import GENERATE
from tests.comfy.data import resolved
from tests.flows.gates import Pool, a_pool
from tests.flows.leader import url_of
from tests.flows.prefect_server import Server
from tests.flows.run_rows import differences, settled

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("prefect")]


@asynccontextmanager
async def starts(server: Server) -> AsyncIterator[tuple[Starts, FlowRuns]]:
    async with FlowRuns(url_of(server), uuid4()) as runs:
        yield Starts(runs), runs


async def start(one: Starts, generation: UUID | None = None) -> Started:
    return await one.start(generation or uuid4(), 1, resolved(seed=7), datetime.now(UTC), None)


async def test_a_run_is_the_same_whichever_way_it_is_made(pool: Pool, server: Server) -> None:
    async with starts(server) as (one, runs):
        plain = await runs.start(uuid4(), 1, resolved(seed=7), datetime.now(UTC))
        ours = await start(one)
    assert ours.deployment_id == plain.deployment_id == pool.deployment_id
    assert differences(await settled(server, plain.id), await settled(server, ours.id)) == ""


async def test_many_go_together(pool: Pool, server: Server) -> None:
    """In one transaction: each row is from the same moment."""
    async with starts(server) as (one, _):
        made = await asyncio.gather(*(start(one) for _ in range(5)))
    written = {
        server.select("SELECT created FROM flow_run WHERE id = ?", str(run.id))[0] for run in made
    }
    assert (len({run.id for run in made}), len(written)) == (5, 1)


@pytest.mark.parametrize("way", ["before", "by Prefect's own request", "paused"])
async def test_a_run_is_made_once(pool: Pool, server: Server, way: str) -> None:
    generation = uuid4()
    async with starts(server) as (one, runs):
        if way == "before":
            first = (await start(one, generation)).id
        else:
            first = (await runs.start(generation, 1, resolved(seed=7))).id
        if way == "paused":  # then Prefect itself is asked
            pool.change("pool", is_paused=True)
        assert (await start(one, generation)).id == first


async def test_a_server_without_the_endpoint_makes_them_too(stock_server: Server) -> None:
    with a_pool(stock_server) as pool:
        pool.deploy("comfyui", entrypoint=GENERATE)
        async with starts(stock_server) as (one, runs):
            made = [await start(one), await start(one)]
            found = await runs.states([run.id for run in made])
    assert [run.state_name for run in found.values()] == ["Scheduled", "Scheduled"]
