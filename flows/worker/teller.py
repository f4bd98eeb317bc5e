"""What there is to tell of an attempt's flow run, as its flow would show it.

It says what Prefect's flow engine and the flow ``generate`` would say, without running them.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State
from prefect.settings.context import get_current_settings
from prefect.states import Cancelled, Pending, Running, exception_to_failed_state

from flows.artifacts import (
    RENDERING,
    UPDATE_EVERY_S,
    Shown,
    artefacts_shown,
    attempts_table,
    request_table,
)
from flows.attempts.attempt import Attempt, Kept, Stopped
from flows.attempts.record import Line
from flows.attempts.stage import Stage
from flows.endings import state_of
from flows.errors import TakenOver
from flows.generate import status_url
from flows.prefect.accounts import (
    Account,
    ToldArtifact,
    ToldBeat,
    ToldLine,
    ToldState,
    WantedRun,
)
from flows.prefect.private.ids import new_id
from flows.runtime import Runtime
from flows.worker.told_task import ERROR, INFO, StageTeller
from store.values import Attempt as PastTry

_TICK: Final = timedelta(microseconds=1)
CANCELLED: Final = "Flow run was cancelled."
"""What Prefect says of a run that was stopped by a cancel."""
_FLOW_RUNS: Final = logging.getLogger("prefect.flow_runs")


T = TypeVar("T")


@dataclass
class _News(Generic[T]):
    """Things to tell, in their order, of which the first ``told`` have arrived."""

    all: list[T] = field(default_factory=list)
    told: int = 0
    offered: int = 0

    @property
    def is_new(self) -> bool:
        return len(self.all) > self.told

    def not_told(self) -> list[tuple[int, T]]:
        """Returns them with their places among all."""
        return [*enumerate(self.all)][self.told :]

    def offer(self) -> tuple[T, ...]:
        self.offered = len(self.all)
        return tuple(self.all[self.told :])

    def arrived(self) -> None:
        self.told = self.offered


class Teller:
    """Use from one event loop. ``earlier``: the attempts before this one."""

    def __init__(
        self, runtime: Runtime, attempt: Attempt, wanted: WantedRun, earlier: Sequence[PastTry]
    ) -> None:
        self.run_id: UUID = attempt.flow_run_id or uuid4()
        """Of the run, unless its key has another one."""
        self.deployment_id = wanted.deployment_id
        self.is_whole = False
        """Whether the run's end is among what was told."""
        self.is_left_alone = False
        """Whether the attempt is over, and another worker tells how it goes on."""
        self._runtime = runtime
        self._attempt = attempt
        self._wanted: WantedRun | None = wanted
        self._name = wanted.name
        self._earlier = earlier
        self._states: _News[ToldState] = _News()
        self._lines: _News[ToldLine] = _News()
        self._artifacts: _News[ToldArtifact] = _News()
        self._beats: _News[ToldBeat] = _News()
        self._stages: list[StageTeller] = []
        self._lines_read = 0
        self._progress: _Progress | None = None
        self._ends = False
        self._is_repeated = False

    # --- what is sent

    async def has_news(self) -> bool:
        """Returns whether there is anything to tell."""
        await self._look()
        lists = (self._states, self._lines, self._artifacts, self._beats)
        return any(one.is_new for one in lists) or any(one.is_new for one in self._stages)

    async def news(self) -> Account:
        """Returns all that is new by now."""
        await self._look()
        states = self._states.offer()
        told = self._states.all[: self._states.told]
        return Account(
            run_id=self.run_id,
            wanted=self._wanted,
            after=told[-1].id if told else None,
            is_repeated=self._is_repeated,
            states=states,
            tasks=tuple(task for one in self._stages if (task := one.news()) is not None),
            lines=self._lines.offer(),
            artifacts=self._artifacts.offer(),
            beats=self._beats.offer(),
        )

    def arrived(self) -> None:
        """What ``news`` returned last has arrived, and was written."""
        for one in (self._states, self._lines, self._artifacts, self._beats):
            one.arrived()
        for stage in self._stages:
            stage.told()
        self._wanted, self._is_repeated, self.is_whole = None, False, self._ends

    def may_have_arrived(self) -> None:
        """There was no answer."""
        self._is_repeated = True

    # --- what there is to tell

    async def _look(self) -> None:
        attempt = self._attempt
        is_over, stages = attempt.is_over, attempt.begun_stages
        if not self._states.all:
            self._begin()
        for stage in stages[len(self._stages) :]:
            self._stages.append(StageTeller(stage, 1))
            if stage.name == "poll":
                self._progress = _Progress(stage)
                attempt.follow(self._progress.update)
        for one in self._stages:
            self._lines.all += filter(_is_shown, await one.look())
        self._retell(attempt.record.lines[self._lines_read :])
        self._lines_read = len(attempt.record.lines)
        self._show_progress()
        if is_over and not self._ends and not self.is_left_alone:
            await self._end()
        elif not is_over:
            self._beat()

    def _begin(self) -> None:
        claim, attempt = self._attempt.claim, self._attempt
        stages = attempt.begun_stages
        ran_at = (stages[0].began_at if stages else None) or datetime.now(UTC)
        pending_at, made_at = ran_at - _TICK, ran_at - 2 * _TICK
        made_at = min(made_at, claim.created_at or made_at)
        due: dict[str, Any] = {"name": "Scheduled", "message": None, "due_at": made_at}
        self._states.all.append(ToldState(id=new_id(), type="SCHEDULED", at=made_at, **due))
        self._enter(Pending(), pending_at)
        self._enter(Running(), ran_at)
        self._say(INFO, f"Beginning flow run {self._name!r} for flow 'generate'", ran_at)
        where = status_url(self._runtime, claim)
        self._show(request_table(claim, self._runtime.holder.worker, where))
        if self._earlier:
            self._show(attempts_table(self._earlier))

    async def _end(self) -> None:
        if self._attempt.fault is not None:
            self.is_left_alone = True
            return
        outcome = await self._attempt.outcome()
        if isinstance(outcome, Kept):
            self._show(artefacts_shown(outcome.artefacts, self._runtime.api_url))
        at = self._attempt.ended_at or datetime.now(UTC)
        try:
            state = state_of(outcome)
        except TakenOver:
            self.is_left_alone = True
            return
        except Exception as error:  # noqa: BLE001 - it is what the attempt ended with
            said = "".join(traceback.format_exception(error)).rstrip()
            self._say(ERROR, f"Encountered exception during execution: {error!r}\n{said}", at)
            state = await exception_to_failed_state(
                error, message="Flow run encountered an exception:"
            )
        if outcome == Stopped("cancel"):
            state = Cancelled(message=CANCELLED)
            self._say(INFO, CANCELLED, at)
        self._ends = True
        self._enter(state, at, untrackable=state.data is None and not state.is_cancelled())
        level = INFO if state.is_completed() else ERROR
        self._say(level, f"Finished in state {state}", at)

    def _enter(self, state: State[Any], at: datetime, *, untrackable: bool = False) -> None:
        before = self._states.all[-1]
        kind: Any = state.type.value
        self._states.all.append(
            ToldState(
                id=new_id(),
                type=kind,
                name=state.name or "",
                message=state.message,
                at=max(at, before.at + _TICK),
                due_at=at if kind == "SCHEDULED" else None,
                untrackable=untrackable and state.is_final(),
                retriable=state.state_details.retriable,
            )
        )

    def _say(self, level: int, text: str, at: datetime) -> None:
        self._retell([Line(at, level, text)])

    def _retell(self, lines: Sequence[Line]) -> None:
        told = (ToldLine(id=new_id(), at=one.at, level=one.level, text=one.text) for one in lines)
        self._lines.all += filter(_is_shown, told)

    def _show(self, shown: Shown) -> None:
        self._artifacts.all.append(_told(shown, uuid4(), is_known=False))

    def _show_progress(self) -> None:
        progress = self._progress
        if progress is None or progress.percent is None:
            return
        if progress.is_complete:
            progress.percent = 100.0
        if progress.percent == progress.shown:
            return
        shown = Shown("progress", progress.percent, RENDERING)
        known = progress.shown is not None
        progress.shown = progress.percent
        for number, one in self._artifacts.not_told():
            if one.id == progress.id:  # while Prefect is away it does not pile up
                self._artifacts.all[number] = one.model_copy(update={"data": shown.data})
                return
        self._artifacts.all.append(_told(shown, progress.id, is_known=known))

    def _beat(self) -> None:
        every_s = get_current_settings().flows.heartbeat_frequency
        now, beats = datetime.now(UTC), self._beats.all
        if every_s is None or (beats and now - beats[-1].at < timedelta(seconds=every_s)):
            return
        for number, _ in self._beats.not_told():  # while Prefect is away they do not pile up
            del beats[number]
        beats.append(ToldBeat(id=new_id(), at=now))


class _Progress:
    """The progress bar. A run of less than a second has none: it would not be seen."""

    def __init__(self, stage: Stage) -> None:
        self.id = uuid4()
        self._stage = stage
        self.percent: float | None = None
        self.shown: float | None = None
        self._began_at = datetime.now(UTC)

    @property
    def is_complete(self) -> bool:
        stage = self._stage
        return stage.is_over and bool(stage.tries) and stage.tries[-1].error is None

    def update(self, percent: float) -> None:
        if datetime.now(UTC) - self._began_at >= timedelta(seconds=UPDATE_EVERY_S):
            self.percent = percent


def _is_shown(line: ToldLine) -> bool:
    """Returns whether Prefect's logging would send it."""
    to_api = get_current_settings().logging.to_api
    return to_api.enabled and _FLOW_RUNS.isEnabledFor(line.level)


def _told(shown: Shown, artifact_id: UUID, *, is_known: bool) -> ToldArtifact:
    return ToldArtifact(
        id=artifact_id,
        event_id=new_id(),
        type=shown.type,
        data=shown.data,
        description=shown.description,
        is_known=is_known,
    )
