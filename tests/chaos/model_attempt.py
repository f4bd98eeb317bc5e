"""An attempt in a worker, step by step: what may come between any two of them, may.

It makes the calls to the store that ``flows/attempts/attempt.py`` and ``flows/pipeline.py`` make,
in their order. What it may do is decided by the real store and by ``submitting.check_hold``; its
other ends than success are the pipeline's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from comfy.errors import ComfyError, ExecutionFailedError, PromptLostError
from flows import pipeline, submitting
from flows.attempts.attempt import Kept, Outcome, Stopped, StopReason, Unkept
from flows.errors import CancelRequested
from flows.runtime import Runtime
from store.errors import FencedError
from store.values import Artefact, Claim
from tests.chaos.model import ComfyUI, World
from tests.chaos.model_walk import Walk, step_ends
from tests.store.making import a_picture

RESUBMISSIONS: Final = 3


class AskedToStop(Exception):  # noqa: N818 - a signal
    """Somebody has called ``stop``."""


class Session:
    """What the pipeline's ends need of ``ComfySession``."""

    def __init__(self, comfy: ComfyUI) -> None:
        self._comfy = comfy

    async def cancel(self, prompt_id: str) -> bool:
        """Take the prompt out. Returns whether it is surely gone."""
        return self._comfy.take_out(prompt_id)


class Doing:
    """What ``Attempt`` is to the rest of a worker. ``walk`` is its work.

    ``unsaved`` is its generation from when its picture is kept.
    """

    def __init__(
        self, world: World, runtime: Runtime, claim: Claim, flow_run_id: UUID | None
    ) -> None:
        self.claim = claim
        self.flow_run_id = flow_run_id
        self.deployment_id = claim.deployment_id
        self.walk = Walk(self._run())
        self.unsaved: UUID | None = None
        self._world = world
        self._store = runtime.store
        self._session: Any = Session(world.comfy)
        self._reason: StopReason | None = None
        self._outcome: Outcome | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in the store too."""
        return self._outcome is not None

    async def outcome(self) -> Outcome:
        """Wait for the end."""
        while self._outcome is None:
            await step_ends()
        return self._outcome

    async def stop(self, reason: StopReason) -> None:
        """Stop it and wait until it has ended, or was given back. Only the first reason counts."""
        self.ask_to_stop(reason)
        await self.outcome()

    def ask_to_stop(self, reason: StopReason) -> None:
        """As ``stop``, without the wait."""
        if self._reason is None:
            self._reason = reason

    def leave(self) -> None:
        """It ends here, and what it kept on the disk stays there."""
        if self.unsaved is not None and not self.is_over:
            self._world.left_behind.add(self.unsaved)

    # --- the work

    async def _run(self) -> None:
        store, session, claim = self._store, self._session, self.claim
        try:
            self._outcome = Kept(await self._make())
        except AskedToStop:
            self.leave()
            reason = cast("StopReason", self._reason)
            if reason == "cancel":
                await pipeline.cancel(store, session, claim)
            elif reason == "pause":
                await pipeline.pause(store, session, claim)
            else:
                await pipeline.release(store, session, claim)
            self._outcome = Stopped(reason)
        except (CancelRequested, FencedError, ComfyError) as error:
            self.leave()
            ended = await pipeline.end(store, session, claim, error, self.flow_run_id)
            self._outcome = Unkept(ended, error, is_foreseen=True)

    async def _make(self) -> tuple[Artefact, ...]:
        await self._next()  # the graph is built
        fresh = not self.claim.submitted_before
        for round_ in range(RESUBMISSIONS + 1):
            await self._submit(fresh=fresh and round_ == 0)
            try:
                await self._track()
                break
            except PromptLostError:
                if round_ == RESUBMISSIONS:
                    raise
        return await self._save()

    async def _submit(self, *, fresh: bool) -> None:
        """Look, ask whether it is still ours, post; look after a lost reply."""
        comfy, claim = self._world.comfy, self.claim
        if not claim.intent_written:
            await self._store.transitions.record_submission(claim)
        while True:
            await self._next()
            if not fresh:
                if comfy.knows(claim.prompt_id):
                    return
                await self._next()
            fresh = False
            await submitting.check_hold(self._store, claim)
            if comfy.post(claim.prompt_id):
                return

    async def _track(self) -> None:
        """The row is looked at as often as ComfyUI: it tells of a cancel, and of the fence."""
        comfy, claim, transitions = self._world.comfy, self.claim, self._store.transitions
        while True:
            await self._next()
            if await transitions.status(claim) == "cancelling":
                raise CancelRequested
            if comfy.queue[:1] == [claim.prompt_id]:
                await transitions.start(claim, datetime.now(UTC))
            elif comfy.has_failed(claim.prompt_id):
                raise ExecutionFailedError("3", "KSampler", "it did not go well", "RuntimeError")
            elif comfy.has_ended(claim.prompt_id):
                return
            elif claim.prompt_id not in comfy.queue:
                raise PromptLostError

    async def _save(self) -> tuple[Artefact, ...]:
        """Fetch, keep, commit. Files that nobody wants any more are removed."""
        store, claim = self._store, self.claim
        await self._next()
        picture = a_picture(8, 8)
        self.unsaved = claim.generation_id
        kept = await store.files.keep(claim.generation_id, claim.attempt, 0, picture)
        await self._next()
        try:
            await store.transitions.succeed(claim, [kept])
        except FencedError:
            if not (await store.flow_runs.standing(claim)).prompt_wanted:
                await store.files.remove([kept])
            raise
        return (kept,)

    async def _next(self) -> None:
        """The end of a step. While ComfyUI is away it waits."""
        while True:
            await step_ends()
            if self._reason is not None:
                raise AskedToStop
            if self._world.comfy.is_up:
                return
