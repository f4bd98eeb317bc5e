"""Somebody wants a picture gone, for good."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
_TABLES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"


def kept_files(stack: Stack, task_id: str) -> list[Path]:
    """What lies in the image store for a generation."""
    return [path for path in (stack.home / "images").rglob("*") if task_id in str(path)]


def test_deleted_while_it_is_rendered(stack: Stack) -> None:
    with stack.halfway("a secret") as generation:
        prompt_id, run_id = generation.prompt_id, generation.flow_run_id()
        assert generation.delete().status_code == 204
        wait_until(lambda: stack.emulator.outcomes(prompt_id) == ["interrupted"], "the interrupt")
    wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    assert generation.get().status_code == 410
    assert generation.get().json()["code"] == "deleted"
    assert generation.delete().status_code == 204
    assert kept_files(stack, generation.id) == []
    assert stack.history(q="a secret") == []


def test_deleted_before_its_turn(stack: Stack) -> None:
    with stack.halfway("the one before") as before:
        stack.create("between")
        generation = stack.create("a mistake")
        prompt_id, run_id = generation.prompt_id, generation.flow_run_id()
        assert generation.delete().status_code == 204
        wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    before.wait_for("succeeded")
    assert stack.emulator.renders(prompt_id) == 0
    assert generation.get().status_code == 410


def test_deleted_after_success(stack: Stack) -> None:
    generation = stack.create("an old flame")
    generation.wait_for("succeeded")
    [image] = generation.result()["images"]
    run_id = generation.flow_run_id()
    assert len([path for path in kept_files(stack, generation.id) if path.is_file()]) == 2

    assert generation.delete().status_code == 204
    assert kept_files(stack, generation.id) == []
    assert stack.api.get(image["url"]).status_code in (404, 410)
    assert generation.get().status_code == 410
    wait_until(lambda: stack.flow_run(run_id) is None, "the flow run to be forgotten")
    assert generation.delete().status_code == 204


def test_nothing_tells_of_it_any_more(stack: Stack) -> None:
    """Two attempts, the first with an error; what stays is what docs/operations.md names."""
    secret = f"a secret {uuid4()}"
    stack.emulator.fault("fail_node", class_type="KSampler")
    generation = stack.create(secret)
    generation.wait_for("failed")
    runs = [generation.flow_run_id()]
    assert generation.retry().status_code == 202
    generation.wait_for("succeeded")
    runs.append(generation.flow_run_id())
    prompt_ids = {attempt["prompt_id"] for attempt in generation.attempts()}
    assert prompt_ids <= stack.emulator.history().keys()
    for run_id in runs:
        assert secret in str(stack.flow_run(run_id))
    assert tables_with(stack.home / "easel.db", secret)
    # Prefect keeps what it is told of a run that it has deleted, and logs come seconds late.
    wait_until(lambda: has_last_line(stack, runs[0]), "its last line")
    stack.prefect.delete_flow_run(UUID(runs[0]))  # as an operator may: its artifacts stay
    # A run is forgotten seconds after its end: by then its last artifact and events are written.
    wait_until(lambda: "artifact" in tables_with(prefect_database(stack), secret), "artifacts")

    assert generation.delete().status_code == 204

    wait_until(lambda: not prompt_ids & stack.emulator.history().keys(), "ComfyUI to forget it")
    wait_until(lambda: not any(map(stack.flow_run, runs)), "the flow runs to be forgotten")
    wait_until(lambda: not logs(stack, runs), lambda: f"their logs to go: {logs(stack, runs)}")
    # The run that was deleted by hand is gone from the beginning: what it left goes meanwhile.
    wait_until(
        lambda: not tables_with(prefect_database(stack), secret),
        lambda: f"Prefect to forget it: {tables_with(prefect_database(stack), secret)}",
    )
    assert tables_with(stack.home / "easel.db", secret) == []
    assert [part.name for part in stack.parts if secret in part.log.read_text()] == []
    left = [
        path for path in stack.comfy_output.rglob("*.png") if secret.encode() in path.read_bytes()
    ]
    assert len(left) == 1  # no route of ComfyUI's deletes an output


def prefect_database(stack: Stack) -> Path:
    return stack.prefect_home / "prefect.db"


def logs(stack: Stack, flow_run_ids: list[str]) -> list[Log]:
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(each) for each in flow_run_ids]))
    return stack.prefect.read_logs(log_filter=wanted)


def has_last_line(stack: Stack, flow_run_id: str) -> bool:
    """Of the flow run itself: those of its task runs, which end before it, say the same."""
    return any(
        line.task_run_id is None and line.message.startswith("Finished in state")
        for line in logs(stack, [flow_run_id])
    )


def tables_with(database: Path, text: str) -> list[str]:
    """The names of the tables with a cell in which the text is."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        names = [name for (name,) in connection.execute(_TABLES)]
        return [
            name
            for name in names
            if any(
                text in str(cell)
                for row in connection.execute(f'SELECT * FROM "{name}"')
                for cell in row
            )
        ]
