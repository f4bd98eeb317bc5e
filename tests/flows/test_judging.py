"""The reconciler's rules as a table, and what must hold whatever the table says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType

from core.problems import Problem, problem
from core.status import Status
from flows.pipeline import PAUSED
from flows.reconcile.rules import (
    TAKEN_MAX,
    UNHELD_LOOKS,
    DispatchAgain,
    Evidence,
    LetGo,
    Settle,
    StartAgain,
    StartNow,
    Verdict,
    judge,
)
from store.values import Generation, UnderWay, Waiting
from tests.comfy.data import resolved

Holder = Literal["none", "alive", "lapsed"]
UNDER_WAY: Final[tuple[Status, ...]] = ("queued", "running", "cancelling")
WAITS: Final[tuple[Status, ...]] = ("queued", "cancelling")
HOLDERS: Final[tuple[Holder, ...]] = ("none", "alive", "lapsed")
OURS, ANOTHER = UUID(int=1), UUID(int=2)
NOW: Final = datetime.now(UTC)
LEASE, RUN = UUID(int=3), UUID(int=4)
OVER: Final = frozenset(
    {StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED}
)


@dataclass(frozen=True)
class Case:
    """What the reconciler may find. ``run`` None: Prefect does not have it."""

    run: StateType | None
    status: Status = "running"
    holder: Holder = "alive"
    looks: int = 0
    made_for: UUID | None = OURS
    paused: bool = False

    def evidence(self) -> Evidence[UnderWay]:
        waiting = PAUSED if self.paused else None
        return Evidence(
            seen=UnderWay(
                _generation(self.status, waiting),
                None if self.holder == "none" else LEASE,
                self.made_for,
            ),
            run=None if self.run is None else _run(self.run),
            lives=self.holder == "alive",
            unheld_looks=self.looks,
            deployment_id=OURS,
            now=NOW,
        )

    def __str__(self) -> str:
        parts = [
            self.run.value.lower() if self.run else "missing",
            self.status,
            f"holder-{self.holder}",
        ]
        parts += [f"looks-{self.looks}"] if self.looks else []
        parts += [] if self.made_for == OURS else [f"made-for-{self.made_for}"]
        return "-".join([*parts, *(["paused"] if self.paused else [])])


def _generation(status: Status, waiting: Waiting | None) -> Generation:
    return Generation(
        id=UUID(int=9),
        seq=1,
        change=1,
        status=status,
        sequence=3,
        attempt=1,
        fence=1,
        request=resolved(),
        progress=None,
        waiting=waiting,
        error=None,
        cost=1.0,
        flow_run_id=RUN,
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
        deleted_at=None,
    )


def _run(state: StateType, message: str | None = None) -> FlowRun:
    details = StateDetails.model_validate({"scheduled_time": NOW})
    return FlowRun(
        id=RUN,
        flow_id=UUID(int=5),
        state=State(type=state, message=message, state_details=details),
        state_type=state,
        state_name=state.value.title(),
    )


CANCEL: Final = Settle("cancelled")
PUT_BACK: Final = LetGo(put_back=True)
ONLY_LET_GO: Final = LetGo(put_back=False)
LET_GO_PAUSED: Final = LetGo(put_back=False, waiting=PAUSED)
NO_PICTURE: Final = Settle("failed", problem("run_failed", "the flow run ended without an image"))
FAILED: Final = Settle("failed", problem("run_failed", "the flow run Failed"))
CRASHED: Final = Settle("failed", problem("run_failed", "the flow run Crashed"))
PATIENT: Final = UNHELD_LOOKS - 1
ENOUGH: Final = UNHELD_LOOKS

SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING

TABLE: Final[list[tuple[Case, Verdict | None]]] = [
    # An operator cancelled it, or it was cancelled and its worker could not say so.
    *((Case(StateType.CANCELLED, s, h), CANCEL) for s in UNDER_WAY for h in ("none", "lapsed")),
    # The worker that has it hears of that when it begins the run; or not, once it runs.
    *((Case(StateType.CANCELLED, s, "alive", looks=PATIENT), None) for s in WAITS),
    *((Case(StateType.CANCELLED, s, "alive", looks=ENOUGH), CANCEL) for s in WAITS),
    (Case(StateType.CANCELLED, "running", "alive"), CANCEL),
    # It ended badly and could not say so.
    *((Case(StateType.FAILED, s, h), FAILED) for s in UNDER_WAY for h in HOLDERS),
    *((Case(StateType.CRASHED, s, h), CRASHED) for s in UNDER_WAY for h in HOLDERS),
    # It says that it is done, and nothing was kept.
    *((Case(StateType.COMPLETED, "cancelling", h), CANCEL) for h in HOLDERS),
    *((Case(StateType.COMPLETED, "queued", h), NO_PICTURE) for h in HOLDERS),
    *((Case(StateType.COMPLETED, "running", h), NO_PICTURE) for h in HOLDERS),
    # An operator paused it: it waits, and says so once.
    *((Case(StateType.PAUSED, "running", h), LET_GO_PAUSED) for h in HOLDERS),
    *((Case(StateType.PAUSED, "queued", h), LET_GO_PAUSED) for h in HOLDERS),
    *((Case(StateType.PAUSED, "cancelling", h), CANCEL) for h in HOLDERS),
    (Case(StateType.PAUSED, "queued", "none", paused=True), None),
    (Case(StateType.PAUSED, "queued", "none", looks=99, paused=True), None),
    (Case(StateType.PAUSED, "queued", "alive", paused=True), LET_GO_PAUSED),
    # It is being cancelled: its worker does that, while there is one.
    *((Case(StateType.CANCELLING, s, "alive"), None) for s in UNDER_WAY),
    *((Case(StateType.CANCELLING, s, "lapsed"), CANCEL) for s in UNDER_WAY),
    *((Case(StateType.CANCELLING, s, "none", looks=PATIENT), None) for s in UNDER_WAY),
    *((Case(StateType.CANCELLING, s, "none", looks=ENOUGH), CANCEL) for s in UNDER_WAY),
    # Somebody does it, as far as Prefect knows.
    *((Case(run, s, "alive"), None) for run in (PENDING, RUNNING) for s in UNDER_WAY),
    *((Case(r, s, "none", looks=PATIENT), None) for r in (PENDING, RUNNING) for s in UNDER_WAY),
    *((Case(r, "cancelling", "lapsed"), CANCEL) for r in (PENDING, RUNNING)),
    *((Case(r, "cancelling", "none", looks=ENOUGH), CANCEL) for r in (PENDING, RUNNING)),
    *((Case(r, s, "lapsed"), PUT_BACK) for r in (PENDING, RUNNING) for s in UNDER_WAY[:2]),
    *(
        (Case(r, s, "none", looks=ENOUGH), PUT_BACK)
        for r in (PENDING, RUNNING)
        for s in UNDER_WAY[:2]
    ),
    # It waits in Prefect.
    *((Case(SCHEDULED, s, "alive"), None) for s in UNDER_WAY),
    (Case(SCHEDULED, "queued", "none"), None),
    (Case(SCHEDULED, "queued", "none", looks=99), None),
    (Case(SCHEDULED, "cancelling", "none"), CANCEL),
    (Case(SCHEDULED, "cancelling", "lapsed"), CANCEL),
    (Case(SCHEDULED, "queued", "lapsed"), ONLY_LET_GO),
    (Case(SCHEDULED, "running", "lapsed"), ONLY_LET_GO),
    (Case(SCHEDULED, "queued", "none", paused=True), ONLY_LET_GO),  # it was resumed
    (Case(SCHEDULED, "queued", "alive", paused=True), None),
    # It is gone: an operator deleted it.
    *((Case(None, s, h), CANCEL) for s in UNDER_WAY for h in HOLDERS),
    *((Case(None, s, h, made_for=None), CANCEL) for s in UNDER_WAY for h in HOLDERS),
    # Or Prefect lost its database, and with it everything.
    *((Case(None, "cancelling", h, made_for=ANOTHER), CANCEL) for h in HOLDERS),
    *((Case(None, s, "alive", made_for=ANOTHER), None) for s in UNDER_WAY[:2]),
    *((Case(None, s, "lapsed", made_for=ANOTHER), DispatchAgain()) for s in UNDER_WAY[:2]),
    *((Case(None, s, "none", made_for=ANOTHER), DispatchAgain()) for s in UNDER_WAY[:2]),
]


@pytest.mark.parametrize(("case", "verdict"), TABLE, ids=str)
def test_the_table(case: Case, verdict: Verdict | None) -> None:
    assert judge(case.evidence()) == verdict


def test_no_case_is_in_the_table_twice() -> None:
    assert len({case for case, _ in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("ahead", "holder", "verdict"),
    [
        (timedelta(hours=2), "none", StartNow()),
        (timedelta(hours=2), "alive", None),
        (timedelta(seconds=30), "none", None),
        (timedelta(hours=-2), "none", None),
    ],
)
def test_nothing_waits_for_a_clock_that_was_set_back(
    ahead: timedelta, holder: Holder, verdict: StartNow | None
) -> None:
    case = Case(StateType.SCHEDULED, status="queued", holder=holder).evidence()
    assert case.run is not None
    assert case.run.state is not None
    details = {"scheduled_time": NOW + ahead}
    case.run.state.state_details = StateDetails.model_validate(details)

    assert judge(case) == verdict


@pytest.mark.parametrize("run", [SCHEDULED, PENDING, RUNNING])
@pytest.mark.parametrize("attempt", [1, 2])
def test_what_its_workers_do_not_survive_ends_at_some_count(run: StateType, attempt: int) -> None:
    """Whether its run ever came to Running, which Prefect counts, or not."""
    last = 2 * TAKEN_MAX * attempt - 1
    for fence in (1, last - 2):
        assert isinstance(judge(_taken_again(run, attempt, fence, "lapsed")), LetGo)
    ended = judge(_taken_again(run, attempt, last, "lapsed"))
    assert isinstance(ended, Settle)
    assert ended.problem is not None
    assert (ended.to, ended.problem.code) == ("failed", "run_failed")
    assert judge(_taken_again(run, attempt, last, "alive")) is None


def _taken_again(run: StateType, attempt: int, fence: int, holder: Holder) -> Evidence[UnderWay]:
    case = Case(run, "queued", holder).evidence()
    generation = replace(case.seen.generation, attempt=attempt, fence=fence)
    return replace(case, seen=replace(case.seen, generation=generation))


@pytest.mark.parametrize("state", [StateType.FAILED, StateType.CRASHED])
def test_the_client_reads_what_the_run_said(state: StateType) -> None:
    case = Case(state).evidence()
    said = Evidence(case.seen, _run(state, "the GPU fell off"), case.lives, 0, OURS, NOW)

    assert judge(said) == Settle("failed", _problem("the GPU fell off"))


@pytest.mark.parametrize("status", UNDER_WAY)
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_worker_of_another_store_cancels_nothing(status: Status, holder: Holder) -> None:
    case = Case(StateType.CANCELLED, status, holder, looks=ENOUGH).evidence()
    ended = _run(StateType.CANCELLED, f"Nothing to do: no generation {case.seen.generation.id}")
    found = judge(Evidence(case.seen, ended, case.lives, ENOUGH, OURS, NOW))

    if status == "cancelling":
        assert found == CANCEL
    else:
        assert found == (None if holder == "alive" else StartAgain())


def test_a_run_with_nothing_to_do_in_this_store_is_no_strangers() -> None:
    """Such as one that was superseded by another run of its generation."""
    case = Case(StateType.CANCELLED, "queued", "none").evidence()
    ended = _run(StateType.CANCELLED, "Nothing to do: attempt 1 is over; now it is 2")

    assert judge(Evidence(case.seen, ended, case.lives, 0, OURS, NOW)) == CANCEL


def _problem(detail: str) -> Problem:
    return problem("run_failed", detail)


# --- whatever the table says


def every_case() -> Iterator[Case]:
    runs = (None, *StateType)
    looks = (0, PATIENT, ENOUGH)
    deployments = (OURS, ANOTHER, None)
    for values in itertools.product(runs, UNDER_WAY, HOLDERS, looks, deployments, (False, True)):
        yield Case(*values)


def test_every_state_that_prefect_has_is_judged() -> None:
    assert sum(judge(case.evidence()) is None for case in every_case()) > 0


def test_who_lives_and_whose_run_is_alive_is_left_in_peace() -> None:
    for case in every_case():
        if case.holder == "alive" and case.run in (SCHEDULED, PENDING, RUNNING):
            assert judge(case.evidence()) is None, case


def test_nothing_is_ended_that_nobody_asked_to_end_while_its_run_is_there() -> None:
    for case in every_case():
        asked = case.status == "cancelling" or case.run == StateType.CANCELLING
        over = case.run is None or case.run in OVER
        if not asked and not over:
            assert not isinstance(judge(case.evidence()), Settle), case


def test_what_a_client_wants_ended_is_never_put_back() -> None:
    for case in every_case():
        if case.status == "cancelling":
            assert judge(case.evidence()) in (None, CANCEL, FAILED, CRASHED), case


def test_nothing_is_dispatched_again_that_prefect_has_or_somebody_does() -> None:
    for case in every_case():
        if case.run is not None or case.holder == "alive" or case.made_for != ANOTHER:
            assert judge(case.evidence()) != DispatchAgain(), case


def test_what_surely_nobody_does_is_never_left_under_way() -> None:
    """Each case ends after a time: only what waits in Prefect's queue, or paused, stays."""
    for case in every_case():
        abandoned = case.holder == "lapsed" or (case.holder == "none" and case.looks == ENOUGH)
        waits = case.holder == "none" and case.status in ("queued", "running")
        at_rest = waits and case.run in (SCHEDULED, StateType.PAUSED)
        if abandoned and not at_rest:
            assert judge(case.evidence()) is not None, case


def test_a_paused_run_is_let_go_of_once() -> None:
    """Else each look would write, and wake every client that follows it."""
    for case in every_case():
        verdict = judge(case.evidence())
        if isinstance(verdict, LetGo) and verdict.waiting == PAUSED:
            after = Case(case.run, "queued", "none", case.looks, case.made_for, paused=True)
            assert judge(after.evidence()) is None, case
