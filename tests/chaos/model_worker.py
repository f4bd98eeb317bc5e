"""A worker: it takes runs and does them step by step, and can die or stand still in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from comfy import ComfySession
from flows.prefect.abandoned_runs import put_back, under_way
from flows.runtime import Runtime, worker_lease
from store.leases import LeaseKeeper
from store.values import Holder
from tests.chaos.model import CANCELLING, COMFY_URL, LEASE_S, World
from tests.chaos.model_run import Execution, Steps


class Lease:
    """What ``LeaseKeeper`` is to a worker, on the world's clock."""

    def __init__(self, world: World, name: str) -> None:
        self.holder = uuid4()
        self._world = world
        self._name = worker_lease(name)
        self._renewed_at = world.now

    @property
    def fresh(self) -> bool:
        return self._world.now - self._renewed_at < LEASE_S / 2

    async def take(self) -> None:
        await self._world.store.leases.take(self._name, self.holder, LEASE_S)

    async def give_up(self) -> None:
        await self._world.store.leases.give_up(self._name, self.holder)

    async def renew(self) -> None:
        if await self._world.store.leases.renew(self._name, self.holder):
            self._renewed_at = self._world.now


class Worker:
    """Takes one run at a time. ``step`` goes on by one step, if it lives and is not frozen."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.is_alive = False
        self.is_frozen = False
        self._world = world
        self._execution: Execution | None = None
        self._steps: Steps | None = None
        self._stops = False
        self._lease = Lease(world, name)

    @property
    def is_idle(self) -> bool:
        return self._execution is None

    # --- what befalls it

    async def start(self) -> None:
        """As a new process: take the name, then take back what the former process left."""
        if self.is_alive:
            return
        self._lease = Lease(self._world, self.name)
        await self._lease.take()
        self._runtime = Runtime(
            self._world.store,
            cast("ComfySession", None),
            cast("LeaseKeeper", self._lease),
            Holder(self.name, self._lease.holder, COMFY_URL),
            "",
            None,
            Path(),
        )
        await self._take_back()
        self.is_alive, self._stops = True, False

    async def kill(self) -> None:
        """Gone, with all that it had in memory; nothing is tidied up."""
        if self._execution is not None:
            self._execution.leave()
        self.is_alive = self.is_frozen = False
        self._execution = self._steps = None

    async def stop(self) -> None:
        """As after SIGTERM: what it does goes back to the queue, and then it ends."""
        if not self.is_alive or self.is_frozen:
            return
        self._stops = True
        while not self.is_idle:
            await self.step()
        await self._lease.give_up()
        self.is_alive = False

    async def beat(self) -> None:
        """Renew the lease, as a task of its own does all the time."""
        if self.is_alive and not self.is_frozen:
            await self._lease.renew()

    async def step(self, *, hears: bool = True) -> None:
        """One step. ``hears``: word of a cancel in Prefect has reached it by now."""
        if not self.is_alive or self.is_frozen:
            return
        if self._execution is None:
            await self._clear_strays()
            await self._take_one()
        if self._execution is None or self._steps is None:
            return
        self._execution.hears, self._execution.stops = hears, self._stops
        try:
            await anext(self._steps)
        except StopAsyncIteration:
            self._execution = self._steps = None

    async def _take_one(self) -> None:
        for run in self._world.prefect.scheduled()[:1]:
            self._execution = Execution(self._world, self._runtime, run)
            self._steps = self._execution.steps(alone=await self._is_alone())

    # --- its start

    async def _take_back(self) -> None:
        """As ``flows.worker.recovery``."""
        store, client = self._world.store, cast("Any", self._world.prefect)
        alive = await self._workers()
        for run in await under_way(client, "gpu"):
            left = await store.generations.of_run(run.id)
            holder = left.holder if left is not None else None
            if holder in alive or (holder is None and not await self._is_alone()):
                continue
            if left is not None:
                generation = left.generation
                if run.state_type == CANCELLING or generation.status == "cancelling":
                    await store.transitions.settle(generation.id, run.id, "cancelled", None)
                else:
                    await store.transitions.let_go(generation.id, run.id, generation.fence)
            await put_back(client, run)

    async def _workers(self) -> set[UUID]:
        return {lease.holder for lease in await self._world.store.leases.all()}

    async def _is_alone(self) -> bool:
        return await self._workers() == {self._lease.holder}

    async def _clear_strays(self) -> None:
        """As ``ComfyWorker._clear_strays``."""
        strays = self._world.store.strays
        for stray in await strays.of(COMFY_URL):
            if await strays.is_wanted(stray) or self._world.comfy.take_out(stray.prompt_id):
                await strays.gone(stray)
