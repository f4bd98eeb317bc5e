"""What has to be done about a generation, going by its flow run: the reconciler's rules, pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from core.problems import Problem, problem
from core.status import Status
from store.values import UnderWay, Waiting

UNHELD_LOOKS: Final = 3
"""After so many looks at a run that is under way and that no row says who does, nobody does."""
FAR_AHEAD: Final = timedelta(minutes=1)
"""Generations start as soon as they can: no run of theirs is scheduled for later than this."""
PAUSED: Final = Waiting("paused", "Its flow run was paused in Prefect. Resume it there.")


@dataclass(frozen=True)
class Settle:
    """End the generation, and its run if that has not ended."""

    to: Status
    problem: Problem | None = None


@dataclass(frozen=True)
class LetGo:
    """Whoever does it does not live, or must stop: let it wait again.

    ``put_back``: its run has to be put back into the queue too.
    """

    put_back: bool
    waiting: Waiting | None = None


@dataclass(frozen=True)
class DispatchAgain:
    """Prefect lost its run together with everything else: have another made."""


@dataclass(frozen=True)
class StartNow:
    """Its run is to start far in the future, which nobody asked for: a clock was set back."""


Verdict = Settle | LetGo | DispatchAgain | StartNow


@dataclass(frozen=True)
class Evidence:
    """What is known of a generation under way.

    ``lives``: whoever holds it has a lease that has not lapsed. ``unheld_looks``: in how many
    looks one after the other its run stood in the same state with nobody holding it.
    ``deployment_id`` is the one that Prefect has now. ``now`` is the time of day.
    """

    seen: UnderWay
    run: FlowRun | None
    lives: bool
    unheld_looks: int
    deployment_id: UUID | None
    now: datetime

    @property
    def is_held(self) -> bool:
        """Whether somebody alive does it."""
        return self.seen.holder is not None and self.lives

    @property
    def is_abandoned(self) -> bool:
        """Whether surely nobody does it."""
        if self.seen.holder is not None:
            return not self.lives
        return self.unheld_looks >= UNHELD_LOOKS

    @property
    def is_unwanted(self) -> bool:
        """Whether the client asked for its end."""
        return self.seen.generation.status == "cancelling"


def judge(case: Evidence) -> Verdict | None:
    """What to do; None when all fits."""
    if case.run is None:
        return _missing(case)
    match case.run.state_type:
        case StateType.CANCELLED:
            return Settle("cancelled")
        case StateType.FAILED | StateType.CRASHED:
            return Settle("failed", _run_failed(case.run))
        case StateType.COMPLETED:
            return _completed(case)
        case StateType.PAUSED:
            return _paused(case)
        case StateType.CANCELLING:
            return Settle("cancelled") if case.is_abandoned else None
        case StateType.PENDING | StateType.RUNNING:
            return _under_way(case)
        case _:
            return _scheduled(case)


def _missing(case: Evidence) -> Verdict | None:
    """A run that is gone was deleted by an operator, unless Prefect lost its whole database."""
    made_for = case.seen.deployment_id
    lost_all = made_for is not None and made_for != case.deployment_id
    if case.is_unwanted or not lost_all:
        return Settle("cancelled")
    return None if case.is_held else DispatchAgain()


def _completed(case: Evidence) -> Verdict | None:
    if case.is_unwanted:
        return Settle("cancelled")
    return Settle("failed", problem("run_failed", "the flow run ended without a picture"))


def _paused(case: Evidence) -> Verdict | None:
    if case.is_unwanted:
        return Settle("cancelled")
    if case.seen.holder is None and case.seen.generation.waiting == PAUSED:
        return None
    return LetGo(put_back=False, waiting=PAUSED)


def _under_way(case: Evidence) -> Verdict | None:
    if not case.is_abandoned:
        return None
    return Settle("cancelled") if case.is_unwanted else LetGo(put_back=True)


def _scheduled(case: Evidence) -> Verdict | None:
    if case.is_held:
        return None
    if case.is_unwanted:
        return Settle("cancelled")
    if case.seen.generation.waiting == PAUSED or case.seen.holder is not None:
        return LetGo(put_back=False)
    return StartNow() if _starts_far_ahead(case) else None


def _starts_far_ahead(case: Evidence) -> bool:
    state = case.run.state if case.run is not None else None
    at = state.state_details.scheduled_time if state is not None else None
    return at is not None and at > case.now + FAR_AHEAD


def _run_failed(run: FlowRun) -> Problem:
    message = run.state.message if run.state is not None else None
    return problem("run_failed", message or f"the flow run {run.state_name}")
