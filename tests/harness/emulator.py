"""The ComfyUI emulator, seen over HTTP: its faults, and the account of what it did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.harness.processes import Process, environment, free_port
from tests.harness.waiting import wait_until


class EmulatorControl:
    """Speaks to a running ``python -m comfy.emulator``."""

    def __init__(self, url: str) -> None:
        self.url = url
        # A connection of its own for each request: one that is kept may be closed by a restart, or
        # as it was idle, in the very moment in which it is used again.
        alone = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=10, limits=alone)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return self._http.get("/system_stats").is_success
        except httpx.HTTPError:
            return False

    def fault(self, name: str, **arguments: Any) -> Any:
        """Script a fault: a method of ``comfy.emulator.Faults``, or ``restart``."""
        answer = self._http.post("/emulator/faults", json={"fault": name, **arguments})
        assert answer.is_success, answer.text
        return answer.json()["result"]

    def clear(self) -> None:
        """Undo every fault that is still to come or lasts; what hangs goes on."""
        self._http.delete("/emulator/faults").raise_for_status()

    def state(self) -> dict[str, Any]:
        """The ledger: renders, posts, executions, incarnation."""
        state: dict[str, Any] = self._http.get("/emulator/state").raise_for_status().json()
        return state

    def renders(self, prompt_id: str) -> int:
        """How often the sampler ran for a prompt, over all emulated restarts of this process."""
        count: int = self.state()["renders"].get(prompt_id, 0)
        return count

    def posts(self, prompt_id: str) -> int:
        """How often a prompt was accepted."""
        count: int = self.state()["posts"].get(prompt_id, 0)
        return count

    def executions(self) -> list[dict[str, Any]]:
        """Every execution, in order of its start."""
        executions: list[dict[str, Any]] = self.state()["executions"]
        return executions

    def outcomes(self, prompt_id: str) -> list[str | None]:
        """How each execution of a prompt ended; None while it lasts."""
        return [e["outcome"] for e in self.executions() if e["prompt_id"] == prompt_id]

    def history(self) -> dict[str, Any]:
        """ComfyUI's history: each ended prompt with its whole workflow, by its id."""
        said: dict[str, Any] = self._http.get("/history").raise_for_status().json()
        return said

    def interrupt(self) -> None:
        """Press Interrupt in ComfyUI's own page."""
        self._http.post("/interrupt").raise_for_status()

    def queue(self) -> dict[str, list[str]]:
        """The prompt ids that ComfyUI executes (``running``) and that wait (``pending``)."""
        said = self._http.get("/queue").raise_for_status().json()
        return {
            "running": [item[1] for item in said["queue_running"]],
            "pending": [item[1] for item in said["queue_pending"]],
        }


@contextmanager
def open_emulator(folder: Path, *arguments: str) -> Iterator[EmulatorControl]:
    """A process of its own, answering. ``arguments`` are those of its command line."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "comfy.emulator", "--port", str(port)]
    command += ["--output-dir", str(folder / "output"), *arguments]
    process = Process("comfyui", command, environment(), folder)
    control = EmulatorControl(f"http://127.0.0.1:{port}")
    process.start()
    try:
        wait_until(lambda: control.answers, "the emulator", within=60)
        yield control
    finally:
        control.close()
        process.kill()
