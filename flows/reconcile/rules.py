"""What to do about a generation, judged by its flow run: the reconciler's rules, pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from core.problems import Problem, problem
from core.status import Status
from flows.pipeline import PAUSED
from flows.prefect.foreign_runs import was_ended_elsewhere
from store.values import Batch, UnderWay, Waiting

UNHELD_LOOKS: Final = 3
"""A run under way that no worker held in this many looks is abandoned."""
TAKEN_MAX: Final = 10
"""An attempt that its worker did not survive is taken this often: it may be what kills them."""
FAR_AHEAD: Final = timedelta(minutes=1)
"""Generations start as soon as they can: none of their runs is scheduled later than this."""
Row = TypeVar("Row", UnderWay, Batch)


@dataclass(frozen=True)
class Evidence(Generic[Row]):
    """A row that has not ended, and its flow run. ``run`` None: Prefect does not have it.

    ``lives``: the row's holder has a lease that has not lapsed. ``unheld_looks``: in how many
    consecutive looks the run had the same state and no live worker ran it, or it was over.
    ``deployment_id`` is that of the row, if Prefect has it now. ``now`` is the time of day.
    """

    seen: Row
    run: FlowRun | None
    lives: bool
    unheld_looks: int
    deployment_id: UUID | None
    now: datetime

    @property
    def is_held(self) -> bool:
        """Returns whether a live worker holds it."""
        return self.seen.holder is not None and self.lives

    @property
    def prefect_was_reset(self) -> bool:
        """Returns whether the run's deployment is gone: then Prefect lost its database."""
        made_from = self.seen.deployment_id
        return made_from is not None and made_from != self.deployment_id


@dataclass(frozen=True)
class Settle:
    """End the generation, and its run if that has not ended."""

    to: Status
    problem: Problem | None = None


@dataclass(frozen=True)
class LetGo:
    """Its worker is dead, or must stop: queue the generation again.

    ``put_back``: its run must be put back into the queue too.
    """

    put_back: bool
    waiting: Waiting | None = None


@dataclass(frozen=True)
class DispatchAgain:
    """Prefect lost its run together with its whole database: have another created."""


@dataclass(frozen=True)
class StartNow:
    """Its run is scheduled far in the future, which was not requested: a clock was set back."""


@dataclass(frozen=True)
class StartAgain:
    """Another store's worker ended its run because it has no such row: the run is to start anew."""


Verdict = Settle | LetGo | DispatchAgain | StartNow | StartAgain
Case = Evidence[UnderWay]


def judge(case: Case) -> Verdict | None:
    """Returns what to do; None when row and run agree."""
    if case.run is None:
        return _missing(case)
    match case.run.state_type:
        case StateType.CANCELLED:
            return _cancelled(case)
        case StateType.FAILED | StateType.CRASHED:
            return Settle("failed", run_ended(case.run, f"the flow run {case.run.state_name}"))
        case StateType.COMPLETED:
            return _completed(case)
        case StateType.PAUSED:
            return _paused(case)
        case StateType.CANCELLING:
            return Settle("cancelled") if _is_abandoned(case) else None
        case StateType.PENDING | StateType.RUNNING:
            return _under_way(case)
        case _:
            return _scheduled(case)


def _is_abandoned(case: Case) -> bool:
    """Returns whether certainly no worker executes it."""
    if case.seen.holder is not None:
        return not case.lives
    return case.unheld_looks >= UNHELD_LOOKS


def _learns_of_it(case: Case) -> bool:
    """Returns whether a live worker is about to hear that the run is over.

    It removes the prompt from ComfyUI before it ends the generation; judged here, the generation
    would have ended with its prompt still in ComfyUI's queue. A run that executes was cancelled
    by force: its worker does not hear of that.
    """
    executes = case.seen.generation.status == "running"
    return case.is_held and not executes and case.unheld_looks < UNHELD_LOOKS


def _cancelled(case: Case) -> Verdict | None:
    if _learns_of_it(case):
        return None
    if case.run is not None and was_ended_elsewhere(case.run.state) and not _is_unwanted(case):
        return None if case.is_held else StartAgain()
    return Settle("cancelled")


def _is_unwanted(case: Case) -> bool:
    """Returns whether a cancel was requested."""
    return case.seen.generation.status == "cancelling"


def _missing(case: Case) -> Verdict | None:
    """Judge a missing run: deleted by an operator, unless Prefect lost its whole database."""
    if _is_unwanted(case) or not case.prefect_was_reset:
        return Settle("cancelled")
    return None if case.is_held else DispatchAgain()


def _completed(case: Case) -> Verdict | None:
    if _is_unwanted(case):
        return Settle("cancelled")
    return Settle("failed", problem("run_failed", "the flow run ended without an image"))


def _paused(case: Case) -> Verdict | None:
    if _is_unwanted(case):
        return Settle("cancelled")
    if case.seen.holder is None and case.seen.generation.waiting == PAUSED:
        return None
    return LetGo(put_back=False, waiting=PAUSED)


def _under_way(case: Case) -> Verdict | None:
    if not _is_abandoned(case):
        return None
    return Settle("cancelled") if _is_unwanted(case) else _after_a_death(case, put_back=True)


def _scheduled(case: Case) -> Verdict | None:
    if case.is_held:
        return None
    if _is_unwanted(case):
        return Settle("cancelled")
    if case.seen.generation.waiting == PAUSED or case.seen.holder is not None:
        return _after_a_death(case, put_back=False)
    return StartNow() if _starts_far_ahead(case) else None


def _after_a_death(case: Case, *, put_back: bool) -> Verdict:
    problem = taken_too_often(case.seen)
    return LetGo(put_back) if problem is None else Settle("failed", problem)


def taken_too_often(seen: UnderWay) -> Problem | None:
    """Returns why what a dead worker holds is to end; None while it is to be taken once more."""
    generation = seen.generation
    # Each claim raises the fence, and so does each letting go. What an earlier attempt left of its
    # own share is the later ones'.
    if seen.holder is None or generation.fence < 2 * TAKEN_MAX * generation.attempt - 1:
        return None
    return problem(
        "run_failed",
        f"It was started {TAKEN_MAX} times and not finished, and the worker that did it last died. "
        "It may be what ends the workers.",
    )


def _starts_far_ahead(case: Case) -> bool:
    state = case.run.state if case.run is not None else None
    at = state.state_details.scheduled_time if state is not None else None
    return at is not None and at > case.now + FAR_AHEAD


def run_ended(run: FlowRun, otherwise: str) -> Problem:
    """Returns how a run failed: its own message if it has one, else ``otherwise``."""
    message = run.state.message if run.state is not None else None
    return problem("run_failed", message or otherwise)
