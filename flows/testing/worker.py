"""A worker that carries out attempts in the process of the test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from comfy.errors import ExecutionFailedError
from core.loop import Loop
from core.problems import Problem
from core.requests import ResolvedRequest
from core.status import BatchStatus, Status
from flows import pipeline, submitting
from flows.batches import steps
from flows.pipeline import Assignment
from flows.testing.comfyui import NODES_BEFORE, SAMPLER, ScriptedComfyUI
from store.errors import FencedError, StoreError
from store.generations import rows
from store.generations.acceptance import adopt
from store.store import Store
from store.values import (
    Artefact,
    Batch,
    Claim,
    Generation,
    Holder,
    Preview,
    ProgressRecord,
    Waiting,
    WorkerRecord,
)

NODE_FAILED: Final = ExecutionFailedError(
    "5", SAMPLER, "mat1 and mat2 shapes cannot be multiplied", "RuntimeError"
)
"""How an attempt fails unless the test says otherwise."""
LEASE_S: Final = 3600.0
"""Longer than any test: nobody renews it."""
_LOOK_S: Final = 0.02
_UPKEEP_S: Final = 0.05
_ALIVE_S: Final = 1.0


class InProcessWorker:
    """A worker that a test drives by hand, or sets to work with ``at_work``.

    Use from the event loop in which ``store`` was opened.
    """

    def __init__(
        self,
        store: Store,
        comfy: ScriptedComfyUI | None = None,
        *,
        name: str = "worker-1",
        comfy_url: str = "http://comfy.test:8188",
    ) -> None:
        self.store = store
        self.comfy = comfy or ScriptedComfyUI()
        self.holder = Holder(name, uuid4(), comfy_url)
        self._under_way: dict[UUID, Claim] = {}
        self._taking = asyncio.Lock()  # between a look at what is queued and the claim
        self._has_lease = False

    # --- generations by hand

    async def claim(self, generation_id: UUID) -> Claim:
        """Take the attempt, for the flow run that it has or a new one."""
        await self._take_lease()
        generation = await self.store.generations.get(generation_id)
        run_id = generation.flow_run_id or uuid4()
        assignment = Assignment(generation_id, run_id, generation.attempt)
        claim = await pipeline.claim(self.store, assignment, self.holder)
        self.comfy.expect(claim)
        return claim

    async def _take_lease(self) -> None:
        """Be no dead worker, from which the reconciler takes what it holds."""
        if not self._has_lease:
            name = f"in-process {self.holder.worker}"
            await self.store.leases.take(name, self.holder.lease, LEASE_S)
            self._has_lease = True

    async def start(self, generation_id: UUID) -> Claim:
        """Claim and submit; ComfyUI begins to execute the prompt."""
        claim = await self.claim(generation_id)
        graph = await pipeline.build(self.store, claim)
        await submitting.submit(self.store, self.comfy, claim, graph)
        await self.store.transitions.start(claim, datetime.now(UTC))
        return claim

    async def progress(
        self,
        claim: Claim,
        percent: float,
        *,
        preview: Preview | None = None,
        waiting: Waiting | None = None,
    ) -> Status:
        """Write its progress. Returns the status, which shows a cancel."""
        of_steps = claim.request.steps or 1
        record = ProgressRecord(
            percent=percent,
            step=int(of_steps * percent / 100),
            steps=of_steps,
            node=SAMPLER,
            nodes_done=NODES_BEFORE,
            nodes_total=(await pipeline.build(self.store, claim)).node_count,
            preview=preview.number if preview is not None else None,
        )
        return await self.store.transitions.record_progress(claim, record, preview, waiting)

    async def succeed(self, claim: Claim, *pictures: bytes) -> tuple[Artefact, ...]:
        """End it with these pictures, or with painted ones."""
        outputs = self.comfy.give(claim.prompt_id, pictures)
        return await pipeline.save(self.store, self.comfy, claim, outputs)

    async def finish(self, generation_id: UUID, *pictures: bytes) -> tuple[Artefact, ...]:
        """Take it from its queue to its pictures."""
        return await self.succeed(await self.start(generation_id), *pictures)

    async def fail(self, claim: Claim, error: Exception = NODE_FAILED) -> Problem:
        """End it as this error of ComfyUI would. Returns the problem that clients read.

        Raises FencedError when the attempt is not this worker's any more.
        """
        await submitting.check_hold(self.store, claim)
        return await pipeline.fail(self.store, self.comfy, claim, error)

    async def cancel(self, claim: Claim) -> None:
        """End it as cancelled; a client has asked for it. Raises FencedError as ``fail`` does."""
        await submitting.check_hold(self.store, claim)
        await pipeline.cancel(self.store, self.comfy, claim)

    async def lose(self, claim: Claim) -> None:
        """Release the attempt, as the reconciler does when this worker's lease has lapsed."""
        generation = await self.store.generations.get(claim.generation_id)
        if generation.flow_run_id is not None:
            await self.store.flow_runs.let_go(
                claim.generation_id, generation.flow_run_id, claim.fence
            )

    async def is_fenced_out(self, claim: Claim) -> bool:
        """Returns whether the attempt is not this worker's any more."""
        try:
            await submitting.check_hold(self.store, claim)
        except FencedError:
            return True
        return False

    async def make(self, request: ResolvedRequest) -> UUID:
        """A generation that is finished before the worker at work could take it. Returns its id."""
        generation_id = uuid4()
        async with self._taking:
            await adopt(self.store.database, generation_id, request, uuid4())
            claim = await self.start(generation_id)
        await self.succeed(claim)
        return generation_id

    # --- the worker's own record

    async def appear(self, *, comfy_reachable: bool = True) -> None:
        """Record in the store that this worker lives."""
        now = datetime.now(UTC)
        detail = None if comfy_reachable else "connection refused"
        await self.store.registry.record_worker(
            WorkerRecord(
                self.holder.worker, self.holder.comfy_url, comfy_reachable, detail, now, now
            )
        )

    async def leave(self) -> None:
        """Remove that record."""
        await self.store.registry.worker_stopped(self.holder.worker)

    # --- batches by hand

    async def begin_batch(self, batch_id: UUID, release: int = 0) -> list[UUID]:
        """Start a batch, as its flow run does. Returns its first generations, in turn."""
        batch = await self.store.batches.get(batch_id)
        await self._start_batch(batch)
        return await self.release(batch_id, release)

    async def release(self, batch_id: UUID, count: int) -> list[UUID]:
        """Release this many more items. Returns all released generations, in the manifest's order.

        Raises ValueError when there were fewer.
        """
        released = await self.store.batch_transitions.release(batch_id, count)
        if released != count:
            raise ValueError(f"{released} items were released, not {count}")
        found: list[UUID] = []
        cursor: str | None = None
        while True:
            page = await self.store.batches.items(batch_id, 1000, cursor)
            found += [item.generation_id for item in page.items if item.generation is not None]
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor

    async def end_batch(
        self, batch_id: UUID, to: BatchStatus, problem: Problem | None = None
    ) -> None:
        """End a batch. Raises ValueError when it had ended."""
        if not await self.store.batch_transitions.finish(batch_id, to, problem):
            raise ValueError("the batch had ended already")

    async def _start_batch(self, batch: Batch) -> None:
        await steps.start(
            self.store,
            batch.id,
            flow_run_id=batch.flow_run_id or uuid4(),
            deployment_id=None,
            holder=self.holder.lease,
        )

    # --- by itself

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Carry out what is queued, one after the other, and steer batches, until the exit.

        It gives every generation its flow run and records that the worker lives, as the dispatcher
        and a real worker do. Ending a cancelled batch is left to the reconciler.
        """
        # Errors of a generation that is cancelled or deleted meanwhile are expected.
        quietly = partial(Loop, expected=(StoreError,), level=logging.DEBUG)
        taking = quietly("carrying out what is queued", self._take_queued, None)

        async def stand_in_for_prefect() -> None:
            if await self._stand_in_for_prefect():
                taking.wake()

        loops = (
            taking,
            quietly("standing in for Prefect", stand_in_for_prefect, _UPKEEP_S),
            quietly("steering batches", self._steer_batches, _UPKEEP_S),
            quietly("saying that it lives", self.appear, _ALIVE_S, first_s=0.0),
        )
        async with AsyncExitStack() as stack:
            for loop in loops:
                await stack.enter_async_context(loop)
            yield

    async def hold(self, step: int = 0) -> None:
        """Let every render go as far as ``step``, until ``go_on``; without a step nothing begins.

        Returns when no render can move any more, and the rows say so. A cancel is still obeyed.
        """
        async with self._taking:
            self.comfy.limit = step
        for claim in tuple(self._under_way.values()):
            while not await self._is_still(claim):  # noqa: ASYNC110 - the row has no event
                await asyncio.sleep(_LOOK_S)

    def go_on(self) -> None:
        """Let every render finish."""
        self.comfy.limit = None

    async def carry_out(self, claim: Claim) -> None:
        """Execute an attempt, as the ``generate`` flow does."""
        store, comfy, workflow = self.store, self.comfy, await pipeline.build(self.store, claim)
        try:
            outputs = await pipeline.render(
                comfy,
                claim,
                partial(submitting.submit, store, comfy, claim, workflow),
                partial(pipeline.track, store, comfy, claim, workflow),
            )
            await pipeline.save(store, comfy, claim, outputs)
        except Exception as error:  # noqa: BLE001 - the row tells of it, as in the flow
            await pipeline.end(store, comfy, claim, error)

    async def _is_still(self, claim: Claim) -> bool:
        """Returns whether an attempt is over, or waits where it may, with its row up to date."""
        if claim.generation_id not in self._under_way:
            return True
        done = self.comfy.steps_done(claim.prompt_id)
        if done is None:  # about to execute, or about to end
            return False
        if self.comfy.may_move(done):
            return True
        with contextlib.suppress(StoreError):
            generation = await self.store.generations.get(claim.generation_id)
            return generation.status != "queued" and _steps_shown(generation) >= done
        return False

    async def _take_queued(self) -> None:
        while (claim := await self._take_next()) is not None:
            try:
                await self.carry_out(claim)
            finally:
                del self._under_way[claim.generation_id]

    async def _take_next(self) -> Claim | None:
        async with self._taking:
            if not self.comfy.may_move(0):
                return None
            queued = [
                generation
                for generation in await self.store.generations.active()
                if generation.status == "queued" and generation.flow_run_id is not None
            ]
            if not queued:
                return None
            claim = await self.claim(min(queued, key=lambda generation: generation.seq).id)
            self._under_way[claim.generation_id] = claim
            return claim

    async def _stand_in_for_prefect(self) -> bool:
        """Returns whether anything is queued."""
        queued = [one for one in await self.store.generations.active() if one.status == "queued"]
        for generation in queued:
            if generation.flow_run_id is None:
                await self._make_run(generation.id)
        return bool(queued)

    async def _make_run(self, generation_id: UUID) -> None:
        """Bypasses the outbox, where an API's dispatcher waits for an unavailable Prefect."""

        def write(connection: Connection) -> None:
            row = rows.locked(connection, generation_id)
            if row["flow_run_id"] is None:
                rows.write(connection, row, flow_run_id=uuid4())

        await self.store.database.write(write)

    async def _steer_batches(self) -> None:
        for batch in await self.store.batches.active():
            with contextlib.suppress(StoreError):  # a client was faster
                if batch.status == "queued":
                    await self._start_batch(batch)
                await steps.take(self.store, batch.id)


def _steps_shown(generation: Generation) -> int:
    """Returns the steps that the row shows, with their preview."""
    progress = generation.progress
    if progress is None or progress.step is None or progress.preview is None:
        return 0
    return min(progress.step, progress.preview)
