"""A small world around the real store: what ComfyUI and Prefect's server keep, and what they lose.

Neither is a mock of Easel: they stand for the two programs on the other side of the wires, and
keep only what matters for losing things or doing them twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import Artifact, FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Cancelled, Paused, Scheduled

from flows.prefect.abandoned_runs import BATCH_FLOW, FLOW
from flows.prefect.accounts import PATH
from flows.prefect.runs import OVER, FlowRuns
from store.store import Store
from tests.chaos.model_walk import step_ends

COMFY_URL: Final = "http://comfyui.test"
LEASE_S: Final = 1.0
LOOK_EVERY_S: Final = 1.0
SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
COMPLETED = StateType.COMPLETED
PAUSED, CANCELLING, CANCELLED = StateType.PAUSED, StateType.CANCELLING, StateType.CANCELLED


class ComfyUI:
    """Queues what it is given: twice, when it is given twice. Its death forgets all but files."""

    def __init__(self) -> None:
        self.is_up = True
        self.queue: list[str] = []
        self.history: dict[str, bool] = {}
        self.files: set[str] = set()
        self.incarnation = 1
        self.renders: Counter[tuple[str, int]] = Counter()
        self.looked_for: set[str] = set()
        self.loses_next_reply = False

    def post(self, prompt_id: str) -> bool:
        """Queue it. False when the answer is lost, which says nothing about the queue."""
        if not self.is_up:
            return False
        self.queue.append(prompt_id)
        answered, self.loses_next_reply = not self.loses_next_reply, False
        return answered

    def knows(self, prompt_id: str) -> bool:
        """Whether it waits, has ended, or has left its file."""
        self.looked_for.add(prompt_id)
        return prompt_id in self.queue or self.has_ended(prompt_id)

    def has_ended(self, prompt_id: str) -> bool:
        """Whether its history, or its file, tells the end."""
        return prompt_id in self.history or prompt_id in self.files

    def has_failed(self, prompt_id: str) -> bool:
        """Whether its history tells of an error."""
        return not self.history.get(prompt_id, True)

    def take_out(self, prompt_id: str) -> bool:
        """Cancel it, as ``ComfySession.cancel``; whether it is surely gone."""
        if self.is_up:
            self.queue = [queued for queued in self.queue if queued != prompt_id]
        return self.is_up

    def render(self, *, well: bool = True) -> None:
        """Execute what is first in the queue, to its end."""
        if self.is_up and self.queue:
            prompt_id = self.queue.pop(0)
            self.renders[prompt_id, self.incarnation] += 1
            self.history[prompt_id] = well
            if well:
                self.files.add(prompt_id)

    def die(self) -> None:
        """Stop, and forget the queue and the history."""
        self.is_up = False
        self.queue.clear()
        self.history.clear()
        self.incarnation += 1

    def start(self) -> None:
        """Be there again."""
        self.is_up = True


@dataclass
class Meanwhile:
    """Something that happens elsewhere after so many more answers of the Prefect server."""

    answers: int
    happen: Callable[[], Awaitable[None]]


class PrefectServer:
    """Runs, and the rules by which they change.

    Its methods are those of Prefect's client that Easel calls, so that Easel's own code tells it.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.deployment_id = uuid4()
        self.runs: dict[UUID, FlowRun] = {}
        self.states: dict[UUID, list[State[Any]]] = {}
        """All that each run has had, in their order."""
        self.meanwhile: Meanwhile | None = None
        self.events: list[tuple[UUID, StateType]] = []
        """Which run got which state, as its event stream tells."""

    # --- what an operator or a fault does

    def lose_database(self) -> None:
        """Every run is gone, and so is the deployment; Easel registers another."""
        self.runs.clear()
        self.deployment_id = uuid4()

    def state_of(self, run_id: UUID) -> StateType | None:
        """The run's state; None when there is no such run."""
        run = self.runs.get(run_id)
        return run.state_type if run is not None else None

    def scheduled(self) -> list[FlowRun]:
        """What any worker may take, in the order it was made."""
        return [run for run in self.runs.values() if run.state_type == SCHEDULED]

    def operate(self, run_id: UUID, action: str) -> None:
        """What an operator can do to a run in Prefect's own page."""
        now = self.state_of(run_id)
        if action == "delete":
            self.runs.pop(run_id, None)
        elif action == "cancel":
            self.move(run_id, State(type=CANCELLING))
        elif action == "pause" and now in (SCHEDULED, PENDING, RUNNING):
            self.move(run_id, Paused(), force=True)
        elif (action == "resume" and now == PAUSED) or (action == "retry" and now in OVER):
            self.move(run_id, AwaitingRetry(), force=True)

    def move(self, run_id: UUID, to: State[Any], *, force: bool = False) -> bool:
        """Set a run's state if the rules let it; whether it has that type of state now."""
        run = self.runs.get(run_id)
        if run is None:
            return False
        outcome = to if force else _orchestrated(run.state_type, to)
        if outcome is None:
            return False
        self.events.append((run_id, outcome.type))
        # Long ago: nobody has to wait until Prefect has recorded what happened.
        outcome = outcome.model_copy(
            update={"id": uuid4(), "timestamp": datetime.now(UTC) - timedelta(hours=1)}
        )
        self.states.setdefault(run_id, []).append(outcome)
        self.runs[run_id] = run.model_copy(
            update={
                "state": outcome,
                "state_type": outcome.type,
                "state_name": outcome.name,
                "run_count": run.run_count + (outcome.type == RUNNING),
            }
        )
        return outcome.type == to.type

    # --- Prefect's client

    async def create_flow_run_from_deployment(
        self,
        deployment_id: UUID,
        *,
        idempotency_key: str,
        state: State[Any] | None = None,
        **_told: Any,
    ) -> FlowRun:
        if deployment_id != self.deployment_id:
            raise ObjectNotFound(LookupError("no such deployment"))
        made = [run for run in self.runs.values() if run.idempotency_key == idempotency_key]
        if not made:
            run = FlowRun(
                id=uuid4(),
                flow_id=UUID(int=1),
                deployment_id=deployment_id,
                idempotency_key=idempotency_key,
            )
            self.runs[run.id] = run
            self.move(run.id, state or Scheduled(), force=True)
            made = [self.runs[run.id]]
        await self._answered()
        return made[0]

    async def request(self, method: str, path: str, **_other: Any) -> httpx.Response:
        """Answers what asks for a deployment by its name, and for all of them.

        It is no server of Easel's: it knows nothing of accounts.
        """
        found = {"id": str(self.deployment_id), "name": "comfyui", "flow_id": str(UUID(int=1))}
        if path == PATH:
            asked = httpx.Request(method, f"http://prefect.test/api{path}")
            unknown = httpx.Response(404, request=asked)
            raise PrefectHTTPStatusError("404", request=asked, response=unknown)
        await self._answered()
        if path == "/deployments/filter":
            return httpx.Response(200, json=[found])
        assert path.startswith("/deployments/name/"), path
        return httpx.Response(200, json=found)

    async def read_flow_runs(
        self,
        *,
        flow_run_filter: FlowRunFilter,
        flow_filter: FlowFilter | None = None,
        **_other: Any,
    ) -> list[FlowRun]:
        flows = flow_filter.name.any_ if flow_filter is not None and flow_filter.name else None
        by_id = flow_run_filter.id.any_ if flow_run_filter.id else None
        keys = flow_run_filter.idempotency_key.any_ if flow_run_filter.idempotency_key else None
        by_state = flow_run_filter.state
        types = by_state.type.any_ if by_state is not None and by_state.type is not None else None
        found = [
            run
            for run in self.runs.values()
            if (by_id is None or run.id in by_id)
            and (keys is None or run.idempotency_key in keys)
            and (flows is None or _flow_of(run) in flows)
            and (types is None or run.state_type in types)
        ]
        await self._answered()
        return found

    async def read_flow_run(self, run_id: UUID) -> FlowRun:
        found = self._existing(run_id)
        await self._answered()
        return found

    async def read_flow_run_states(self, run_id: UUID) -> list[State[Any]]:
        found = list(self.states.get(run_id, ()))
        await self._answered()
        return found

    async def read_task_runs(self, **_filters: Any) -> list[Any]:
        return []

    async def set_flow_run_state(
        self, run_id: UUID, state: State[Any], force: bool = False
    ) -> None:
        self._existing(run_id)
        self.move(run_id, state, force=force)
        await self._answered()

    async def read_artifacts(self, **_wanted: Any) -> list[Artifact]:
        await self._answered()
        return []  # there are no flows here that make one

    async def delete_flow_run(self, run_id: UUID) -> None:
        self._existing(run_id)
        del self.runs[run_id]
        await self._answered()

    def _existing(self, run_id: UUID) -> FlowRun:
        if run_id not in self.runs:
            raise ObjectNotFound(LookupError(f"no run {run_id}"))
        return self.runs[run_id]

    async def _answered(self) -> None:
        """Between this answer and what its caller does next, the world may move."""
        if self.meanwhile is None:
            return
        self.meanwhile.answers -= 1
        if self.meanwhile.answers <= 0:
            happen, self.meanwhile = self.meanwhile.happen, None
            await happen()


def _flow_of(run: FlowRun) -> str:
    return BATCH_FLOW if (run.idempotency_key or "").startswith("batch:") else FLOW


def _orchestrated(now: StateType | None, to: State[Any]) -> State[Any] | None:
    """What Prefect makes of a proposed state: that one, another, or nothing."""
    if now in OVER:
        return None
    if to.type == CANCELLING:
        if now in (SCHEDULED, PAUSED):
            return Cancelled()
        return to if now in (PENDING, RUNNING) else None
    if to.type == PENDING:
        return to if now == SCHEDULED else None
    if to.type == RUNNING:
        return to if now in (PENDING, PAUSED) else None
    if to.type == PAUSED:
        return to if now == RUNNING else None
    if now == CANCELLING and to.type != CANCELLED:
        return None
    return to


class Wire:
    """What connects a process with Prefect: each request fails while Prefect is away.

    ``rests``: who asks may also be stopped before the request, and before its answer comes.
    """

    def __init__(self, server: PrefectServer, *, rests: bool = False) -> None:
        self._server = server
        self._rests = rests

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Returns the method of Prefect's client."""
        call = getattr(self._server, name)

        async def request(*args: Any, **kwargs: Any) -> Any:
            if self._rests:
                await step_ends()
            if not self._server.is_up:
                raise httpx.ConnectError("Prefect is away")
            answer = await call(*args, **kwargs)
            if self._rests:
                await step_ends()
            return answer

        return request


@dataclass
class World:
    """Everything there is. ``now`` is the one monotonic clock; it moves when the machine says."""

    store: Store
    runs: FlowRuns
    comfy: ComfyUI = field(default_factory=ComfyUI)
    prefect: PrefectServer = field(default_factory=PrefectServer)
    now: float = 1000.0
    is_strict: bool = False
    """Whether an operator has set a limit: then Prefect says what may begin."""
    left_behind: set[UUID] = field(default_factory=set)
    """Generations of which a worker died, or was cancelled, between keeping and committing."""

    def __post_init__(self) -> None:
        self.runs._client = Wire(self.prefect)  # type: ignore[assignment]

    def clock(self) -> float:
        """For whoever takes a clock."""
        return self.now
