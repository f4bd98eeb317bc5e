"""The dispatcher: passes the store's decisions to Prefect, however long it is unavailable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final
from uuid import UUID

from core.failpoints import reach
from core.requests import UnreadableRequest
from flows.errors import DeploymentMissingError, FlowsError
from flows.prefect.runs import FlowRuns
from flows.prefect.starting import Starts
from flows.reconcile.workflows import DeployedWorkflows
from store.batches.dispatches import FORGET_BATCH, flow_run_of, run_number_of
from store.errors import NotFoundError
from store.generations.dispatches import LANE, attempt_of
from store.outbox_runner import Blocked, Done, OutboxRunner, Outcome, PutOff
from store.store import Store
from store.values import Entry

TOGETHER: Final = 10
"""How many are passed on at a time: as many starts can go by one request."""
NOT_OVER_DELAY_S: Final = 1.0
FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 15.0
RECORDED_S: Final = 5.0
"""Seconds after a run's end until Prefect has certainly recorded its task runs (once a second).
"""


class Dispatcher:
    """Use as an async context manager; ``wake()`` after a write makes it look at once.

    ``busy`` returns whether client requests are being answered: accepting goes first, since
    both share one processor. ``name`` and ``lease_s`` are as for ``OutboxRunner``.
    """

    def __init__(
        self,
        store: Store,
        runs: FlowRuns,
        busy: Callable[[], bool],
        *,
        workflows: DeployedWorkflows | None = None,
        name: str,
        lease_s: float,
    ) -> None:
        self._store = store
        self._runs = runs
        self._starts = Starts(runs)
        self._workflows = workflows or DeployedWorkflows(store, runs)
        actions = {
            f"{LANE}.start": self._start,
            f"{LANE}.cancel": self._cancel,
            f"{LANE}.forget": self._forget,
            FORGET_BATCH: self._forget_batch,
        }
        self.runner = OutboxRunner(
            store.outbox,
            store.leases,
            {kind: partial(_unless_away, act) for kind, act in actions.items()},
            name=name,
            lease_s=lease_s,
            together=TOGETHER,
            busy=busy,
        )

    async def __aenter__(self) -> Dispatcher:
        await self.runner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.runner.__aexit__(*exc_info)

    def wake(self) -> None:
        """Look for entries to dispatch at once."""
        self.runner.wake(LANE)

    @property
    def waiting_for(self) -> str | None:
        """Returns why nothing can be dispatched now; None when all is well."""
        return self.runner.blocked.get(LANE)

    async def _start(self, entry: Entry) -> Outcome:
        attempt = attempt_of(entry)
        try:
            generation = await self._store.generations.get(entry.subject)
        except NotFoundError:  # deleted since
            return Done()
        if isinstance(generation.request, UnreadableRequest):
            await self._store.transitions.fail_unreadable(generation.id, attempt)
            return Done()
        if (
            generation.attempt != attempt
            or generation.status != "queued"
            or generation.request is None
        ):
            return Done()
        # Its turn is when it was decided: first come, first served, though requests overlap.
        reach("dispatch.before_create")
        batch = await self._store.batches.membership(generation.id) if generation.batch_id else None
        start = partial(
            self._starts.start, generation.id, attempt, generation.request, entry.created_at, batch
        )
        try:
            run = await start()
        except DeploymentMissingError:
            # Not registered yet; or removed, and this is a retry.
            if not await self._workflows.register(generation.request.workflow):
                raise
            run = await start()
        reach("dispatch.after_create")
        await self._store.flow_runs.record_flow_run(entry, run.id, run.deployment_id)
        return Done(removed=True)

    async def _cancel(self, entry: Entry) -> Outcome:
        for run_id in await self._run_ids(entry):
            await self._runs.cancel(run_id)
        return Done()

    async def _forget(self, entry: Entry) -> Outcome:
        outcome = await self._forget_runs(await self._all_run_ids(entry.subject))
        if isinstance(outcome, Done):
            # Again, now that no worker can be writing: the delete itself may have died half-way.
            await self._store.files.remove_generation(entry.subject)
        return outcome

    async def _forget_batch(self, entry: Entry) -> Outcome:
        run_ids = await self._runs.made_for_batch(entry.subject, run_number_of(entry))
        run_ids.add(entry.subject)  # a batch that was started from Prefect has its run's id
        last = flow_run_of(entry)
        return await self._forget_runs(run_ids if last is None else run_ids | {last})

    async def _forget_runs(self, run_ids: Iterable[UUID]) -> Outcome:
        """Deleting a run does not stop its work (Prefect 3.8), so it must have ended.

        It must have ended for a while: Prefect records task runs later, many at once, and when the
        flow run of one of them is already deleted, it loses all of them.
        """
        for run_id in run_ids:
            if not await self._runs.is_over(run_id, for_s=RECORDED_S):
                reason = f"flow run {run_id} has not ended, or not long ago"
                return PutOff(reason, NOT_OVER_DELAY_S)
            await self._runs.forget(run_id)
        return Done()

    async def _run_ids(self, entry: Entry) -> list[UUID]:
        attempts = await self._store.generations.attempts(entry.subject)
        return [
            attempt.flow_run_id
            for attempt in attempts
            if attempt.flow_run_id is not None and attempt.number == attempt_of(entry)
        ]

    async def _all_run_ids(self, generation_id: UUID) -> set[UUID]:
        """Returns the runs in its rows, and any that was made but not recorded in time."""
        attempts = await self._store.generations.attempts(generation_id)
        written = {one.flow_run_id for one in attempts if one.flow_run_id is not None}
        return written | await self._runs.made_for(generation_id, [one.number for one in attempts])


async def _unless_away(act: Callable[[Entry], Awaitable[Outcome]], entry: Entry) -> Outcome:
    """Call ``act``; an unavailable Prefect holds up the whole lane."""
    try:
        return await act(entry)
    except FlowsError as error:
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(entry.tries, 10))
        return Blocked(str(error), delay_s)
