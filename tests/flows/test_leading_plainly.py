"""A flow run that is led by Prefect's own requests: what can happen between two of them."""

from __future__ import annotations

import pytest
from prefect.client.schemas.objects import StateType

from comfy.emulator import Emulator
from flows.attempts.attempt import Stopped
from flows.runtime import Runtime
from tests.flows.gates import Pool
from tests.flows.leader import leading, url_of
from tests.flows.prefect_server import Server

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]


@pytest.fixture
def server(stock_server: Server) -> Server:
    return stock_server


async def test_a_cancel_between_pending_and_running_ends_run_and_attempt(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    """The engine does not begin then, and leaves the run as it was."""
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        led.worker.cancels = True
        attempt = await led.attempt()
        run = await led.done(attempt)
        assert run.state_type == StateType.CANCELLED
        assert await attempt.outcome() == Stopped("cancel")
        assert await led.status(attempt) == "cancelled"


async def test_a_run_that_prefect_lost_with_its_database_is_made_again(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    """Also when it was made a moment before, which the claim does not tell."""
    async with leading(runtime, pool, url_of(server)) as led:
        led.worker.loses = pool
        attempt = await led.attempt()
        run = await led.done(attempt)
        [former] = led.worker.lost
        assert run.id != former
        assert run.state_type == StateType.COMPLETED
        assert runtime.attempts.of_run(former) is None
