"""What an operator has paused, for a process that is no worker: as a worker last saw it.

A worker keeps it in the store (``flows.worker.gate``). Without one nothing is taken, paused or not.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from core.loop import Loop
from flows.prefect.gate import Gate, Paused
from store.errors import StoreError
from store.store import Store

LOOK_EVERY_S: Final = 5.0
"""Seconds between two looks at the store without a signal."""


class PauseWatch:
    """Use as an async context manager. ``now()`` returns at once, with the last known state."""

    def __init__(self, store: Store, pool: str) -> None:
        self._store = store
        self._pool = pool
        self._gate = Gate()
        self._hearing = ExitStack()
        self._loop = Loop(
            "looking for pauses",
            self._look,
            every_s=LOOK_EVERY_S,
            first_s=0.0,
            expected=(StoreError,),
        )

    async def __aenter__(self) -> PauseWatch:
        hearing = self._store.database.hearing
        self._hearing.enter_context(hearing.listening("gate", self._loop.wake))
        self._loop.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._hearing.close()
        await self._loop.stop()

    def now(self) -> Paused:
        """Returns what was paused when a worker last could ask Prefect."""
        return self._gate.paused

    @property
    def is_strict(self) -> bool:
        """Whether Prefect was to say then what may begin: a concurrency limit was set."""
        return self._gate.is_strict

    async def _look(self) -> None:
        self._gate = Gate.from_json(await self._store.registry.gate(self._pool))
