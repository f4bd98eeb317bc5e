"""The worker's view of the gate: asked of Prefect, kept in the store, known at any moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from prefect.client.orchestration import PrefectClient

from core.loop import Loop
from flows.errors import FlowsError
from flows.prefect.endpoint import Endpoint
from flows.prefect.gate import Gate, read_gate
from store.errors import StoreError
from store.store import Store

LOOK_EVERY_S: Final = 10.0
"""Seconds between two looks at Prefect that no event asks for."""


def _ignore(_gate: Gate) -> None:
    pass


class GateWatch:
    """``now`` is what was last known, also while Prefect is away and after a restart.

    First ``await recall()``, then start ``loop``. ``wake()`` looks at once, for what an event told.
    With nothing known at all the gate is open. ``endpoint``: Easel's own, of the same Prefect; with
    it a look is one request instead of three.

    Which changes have an event, and which wait for the next look: docs/reliability.md.
    """

    def __init__(
        self,
        store: Store,
        client: Callable[[], PrefectClient],
        pool: str,
        on_change: Callable[[Gate], None] = _ignore,
        endpoint: Endpoint | None = None,
    ) -> None:
        self.loop = Loop(
            "looking at the gate",
            self._look,
            every_s=LOOK_EVERY_S,
            first_s=0.0,
            expected=(FlowsError, StoreError),
            level=logging.DEBUG,  # an absence of either is reported elsewhere
        )
        self._store = store
        self._client = client
        self._pool = pool
        self._on_change = on_change
        self._endpoint = endpoint
        self._now = Gate()

    @property
    def now(self) -> Gate:
        """Returns the gate as it was last known."""
        return self._now

    async def recall(self) -> None:
        """Take over what is stored. Raises StoreUnavailableError."""
        self._now = Gate.from_json(await self._store.registry.gate(self._pool))

    def wake(self) -> None:
        """Look at once."""
        self.loop.wake()

    async def _look(self) -> None:
        gate = await read_gate(self._client(), self._pool, self._endpoint)
        if gate != self._now:
            self._now = gate
            self._on_change(gate)
        # In each round: another worker may have stored meanwhile what was true a moment before.
        await self._store.registry.keep_gate(self._pool, gate.to_json())
