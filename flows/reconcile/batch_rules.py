"""What to do about a batch, judged by its flow run: the reconciler's rules, pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prefect.client.schemas.objects import StateType

from core.problems import Problem
from core.status import BatchStatus
from flows.prefect.foreign_runs import was_ended_elsewhere
from flows.reconcile.rules import Evidence, run_ended
from store.values import Batch

UNHELD_LOOKS: Final = 5
"""A run under way that no live worker executed in this many looks is abandoned."""


@dataclass(frozen=True)
class Begin:
    """Have its flow run created. ``again``: it was lost with all of Prefect's database."""

    again: bool = False


@dataclass(frozen=True)
class End:
    """End the batch as its flow run ended."""

    to: BatchStatus
    problem: Problem | None = None


@dataclass(frozen=True)
class Cancel:
    """Its flow run was cancelled or deleted: so is the batch."""


@dataclass(frozen=True)
class PauseToo:
    """Its flow run was paused: so is the batch."""


@dataclass(frozen=True)
class PutBack:
    """No worker executes its flow run: let any worker take it."""


@dataclass(frozen=True)
class StartAgain:
    """Another store's worker ended its flow run because it has no such row: start it anew."""


Verdict = Begin | End | Cancel | PauseToo | PutBack | StartAgain


def judge(case: Evidence[Batch]) -> Verdict | None:
    """Returns what to do about a batch, judged by its flow run; None when all is well."""
    batch, run = case.seen, case.run
    if batch.status == "cancelling":
        return None  # its generations are cancelled, and then it ends, whatever its run does
    if batch.flow_run_id is None:
        return Begin()
    if run is None:
        return Begin(again=True) if case.prefect_was_reset else Cancel()
    match run.state_type:
        case StateType.CANCELLED if was_ended_elsewhere(run.state):
            return None if case.is_held else StartAgain()
        case StateType.CANCELLED | StateType.CANCELLING:
            return Cancel()
        case StateType.FAILED | StateType.CRASHED | StateType.COMPLETED:
            if case.unheld_looks < UNHELD_LOOKS:
                return None
            return End("failed", run_ended(run, f"its flow run is {run.state_name}"))
        case StateType.PAUSED:
            return PauseToo() if batch.status != "paused" else None
        case StateType.RUNNING | StateType.PENDING:
            return PutBack() if case.unheld_looks >= UNHELD_LOOKS else None
        case _:
            return None
