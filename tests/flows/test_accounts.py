"""Runs that are led by accounts, sent to Easel's own endpoint: as Prefect itself leads them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from comfy.emulator import Emulator
from flows.attempts.attempt import Attempt
from flows.runtime import Runtime
from tests.flows.gates import Pool
from tests.flows.leader import Led, leading, url_of
from tests.flows.prefect_server import Server
from tests.flows.run_rows import differences, settled
from tests.harness.proxy import FaultProxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect")]


def _name(scene: object) -> str:
    return type(scene).__name__


class Scene:
    """What happens to an attempt."""

    def before(self, emulator: Emulator) -> None:
        """Before it begins."""

    async def meanwhile(self, led: Led, attempt: Attempt) -> None:
        """While it goes on."""

    def is_apart(self, row: str) -> bool:  # noqa: ARG002
        """Whether the row need not be the same."""
        return False


class Fails(Scene):
    def before(self, emulator: Emulator) -> None:
        emulator.faults.fail_node("KSampler")


class IsTriedAgain(Scene):
    def before(self, emulator: Emulator) -> None:
        emulator.faults.drop_replies(1, accepted=False)


class IsCancelled(Scene):
    """By an operator, while it renders."""

    def before(self, emulator: Emulator) -> None:
        emulator.faults.hang()

    async def meanwhile(self, led: Led, attempt: Attempt) -> None:
        await until_it_polls(led, attempt)
        assert attempt.flow_run_id is not None
        await led.runs.cancel(attempt.flow_run_id)

    def is_apart(self, row: str) -> bool:
        """Prefect's engine says Cancelling once more before it says Cancelled."""
        return "Cancelling" in row or "CANCELLING" in row


async def until_it_polls(led: Led, attempt: Attempt) -> None:
    """Wait until Prefect shows that ComfyUI has the prompt."""
    async with asyncio.timeout(100):
        while attempt.flow_run_id is None or "poll" not in await _running(led, attempt):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _running(led: Led, attempt: Attempt) -> set[str]:
    assert attempt.flow_run_id is not None
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[attempt.flow_run_id]))
    tasks = await led.client.read_task_runs(flow_run_filter=wanted)
    return {one.name.rpartition("-")[0] for one in tasks if one.state_name == "Running"}


async def played(
    led: Led, server: Server, emulator: Emulator, scene: Scene
) -> dict[str, Counter[str]]:
    """What Prefect has of a run in which that happened."""
    scene.before(emulator)
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        attempt = await led.attempt()
        led.leading.begin(attempt)
        await scene.meanwhile(led, attempt)
        run = await led.ended(attempt)
        await APILogHandler.aflush()
    emulator.faults.clear()
    return await settled(server, run.id)


@pytest.mark.parametrize("scene", [Scene(), Fails(), IsTriedAgain(), IsCancelled()], ids=_name)
async def test_a_run_is_the_same_whichever_way_it_is_led(
    scene: Scene,
    runtime: Runtime,
    pool: Pool,
    server: Server,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prefect's own flow and task engines against accounts: all rows, all columns."""
    monkeypatch.setattr("flows.attempts.stage.FIRST_PAUSE_S", 6.0)  # for the engines to catch up
    monkeypatch.setattr("flows.tasks.submit.retry_delay_seconds", [0.01])
    monkeypatch.setattr("flows.worker.accounts.TELL_EVERY_S", 0.1)
    for module in ("flows.artifacts", "flows.worker.teller"):  # a bar depends on the time it takes
        monkeypatch.setattr(f"{module}.UPDATE_EVERY_S", 1000.0)
    async with leading(runtime, pool, url_of(server)) as led:
        led.worker.operators = led.operators
        led.leading.accounts.endpoint.note_missing()
        plain = await played(led, server, emulator, scene)
        led.leading.look_again()
        ours = await played(led, server, emulator, scene)
    for found in (plain, ours):
        for rows in found.values():
            for row in [one for one in rows if scene.is_apart(one)]:
                del rows[row]
    assert differences(plain, ours) == ""


async def test_a_run_that_is_told_late_has_the_times_of_its_attempt(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    """Prefect was away while it was done: it is told whole, in one transaction."""
    assert server.http.base_url.port is not None
    with FaultProxy(server.http.base_url.port) as between:
        await asyncio.to_thread(between.block)
        async with leading(runtime, pool, f"{between.url}/api") as led:
            attempt = await led.attempt()
            led.leading.begin(attempt)
            await attempt.over()
            await asyncio.to_thread(between.unblock)
            run = await led.ended(attempt)
            assert run.end_time == attempt.ended_at
            stages = attempt.begun_stages
            shown = await led.tasks(run, len(stages))
            assert [one.start_time for one in shown] == [one.began_at for one in stages]
            assert [one.end_time for one in shown] == [one.ended_at for one in stages]
    [(moments,)] = server.select(
        "SELECT count(DISTINCT created) FROM flow_run_state WHERE flow_run_id = ?", str(run.id)
    )
    assert moments == 1


async def test_a_run_that_was_dispatched_before_is_begun(
    runtime: Runtime, pool: Pool, server: Server
) -> None:
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt(has_run=True)
        before = attempt.flow_run_id
        run = await led.done(attempt)
        assert (run.id, run.state_name, run.run_count) == (before, "Completed", 1)
        assert led.leading.accounts.endpoint.is_missing is False


async def test_a_run_that_was_deleted_meanwhile_is_not_made_again(
    runtime: Runtime, pool: Pool, server: Server, emulator: Emulator
) -> None:
    emulator.faults.hang()
    async with leading(runtime, pool, url_of(server)) as led:
        attempt = await led.attempt()
        led.leading.begin(attempt)
        await until_it_polls(led, attempt)
        assert attempt.flow_run_id is not None
        await led.client.delete_flow_run(attempt.flow_run_id)
        emulator.faults.clear()
        await attempt.over()
        await led.leading.stop(within_s=60)
        assert await led.runs.made_for(attempt.claim.generation_id, [1]) == set()
        assert await led.status(attempt) == "succeeded"
