"""The real store with the modelled world around it, and what must be true of both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import event, update

from core.status import FINAL, RETRYABLE
from flows.errors import FlowsError
from flows.prefect.runs import OVER, FlowRuns
from flows.reconcile.dispatcher import Dispatcher
from flows.reconcile.reconciler import Reconciler
from store.errors import ConflictError, DeletedError
from store.generations.acceptance import IdempotencyKey
from store.generations.dispatches import KINDS, LANE
from store.store import Store
from store.tables import outbox
from tests.chaos.model import (
    COMFY_URL,
    LEASE_S,
    LOOK_EVERY_S,
    PAUSED,
    ComfyUI,
    Meanwhile,
    PrefectServer,
    World,
)
from tests.chaos.model_checks import Witness
from tests.chaos.model_worker import Part, Worker
from tests.harness.databases import a_store
from tests.harness.transactions import open_write
from tests.store.making import a_request

_T = TypeVar("_T")
ROUNDS_TO_REST: Final = 40
STEPS_TOGETHER: Final = 5
DISPATCHER: Final = "dispatcher"


class Death(BaseException):
    """The API's process is killed at this moment."""


class House:
    """Easel as it is, beside a world that can be stopped anywhere."""

    def __init__(self, store: Store, stack: AsyncExitStack, folder: Path) -> None:
        self._store = store
        self._stack = stack
        self._world = World(store, FlowRuns("http://prefect.test/api"))
        self.comfy: ComfyUI = self._world.comfy
        self.prefect: PrefectServer = self._world.prefect
        self.workers = (Worker(self._world, "one"), Worker(self._world, "two"))
        self.witness = Witness(self._world, folder)
        self._by_key: dict[str, UUID] = {}
        self._was_meddled_with = False
        self._lost_a_process = False
        self.restart_api()

    @classmethod
    async def opened(cls, folder: Path) -> House:
        """A new house in a folder."""
        stack = AsyncExitStack()
        store = Store(a_store(folder / "easel.db"), str(folder / "images"))
        # No power is cut here: waiting for the disk would prove nothing.
        event.listen(store.database.engine, "connect", _do_not_wait_for_the_disk)
        await stack.enter_async_context(store)
        return cls(store, stack, folder / "images")

    async def close(self) -> None:
        """Close the store."""
        await self._stack.aclose()

    def restart_api(self) -> None:
        """The dispatcher and the reconciler remember nothing of what they saw."""
        runs = self._world.runs
        self._api = uuid4()
        self._dispatcher = Dispatcher(
            self._store, runs, lambda: False, name=DISPATCHER, lease_s=LEASE_S
        )
        self._reconciler = Reconciler(
            self._store, runs, look_every_s=LOOK_EVERY_S, lease_s=LEASE_S, now=self._world.clock
        )

    # --- clients

    async def create(self, *, told: bool) -> None:
        """``told``: the dispatcher has told Prefect of it at once."""
        accepted = await self._store.acceptance.accept(a_request())
        self.witness.accepted.append(accepted.generation.id)
        if told:
            await self.dispatch()

    async def create_with_key(self, key: str) -> None:
        """The same key makes one generation, or is told that it was deleted."""
        try:
            accepted = await self._store.acceptance.accept(
                a_request(), IdempotencyKey(key, "the same body"), lambda made, _: {"id": str(made)}
            )
        except DeletedError:
            assert self.witness.seen[self._by_key[key]].is_deleted
            return
        made = accepted.generation.id
        assert accepted.replayed == (key in self._by_key)
        assert self._by_key.setdefault(key, made) == made
        if made not in self.witness.accepted:
            self.witness.accepted.append(made)

    async def client(self, action: str, which: int) -> None:
        """Cancel, delete or retry one of those to which it matters."""
        transitions = self._store.transitions
        now = await self.witness.rows()
        active = [id_ for id_, row in now.items() if row.status not in FINAL]
        ended = [id_ for id_, row in now.items() if row.status in RETRYABLE and not row.is_deleted]
        chosen = _one_of((ended if action == "retry" else active) or self.witness.accepted, which)
        with contextlib.suppress(ConflictError, DeletedError):
            match action:
                case "cancel":
                    await transitions.request_cancel(chosen)
                case "retry":
                    await transitions.retry(chosen)
                case _:  # as the facade does it
                    await self._store.files.remove(await transitions.delete(chosen))

    def operator(self, action: str, which: int) -> None:
        """Do something to one of the runs to which it matters."""
        self._was_meddled_with = True
        if action == "lose the database":
            self.prefect.lose_database()
        over = action == "retry"
        runs = [run.id for run in self.prefect.runs.values() if (run.state_type in OVER) == over]
        if action == "resume":
            runs = [id_ for id_ in runs if self.prefect.state_of(id_) == PAUSED]
        if runs:
            self.prefect.operate(_one_of(runs, which), action)

    # --- Easel

    def meanwhile(self, what: str, after: int, which: int) -> None:
        """Let something happen when Prefect has answered that often from now."""

        async def happen() -> None:
            if what == "death":
                raise Death
            await (self._work() if what == "step" else self.client(what, which))

        self.prefect.meanwhile = None if what == "nothing" else Meanwhile(after, happen)

    async def dispatch(self) -> None:
        """Tell Prefect all that waits. Whatever was postponed is due by now."""
        await self._store.leases.take(DISPATCHER, self._api, LEASE_S)
        for dead in await self._store.outbox.claimers() - {self._api}:
            await self._store.outbox.free(dead, None)
        async with open_write(self._store.database) as connection:
            await connection.execute(update(outbox).values(due_at=None))
        try:
            while entries := await self._store.outbox.claim(LANE, KINDS, self._api, 100):
                for entry in entries:
                    await self._dispatcher.runner.do(entry)
        except Death:
            self.restart_api()
        self.prefect.meanwhile = None

    async def reconcile(self) -> None:
        try:
            await self._reconciler.look()
        except Death:
            self.restart_api()
        except FlowsError:
            assert not self.prefect.is_up
        self.prefect.meanwhile = None

    async def let_time_pass(self) -> None:
        """Two leases long, in which whoever lives renews its own and the reconciler watches."""
        for _ in range(2):
            self._world.now += LOOK_EVERY_S
            for worker in self.workers:
                await worker.beat()
            self._reconciler.watch.look(await self._store.leases.all())

    # --- workers

    @property
    def busy(self) -> list[Worker]:
        """Those that can be hurt in the middle of something."""
        return [w for w in self.workers if w.is_alive and not w.is_frozen and not w.is_idle]

    @property
    def away(self) -> list[Worker]:
        """Those that are dead, or stand still."""
        return [w for w in self.workers if w.is_frozen or not w.is_alive]

    async def work(self, number: int, steps: int, *, hears: bool, part: Part = "all") -> None:
        """Some steps of a worker, of a busy one if there is any."""
        worker = _one_of(self.busy or self.workers, number)
        for _ in range(steps):
            await worker.step(hears=hears, part=part)

    async def race(self) -> None:
        """All workers that have room take at once: it is the same row that they want."""
        await asyncio.gather(*(worker.take() for worker in self.workers))

    async def hurt(self, how: str, number: int) -> None:
        worker = _one_of(self.busy, number)
        if how == "freeze":
            worker.is_frozen = True
        else:
            self._lost_a_process = True
            await (worker.kill() if how == "kill" else worker.stop())

    async def revive(self, number: int, *, beats_first: bool) -> None:
        worker = _one_of(self.away, number)
        was_frozen = worker.is_frozen
        worker.thaw()
        if was_frozen and beats_first:
            await worker.beat()
        await worker.start()

    def let_workers_choose(self, *, choose: bool) -> None:
        """False: an operator has set a limit, so that Prefect says what may begin."""
        self._world.is_strict = not choose

    def hurt_comfyui(self, how: str) -> None:
        if how == "loses a reply":
            self.comfy.loses_next_reply = True
            return
        self.comfy.die()
        if how == "restarts":
            self.comfy.start()

    async def go_on(self) -> None:
        """A while in which nothing goes wrong."""
        await self.dispatch()
        await self._work()
        self.comfy.render()
        await self._work()

    async def _work(self) -> None:
        for worker in self.workers:
            for _ in range(STEPS_TOGETHER):
                await worker.step()

    # --- the end

    async def come_to_rest(self, *, everybody: bool = True) -> None:
        """Everybody comes back, and goes on until there is nothing left to do.

        ``everybody`` False: of two dead workers one, and the last dead one not at all.
        """
        self.comfy.start()
        self.comfy.loses_next_reply = False
        self.prefect.is_up = True
        self.let_workers_choose(choose=True)
        while self.away:
            if not self.away[0].is_alive and len(self.away) == 1 and not everybody:
                break
            await self.revive(0, beats_first=True)
        left: list[str] = []
        for _ in range(ROUNDS_TO_REST):
            for run_id in list(self.prefect.runs):
                self.prefect.operate(run_id, "resume")
            await self.go_on()
            await self.let_time_pass()
            await self.reconcile()
            await self.witness.check_rows()
            self.witness.check_renders()
            left = await self._left()
            if not left:
                await self._check_runs()
                return
        raise AssertionError(f"it does not come to rest: {left}")

    async def _check_runs(self) -> None:
        if not self._was_meddled_with:
            await self.witness.check_runs(all_are_shown=not self._lost_a_process)

    async def _left(self) -> list[str]:
        """What is still under way, anywhere."""
        rows = await self.witness.rows()
        left = [f"{id_} is {row.status}" for id_, row in rows.items() if row.status not in FINAL]
        runs = self.prefect.runs.values()
        left += [f"run {r.id} is {r.state_type}" for r in runs if r.state_type not in OVER]
        left += [f"{await self._store.outbox.count(KINDS)} in the outbox"]
        left += [f"worker {worker.name} works" for worker in self.workers if not worker.is_idle]
        left += [f"ComfyUI has {prompt_id}" for prompt_id in self.comfy.queue]
        left += [str(stray) for stray in await self._store.strays.of(COMFY_URL)]
        return [one for one in left if not one.startswith("0 ")]


def _one_of(some: Sequence[_T], which: int) -> _T:
    return some[which % len(some)]


def _do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")
