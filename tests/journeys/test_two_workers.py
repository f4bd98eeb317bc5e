"""Two workers, each beside a ComfyUI of its own with other models."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.harness.emulator import EmulatorControl
from tests.harness.generations import BASE, SMALL, GenerationHandle
from tests.harness.processes import Process, free_port
from tests.harness.stack import STEP_S, Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey

ONLY_THERE: Final = "only-there-sdxl.safetensors"
NOWHERE: Final = "nowhere.safetensors"
OTHER: Final = "the other one"
NO_WORKER: Final = f"no worker has {ONLY_THERE}; {OTHER}, which has all of it, is away"


class Second:
    """A second worker, and the ComfyUI beside it, which alone has a model."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        folder.mkdir()
        self.emulator = EmulatorControl(url)
        self.comfy = Process(
            "comfyui-2",
            [
                *(sys.executable, "-m", "comfy.emulator", "--port", str(port)),
                *("--output-dir", str(folder / "output"), "--step-time", str(STEP_S)),
                *("--checkpoint", ONLY_THERE),
            ],
            stack.env,
            folder,
        )
        env = {**stack.env, "EASEL_COMFY__URL": url, "EASEL_WORKER__NAME": OTHER}
        command = [sys.executable, "-m", "cli.main", "worker"]
        self.worker = Process("worker-2", command, env, folder)
        self._stack = stack

    def start(self) -> None:
        self.start_comfy()
        self.worker.start()
        wait_until(lambda: self.says().get("reachable"), "the other worker")
        wait_until(lambda: ONLY_THERE in self._offered(), "its model")
        wait_until(self._is_known, "what its ComfyUI has, wholly")

    def start_comfy(self) -> None:
        self.comfy.start()
        wait_until(lambda: self.emulator.answers, "the other ComfyUI")

    def says(self) -> dict[str, Any]:
        """What is said of it."""
        found = self._stack.api.get("/api/v1/workers").json()["workers"]
        return next((one for one in found if one["name"] == OTHER), {})

    def _offered(self) -> list[str]:
        answer = self._stack.api.get("/api/v1/models").json()
        return [one["name"] for one in answer["checkpoints"]]

    def _is_known(self) -> bool:
        """Whether the store has its files and its nodes: the model is listed a moment before."""
        whole = "SELECT 1 FROM offers WHERE comfy_url = ? AND (files IS NULL OR nodes IS NULL) = 0"
        with closing(sqlite3.connect(self._stack.home / "easel.db", timeout=20)) as database:
            return database.execute(whole, (self.emulator.url,)).fetchone() is not None

    def stop(self) -> None:
        self.worker.kill()
        self.comfy.kill()
        self.emulator.close()
        with closing(sqlite3.connect(self._stack.home / "easel.db", timeout=20)) as database:
            database.execute("DELETE FROM workers WHERE name = ?", (OTHER,))
            database.commit()


@pytest.fixture
def second(stack: Stack, tmp_path: Path) -> Iterator[Second]:
    second = Second(stack, tmp_path / "second")
    try:
        second.start()
        yield second
    finally:
        second.stop()


def done_by(generation: GenerationHandle) -> str:
    """The worker that made it."""
    generation.wait_for("succeeded")
    return str(generation.attempts()[-1]["worker"])


def test_each_model_is_used_where_it_is(stack: Stack, second: Second) -> None:
    there = stack.create("a red fox", model=ONLY_THERE)
    assert done_by(there) == OTHER
    assert done_by(stack.create("an owl")) != OTHER
    # The limit makes Prefect say what may begin; where that can be done is the same.
    with stack.concurrency_limit(2):
        limited, elsewhere = stack.create("a red fox", model=ONLY_THERE), stack.create("an owl")
        assert done_by(limited) == OTHER
        assert done_by(elsewhere) != OTHER
    batch = stack.create_batch(items=[{"prompt": "fox", "model": ONLY_THERE}, {"prompt": "owl"}])
    batch.wait_for("succeeded")
    wait_until(lambda: second.says()["last_model"] == ONLY_THERE, "its last model to be told")


def test_what_no_worker_lists_is_refused(stack: Stack, second: Second) -> None:
    del second
    asked = {"prompt": "a red fox", "model": NOWHERE, **SMALL}
    answer = stack.api.post(f"{BASE}/create", json=asked)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert (error["loc"], error["code"]) == (["model"], "unknown_model")
    assert "models/checkpoints" in error["message"]


def test_what_only_an_absent_worker_has_waits_for_it(stack: Stack, second: Second) -> None:
    second.worker.terminate()
    waiting = stack.create("a red fox", model=ONLY_THERE)
    assert waiting.wait_for_reason("no_capable_worker")["waiting"]["detail"] == NO_WORKER
    assert done_by(stack.create("an owl")) != OTHER
    assert waiting.status()["status"] == "queued"
    second.worker.start()
    assert done_by(waiting) == OTHER


def test_a_comfyui_that_is_down_costs_its_share_only(stack: Stack, second: Second) -> None:
    second.comfy.kill()
    wait_until(lambda: not second.says()["reachable"], "the other ComfyUI to be missed")
    waiting = stack.create("a red fox", model=ONLY_THERE)
    assert waiting.wait_for_reason("no_capable_worker")["waiting"]["detail"] == NO_WORKER
    assert done_by(stack.create("an owl")) != OTHER
    second.start_comfy()
    assert done_by(waiting) == OTHER
