"""The reconciler's rules for batches as a table, and what must hold whatever the table says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from core.problems import problem
from core.status import BATCH_ACTIVE, BatchStatus
from flows.reconcile.batch_rules import (
    UNHELD_LOOKS,
    Begin,
    Cancel,
    End,
    PauseToo,
    PutBack,
    StartAgain,
    Verdict,
    judge,
)
from flows.reconcile.rules import Evidence
from store.batches.transitions import PAUSED, PAUSED_IN_PREFECT
from store.values import Batch, Waiting
from tests.flows.batch_cases import ANOTHER, LEASE, NOW, OURS, RUN, a_batch

PATIENT: Final = UNHELD_LOOKS - 1
ENOUGH: Final = UNHELD_LOOKS
UNDER_WAY: Final[tuple[BatchStatus, ...]] = ("queued", "running", "paused")
SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
ENDED: Final = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED)


@dataclass(frozen=True)
class Case:
    """What the reconciler may find. ``run`` None: Prefect does not have it."""

    run: StateType | None
    status: BatchStatus = "running"
    looks: int = 0
    made_for: UUID | None = OURS
    has_run: bool = True
    now: UUID | None = OURS

    def evidence(self) -> Evidence[Batch]:
        batch = a_batch(
            status=self.status,
            flow_run_id=RUN if self.has_run else None,
            deployment_id=self.made_for,
            holder=LEASE,
            waiting=Waiting(PAUSED, "It was paused.") if self.status == "paused" else None,
        )
        run = _run(self.run) if self.run is not None and self.has_run else None
        return _evidence(batch, run, self.looks, self.now)

    def __str__(self) -> str:
        parts = [self.run.value.lower() if self.run else "missing", self.status]
        parts += [f"looks-{self.looks}"] if self.looks else []
        parts += [] if self.has_run else ["no-run-yet"]
        parts += [] if self.made_for == OURS else [f"made-for-{self.made_for}"]
        return "-".join(parts)


def _evidence(
    batch: Batch, run: FlowRun | None, looks: int, deployment_id: UUID | None = OURS
) -> Evidence[Batch]:
    return Evidence(batch, run, looks == 0, looks, deployment_id, NOW)


def _run(state: StateType, message: str | None = None) -> FlowRun:
    return FlowRun(
        id=RUN,
        flow_id=UUID(int=9),
        state=State(type=state, message=message),
        state_type=state,
        state_name=state.value.title(),
    )


def _ended(state: StateType) -> End:
    return End("failed", problem("run_failed", f"its flow run is {state.value.title()}"))


TABLE: Final[list[tuple[Case, Verdict | None]]] = [
    # It is being cancelled: that is seen to elsewhere, whatever its run does.
    *((Case(run, "cancelling", ENOUGH), None) for run in (None, *StateType)),
    (Case(None, "cancelling", has_run=False), None),
    # It has no run yet.
    *((Case(None, status, has_run=False), Begin()) for status in UNDER_WAY),
    # Its run is gone: an operator deleted it …
    *((Case(None, status), Cancel()) for status in UNDER_WAY),
    *((Case(None, status, made_for=None), Cancel()) for status in UNDER_WAY),
    # … or Prefect lost its database, and with it everything.
    *((Case(None, status, made_for=ANOTHER), Begin(again=True)) for status in UNDER_WAY),
    # An operator cancelled it.
    *((Case(StateType.CANCELLED, status), Cancel()) for status in UNDER_WAY),
    *((Case(StateType.CANCELLING, status), Cancel()) for status in UNDER_WAY),
    # It is over, though it did not say so: it may be winding up.
    *((Case(run, status, PATIENT), None) for run in ENDED for status in UNDER_WAY),
    *((Case(run, status, ENOUGH), _ended(run)) for run in ENDED for status in UNDER_WAY),
    # An operator paused it.
    *((Case(StateType.PAUSED, status), PauseToo()) for status in ("queued", "running")),
    (Case(StateType.PAUSED, "paused"), None),
    (Case(StateType.PAUSED, "paused", 99), None),
    # Somebody does it, as far as Prefect knows.
    *((Case(run, status), None) for run in (PENDING, RUNNING) for status in UNDER_WAY),
    *((Case(run, status, PATIENT), None) for run in (PENDING, RUNNING) for status in UNDER_WAY),
    *((Case(r, status, ENOUGH), PutBack()) for r in (PENDING, RUNNING) for status in UNDER_WAY),
    # It waits in Prefect.
    *((Case(SCHEDULED, status), None) for status in UNDER_WAY),
    *((Case(SCHEDULED, status, 99), None) for status in UNDER_WAY),
]


@pytest.mark.parametrize(("case", "verdict"), TABLE, ids=str)
def test_the_table(case: Case, verdict: Verdict | None) -> None:
    assert judge(case.evidence()) == verdict


def test_no_case_is_in_the_table_twice() -> None:
    assert len({case for case, _ in TABLE}) == len(TABLE)


@pytest.mark.parametrize("state", ENDED)
def test_the_client_reads_what_the_run_said(state: StateType) -> None:
    evidence = _evidence(a_batch(), _run(state, "the worker fell off"), ENOUGH)

    assert judge(evidence) == End("failed", problem("run_failed", "the worker fell off"))


# --- whatever the table says


def every_case() -> Iterator[Case]:
    for run, status, looks, made_for, has_run in itertools.product(
        (None, *StateType),
        sorted(BATCH_ACTIVE),
        (0, PATIENT, ENOUGH, 99),
        (OURS, ANOTHER, None),
        (True, False),
    ):
        yield Case(run, status, looks, made_for, has_run)


def test_every_verdict_comes_about() -> None:
    found = {type(judge(case.evidence())) for case in every_case()}

    # Whose worker ended a run, its message says, which these cases have not.
    assert found | {StartAgain} == {*get_args(Verdict), type(None)}
    assert StartAgain not in found


@pytest.mark.parametrize(("looks", "verdict"), [(ENOUGH, StartAgain()), (0, None)])
@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_worker_of_another_store_cancels_nothing(
    status: BatchStatus, looks: int, verdict: Verdict | None
) -> None:
    case = Case(StateType.CANCELLED, status, looks).evidence()
    ended = _run(StateType.CANCELLED, f"Nothing to do: no batch {case.seen.id}")

    assert judge(_evidence(case.seen, ended, looks)) == verdict


def test_a_batch_with_a_run_that_is_there_has_no_second_one() -> None:
    for case in every_case():
        if case.run is not None and case.has_run:
            assert not isinstance(judge(case.evidence()), Begin), case


def test_what_a_client_wants_ended_is_never_begun_or_put_back() -> None:
    for case in every_case():
        if case.status == "cancelling":
            assert judge(case.evidence()) is None, case


def test_what_somebody_does_is_left_in_peace() -> None:
    for case in every_case():
        if case.has_run and case.run in (SCHEDULED, PENDING, RUNNING) and case.looks < ENOUGH:
            assert judge(case.evidence()) is None, case


def test_nothing_ends_while_its_run_goes_on() -> None:
    for case in every_case():
        if case.has_run and case.run in (SCHEDULED, PENDING, RUNNING, StateType.PAUSED):
            assert not isinstance(judge(case.evidence()), End | Cancel), case


def test_what_surely_nobody_does_is_never_left_under_way() -> None:
    """Only what waits in Prefect's queue stays, and what is paused or being cancelled."""
    for case in every_case():
        at_rest = case.has_run and case.run in (SCHEDULED, StateType.PAUSED)
        if case.looks >= ENOUGH and case.status != "cancelling" and not at_rest:
            assert judge(case.evidence()) is not None, case


def test_a_batch_is_paused_once_with_its_run() -> None:
    """Else each look would write."""
    paused = Waiting(PAUSED_IN_PREFECT, "Its flow run was paused.")
    batch = a_batch(status="paused", waiting=paused)

    assert judge(_evidence(batch, _run(StateType.PAUSED), 0)) is None
