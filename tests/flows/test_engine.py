"""What the worker needs to know of Prefect's flows, events and states."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Cancelling, Pending

from flows.worker.engine import RunningFlow


async def test_the_flow_is_loaded_by_its_dotted_path_and_is_the_very_same() -> None:
    from flows.generate import generate

    loaded: object = await asyncio.to_thread(
        load_flow_from_entrypoint, "flows.generate.generate", use_placeholder_flow=False
    )
    assert loaded is generate


@pytest.mark.parametrize(("state", "expected"), [(Cancelling(), True), (Pending(), False)])
def test_a_run_whose_start_was_refused_says_that_it_is_to_be_cancelled(
    state: State, expected: bool
) -> None:
    @flow
    async def anything() -> None:
        """Nothing."""

    running = RunningFlow(anything, FlowRun(flow_id=uuid4(), state=state))
    assert running.cancelling is expected
    assert not running.settled
