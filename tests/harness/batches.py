"""A batch as an API client sees it, with what the emulator knows of its generations beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import httpx

from core.ids import prompt_id
from tests.harness.emulator import EmulatorControl
from tests.harness.waiting import PATIENCE_S, wait_until

BATCHES: Final = "/api/v1/batches"
OVER: Final = frozenset({"succeeded", "failed", "cancelled"})


class BatchHandle:
    """One batch, by its id."""

    def __init__(self, api: httpx.Client, emulator: EmulatorControl, batch_id: str) -> None:
        self._api = api
        self._emulator = emulator
        self.id = batch_id

    def __repr__(self) -> str:
        return f"<batch {self.id}>"

    def get(self) -> dict[str, Any]:
        """Its document."""
        answer = self._api.get(f"{BATCHES}/{self.id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def do(self, what: str) -> httpx.Response:
        """POST cancel, pause, resume or retry-failed."""
        return self._api.post(f"{BATCHES}/{self.id}/{what}")

    def wait_for(self, *statuses: str, within: float = PATIENCE_S) -> dict[str, Any]:
        """The document once it has one of these; fails at once when it ended otherwise."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.get())
            if last["status"] in OVER and last["status"] not in statuses:
                raise AssertionError(f"it is {last['status']}: {last['error']}")
            return last["status"] in statuses

        wait_until(reached, lambda: f"{'/'.join(statuses)}; it is {last}", within=within)
        return last

    def wait_for_count(self, name: str, least: int, within: float = PATIENCE_S) -> None:
        """Return when so many of its generations stand so."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.get())
            return bool(last["counts"][name] >= least)

        wait_until(reached, lambda: f"{least} {name}; it is {last}", within=within)

    def items(self, **query: Any) -> Iterator[dict[str, Any]]:
        """All of its items, page by page."""
        cursor: str | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            answer = self._api.get(
                f"{BATCHES}/{self.id}/items", params={"limit": 100, **query, **more}
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def prompt_ids(self) -> list[str]:
        """The prompts of its generations' newest attempts, in the manifest's order."""
        return [
            prompt_id(UUID(item["task_id"]), (item["generation"] or {}).get("attempt", 1))
            for item in self.items()
        ]

    def renders(self) -> list[int]:
        """How often ComfyUI's sampler ran for each of its generations."""
        counted = self._emulator.state()["renders"]
        return [counted.get(one, 0) for one in self.prompt_ids()]
