"""Keeps the parts running: starts them together, restarts dead ones, stops all in order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import httpx

from cli.up.child import Child, ending
from cli.up.part import STOP_WAVES, Part
from core.loop import Loop

PROBE_EVERY_S: Final = 0.1
ROTATE_EVERY_S: Final = 5.0
"""Seconds between two looks at the size of the parts' logs."""
FAST_DEATH_S: Final = 60.0
"""A part that lived longer than this died of a new cause: counting restarts."""
DEATHS_MAX: Final = 5
"""Consecutive fast deaths after which a part that was ready is given up."""
DEATHS_MAX_AT_START: Final = 2
"""The same for a part that was never ready: its settings are wrong."""


class Reporter(Protocol):
    """Receives what happens to the parts."""

    def starting(self, part: Part) -> None:
        """The part's process was started."""

    def ready(self, part: Part, seconds: float) -> None:
        """The part is ready, ``seconds`` after its start."""

    def died(self, part: Part, how: str, delay_s: float) -> None:
        """The part ended unexpectedly and is restarted after ``delay_s``."""

    def stopped(self, part: Part) -> None:
        """The part was stopped as requested."""


class PartFailedError(Exception):
    """A part cannot be kept running."""

    def __init__(self, part: Part, how: str) -> None:
        super().__init__(f"{part.title} {how}")
        self.part = part
        self.how = how


class Supervisor:
    """Use as an async context manager; leaving it stops every part.

    A dead part is restarted after ``first_delay_s``, which doubles with each further death.
    ``at_first`` is added to the environment until every part has been ready: what must act once.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        environment: Mapping[str, str],
        reporter: Reporter,
        first_delay_s: float = 0.5,
        rotate_every_s: float = ROTATE_EVERY_S,
        at_first: Mapping[str, str] | None = None,
    ) -> None:
        self._parts = tuple(parts)
        self._environment = environment
        self._at_first = at_first or {}
        self._reporter = reporter
        self._first_delay_s = first_delay_s
        self._children: dict[str, Child] = {}
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._keepers: list[asyncio.Task[None]] = []
        # The writing end is held by this process alone: children end when it is closed.
        self._tether, self._tether_held = os.pipe()
        self._hurry = asyncio.Event()
        self._rotating = Loop("rotating logs", self._rotate, rotate_every_s, expected=(OSError,))

    async def __aenter__(self) -> Supervisor:
        self._rotating.start()
        self._keepers = [asyncio.create_task(self._keep(part)) for part in self._parts]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._rotating.stop()
        for keeper in self._keepers:
            keeper.cancel()
        # Their errors were raised by ``until_failed``, or do not matter any more.
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for wave in STOP_WAVES:
            children = [self._children[name] for name in wave if name in self._children]
            await asyncio.gather(*(self._stop(child) for child in children))
        os.close(self._tether)
        os.close(self._tether_held)

    async def until_ready(self, timeout_s: float) -> None:
        """Wait until every part is ready. PartFailedError when one is not in time."""
        waiting = (event.wait() for event in self._ready.values())
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*waiting)
        except TimeoutError:
            late = next(part for part in self._parts if not self._ready[part.name].is_set())
            how = f"was not ready within {timeout_s:.0f} s"
            raise PartFailedError(late, how) from None

    async def until_failed(self) -> None:
        """Wait until a part is given up: raises PartFailedError then, never returns."""
        await asyncio.gather(*self._keepers)

    def hurry(self) -> None:
        """Stop without a grace period from now on."""
        self._hurry.set()

    async def _rotate(self) -> None:
        for part in self._parts:
            await asyncio.to_thread(part.log.rotate)

    async def _keep(self, part: Part) -> None:
        deaths = 0
        while True:
            self._reporter.starting(part)
            began = time.monotonic()
            child = await Child.start(part, self._environment_now(), self._tether)
            self._children[part.name] = child
            probing = asyncio.create_task(self._probe(part, began))
            try:
                code = await child.wait()
            finally:
                probing.cancel()
            child.kill()  # whatever it may have left in its group
            deaths = deaths + 1 if time.monotonic() - began < FAST_DEATH_S else 1
            ever_ready = self._ready[part.name].is_set()
            if deaths >= (DEATHS_MAX if ever_ready else DEATHS_MAX_AT_START):
                raise PartFailedError(part, ending(code))
            delay_s = self._first_delay_s * 2 ** (deaths - 1)
            self._reporter.died(part, ending(code), delay_s)
            await asyncio.sleep(delay_s)

    def _environment_now(self) -> Mapping[str, str]:
        if all(event.is_set() for event in self._ready.values()):
            return self._environment
        return {**self._environment, **self._at_first}

    async def _probe(self, part: Part, began: float) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            while not await part.is_ready(http):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(PROBE_EVERY_S)
        self._ready[part.name].set()
        self._reporter.ready(part, time.monotonic() - began)

    async def _stop(self, child: Child) -> None:
        was_alive = child.alive
        stopping = asyncio.create_task(child.stop(child.part.grace_s))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([stopping, hurrying], return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not stopping.done():
            child.kill()
        await stopping
        if was_alive:
            self._reporter.stopped(child.part)
