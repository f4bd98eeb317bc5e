"""Takes generations from the store's queue, for as long as there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from core.failpoints import reach
from core.loop import Loop
from core.requests import DEFAULT_WORKFLOW
from flows.attempts.attempt import Attempt
from flows.fleet import FleetWatch
from flows.prefect.gate import Gate
from flows.runtime import Runtime
from flows.worker.fair_order import Due, Turns
from flows.worker.last_model import LastModel
from flows.worker.offering import Offering
from flows.worker.routing import LEFT_LOOK_S, Look, Routing
from flows.worker.slots import Slots
from store.errors import StoreError
from store.values import Queued

PRIORITIES: Final = ("interactive", "bulk")
"""In their order; each is a work queue of its own too."""
HEARING_LOOK_S: Final = 5.0
"""Seconds between two looks at the queue where the store's signals are heard: one may be lost."""
LOOK_S: Final = 0.25
"""The same where they are not."""
TRUSTED_S: Final = 1.0
"""How long it is believed that nothing waits, as no signal came, when there is room again."""
ROOM_LOOK_S: Final = 0.1
"""Seconds until the look that is due then: what has just been rendered goes first."""
CLAIM_S: Final = 5.0
"""How long a worker that stops waits for the claim that it makes. Its lease gives it back too."""
RETRY_S: Final = 1.0
"""Seconds until the next look after one that failed."""


class Taking:
    """``loop`` takes whatever may be taken, ``wake()`` at once. ``room()`` says that there is room.

    ``gate`` returns what operators hold back. While a concurrency limit is set, nothing is taken
    here: Prefect says what may begin. ``on_taken`` gets each attempt, which has begun. ``offering``
    says what the ComfyUI can do: nothing is taken before that is known. ``load_s`` is as for
    ``Routing``.
    """

    def __init__(
        self,
        runtime: Runtime,
        slots: Slots,
        gate: Callable[[], Gate],
        on_taken: Callable[[Attempt], object],
        offering: Offering,
        last_model: LastModel,
        load_s: float,
    ) -> None:
        self.loop: Final = Loop(
            "taking generations",
            self._take,
            every_s=lambda: HEARING_LOOK_S if runtime.store.queue.hears else LOOK_S,
            first_s=0.0,
            retry_s=RETRY_S,
            expected=(StoreError,),
        )
        self.is_stopped = False
        """Whether nothing is taken any more: the worker stops."""
        self._runtime = runtime
        self._slots = slots
        self._gate = gate
        self._on_taken = on_taken
        self._offering = offering
        self._last_model = last_model
        self._routing = Routing(
            FleetWatch(runtime.store), runtime.holder.lease, load_s, offering.needs_of
        )
        self._turns = Turns()
        self._may_wait = True
        self._left = False
        self._chosen = 0
        self._looked_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take at once what any process puts into the queue."""
        with self._runtime.store.queue.listening(self.loop.wake):
            yield

    def room(self) -> None:
        """There is room for one more: take it, unless nothing was left at the last look.

        A look that finds nothing is a transaction too, and what comes then is signalled. In case
        that a signal was lost, it looks a moment later if the last look was not just now.
        """
        loop = asyncio.get_running_loop()
        if self._may_wait or not self._runtime.store.queue.hears:
            self.loop.wake()
        elif self._later is None and loop.time() - self._looked_at >= TRUSTED_S:
            self._later = loop.call_later(ROOM_LOOK_S, self.loop.wake)

    async def stop(self) -> None:
        """Take nothing more. What is being claimed now is begun, so that it can be given back."""
        self.is_stopped = True
        await self.loop.stop(grace_s=CLAIM_S)

    async def _take(self) -> None:
        runtime, now = self._runtime, asyncio.get_running_loop().time
        self._may_wait = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        while self._may_wait and self._may_take():
            look = await self._routing.look(self._last_model.name)
            async with runtime.attempts.claiming:
                if not self._may_take():  # an operator has set a limit meanwhile, or it stops
                    return
                self._left, self._chosen, self._looked_at = False, 0, now()
                claim = await runtime.store.queue.take(
                    runtime.holder,
                    partial(self._choose, look),
                    self._open_priorities,
                    _is_never_paid,
                    self._offering.abilities,
                )
                # Of two that were chosen, another process has the first, or only had it locked.
                is_lost = self._chosen > (claim is not None)
                self._may_wait = self._left or is_lost or not runtime.store.queue.hears
                if self._routing.looked(look) or (is_lost and claim is None):
                    asyncio.get_running_loop().call_later(LEFT_LOOK_S, self.loop.wake)
                if claim is None:
                    return
                self._last_model.note(claim.request.model)
                reach("take.after_claim")
                self._slots.take(claim.generation_id)
                attempt = runtime.attempts.begin(claim, claim.flow_run_id)
            self._on_taken(attempt)

    def _may_take(self) -> bool:
        is_open = not self._gate().is_strict
        reachable = self._runtime.session.reachable
        may = is_open and reachable and self._offering.is_known and not self.is_stopped
        return may and self._slots.has_room

    @property
    def _open_priorities(self) -> tuple[str, ...]:
        paused = self._gate().paused
        return tuple(one for one in PRIORITIES if paused.why(one) is None)

    def _choose(self, look: Look | None, waiting: Sequence[Queued]) -> Queued | None:
        mine = waiting if look is None else look.mine(waiting)
        self._chosen += bool(mine)
        self._left |= len(waiting) > bool(mine)
        if not mine:
            return None
        by_id = {one.generation_id: one for one in mine}
        due = [Due(one.generation_id, one.priority, one.model) for one in mine]
        return by_id[self._turns.choose(due, self._last_model.name).run]


def _is_never_paid(waiting: Queued) -> bool:
    """Returns whether it calls no paid services, whatever its request says.

    A user's own workflow may have the name of any other built-in one.
    """
    return waiting.workflow == DEFAULT_WORKFLOW
