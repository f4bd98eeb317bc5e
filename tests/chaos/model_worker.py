"""A worker: it takes generations and does them step by step, and can die or stand still in between.

What leads flow runs, lets them join the queue, heeds operators, and lets go of the dead at its
start is Easel's own. So is what it asks of the store's queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, cast
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending

from comfy import ComfySession
from flows.errors import PrefectUnavailableError
from flows.prefect.runs import FlowRuns
from flows.runtime import Runtime, worker_lease
from flows.worker.joining import Joining
from flows.worker.leading import AT_ONCE, Leading
from flows.worker.operators import Operators
from flows.worker.recovery import let_go_of_the_dead
from flows.worker.taking import PRIORITIES
from store.leases import LeaseKeeper
from store.values import Claim, Holder, Queued
from tests.chaos.model import CANCELLED, CANCELLING, COMFY_URL, LEASE_S, PAUSED, Wire, World
from tests.chaos.model_attempt import Doing
from tests.chaos.model_run import ModelCarrying
from tests.chaos.model_walk import Walk, step_ends

Part = Literal["all", "work", "lead"]
"""What goes on in a step: all that the worker does, the attempt alone, or its run alone."""
PARTS: Final[tuple[Part, ...]] = ("all", "work", "lead")
TELLING_STEPS: Final = 20
"""How many steps a worker that stops waits until Prefect has heard of what it did."""


class Lease:
    """What ``LeaseKeeper`` is to a worker, on the world's clock."""

    def __init__(self, world: World, name: str) -> None:
        self.holder = uuid4()
        self._world = world
        self._name = worker_lease(name)

    async def take(self) -> None:
        await self._world.store.leases.take(self._name, self.holder, LEASE_S)

    async def give_up(self) -> None:
        await self._world.store.leases.give_up(self._name, self.holder)

    async def renew(self) -> None:
        await self._world.store.leases.renew(self._name, self.holder)


class ModelRunner:
    """What ``PrefectWorker`` is to the parts of the worker."""

    def __init__(self, world: World, under_way: set[UUID], *, rests: bool) -> None:
        self.client: Any = Wire(world.prefect, rests=rests)
        self._world = world
        self._under_way = under_way

    @property
    def under_way(self) -> AbstractSet[UUID]:
        return self._under_way

    def watch(self, flow_run_id: UUID) -> None:
        self._under_way.add(flow_run_id)

    def finish(self, flow_run_id: UUID) -> None:
        self._under_way.discard(flow_run_id)

    async def propose_pending(self, flow_run: FlowRun) -> bool:
        """As Prefect's worker, which takes a refusal and an absence alike."""
        await step_ends()
        up = self._world.prefect.is_up
        return up and self._world.prefect.move(flow_run.id, Pending())

    async def propose_crashed(self, flow_run: FlowRun, error: BaseException) -> None:
        raise AssertionError(f"{flow_run.id} crashed") from error


class ModelRuns(FlowRuns):
    """Before and after a run is made its worker can be stopped."""

    async def start(self, *args: Any, **kwargs: Any) -> FlowRun:
        await step_ends()
        run = await super().start(*args, **kwargs)
        await step_ends()
        return run


class Process:
    """What a worker has in memory, from its start to its death."""

    def __init__(self, world: World, name: str, lease: Lease) -> None:
        self.doings: list[Doing] = []
        """One; more when Prefect gives it a run beside what it has taken."""
        self.walks: list[Walk] = []
        """Runs that it leads, and runs that it carries out."""
        self._world = world
        self._under_way: set[UUID] = set()
        self._heard = len(world.prefect.events)
        self.runtime = Runtime(
            world.store,
            cast("ComfySession", None),
            cast("LeaseKeeper", lease),
            Holder(name, lease.holder, COMFY_URL),
            "",
            None,
            Path(),
        )
        self._runner = ModelRunner(world, self._under_way, rests=True)
        self._carrying = ModelCarrying(
            world,
            self.runtime,
            ModelRunner(world, self._under_way, rests=False),
            self._begin,
            lambda _: None,
        )
        runs = ModelRuns("http://prefect.test/api")
        runs._client = Wire(world.prefect)  # type: ignore[assignment]
        self._leading = Leading(self.runtime, runs, self._runner, self._carrying)
        self._joining = Joining(self.runtime, runs.states, self._carry_out)
        asked = ModelRuns("http://prefect.test/api")
        asked._client = Wire(world.prefect, rests=True)  # type: ignore[assignment]
        self._operators = Operators(self.runtime, asked, self._runner, self._carrying)
        self._applying: Walk | None = None

    @property
    def has_room(self) -> bool:
        return not self.doings and not self._carries

    @property
    def is_idle(self) -> bool:
        return not self.doings and not self.walks

    # --- taking

    async def take(self) -> None:
        """As ``Taking``: the claim, and the beginning of the attempt."""
        claim = await self._world.store.queue.take(
            self.runtime.holder, _first, PRIORITIES, lambda _: True
        )
        if claim is not None:
            self.walks.append(Walk(self._lead(self._begin(claim, claim.flow_run_id))))

    async def look_for_runs(self) -> None:
        """What Prefect has due joins the queue, or is carried out while it decides."""
        if not self._world.prefect.is_up:
            return
        due = [run for run in self._world.prefect.scheduled() if run.id not in self._under_way]
        for run in due:
            if not self._world.is_strict:
                self._joining.note(run)
            elif self.has_room:
                self._carry_out(run)
        await self._joining._join_all()

    def _begin(self, claim: Claim, flow_run_id: UUID | None) -> Doing:
        doing = Doing(self._world, self.runtime, claim, flow_run_id)
        self.doings.append(doing)
        if flow_run_id is not None:
            self.runtime.attempts.name_run(cast("Any", doing), flow_run_id, None)
        return doing

    def _carry_out(self, run: FlowRun) -> None:
        self._runner.watch(run.id)
        self._carries += 1
        self.walks.append(Walk(self._carried_out(run)))

    _carries = 0

    async def _carried_out(self, run: FlowRun) -> None:
        await self._carrying.carry_out(run)
        self._carries -= 1

    async def _lead(self, doing: Doing) -> None:
        """As ``Leading._lead``, without its pauses."""
        attempt = cast("Any", doing)
        await step_ends()
        while not await self._leading._in_turn(attempt):
            await step_ends()
        await doing.outcome()
        self.runtime.attempts.forget(attempt)

    # --- going on

    async def work(self) -> None:
        """One step of each attempt."""
        for doing in self.doings:
            await doing.walk.step()
        self.doings = [doing for doing in self.doings if not doing.is_over]

    async def lead(self) -> None:
        """One step with each of the runs. More would wait for each other."""
        for walk in self.walks[:AT_ONCE]:
            await walk.step()
        self.walks = [walk for walk in self.walks if not walk.is_over]

    async def hear(self) -> None:
        """Word of what operators did to runs arrives."""
        events = self._world.prefect.events
        for run_id, state in events[self._heard :]:
            if state in (CANCELLED, PAUSED):
                self._operators.note(run_id)
            elif state == CANCELLING and run_id in self._under_way:
                self._carrying.on_cancelling(run_id)
                self._operators.note(run_id)
        self._heard = len(events)
        if self._applying is None or self._applying.is_over:
            self._applying = Walk(self._operators._apply())
        with suppress(PrefectUnavailableError):  # it stays noted
            await self._applying.step()

    def miss_events(self) -> None:
        """It stood still: Prefect told others, and it asks once about what is under way."""
        self._heard = len(self._world.prefect.events)
        for run_id in tuple(self._under_way):
            if self._world.prefect.state_of(run_id) == CANCELLING:
                self._carrying.on_cancelling(run_id)
                self._operators.note(run_id)

    # --- its end

    async def drain(self) -> None:
        """What it does goes back to the queue; Prefect may hear of it, for a while."""
        self._carrying.put_all_back()
        for doing in self.doings:
            doing.ask_to_stop("release")
        for _ in range(TELLING_STEPS):
            await self.work()
            await self.lead()
        while self.doings:
            await self.work()

    async def leave(self) -> None:
        """Gone, with all that it had in memory; nothing is tidied up."""
        walks = [*self.walks, *([self._applying] if self._applying else [])]
        for doing in self.doings:
            doing.leave()
            walks.append(doing.walk)
        for walk in walks:
            await walk.leave()


class Worker:
    """Does one generation at a time. ``step`` goes on by one, if it lives and is not frozen."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.is_frozen = False
        self._world = world
        self._lease = Lease(world, name)
        self._process: Process | None = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    @property
    def is_idle(self) -> bool:
        return self._process is None or self._process.is_idle

    # --- what befalls it

    async def start(self) -> None:
        """As a new process: take the name, then let go of what dead processes left."""
        if self._process is not None:
            return
        self._lease = Lease(self._world, self.name)
        await self._lease.take()
        leases = await self._world.store.leases.all()
        await let_go_of_the_dead(self._world.store, {lease.holder for lease in leases})
        self._process = Process(self._world, self.name, self._lease)

    async def kill(self) -> None:
        """Gone, whatever it was about to do."""
        process, self._process = self._process, None
        self.is_frozen = False
        if process is not None:
            await process.leave()

    async def stop(self) -> None:
        """As after SIGTERM: what it does goes back to the queue, and then it ends."""
        if self._process is None or self.is_frozen:
            return
        await self._process.drain()
        await self.kill()
        await self._lease.give_up()

    def thaw(self) -> None:
        """Go on after it stood still."""
        self.is_frozen = False
        if self._process is not None:
            self._process.miss_events()

    async def beat(self) -> None:
        """Renew the lease, as a task of its own does all the time."""
        if self._process is not None and not self.is_frozen:
            await self._lease.renew()

    async def step(self, *, hears: bool = True, part: Part = "all") -> None:
        """One step. ``hears``: word of what an operator did in Prefect has reached it by now."""
        process = self._process
        if process is None or self.is_frozen:
            return
        if hears and self._world.prefect.is_up:
            await process.hear()
        if part in ("all", "work"):
            await self._work(process)
        if part in ("all", "lead"):
            await process.lead()

    async def _work(self, process: Process) -> None:
        if process.doings:
            await process.work()
            return
        await self._clear_strays()
        await process.look_for_runs()
        await self.take()

    async def take(self) -> None:
        """Take the next generation, if it may."""
        process = self._process
        if process is None or self.is_frozen or self._world.is_strict:
            return
        if process.has_room and self._world.comfy.is_up:
            await process.take()

    async def _clear_strays(self) -> None:
        """As ``Upkeep``."""
        strays = self._world.store.strays
        for stray in await strays.of(COMFY_URL):
            if await strays.is_wanted(stray) or self._world.comfy.take_out(stray.prompt_id):
                await strays.gone(stray)


def _first(waiting: Sequence[Queued]) -> Queued:
    return waiting[0]
