"""Makes the flow runs of what waits: many by one request where Prefect's server is Easel's own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from core.requests import ResolvedRequest
from flows.errors import EndpointMissingError
from flows.prefect.accounts import Account, Answer, ToldState, WantedRun
from flows.prefect.endpoint import Endpoint
from flows.prefect.private.ids import new_id
from flows.prefect.runs import FlowRuns
from flows.prefect.wanted import waiting_run
from store.values import Membership

GATHER_S: Final = 0.05
"""How long a run waits for others that go by the same request: nobody waits for it."""
AT_ONCE: Final = 10
"""Most runs of one request: Prefect's server does nothing else while it writes them."""
PLAIN_AT_ONCE: Final = 4
"""Prefect's own requests at once; its single process is not faster with more."""


@dataclass(frozen=True)
class Started:
    """A flow run that is Scheduled, or was made before."""

    id: UUID
    deployment_id: UUID | None


_Waiting = list[tuple[Account, asyncio.Future[Answer | None]]]


class Starts:
    """Use from one event loop."""

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs
        self._endpoint = Endpoint(runs.client)
        self._waiting: _Waiting = []
        self._sending: set[asyncio.Task[None]] = set()
        self._plain = asyncio.Semaphore(PLAIN_AT_ONCE)

    async def start(
        self,
        generation_id: UUID,
        attempt: int,
        request: ResolvedRequest,
        turn: datetime,
        batch: Membership | None,
    ) -> Started:
        """Make the flow run of an attempt, or return the existing one: as ``FlowRuns.start``.

        Raises PrefectUnavailableError, OtherStoreError, DeploymentMissingError.
        """
        if not self._endpoint.is_missing:
            wanted = await waiting_run(self._runs, generation_id, attempt, request, batch)
            answer = await self._ask(_account(wanted, turn))
            if answer is not None and answer.verdict == "written":
                return Started(answer.run_id, wanted.deployment_id)
        async with self._plain:
            run = await self._runs.start(generation_id, attempt, request, turn, batch)
        return Started(run.id, run.deployment_id)

    async def _ask(self, account: Account) -> Answer | None:
        """Returns the answer, None when there is no such endpoint."""
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((account, answered))
        if len(self._waiting) == 1:
            sending = asyncio.create_task(self._send_gathered(), name="starting flow runs")
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        return await answered

    async def _send_gathered(self) -> None:
        await asyncio.sleep(GATHER_S)
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), AT_ONCE):
            await self._send(waiting[first : first + AT_ONCE])

    async def _send(self, together: _Waiting) -> None:
        answers: list[Answer | None] = [None] * len(together)
        try:
            with suppress(EndpointMissingError):
                answers = [*await self._endpoint.send([account for account, _ in together])]
        except asyncio.CancelledError:
            for _, answered in together:
                answered.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - who starts those runs gets it
            for _, answered in together:
                if not answered.done():
                    answered.set_exception(error)
            return
        for (_, answered), answer in zip(together, answers, strict=True):
            if not answered.done():  # else who started it has gone
                answered.set_result(answer)


def _account(wanted: WantedRun, turn: datetime) -> Account:
    now = datetime.now(UTC)
    scheduled = ToldState(
        id=new_id(), type="SCHEDULED", name="Scheduled", message=None, at=now, due_at=min(turn, now)
    )
    return Account(
        run_id=uuid4(), wanted=wanted, after=None, is_repeated=False, states=(scheduled,)
    )
