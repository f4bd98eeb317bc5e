"""Two stores and one Prefect server: the pool is one's; the other's runs are not touched."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled

from flows.prefect.foreign_runs import STATE_NAME
from flows.prefect.runs import STORE_LABEL, idempotency_key
from tests.harness.databases import at_once, migrated
from tests.harness.generations import SMALL
from tests.harness.processes import Process, free_port
from tests.harness.stack import POOL, Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey

OTHER_WORKER: Final = "of another store"
_REGARDLESS: Final = f"""
from flows.worker import main
from flows.worker.worker import ComfyWorker

class Regardless(ComfyWorker):
    async def claim_pool(self, client):
        "As if there were one store only."

main.ComfyWorker = Regardless
main.run_worker({POOL!r})
"""


class OtherStore:
    """A second store, whose parts know the same Prefect server and the same ComfyUI."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self._stack = stack
        self._home = home
        home.mkdir()
        at_once(migrated(f"sqlite+aiosqlite:///{home / 'easel.db'}"))
        self.parts: list[Process] = []

    @property
    def identity(self) -> UUID:
        return identity_in(self._home)

    def worker(self, *arguments: str, take_over: UUID | None = None) -> Process:
        options = [] if take_over is None else ["--take-over", str(take_over)]
        return self._start("worker", *(arguments or ("-m", "cli.main", "worker", *options)))

    def api(self) -> Process:
        return self._start("api", "-m", "cli.main", "api", "--port", str(free_port()))

    def _start(self, name: str, *arguments: str) -> Process:
        env = {**self._stack.env, "EASEL_HOME": str(self._home), "EASEL_WORKER__NAME": OTHER_WORKER}
        part = Process(name, [sys.executable, *arguments], env, self._home)
        self.parts.append(part)
        part.start()
        return part


@pytest.fixture
def other(stack: Stack, tmp_path: Path) -> Iterator[OtherStore]:
    other = OtherStore(stack, tmp_path / "other")
    yield other
    for part in other.parts:
        part.kill()


def identity_in(home: Path) -> UUID:
    with closing(sqlite3.connect(home / "easel.db")) as database:
        [[found]] = database.execute("SELECT id FROM identity").fetchall()
    return UUID(found)


def wait_for_end(part: Process) -> str:
    """Wait until it has ended by itself. Returns the end of its log, on one line."""
    wait_until(lambda: not part.is_running, part.tail, within=100)
    return " ".join(part.tail().split())


def a_run(stack: Stack, generation_id: object, **more: Any) -> FlowRun:
    """A flow run of a generation, made past the API."""
    deployment = stack.prefect.read_deployment_by_name("generate/comfyui")
    return stack.prefect.create_flow_run_from_deployment(
        deployment.id,
        parameters={
            "request": {"prompt": "of another store", **SMALL},
            "generation_id": str(generation_id),
        },
        work_queue_name="interactive",
        **more,
    )


def part_of(stack: Stack, name: str) -> dict[str, Any] | None:
    parts = stack.api.get("/readyz").json()["parts"]
    return next((part for part in parts if part["name"] == name), None)


@pytest.mark.parametrize("part", ["worker", "api"])
def test_a_part_of_another_store_refuses_to_start(
    stack: Stack, other: OtherStore, part: str
) -> None:
    refused = other.worker() if part == "worker" else other.api()

    said = wait_for_end(refused)

    assert f"easel worker --take-over {identity_in(stack.home)}" in said
    assert str(other.identity) in said
    assert "Traceback" not in said
    stack.create("by the store whose pool it is").wait_for("succeeded")


def test_a_worker_of_another_store_takes_and_ends_nothing(stack: Stack, other: OtherStore) -> None:
    other.worker("-c", _REGARDLESS)
    wait_until(lambda: OTHER_WORKER in workers(stack), "the other store's worker", within=100)

    generations = [stack.create(f"beside it {number}") for number in range(20)]

    for generation in generations:
        assert generation.wait_for("succeeded")["attempt"] == 1
        assert generation.renders() == 1


def workers(stack: Stack) -> list[str]:
    path = f"{stack.prefect_url}/work_pools/{POOL}/workers/filter"
    found = httpx.post(path, json={}).json()
    return [worker["name"] for worker in found if worker["status"] == "ONLINE"]


def test_a_run_that_this_store_never_had_waits_and_is_shown(stack: Stack) -> None:
    elsewhere, never = uuid4(), uuid4()
    run = a_run(
        stack,
        never,
        idempotency_key=idempotency_key(never, 1),
        labels={STORE_LABEL: str(elsewhere)},
    )
    try:
        kept = stack.wait_for_flow_run(str(run.id), STATE_NAME)
        assert kept.run_count == 0
        stack.create("not held up by it").wait_for("succeeded")
        shown = wait_until(lambda: part_of(stack, "foreign_runs"), "it in /readyz")
        assert shown is not None
        assert f"1 of store {elsewhere}" in shown["detail"]
        assert stack.wait_for_flow_run(str(run.id), STATE_NAME).run_count == 0
    finally:
        stack.prefect.delete_flow_run(run.id)


def test_a_run_whose_generation_was_deleted_is_ended(stack: Stack) -> None:
    generation = stack.create("deleted")
    generation.wait_for("succeeded")
    assert generation.delete().status_code == 204
    run = a_run(stack, generation.id)

    ended = stack.wait_for_flow_run(str(run.id), "Cancelled")

    assert ended.state is not None
    assert "was deleted" in (ended.state.message or "")


def test_a_generation_goes_on_whose_run_another_stores_worker_ended(stack: Stack) -> None:
    stack.kill_worker()
    generation = stack.create("ended by a stranger")
    run_id = generation.flow_run_id()
    end_as_a_stranger(stack, run_id, f"no generation {generation.id}")
    stack.wait_for_flow_run(run_id, "Scheduled")

    stack.start_worker()

    assert generation.wait_for("succeeded")["attempt"] == 1
    stack.wait_for_flow_run(run_id, "Completed")


def test_a_batch_goes_on_whose_run_another_stores_worker_ended(stack: Stack) -> None:
    stack.kill_worker()
    batch = stack.create_batch(items=[{"prompt": "one"}, {"prompt": "two"}])
    link = wait_until(lambda: batch.get()["urls"]["flow_run"], "its flow run")
    run_id = str(link).rpartition("/")[2]
    end_as_a_stranger(stack, run_id, f"no batch {batch.id}")
    stack.wait_for_flow_run(run_id, "Scheduled")

    stack.start_worker()

    batch.wait_for("succeeded")


def end_as_a_stranger(stack: Stack, run_id: str, missing: str) -> None:
    """As a worker of another store did in earlier versions."""
    state: State[Any] = Cancelled(message=f"Nothing to do: {missing}")
    stack.prefect.set_flow_run_state(UUID(run_id), state, force=True)


def test_a_pool_is_taken_over_and_back(stack: Stack, other: OtherStore) -> None:
    ours = identity_in(stack.home)
    taking = other.worker(take_over=ours)

    wait_until(lambda: not stack.worker_is_running, "this store's worker to stop", within=100)
    taken = wait_until(lambda: part_of(stack, "pool"), "it in /readyz")
    assert taken is not None
    assert not taken["ok"]
    assert f"--take-over {other.identity}" in taken["detail"]
    generation = stack.create("accepted all the same")
    generation.wait_for_reason("waiting_for_prefect")
    schedule = {"batch": {"items": [{"prompt": "nightly"}]}, "cron": "0 2 * * *", "name": "ours"}
    refused = stack.api.post("/api/v1/schedules", json=schedule)
    assert refused.status_code == 503, refused.text
    assert "belongs to another store" in refused.json()["detail"]

    taking.terminate()
    other_again = Process(
        "worker-again",
        [sys.executable, "-m", "cli.main", "worker", "--take-over", str(other.identity)],
        stack.env,
        stack.home,
    )
    other_again.start()
    try:
        generation.wait_for("succeeded")
        wait_until(lambda: part_of(stack, "pool") is None, "the pool to be this store's")
    finally:
        other_again.terminate()


def test_a_pool_without_a_store_is_claimed_silently(stack: Stack) -> None:
    """As one that an earlier version made."""
    stack.terminate_worker()
    pool = stack.prefect.read_work_pool(POOL)
    name = f"easel_pool_{pool.id.hex}"
    stack.prefect.delete_variable_by_name(name)

    stack.start_worker()
    stack.create("on a claimed pool").wait_for("succeeded")

    variable = wait_until(lambda: stack.prefect.read_variable_by_name(name), "the variable")
    assert variable is not None
    assert isinstance(variable.value, dict)
    assert variable.value["store"] == str(identity_in(stack.home))
