"""Leads the flow run of an attempt that this worker took: made, begun, and told how it ended.

The work does not wait for it. While Prefect is away or slow the attempt goes on, and its flow run
is led when Prefect is back, whole: its tasks join stages that are over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Scheduled

from core.failpoints import reach
from flows.attempts.attempt import Attempt, Stopped, Unkept
from flows.attempts.past import PastAttempt, ShownAttempt
from flows.endings import goes_on_elsewhere
from flows.errors import DeploymentMissingError, PrefectUnavailableError
from flows.prefect.abandoned_runs import put_back, settle_run
from flows.prefect.foreign_runs import was_ended_elsewhere
from flows.prefect.runs import OVER, FlowRuns, translated
from flows.retries import patiently
from flows.runtime import Runtime
from flows.worker.accounts import Accounts
from flows.worker.carrying import Carrying
from flows.worker.runner import Runner
from store.errors import FencedError

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
AT_ONCE: Final = 4
"""How many runs of attempts that are over are led at a time: those that go on come first."""
_AWAY: Final = (PrefectUnavailableError, DeploymentMissingError, httpx.HTTPError, OSError)
_LEFT: Final = frozenset({StateType.PENDING, StateType.RUNNING, StateType.CANCELLING})
"""States of a run that another worker left, or this one when Prefect was away."""
_ELSEWHERE: Final = frozenset({"taken_over", "given_up"})
"""How an attempt ends that another worker has, or that was ended by somebody else."""
_log = logging.getLogger(__name__)


class Leading:
    """``begin(attempt)`` leads its run in the background; ``stop()`` gives up what is not done."""

    def __init__(
        self, runtime: Runtime, runs: FlowRuns, runner: Runner, carrying: Carrying
    ) -> None:
        self._runtime = runtime
        self._runs = runs
        self._runner = runner
        self._carrying = carrying
        self.accounts = Accounts(runtime, runs, runner, carrying)
        self._tasks: set[asyncio.Task[None]] = set()
        self._led: set[tuple[UUID, int]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def begin(self, attempt: ShownAttempt) -> asyncio.Task[None]:
        """Lead the attempt's run until Prefect knows how it went. Returns the task that does."""
        self._led.add(_key(attempt))
        task = asyncio.create_task(self._lead(attempt), name=f"the flow run of {attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def look_again(self) -> None:
        """Prefect was away: it may be another server now, with Easel's endpoint or without."""
        self.accounts.endpoint.look_again()

    def leads(self, generation_id: UUID, attempt: int) -> bool:
        """Returns whether it leads that attempt's run now."""
        return (generation_id, attempt) in self._led

    async def stop(self, within_s: float) -> None:
        """Wait so long for Prefect to hear of what is over, and no longer."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.accounts.stop()

    # --- one run

    async def _lead(self, attempt: ShownAttempt) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while not await self._in_turn(attempt):
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            await attempt.outcome()  # without a run of its own, until the row tells it
        except Exception:  # noqa: BLE001 - one run must not end the others
            _log.exception("the flow run of %s is left to the reconciler", attempt)
        finally:
            self._runtime.attempts.forget(attempt)
            self._led.discard(_key(attempt))

    async def _in_turn(self, attempt: ShownAttempt) -> bool:
        """Returns whether all is done."""
        if await self._unless_away(self._by_accounts, attempt):
            return True
        if not attempt.is_over:
            return await self._unless_away(self._lead_once, attempt)
        async with self._turns:
            return await self._unless_away(self._lead_once, attempt)

    async def _unless_away(
        self, lead: Callable[[ShownAttempt], Awaitable[bool]], attempt: ShownAttempt
    ) -> bool:
        try:
            return await lead(attempt)
        except (*_AWAY, PrefectException) as error:
            _log.debug("the flow run of %s waits: %r", attempt, error)
            return False

    async def _by_accounts(self, attempt: ShownAttempt) -> bool:
        """Returns whether all is done: else Prefect's own requests go on from here."""
        if await self.accounts.lead(attempt) == "plain":
            return False
        await self._told(attempt)
        return True

    async def _lead_once(self, attempt: ShownAttempt) -> bool:
        if await goes_on_elsewhere(attempt):
            return True
        run = await self._run_of(attempt)
        if run is None:
            await self._told(attempt)
            return True
        if await goes_on_elsewhere(attempt) or await self._is_elsewhere(attempt, run):
            return True
        if run.id in self._runner.under_way:
            return False  # Prefect gave it to this worker a moment ago: its flow shows the attempt
        self._runner.watch(run.id)
        try:
            match await self._made_ready(attempt, run):
                case "ready":
                    return await self._show(attempt, run)
                case "over":
                    await self._told(attempt)
                    return True
                case "not now":
                    return False
        finally:
            self._carrying.forget(run.id)
            self._runner.finish(run.id)

    async def _run_of(self, attempt: ShownAttempt) -> FlowRun | None:
        """Returns the attempt's flow run, made now if there is none.

        None when it was deleted: by an operator, or with the generation.
        """
        claim, runtime = attempt.claim, self._runtime
        if attempt.flow_run_id is not None:
            with suppress(ObjectNotFound):
                return await self._read(attempt.flow_run_id)
            if not await self._has_lost_its_database(attempt):
                return None
        batch = None
        if claim.batch_id is not None:
            batch = await patiently(runtime.store.batches.membership, claim.generation_id)
        reach("lead.before_create")
        run = await self._runs.start(
            claim.generation_id, claim.attempt, claim.request, claim.created_at, batch
        )
        reach("lead.after_create")
        runtime.attempts.name_run(attempt, run.id, run.deployment_id)
        if not await patiently(
            runtime.store.flow_runs.record_run,
            claim.generation_id,
            claim.attempt,
            run.id,
            run.deployment_id,
        ):
            return None
        return run

    async def _is_elsewhere(self, attempt: ShownAttempt, run: FlowRun) -> bool:
        """Returns whether another worker has the attempt now, or will: the run is that one's.

        Asked after the run was read: what another worker makes of it since is another state.
        """
        if isinstance(attempt, PastAttempt):
            return False
        store = self._runtime.store
        try:
            await patiently(store.transitions.status, attempt.claim)
        except FencedError:
            return (await patiently(store.flow_runs.standing, attempt.claim, run.id)).run_wanted
        return False

    async def _has_lost_its_database(self, attempt: ShownAttempt) -> bool:
        made_from = attempt.deployment_id
        if made_from is None:
            return False
        return made_from not in {one.id for one in await self._runs.generate_deployments()}

    async def _read(self, flow_run_id: UUID) -> FlowRun:
        async with translated():
            return await self._runner.client.read_flow_run(flow_run_id)

    async def _made_ready(
        self, attempt: ShownAttempt, run: FlowRun
    ) -> Literal["ready", "over", "not now"]:
        """Bring the run to Pending. "over": it has ended, or is not wanted to run."""
        client, state = self._runner.client, run.state
        if run.state_type in _LEFT:
            async with translated():
                await put_back(client, run)
            run = await self._read(run.id)
            state = run.state
        if was_ended_elsewhere(state) and not attempt.is_over:
            async with translated():
                await settle_run(client, run, Scheduled())
            return "not now"
        if run.state_type == StateType.CANCELLED:
            await attempt.stop("cancel")
        if run.state_type == StateType.PAUSED and isinstance(attempt, Attempt):
            attempt.ask_to_stop("pause")  # if its event came before this worker knew the run
        if run.state_type in OVER:
            return "over" if attempt.is_over else "not now"
        return "ready" if await self._runner.propose_pending(run) else "not now"

    async def _show(self, attempt: ShownAttempt, run: FlowRun) -> bool:
        """Execute the run, whose flow shows the attempt. Returns whether Prefect knows its end.

        A run that was stopped before its flow began stays as it was, and its attempt may be going.
        """
        if not await self._carrying.execute(run):
            return False
        if not attempt.is_over:
            return False
        if self._carrying.is_stopped(run.id) and (await self._read(run.id)).state_type in _LEFT:
            return False
        await self._told(attempt)
        return True

    async def _told(self, attempt: ShownAttempt) -> None:
        if not attempt.is_over:
            return
        outcome = await attempt.outcome()
        if isinstance(outcome, Stopped) and outcome.reason != "cancel":
            return
        if isinstance(outcome, Unkept) and outcome.ended.how in _ELSEWHERE:
            return
        claim = attempt.claim
        reach("lead.before_told")
        await patiently(self._runtime.store.flow_runs.told, claim.generation_id, claim.attempt)


def _key(attempt: ShownAttempt) -> tuple[UUID, int]:
    return attempt.claim.generation_id, attempt.claim.attempt
