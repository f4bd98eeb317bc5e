"""Leads the runs of attempts by accounts of them, sent to Easel's own endpoint together.

The flow of such a run is not executed: the attempt has recorded all that it would show.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Final, Literal

from core.failpoints import reach
from flows.artifacts import UPDATE_EVERY_S
from flows.attempts.attempt import Attempt
from flows.attempts.past import ShownAttempt
from flows.endings import goes_on_elsewhere
from flows.errors import EndpointMissingError, PrefectUnavailableError
from flows.generate import generate
from flows.prefect.accounts import Account, Answer
from flows.prefect.endpoint import Endpoint
from flows.prefect.runs import FlowRuns
from flows.prefect.wanted import wanted_run
from flows.retries import patiently
from flows.runtime import Runtime
from flows.worker.carrying import Carrying
from flows.worker.runner import Runner
from flows.worker.teller import Teller

BEGIN_AFTER_S: Final = 0.2
"""An attempt that has ended within this time is told whole, by one request."""
TELL_EVERY_S: Final = 2 * UPDATE_EVERY_S
"""Seconds between two accounts of an attempt that goes on."""
PACE_S: Final = 0.1
"""Seconds for which what is to be told is gathered into one request; who waits for an attempt's
outputs has the processor first."""
AT_ONCE: Final = 10
"""Most accounts of a request: Prefect's server does nothing else while it writes them."""
AWAY_S: Final = 1.0
"""Seconds between two tries to reach a Prefect that is away."""
_log = logging.getLogger(__name__)
_Batch = list[tuple[Teller, asyncio.Future[Answer | None]]]
Led = Literal["told", "plain"]
"""How the leading of a run ended: Prefect knows how it went, or Prefect's own requests are needed
from here on."""


class Accounts:
    """``lead(attempt)`` leads its run; ``stop()`` gives up what was not sent."""

    def __init__(
        self, runtime: Runtime, runs: FlowRuns, runner: Runner, carrying: Carrying
    ) -> None:
        self.endpoint: Final = Endpoint(runs.client)
        self._runtime = runtime
        self._runs = runs
        self._runner = runner
        self._carrying = carrying
        self._waiting: _Batch = []
        self._asking = asyncio.Lock()
        self._sending: asyncio.Task[None] | None = None
        self._next_at = 0.0

    async def stop(self) -> None:
        """Stop sending."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    async def lead(self, attempt: ShownAttempt) -> Led:
        """Lead the attempt's run to its end. Raises what ``wanted_run`` and the store raise."""
        if not isinstance(attempt, Attempt) or self.endpoint.is_missing:
            return "plain"
        await _ended(attempt, within_s=BEGIN_AFTER_S)
        if await goes_on_elsewhere(attempt):
            return "told"
        claim, store = attempt.claim, self._runtime.store
        batch = None
        if claim.batch_id is not None:
            batch = await patiently(store.batches.membership, claim.generation_id)
        earlier = (
            await patiently(store.generations.attempts, claim.generation_id)
            if claim.attempt > 1
            else ()
        )
        async with self._asking:  # who comes next knows the answers
            wanted = await wanted_run(
                self._runs, claim, batch, generate, is_made=attempt.flow_run_id is not None
            )
        teller = Teller(self._runtime, attempt, wanted, earlier)
        if teller.run_id in self._runner.under_way:
            return "plain"  # Prefect gave it to this worker a moment ago
        self._runner.watch(teller.run_id)
        try:
            return await self._follow(attempt, teller)
        finally:
            self._carrying.forget(teller.run_id)
            self._runner.finish(teller.run_id)

    async def _follow(self, attempt: Attempt, teller: Teller) -> Led:
        reach("lead.before_create")
        if not await self._tell(teller):
            return "plain"
        reach("lead.after_create")
        await self._name(attempt, teller)
        while not teller.is_whole and not teller.is_left_alone:
            await _ended(attempt, within_s=TELL_EVERY_S)
            if (attempt.is_over or await teller.has_news()) and not await self._tell(teller):
                return "plain"
        return "told"

    async def _name(self, attempt: Attempt, teller: Teller) -> None:
        """Let row and worker know the run; heed a cancel that came before they did."""
        claim, deployment_id = attempt.claim, teller.deployment_id
        if attempt.flow_run_id == teller.run_id:
            return
        self._runtime.attempts.name_run(attempt, teller.run_id, deployment_id)
        await patiently(
            self._runtime.store.flow_runs.record_run,
            claim.generation_id,
            claim.attempt,
            teller.run_id,
            deployment_id,
        )
        if self._carrying.is_stopped(teller.run_id):
            attempt.ask_to_stop("cancel")

    # --- sending

    async def _tell(self, teller: Teller) -> bool:
        """Returns whether what is new was written."""
        arrived: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((teller, arrived))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all(), name="sending accounts")
        answer = await arrived
        if answer is None or answer.verdict != "written":
            _log.debug("no account of run %s: %s", teller.run_id, answer)
            return False
        if answer.run_id != teller.run_id:  # its key had one already
            self._runner.finish(teller.run_id)
            teller.run_id = answer.run_id
            self._runner.watch(teller.run_id)
        return True

    async def _send_all(self) -> None:
        self._next_at = max(self._next_at, time.monotonic() + PACE_S)
        while self._waiting:
            await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))
            self._next_at = time.monotonic() + PACE_S
            batch = [one for one in self._waiting[:AT_ONCE] if not one[1].done()]
            del self._waiting[:AT_ONCE]
            try:
                await self._send(batch)
            except PrefectUnavailableError as error:
                _log.debug("Prefect does not take accounts now: %s", error)
                self._waiting[:0] = batch
                await asyncio.sleep(AWAY_S)

    async def _send(self, batch: _Batch) -> None:
        if not batch:
            return
        accounts = await self._news_of(batch)
        answers: list[Answer | None]
        try:
            answers = [*await self.endpoint.send(accounts)]
        except EndpointMissingError:
            answers = [None] * len(batch)
        except PrefectUnavailableError:
            for teller, _ in batch:
                teller.may_have_arrived()
            raise
        except Exception:  # noqa: BLE001 - who leads these runs has another way, and waits for it
            _log.exception("%d accounts cannot be sent", len(batch))
            answers = [None] * len(batch)
        for (teller, arrived), answer in zip(batch, answers, strict=True):
            if answer is not None and answer.verdict == "written":
                teller.arrived()
            if not arrived.done():
                arrived.set_result(answer)

    async def _news_of(self, batch: _Batch) -> list[Account]:
        """Returns an account for each of the batch; those that cannot be made are dropped."""
        accounts: list[Account] = []
        for one in tuple(batch):
            try:
                accounts.append(await one[0].news())
            except Exception as error:  # noqa: BLE001 - who leads that run gets it
                batch.remove(one)
                if not one[1].done():
                    one[1].set_exception(error)
        return accounts


async def _ended(attempt: Attempt, within_s: float) -> None:
    """Wait for the attempt's end, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await attempt.over()
