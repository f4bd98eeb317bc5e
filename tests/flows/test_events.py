"""The events of a real Prefect, as a worker hears them, and what they tell it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.events import Event
from prefect.events.clients import PrefectEventSubscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Paused, Running, Scheduled

from flows.prefect.runs import FlowRuns
from flows.worker import events
from flows.worker.taking import PRIORITIES
from tests.comfy.data import resolved
from tests.flows.gates import Pool, a_pool
from tests.flows.prefect_server import Server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    with a_pool(server) as pool:
        yield pool


def told(event: Event) -> set[str]:
    """What it tells."""
    said = {
        "waits in the store": events.waits_in_the_store(event, PRIORITIES),
        "cancelled": events.is_cancelled(event),
        "paused": events.is_paused(event),
    }
    return {name for name, so in said.items() if so}


async def test_each_event_of_a_run_tells_what_became_of_it(pool: Pool, server: Server) -> None:
    url = str(server.http.base_url).rstrip("/")
    wanted = EventFilter(
        event=EventNameFilter(name=[*events.RUN_EVENTS]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool.id}"]),
    )
    async with (
        PrefectEventSubscriber(filter=wanted, api_url=url) as arriving,
        FlowRuns(url) as runs,
    ):
        client = runs.client

        async def next_of(run: UUID) -> Event:
            event: Event = await anext(arriving)
            assert events.flow_run_of(event) == run
            assert events.is_of_queue(event, "interactive")
            return event

        async def after(run: UUID, state: State[Any]) -> set[str]:
            await client.set_flow_run_state(run, state, force=True)
            return told(await next_of(run))

        run = (await runs.start(uuid4(), 1, resolved())).id
        assert told(await next_of(run)) == {"waits in the store"}
        assert await after(run, Scheduled(name="Late")) == {"waits in the store"}
        assert await after(run, AwaitingRetry()) == set()  # by an operator
        assert await after(run, Paused()) == {"paused"}
        assert await after(run, Scheduled(name="Resuming")) == set()
        await client.set_flow_run_state(run, Running(), force=True)  # of no interest
        assert await after(run, Cancelling()) == set()
        assert await after(run, Cancelled(message="Not wanted.")) == {"cancelled"}

        there = (await runs.start(uuid4(), 1, resolved())).id
        assert told(await next_of(there)) == {"waits in the store"}
        nothing = f"Nothing to do: no generation {uuid4()}"
        assert await after(there, Cancelled(message=nothing)) == set()

        deployment = await client.read_deployment_by_name("generate/comfyui")
        by_hand = (await client.create_flow_run_from_deployment(deployment.id)).id
        assert told(await next_of(by_hand)) == set()


def test_what_is_no_flow_run_is_none() -> None:
    for resource in ("prefect.work-pool.7", f"prefect.work-pool.{uuid4()}", "prefect.flow-run.7"):
        event = Event.model_validate(
            {"event": "prefect.work-pool.updated", "resource": {"prefect.resource.id": resource}}
        )
        assert events.flow_run_of(event) is None
        assert told(event) == set()
