"""Flow runs that come due in Prefect join the store's queue: it has the one order.

A run that was started in Prefect becomes a generation. One that an operator retried or resumed
waits again. All others wait in the queue already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from comfy import TransientComfyError, UnresolvableError
from core.loop import Loop
from flows.adoption import adopt, of_its_deployment
from flows.errors import CallbackRefusedError, PrefectUnavailableError
from flows.prefect.forms import GenerateRequest
from flows.prefect.runs import parse_idempotency_key
from flows.runtime import Runtime
from store.errors import DeletedError, NotFoundError, StoreError, UnreadableRequestError
from store.generations.flow_runs import Ended

RETRY_S: Final = 1.0
KNOWN_MOST: Final = 10_000
KNOWN_S: Final = 60.0
"""How long it is taken for granted that a run waits in the queue."""
States = Callable[[Iterable[UUID]], Awaitable[dict[UUID, FlowRun]]]
"""Returns the runs of these ids that exist, as they are in Prefect now."""
_Standing = Literal["joined", "waits", "over", "told later", "refused"]
_REFUSALS: Final = (
    *(ValidationError, ValueError, UnresolvableError),
    *(CallbackRefusedError, UnreadableRequestError),
)
_log = logging.getLogger(__name__)


class Joining:
    """``note`` takes each run that Prefect lists; ``refuse`` gets those that cannot join.

    ``states`` asks Prefect about a run again, before what has ended is done again for it.

    A refused run is executed at once: its flow says what is wrong, or finds nothing to do. The
    latter only when it is still due at another look: who does its attempt may be about to show it.
    """

    def __init__(self, runtime: Runtime, states: States, refuse: Callable[[FlowRun], None]) -> None:
        self.loop: Final = Loop(
            "letting due flow runs join the queue",
            self._join_all,
            every_s=None,
            retry_s=RETRY_S,
            expected=(StoreError, TransientComfyError, PrefectUnavailableError),
        )
        self._runtime = runtime
        self._states = states
        self._refuse = refuse
        self._waiting: dict[UUID, FlowRun] = {}
        self._known = _Known()
        self._over: dict[UUID, UUID | None] = {}

    def note(self, run: FlowRun) -> None:
        """Let it join. No-op for one that has a moment ago, and whose state is still the same."""
        shown = self._runtime.attempts.of_run(run.id) is not None
        if not shown and run not in self._known:
            self._waiting[run.id] = run
            self.loop.wake()

    async def _join_all(self) -> None:
        while self._waiting:
            run_id, run = next(iter(self._waiting.items()))
            try:
                standing = await self._join(run)
            except Exception:
                self._waiting[run_id] = self._waiting.pop(run_id)  # the others go first
                raise
            self._waiting.pop(run_id, None)
            if standing == "refused" or (standing == "over" and self._was_over(run)):
                self._refuse(run)
            elif standing in ("joined", "waits"):
                self._known.add(run)

    def _was_over(self, run: FlowRun) -> bool:
        if self._over.pop(run.id, None) == _state_id(run):
            return True
        self._over[run.id] = _state_id(run)
        while len(self._over) > KNOWN_MOST:
            del self._over[next(iter(self._over))]
        return False

    async def _join(self, run: FlowRun) -> _Standing:
        try:
            found = await self._generation_of(run)
            if found is None:
                return "refused"
            generation_id, attempt = found
            store = self._runtime.store
            rejoined = await store.flow_runs.rejoin(
                generation_id, run.id, attempt, rerun=run.run_count > 0
            )
            if isinstance(rejoined, Ended):
                standing = await self._again(run, generation_id, rejoined)
            else:
                standing = rejoined
            if standing == "over" and await store.queue.is_untold(run.id):
                return "told later"
        except (NotFoundError, DeletedError):
            return "over"
        if standing == "joined":
            _log.info("flow run %s joined the queue as generation %s", run.id, generation_id)
        return standing

    async def _again(self, run: FlowRun, generation_id: UUID, ended: Ended) -> _Standing:
        """Begin another attempt for a run that an operator retried, if it is due still."""
        # When it was listed, another worker may have put it back only to tell how its attempt
        # ended. The store says that Prefect was told only after the run had ended there; it said so
        # before the run is read here; and no state's id comes twice. So a run that still has the
        # listed state got it after its end: from an operator. Else the next list tells.
        now = (await self._states([run.id])).get(run.id)
        if now is None or _state_id(now) != _state_id(run):
            return "told later"
        begun = await self._runtime.store.flow_runs.begin_again(generation_id, run.id, ended)
        return "joined" if begun else "told later"

    async def _generation_of(self, run: FlowRun) -> tuple[UUID, int | None] | None:
        """Returns the run's generation, made now for a run that was started in Prefect.

        With the attempt that the run was made for, if it was. None if it cannot be made.
        """
        made_for = parse_idempotency_key(run.idempotency_key)
        if made_for is not None:
            return made_for
        runtime = self._runtime
        try:
            given = run.parameters.get("generation_id")
            if given is not None:
                return UUID(str(given)), None
            request = GenerateRequest.model_validate(run.parameters.get("request"))
            made = await adopt(
                runtime.store,
                runtime.session.client,
                of_its_deployment(request, run.tags),
                runtime.default_model,
                run.id,
                paid_nodes=runtime.session.allows_paid_nodes,
                wildcards=runtime.wildcards,
            )
        except _REFUSALS as error:
            _log.debug("flow run %s cannot join the queue: %r", run.id, error)
            return None
        return made, None


def _state_id(run: FlowRun) -> UUID | None:
    return run.state.id if run.state is not None else None


class _Known:
    """Runs that wait in the queue, each with its state; for ``KNOWN_S`` only, as a row may end."""

    def __init__(self) -> None:
        self._seen: dict[UUID, tuple[UUID | None, float]] = {}

    def __contains__(self, run: FlowRun) -> bool:
        state_id, until = self._seen.get(run.id, (None, float("-inf")))
        return state_id == _state_id(run) and time.monotonic() < until

    def add(self, run: FlowRun) -> None:
        self._seen.pop(run.id, None)  # the newest are last
        self._seen[run.id] = _state_id(run), time.monotonic() + KNOWN_S
        while len(self._seen) > KNOWN_MOST:
            del self._seen[next(iter(self._seen))]
