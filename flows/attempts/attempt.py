"""One attempt at a generation: build, submit, poll, save, as one coroutine.

It needs nobody: it repeats what fails in passing, and ends the generation in the store whichever
way it goes. A flow run shows it: its tasks join the stages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from comfy import ComfyError, ComfySession, Graph, Output, Submitted
from flows import pipeline, submitting
from flows.arrivals import Arrivals
from flows.attempts.record import Record
from flows.attempts.stage import Stage, StageName
from flows.captions import caption
from flows.errors import InputGoneError, PaidUnknownError
from flows.pipeline import Ended
from store.completion import finished, patiently
from store.errors import NotFoundError, StoreUnavailableError
from store.store import Store
from store.values import Artefact, Claim

IN_TURN_S: Final = 1.0
"""Maximum seconds that a submission waits for the one before it."""
StopReason = Literal["cancel", "release", "pause"]
"""Why an attempt is stopped: it is not wanted any more, its worker stops, or it is to wait."""
_HOW: Final = {
    "posted": "Submitted to ComfyUI as prompt %s",
    "already_queued": "ComfyUI already has prompt %s; following it",
    "already_finished": "ComfyUI has already finished prompt %s; collecting it",
    "found_by_name": "Found the finished files of prompt %s",
}


@dataclass(frozen=True)
class Kept:
    """The attempt succeeded."""

    artefacts: tuple[Artefact, ...]


@dataclass(frozen=True)
class Unkept:
    """The attempt ended without outputs: how, and the error that ended it.

    ``is_foreseen``: it is no mistake of this program, so that its words say enough.
    """

    ended: Ended
    error: Exception
    is_foreseen: bool


@dataclass(frozen=True)
class Stopped:
    """The attempt was stopped; it has ended as cancelled, or was given back."""

    reason: StopReason


Outcome = Kept | Unkept | Stopped


class Attempt:
    """An attempt that was claimed. ``run`` is called once, in a task of its own.

    ``before`` is the submission that is to be posted before this one. ``on_rendered`` is called
    when the prompt has left ComfyUI, ``on_over`` when the attempt has ended.
    """

    def __init__(
        self,
        store: Store,
        session: ComfySession,
        claim: Claim,
        flow_run_id: UUID | None,
        *,
        api_url: str,
        before: asyncio.Event | None = None,
        on_rendered: Callable[[Attempt], None],
        on_over: Callable[[Attempt], None],
    ) -> None:
        self.claim: Final = claim
        self.flow_run_id = flow_run_id
        self.deployment_id = claim.deployment_id
        """What its flow run was made from."""
        self.submitted: Final = asyncio.Event()
        """Set when it has been posted once, or will not be."""
        self.fault: BaseException | None = None
        """What ended it unforeseen, by a mistake of this program: the store does not know."""
        self.ended_at: datetime | None = None
        """When it ended, or was given back."""
        self.lacked: tuple[str, ...] = ()
        """Model files and node classes that ComfyUI turned out to lack: so it was given back."""
        self._is_paid = False
        self._on_progress: Callable[[float], None] = lambda _: None
        self._store = store
        self._session = session
        self._api_url = api_url
        self._before = before
        self._on_rendered = on_rendered
        self._on_over = on_over
        self._arrivals: Final = Arrivals(session, claim)
        self.record: Final = Record("easel.attempt", self._tell)
        """What is logged between the stages."""
        self._stages: list[Stage] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[Outcome] | None = None
        self._working: asyncio.Task[Outcome] | None = None
        self._reason: StopReason | None = None

    def __str__(self) -> str:
        return f"attempt {self.claim.attempt} at generation {self.claim.generation_id}"

    def start(self) -> None:
        """Begin. The attempt goes on whatever becomes of the caller."""
        self._task = asyncio.create_task(self._run(), name=str(self))
        self._task.add_done_callback(self._ended)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in the store too."""
        return self._task is not None and self._task.done()

    async def outcome(self) -> Outcome:
        """Wait for the end."""
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def over(self) -> None:
        """Wait for the end, whatever it is."""
        assert self._task is not None
        await asyncio.wait([self._task])

    async def stop(self, reason: StopReason) -> None:
        """Stop it and wait until it has ended, or was given back. Only the first reason counts."""
        self.ask_to_stop(reason)
        assert self._task is not None
        await asyncio.wait([self._task])

    def ask_to_stop(self, reason: StopReason) -> None:
        """As ``stop``, without the wait."""
        assert self._task is not None
        if self._reason is None and not self._task.done():
            self._reason = reason
            if self._working is not None:
                self._working.cancel()

    def follow(self, on_progress: Callable[[float], None]) -> None:
        """Call it with the percentage repeatedly while it renders; it must not block."""
        self._on_progress = on_progress

    @property
    def begun_stages(self) -> tuple[Stage, ...]:
        """Returns the stages that have begun by now."""
        return tuple(self._stages)

    async def stages(self) -> AsyncIterator[Stage]:
        """Yields each stage, as soon as it begins; ends when the attempt has ended."""
        shown = 0
        while True:
            changed = self._changed
            while shown < len(self._stages):
                shown += 1
                yield self._stages[shown - 1]
            if self.is_over:
                return
            await changed.wait()

    # --- the work

    async def _run(self) -> Outcome:
        try:
            if self._reason is None and not await self._is_cut_short():
                assert self._working is not None
                return self._working.result()
            # Without a reason this process ends unforeseen: another one goes on.
            reason = self._reason or "release"
            stopped = await finished(self._stopped(reason))
            return await finished(self._kept()) or stopped
        finally:
            self.submitted.set()

    async def _is_cut_short(self) -> bool:
        """Work, in a task of its own, so that a stop finds it whatever it is doing."""
        self._working = asyncio.create_task(self._work(), name=f"the work of {self}")
        try:
            await asyncio.wait([self._working])
        except asyncio.CancelledError:
            self._working.cancel()
            await patiently(asyncio.wait([self._working]))
        return self._working.cancelled()

    async def _work(self) -> Outcome:
        try:
            return Kept(await self._make())
        except Exception as error:  # noqa: BLE001 - who shows the attempt raises it again
            return await self._end(error)
        finally:
            await self._arrivals.clear()

    async def _make(self) -> tuple[Artefact, ...]:
        store, session, claim = self._store, self._session, self.claim
        graph: Graph = await self._stage("build workflow", partial(pipeline.build, store, claim), 1)
        self._is_paid = bool(graph.paid)
        outputs = await pipeline.render(
            session,
            claim,
            partial(self._submit, graph),
            partial(self._poll, graph),
            self.record.log,
            partial(submitting.has_lost_an_input, store, session, graph),
            once=self._is_paid,
        )
        self._on_rendered(self)
        kept: tuple[Artefact, ...] = await self._stage("save", partial(self._save, outputs))
        return kept

    async def _stage(
        self, name: StageName, step: Callable[[], Awaitable[Any]], tries: int | None = None
    ) -> Any:
        stage = Stage(name) if tries is None else Stage(name, tries)
        self._stages.append(stage)
        self._tell()
        return await stage.run(step)

    async def _submit(self, graph: Graph) -> None:
        await self._stage("submit", partial(self._post, graph))

    async def _post(self, graph: Graph) -> Submitted:
        store, session, claim = self._store, self._session, self.claim
        await session.wait_until_reachable()
        is_first = not self.submitted.is_set()
        if is_first and self._before is not None:
            await _at_most(self._before.wait(), IN_TURN_S)
        fresh = is_first and not claim.submitted_before and len(self._stages[-1].tries) == 0
        try:
            submitted = await submitting.submit(store, session, claim, graph, fresh=fresh)
        finally:
            self.submitted.set()
        self._stages[-1].record.log.info(_HOW[submitted.how], claim.prompt_id)
        return submitted

    async def _poll(self, graph: Graph) -> tuple[Output, ...]:
        await self._arrivals.clear()  # of a round that was lost
        step = partial(
            pipeline.track,
            self._store,
            self._session,
            self.claim,
            graph,
            self._progressed,
            self._arrivals,
        )
        outputs: tuple[Output, ...] = await self._stage("poll", step)
        return outputs

    def _progressed(self, percent: float) -> None:
        self._on_progress(percent)

    async def _save(self, outputs: tuple[Output, ...]) -> tuple[Artefact, ...]:
        log = self._stages[-1].record.log
        kept = await pipeline.save(
            self._store, self._session, self.claim, outputs, log, self._written, self._arrivals
        )
        for artefact in kept:
            log.info(
                "Kept %s (%s, %d kB)",
                f"{self._api_url}/api/v1/artefacts/{artefact.id}",
                caption(artefact),
                artefact.bytes // 1000,
            )
        return kept

    def _written(self) -> list[dict[str, Any]]:
        return [stage.to_json() for stage in self._stages]

    # --- its other ends

    async def _stopped(self, reason: StopReason) -> Stopped:
        """Returns what became of it: what the store cannot be told is given back by the lease."""
        store, session, claim, log = self._store, self._session, self.claim, self.record.log
        try:
            match reason:
                case "cancel":
                    await pipeline.cancel(store, session, claim, log, self._written)
                case "pause":
                    await pipeline.pause(store, session, claim, log)
                case "release":
                    await pipeline.release(store, session, claim, log)
        except StoreUnavailableError as error:  # the lease lapses soon, with the same effect
            log.warning("Giving the attempt back failed: %s", error)
            return Stopped("release")
        return Stopped(reason)

    async def _kept(self) -> Kept | None:
        """Returns what was kept, if the stop came after the attempt had succeeded."""
        if not self._stages or self._stages[-1].name != "save":
            return None
        store, claim = self._store, self.claim
        try:
            generation = await store.generations.get(claim.generation_id)
            if generation.status != "succeeded" or generation.attempt != claim.attempt:
                return None
            return Kept(await store.generations.artefacts(claim.generation_id))
        except (NotFoundError, StoreUnavailableError):
            return None

    async def _end(self, error: Exception) -> Outcome:
        store, session = self._store, self._session
        run_id, log = self.flow_run_id, self.record.log
        await pipeline.look_again(store, session.client, error)
        if not self._is_paid:  # what may have been paid is not begun again
            self.lacked = await pipeline.lacking(store, session.client, self.claim, error)
        if self.lacked:
            log.warning("ComfyUI has no %s any more; waiting for one that has", self.lacked[0])
            await pipeline.release(store, session, self.claim, log)
            return Stopped("release")
        ended = await pipeline.end(store, session, self.claim, error, run_id, log, self._written)
        foreseen = isinstance(error, ComfyError | InputGoneError | PaidUnknownError)
        return Unkept(ended, error, foreseen)

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        self.ended_at = datetime.now(UTC)
        self.fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._tell()
        self._on_over(self)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _at_most(waiting: Awaitable[object], seconds: float) -> None:
    """Wait, but no longer than that."""
    await asyncio.wait([asyncio.ensure_future(waiting)], timeout=seconds)
