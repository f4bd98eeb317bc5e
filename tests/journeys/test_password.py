"""Prefect behind a password: PREFECT_SERVER_API_AUTH_STRING, as the documentation recommends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
PASSWORD = "operator:open sesame"


class ProtectedStack(Stack):
    """Its Prefect server answers those only that have the password."""

    def _surroundings(self, prefect_port: int, comfy_port: int) -> dict[str, str]:
        return {
            **super()._surroundings(prefect_port, comfy_port),
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_API_AUTH_STRING": PASSWORD,
        }

    def start_api_with(self, password: str) -> None:
        self._api.kill()
        command = self._api.command[1:]
        self._api = self._part("api", *command, PREFECT_API_AUTH_STRING=password)
        self.start_api()

    def easel_with(self, password: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *command],
            env={**self.env, "PREFECT_API_AUTH_STRING": password},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def doctor_on_prefect(self, password: str) -> dict[str, Any]:
        done = self.easel_with(password, "doctor", "--json")
        [found] = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "Prefect"]
        return dict(found)

    def readiness(self) -> httpx.Response:
        return self.api.get("/readyz")


@pytest.fixture
def protected(tmp_path: Path, prefect_database: Path) -> Iterator[ProtectedStack]:
    stack = ProtectedStack(tmp_path, prefect_database)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def test_pictures_and_batches_are_made_with_the_password_and_a_wrong_one_is_named(
    protected: ProtectedStack,
) -> None:
    stranger = httpx.post(f"{protected.prefect_url}/flow_runs/filter", json={}, trust_env=False)
    assert stranger.status_code == 401

    protected.create("behind a password").wait_for("succeeded")
    batch = protected.create_batch(items=[{"prompt": "one"}, {"prompt": "two"}])
    batch.wait_for("succeeded")
    with protected.halfway("to be cancelled") as generation:  # its event comes by websocket
        generation.cancel()
        generation.wait_for("cancelled")

    protected.start_api_with("wrong")
    wait_until(lambda: protected.readiness().status_code == 503, "readiness sees it")
    [prefect] = [
        part for part in protected.readiness().json()["parts"] if part["name"] == "prefect"
    ]
    assert prefect["ok"] is False
    assert "PREFECT_API_AUTH_STRING" in prefect["detail"]
    assert PASSWORD not in protected.readiness().text
    refused = protected.doctor_on_prefect("wrong")
    assert not refused["ok"]
    assert "PREFECT_API_AUTH_STRING" in refused["detail"]
    assert protected.doctor_on_prefect(PASSWORD)["ok"]
    worker = protected.easel_with("wrong", "worker")
    assert worker.returncode == 1
    assert "PREFECT_API_AUTH_STRING" in worker.stderr
    assert "Traceback" not in worker.stderr

    waiting = protected.create("waits for the right password")
    protected.start_api_with(PASSWORD)
    waiting.wait_for("succeeded")
    assert protected.readiness().status_code == 200
