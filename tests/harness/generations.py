"""A generation as an API client sees it, with what the emulator knows of it beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx

from tests.harness.emulator import EmulatorControl
from tests.harness.sse import Event, follow
from tests.harness.waiting import PATIENCE_S, wait_until

BASE: Final = "/api/v1/generation"
FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
SMALL: Final[dict[str, Any]] = {"width": 64, "height": 64, "steps": 4}


class GenerationHandle:
    """One generation, by its ``task_id``."""

    def __init__(self, api: httpx.Client, emulator: EmulatorControl, task_id: str) -> None:
        self._api = api
        self._emulator = emulator
        self.id = task_id

    def __repr__(self) -> str:
        return f"<generation {self.id}>"

    def get(self) -> httpx.Response:
        """GET status, whatever it answers."""
        return self._api.get(f"{BASE}/status/{self.id}")

    def status(self) -> dict[str, Any]:
        """The status document."""
        answer = self.get()
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def wait_for(self, *statuses: str, within: float = PATIENCE_S) -> dict[str, Any]:
        """The status document once it has one of these; fails at once when it ended otherwise."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.status())
            if last["status"] in FINAL and last["status"] not in statuses:
                raise AssertionError(f"it is {last['status']}: {last['error']}")
            return last["status"] in statuses

        wait_until(reached, lambda: f"{'/'.join(statuses)}; it is {last}", within=within)
        return last

    def wait_until_halfway(self) -> None:
        """Return when it is being sampled and says so (script a ``hang`` before)."""
        prompt_id = self.prompt_id
        wait_until(lambda: self._emulator.renders(prompt_id), f"the sampler to begin with {self}")
        self.wait_for("running")

    def wait_for_prompt(self) -> None:
        """Return when ComfyUI has it in its queue."""
        prompt_id = self.prompt_id
        wait_until(lambda: self._emulator.posts(prompt_id), f"{self} in ComfyUI's queue")

    def wait_for_reason(self, code: str) -> dict[str, Any]:
        """The status document once it says that it waits for this reason."""
        last: dict[str, Any] = {}

        def waits() -> bool:
            last.update(self.status())
            return bool((last["waiting"] or {}).get("code") == code)

        wait_until(waits, lambda: f"{code}; it is {last}")
        return last

    def result(self) -> dict[str, Any]:
        """The result document."""
        answer = self._api.get(f"{BASE}/result/{self.id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def attempts(self) -> list[dict[str, Any]]:
        """Every try."""
        answer = self._api.get(f"{BASE}/{self.id}/attempts")
        assert answer.status_code == 200, answer.text
        attempts: list[dict[str, Any]] = answer.json()["attempts"]
        return attempts

    def flow_run_id(self) -> str:
        """The newest attempt's flow run, once there is one."""
        return wait_until(
            lambda: str(self.attempts()[-1]["flow_run_id"] or ""), f"a flow run of {self}"
        )

    @property
    def prompt_id(self) -> str:
        """The newest attempt's id in ComfyUI."""
        prompt_id: str = self.attempts()[-1]["prompt_id"]
        return prompt_id

    def renders(self) -> int:
        """How often ComfyUI's sampler ran for the newest attempt."""
        return self._emulator.renders(self.prompt_id)

    def events(self, last_event_id: str | None = None) -> Iterator[Event]:
        """Its event stream."""
        return follow(self._api, f"{BASE}/{self.id}/events", last_event_id)

    def cancel(self) -> httpx.Response:
        """POST cancel."""
        return self._api.post(f"{BASE}/{self.id}/cancel")

    def retry(self) -> httpx.Response:
        """POST retry."""
        return self._api.post(f"{BASE}/{self.id}/retry")

    def delete(self) -> httpx.Response:
        """DELETE."""
        return self._api.delete(f"{BASE}/{self.id}")
