"""A worker for tests: real attempts on a real store, without Prefect and without ComfyUI.

For tests of what reads the store (the API, the pages, a program of your own), as dramatiq's
``StubBroker`` is for actors. Every step is the pipeline's own (``flows/pipeline.py``), every write
the store's: only ComfyUI is scripted, so no test sees a row that a worker could not have written.
Easel itself never imports this module.

By hand, where a test holds a state and looks at it:

>>> worker = InProcessWorker(store)
>>> claim = await worker.start(generation_id)
>>> await worker.progress(claim, 40.0)
>>> await worker.succeed(claim)

By itself, at a pace that the test sets and stops:

>>> async with worker.at_work():
...     await worker.hold(step=3)
...     worker.go_on()
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol
from uuid import UUID, uuid4

from PIL import Image as Pillow

from comfy import FetchedImage, OutputImage, Submitted, Workflow
from comfy.errors import ExecutionFailedError, NoOutputError
from comfy.events import Preview as PreviewEvent
from comfy.events import Progress, Started, TrackEvent
from comfy.images import named
from core.loop import Loop
from core.problems import Problem
from core.requests import ResolvedRequest
from core.status import BatchStatus, Status
from flows import pipeline
from flows.batches import steps
from flows.pipeline import Assignment
from store.database import completes
from store.errors import FencedError, StoreError
from store.generations import rows
from store.generations.acceptance import adopt
from store.store import Store
from store.values import (
    Batch,
    Claim,
    Generation,
    Holder,
    Image,
    Preview,
    ProgressRecord,
    Waiting,
    WorkerRecord,
)

NODE_FAILED: Final = ExecutionFailedError(
    "5", "KSampler", "mat1 and mat2 shapes cannot be multiplied", "RuntimeError"
)
"""How an attempt fails unless the test says otherwise."""
_SAMPLER: Final = "KSampler"
_NODES_BEFORE: Final = 4  # how many nodes a text-to-image graph executes before its sampler
_SAMPLING_SHARE: Final = 0.95
_HELD_LOOK_S: Final = 0.1
_LOOK_S: Final = 0.02
_UPKEEP_S: Final = 0.05
_ALIVE_S: Final = 1.0


class Painter(Protocol):
    """Makes the pictures of a scripted ComfyUI. Called in threads."""

    def picture(self, request: ResolvedRequest, position: int) -> bytes:
        """Returns a finished picture, as a file that Pillow can open."""
        ...

    def preview(self, request: ResolvedRequest, done: float) -> bytes:
        """Returns the picture so far as a JPEG; ``done`` goes from 0 to 1."""
        ...


class PlainPainter:
    """Pictures of one colour, in the size that was asked for."""

    def picture(self, request: ResolvedRequest, position: int) -> bytes:
        """See ``Painter``. The colour follows from the seed."""
        shade = (request.seed + 97 * position) % 256
        return _plain("PNG", (request.width, request.height), (shade, 128, 128))

    def preview(self, request: ResolvedRequest, done: float) -> bytes:  # noqa: ARG002 - Painter's
        """See ``Painter``."""
        return _plain("JPEG", (64, 64), (int(255 * done), 128, 128))


def _plain(kind: str, size: tuple[int, int], color: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", size, color).save(data, kind)
    return data.getvalue()


class ScriptedComfyUI:
    """Stands in for ComfyUI (``flows.pipeline.Session``): renders what, and when, the test says.

    ``step_s`` is the pace of a render. ``failure`` is how a render ends; None is success.
    ``limit`` stops every render after this many steps; None lets all go on.
    """

    def __init__(self, painter: Painter | None = None) -> None:
        self.step_s = 0.02
        self.failure: Callable[[ResolvedRequest], Exception | None] = lambda _request: None
        self.limit: int | None = None
        self._painter = painter or PlainPainter()
        self._requests: dict[str, ResolvedRequest] = {}
        self._files: dict[OutputImage, Callable[[], bytes]] = {}
        self._steps_done: dict[str, int] = {}

    def expect(self, claim: Claim) -> None:
        """Learn the request of a prompt that is going to be submitted."""
        self._requests[claim.prompt_id] = claim.request

    def give(self, prompt_id: str, pictures: Sequence[bytes]) -> tuple[OutputImage, ...]:
        """Finish a prompt with these pictures, or with its painter's. Returns its outputs."""
        request, paint = self._requests[prompt_id], self._painter.picture
        files: Sequence[Callable[[], bytes]] = [partial(bytes, data) for data in pictures] or [
            partial(paint, request, position) for position in range(request.batch_size)
        ]
        outputs = tuple(named(prompt_id, number) for number in range(1, len(files) + 1))
        self._files.update(zip(outputs, files, strict=True))
        return outputs

    def steps_done(self, prompt_id: str) -> int | None:
        """Returns the steps a render has reported; None when the prompt does not execute."""
        return self._steps_done.get(prompt_id)

    def may_move(self, done: int) -> bool:
        """Returns whether a render that has done this many steps may go on."""
        return self.limit is None or done < self.limit

    # --- as ``flows.pipeline.Session``

    async def submit(
        self,
        workflow: Workflow,  # noqa: ARG002 - Session's
        prompt_id: str,
        *,
        fresh: bool = False,  # noqa: ARG002 - Session's
        before_post: Callable[[], Awaitable[None]] | None = None,
    ) -> Submitted:
        """Take the prompt."""
        if before_post is not None:
            await before_post()
        return Submitted(prompt_id, "posted")

    async def track(
        self,
        prompt_id: str,
        workflow: Workflow,
        *,
        expected_images: int,  # noqa: ARG002 - Session's
        timeout_s: float,  # noqa: ARG002 - Session's
        on_event: Callable[[TrackEvent], None],
    ) -> tuple[OutputImage, ...]:
        """Render, step by step."""
        request = self._requests[prompt_id]
        on_event(Started())
        self._steps_done[prompt_id] = 0
        try:
            await self._render(prompt_id, workflow, request, on_event)
        finally:
            del self._steps_done[prompt_id]
        failure = self.failure(request)
        if failure is not None:
            raise failure
        return self.give(prompt_id, ())

    async def cancel(self, prompt_id: str) -> bool:  # noqa: ARG002 - Session's
        """Returns True: nothing that was cancelled executes."""
        return True

    async def forget(self, prompt_id: str) -> None:
        """Nothing to do: the same prompt may be submitted again at any time."""

    async def free_memory(self) -> None:
        """Nothing to do."""

    async def fetch(self, image: OutputImage) -> FetchedImage:
        """Paint the picture. Raises NoOutputError for one that was never given."""
        if image not in self._files:
            raise NoOutputError(f"{image.filename} is not there")
        data = await asyncio.to_thread(self._files[image])
        with Pillow.open(io.BytesIO(data)) as picture:
            media_type = picture.get_format_mimetype() or "image/png"
            return FetchedImage(data, picture.width, picture.height, media_type)

    async def _render(
        self,
        prompt_id: str,
        workflow: Workflow,
        request: ResolvedRequest,
        on_event: Callable[[TrackEvent], None],
    ) -> None:
        steps_, done = request.steps, 0
        while done < steps_ or not self.may_move(done):
            preview = await asyncio.to_thread(self._painter.preview, request, (done + 1) / steps_)
            if self.may_move(done):  # checked after painting: a hold may have come meanwhile
                done += 1
                on_event(_progress(workflow, done, steps_))
                on_event(PreviewEvent(preview, "image/jpeg"))
                self._steps_done[prompt_id] = done
                await asyncio.sleep(self.step_s)
                continue
            if done:  # repeatedly, so that the row is written and a cancel is noticed
                on_event(_progress(workflow, done, steps_))
            await asyncio.sleep(_HELD_LOOK_S)


def _progress(workflow: Workflow, step: int, of_steps: int) -> Progress:
    return Progress(
        percent=100 * _SAMPLING_SHARE * step / of_steps,
        step=step,
        steps=of_steps,
        node="5",
        node_class=_SAMPLER,
        nodes_done=_NODES_BEFORE,
        nodes_total=workflow.node_count,
    )


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

    # --- generations by hand

    async def claim(self, generation_id: UUID) -> Claim:
        """Take the attempt, for the flow run that it has or a new one."""
        generation = await self.store.generations.get(generation_id)
        run_id = generation.flow_run_id or uuid4()
        assignment = Assignment(generation_id, run_id, generation.attempt)
        claim = await pipeline.claim(self.store, assignment, self.holder)
        self.comfy.expect(claim)
        return claim

    async def start(self, generation_id: UUID) -> Claim:
        """Claim and submit; ComfyUI begins to execute the prompt."""
        claim = await self.claim(generation_id)
        await pipeline.submit(self.store, self.comfy, claim, pipeline.build(claim))
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
        of_steps = claim.request.steps
        record = ProgressRecord(
            percent=percent,
            step=int(of_steps * percent / 100),
            steps=of_steps,
            node=_SAMPLER,
            nodes_done=_NODES_BEFORE,
            nodes_total=pipeline.build(claim).node_count,
            preview=preview.number if preview is not None else None,
        )
        return await self.store.transitions.record_progress(claim, record, preview, waiting)

    async def succeed(self, claim: Claim, *pictures: bytes) -> tuple[Image, ...]:
        """End it with these pictures, or with painted ones."""
        outputs = self.comfy.give(claim.prompt_id, pictures)
        return await pipeline.save(self.store, self.comfy, claim, outputs)

    async def finish(self, generation_id: UUID, *pictures: bytes) -> tuple[Image, ...]:
        """Take it from its queue to its pictures."""
        return await self.succeed(await self.start(generation_id), *pictures)

    async def fail(self, claim: Claim, error: Exception = NODE_FAILED) -> Problem:
        """End it as this error of ComfyUI would. Returns the problem that clients read.

        Raises FencedError when the attempt is not this worker's any more.
        """
        await pipeline.check_hold(self.store, claim)
        return await pipeline.fail(self.store, self.comfy, claim, error)

    async def cancel(self, claim: Claim) -> None:
        """End it as cancelled; a client has asked for it. Raises FencedError as ``fail`` does."""
        await pipeline.check_hold(self.store, claim)
        await pipeline.cancel(self.store, self.comfy, claim)

    async def lose(self, claim: Claim) -> None:
        """Release the attempt, as the reconciler does when this worker's lease has lapsed."""
        generation = await self.store.generations.get(claim.generation_id)
        if generation.flow_run_id is not None:
            await self.store.transitions.let_go(
                claim.generation_id, generation.flow_run_id, claim.fence
            )

    async def is_fenced_out(self, claim: Claim) -> bool:
        """Returns whether the attempt is not this worker's any more."""
        try:
            await pipeline.check_hold(self.store, claim)
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
        await self.store.registry.forget_worker(self.holder.worker)

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
        store, comfy, workflow = self.store, self.comfy, pipeline.build(claim)
        try:
            outputs = await pipeline.render(
                comfy,
                claim,
                partial(pipeline.submit, store, comfy, claim, workflow),
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

    @completes
    async def _make_run(self, generation_id: UUID) -> None:
        """Bypasses the outbox, where an API's dispatcher waits for an unavailable Prefect."""
        async with self.store.database.write() as connection:
            row = await rows.locked(connection, generation_id)
            if row["flow_run_id"] is None:
                await rows.write(connection, row, flow_run_id=uuid4())

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
