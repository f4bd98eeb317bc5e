"""How long generations take and why they wait, from cached measurements."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from api.cached import Cached
from comfy.reachability import away_words
from flows.fleet import Fleet, FleetWatch
from flows.prefect.pauses import PauseWatch
from flows.reconcile.dispatcher import Dispatcher
from store.generations.inserts import needs_of
from store.store import Store
from store.values import Generation, Waiting, WorkerRecord

RATE_FOR_S: Final = 2.0
WORKERS_FOR_S: Final = 1.0
RUNNING_FOR_S: Final = 1.0
GLANCE_S: Final = 3.0
"""So old may be figures of which a create's answer needs only an idea."""
_UNKEPT: Final = {
    "storage_away": "Images cannot be kept: their storage does not answer.",
    "disk_full": "Images cannot be kept: the disk is full.",
}
"""What a worker says of an image that it has and cannot keep."""
_UNTIL_KEPT: Final = "Your queue is safe; it continues when they can be kept."
_WITHOUT_PREFECT: Final = "Your queue is safe; it continues when Prefect can be used."


class Figures:
    """What is measured, each read again when it is a second or two old."""

    def __init__(self, store: Store) -> None:
        self.rate = Cached(store.generations.seconds_per_cost, RATE_FOR_S)
        self.running = Cached(store.generations.running, RUNNING_FOR_S)
        self.fleet = Cached(FleetWatch(store).look, WORKERS_FOR_S)


class Estimates:
    """Measured rates and the state of the workers, both at most a few seconds old.

    With ``usable_s`` nobody waits for newer figures than those that old.
    """

    def __init__(
        self,
        figures: Figures,
        dispatcher: Dispatcher,
        pauses: PauseWatch,
        *,
        usable_s: float = float("-inf"),
    ) -> None:
        self._figures = figures
        self._dispatcher = dispatcher
        self._pauses = pauses
        self._usable_s = usable_s

    async def seconds(self, cost: float) -> float | None:
        """Returns how long work of this cost takes; None before anything was measured."""
        rate = await self._figures.rate.get(usable_s=self._usable_s)
        return None if rate is None else round(rate * cost, 1)

    async def after_running(self, cost: float) -> float | None:
        """Returns how long work of this cost takes that starts when what runs now has ended."""
        own = await self.seconds(cost)
        if own is None:
            return None
        left = [
            await self.remaining(running)
            for running in await self._figures.running.get(usable_s=self._usable_s)
        ]
        return round(own + sum(seconds or 0.0 for seconds in left), 1)

    async def remaining(self, generation: Generation) -> float | None:
        """Returns the remaining seconds of a running generation; None while it waits.

        Its elapsed time tells nothing then: it grows, and the generation gets no further.
        """
        if generation.waiting is not None:
            return None
        if generation.started_at is None:
            return await self.seconds(generation.cost)
        elapsed = (datetime.now(UTC) - generation.started_at).total_seconds()
        percent = generation.progress.percent if generation.progress else 0.0
        if percent >= 10:
            return round(max(0.0, elapsed * (100 - percent) / percent), 1)
        total = await self.seconds(generation.cost)
        return None if total is None else round(max(0.0, total - elapsed), 1)

    async def fleet(self) -> Fleet:
        """Returns the registered workers."""
        return await self._figures.fleet.get(usable_s=self._usable_s)

    async def live_workers(self) -> tuple[WorkerRecord, ...]:
        """Returns the workers that live."""
        return tuple(one.record for one in (await self.fleet()).members if one.lives)

    async def why_queued(self, generation: Generation) -> Waiting | None:
        """Returns what a queued generation waits for, unless it only waits its turn."""
        request, run_id = generation.request, generation.flow_run_id
        waiting = await self.why(request.priority if request else "interactive", run_id)
        needs = None if waiting is not None or request is None else needs_of(request)
        why = None if needs is None else (await self.fleet()).why_nobody(needs)
        return waiting if why is None else Waiting("no_capable_worker", why)

    async def why(self, queue: str, flow_run_id: UUID | None = None) -> Waiting | None:
        """Returns what generations of that priority wait for, unless they only wait their turn.

        For Prefect only while an operator has set a limit, so that it says what may begin, or while
        there is no worker: it may be why.
        """
        return await self._why(queue, flow_run_id, needs_prefect=self._pauses.is_strict)

    async def why_batch(self, queue: str, flow_run_id: UUID | None) -> Waiting | None:
        """Returns what a batch waits for, which is a flow run of its own."""
        return await self._why(queue, flow_run_id, needs_prefect=True)

    async def _why(
        self, queue: str, flow_run_id: UUID | None, *, needs_prefect: bool
    ) -> Waiting | None:
        workers, away = await self.live_workers(), self._dispatcher.waiting_for
        if away is not None and flow_run_id is None and (needs_prefect or not workers):
            why = away.rstrip(".")
            said = f"{why[:1].upper()}{why[1:]}. {_WITHOUT_PREFECT}"
            return Waiting("waiting_for_prefect", said)
        if not workers:  # before pauses: what is paused is known from workers only
            return Waiting(
                "waiting_for_worker",
                "No worker is running. Start `easel up`, or `easel worker` beside ComfyUI.",
            )
        paused = self._pauses.now().why(queue)
        if paused is not None:
            return Waiting("paused", paused)
        if not any(worker.comfy_reachable for worker in workers):
            first = workers[0]
            return Waiting("waiting_for_comfyui", away_words(first.comfy_url, first.detail))
        return await self._why_unkept()

    async def _why_unkept(self) -> Waiting | None:
        """Returns what finished images wait for: a worker soon takes no more work."""
        for running in await self._figures.running.get(usable_s=self._usable_s):
            code = running.waiting.code if running.waiting else None
            if code in _UNKEPT:
                return Waiting(code, f"{_UNKEPT[code]} {_UNTIL_KEPT}")
        return None
