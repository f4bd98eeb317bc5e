"""A flow run in a worker, step by step: what may come between any two of them, may.

It makes the calls to the store that ``flows/worker/worker.py`` and ``flows/pipeline.py`` make, in
their order. What it may do is decided by the real store and by ``submitting.check_hold``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed, Pending, Running

from core.problems import problem
from flows import submitting
from flows.errors import CancelRequested
from flows.prefect.runs import parse_idempotency_key
from flows.runtime import Runtime
from store.errors import ConflictError, FencedError, HeldError, NotFoundError
from store.values import Claim
from tests.chaos.model import CANCELLING, World
from tests.store.making import a_picture

RESUBMISSIONS: Final = 3
Steps = AsyncGenerator[None, None]


class Lost(Exception):  # noqa: N818 - a signal
    """ComfyUI lost the prompt in a restart."""


class Released(Exception):  # noqa: N818 - a signal
    """The worker was asked to stop."""


class Rejected(Exception):  # noqa: N818 - a signal
    """ComfyUI could not execute the prompt."""


class Execution:
    """One flow run in one worker. A step ends at each ``yield`` of ``steps()``.

    ``hears``: word of a cancel in Prefect has come by now. ``stops``: the worker was asked to.
    ``unsaved`` is its generation from when its picture is kept.
    """

    def __init__(self, world: World, runtime: Runtime, run: FlowRun) -> None:
        self.hears = True
        self.stops = False
        self.unsaved: UUID | None = None
        self._world = world
        self._runtime = runtime
        self._run = run

    async def steps(self, *, alone: bool) -> Steps:
        """Take it, run it, and hold nothing afterwards. ``alone``: with an early start."""
        run = self._run
        early: Claim | None = None
        if alone:
            with contextlib.suppress(ConflictError, NotFoundError):
                early = await self._claim()
            yield
            if early is not None:
                await self._intend(early)
                yield
        if self._tell(Pending()):
            yield
            if self._tell(Running()):
                yield
                async for _ in self._generate(early):
                    yield
                early = None
        if early is not None:
            await self._undo(early)
        if self._state() == CANCELLING:
            self._world.prefect.move(self._run.id, Cancelled(), force=True)
        yield
        await self._world.store.transitions.give_back(run.id, self._runtime.holder.lease)

    async def _undo(self, claim: Claim) -> None:
        """As ``EarlyStarts.end``."""
        if self._state() == CANCELLING:
            await self._cancelled(claim)
        else:
            await self._world.store.transitions.unclaim(claim)

    async def _generate(self, claim: Claim | None) -> Steps:
        """As the flow: claim, make the pictures, and end here as in the row."""
        fresh = claim is not None and not claim.submitted_before
        while claim is None:
            try:
                claim = await self._claim(again=1)
            except HeldError:
                yield
                if self._state() == CANCELLING:
                    self._tell(Cancelled())
                    return
                if self.stops:
                    self._world.prefect.move(self._run.id, AwaitingRetry(), force=True)
                    return
            except (ConflictError, NotFoundError):
                self._tell(Cancelled(message="Nothing to do"))
                return
        outcome: State[Any] | None = Completed()
        try:
            async for _ in self._make_pictures(claim, fresh=fresh):
                yield
        except CancelRequested:
            self.leave()
            await self._cancelled(claim)
            outcome = Cancelled()
        except Released:
            self.leave()
            await self._world.store.transitions.unclaim(claim)
            self._world.prefect.move(self._run.id, AwaitingRetry(), force=True)
            outcome = None
        except FencedError:
            outcome = await self._fenced_out(claim)
        except (Lost, Rejected) as error:
            await self._world.store.transitions.fail(claim, problem("node_failed", repr(error)))
            outcome = Failed()
        yield
        if outcome is not None:
            self._tell(outcome)

    async def _claim(self, again: int = 0) -> Claim:
        """Prefect counts a run when it is Running, so the early start sees one less."""
        run = self._run
        made_for = parse_idempotency_key(run.idempotency_key)
        assert made_for is not None
        now = self._world.prefect.runs.get(run.id, run)
        return await self._world.store.transitions.claim(
            made_for[0],
            flow_run_id=run.id,
            attempt=made_for[1],
            holder=self._runtime.holder,
            deployment_id=run.deployment_id,
            rerun=now.run_count > again,
        )

    async def _intend(self, claim: Claim) -> None:
        if not claim.submitted_before:
            with contextlib.suppress(FencedError):
                await self._world.store.transitions.record_submission(claim)

    async def _fenced_out(self, claim: Claim) -> State[Any] | None:
        standing = await self._world.store.transitions.standing(claim, self._run.id)
        if not standing.prompt_wanted:
            self._world.comfy.take_out(claim.prompt_id)
        return None if standing.run_wanted else Cancelled()

    async def _cancelled(self, claim: Claim) -> None:
        with contextlib.suppress(FencedError):
            await submitting.check_hold(self._world.store, claim)
            gone = self._world.comfy.take_out(claim.prompt_id)
            await self._world.store.transitions.cancelled(claim, stray=not gone)

    # --- the tasks

    async def _make_pictures(self, claim: Claim, *, fresh: bool) -> Steps:
        for round_ in range(RESUBMISSIONS + 1):
            async for _ in self._submit(claim, fresh=fresh and round_ == 0):
                yield
            try:
                async for _ in self._track(claim):
                    yield
                break
            except Lost:
                if round_ == RESUBMISSIONS:
                    raise
        async for _ in self._save(claim):
            yield

    async def _submit(self, claim: Claim, *, fresh: bool) -> Steps:
        """As ``Submitter``: look, ask whether it is still ours, post; look after a lost reply."""
        comfy = self._world.comfy
        if not claim.submitted_before:
            await self._world.store.transitions.record_submission(claim)
        while True:
            async for _ in self._next():
                yield
            if not fresh:
                if comfy.knows(claim.prompt_id):
                    return
                async for _ in self._next():
                    yield
            fresh = False
            await submitting.check_hold(self._world.store, claim)
            if comfy.post(claim.prompt_id):
                return

    async def _track(self, claim: Claim) -> Steps:
        """The row is looked at as often as ComfyUI: it tells of a cancel, and of the fence."""
        comfy, transitions = self._world.comfy, self._world.store.transitions
        while True:
            async for _ in self._next():
                yield
            if await transitions.status(claim) == "cancelling":
                raise CancelRequested
            if comfy.queue[:1] == [claim.prompt_id]:
                await transitions.start(claim, datetime.now(UTC))
            elif comfy.has_failed(claim.prompt_id):
                raise Rejected
            elif comfy.has_ended(claim.prompt_id):
                return
            elif claim.prompt_id not in comfy.queue:
                raise Lost

    async def _save(self, claim: Claim) -> Steps:
        """Fetch, keep, commit. Files that nobody wants any more are removed."""
        store = self._world.store
        async for _ in self._next():
            yield
        picture = a_picture(8, 8)
        self.unsaved = claim.generation_id
        kept = await store.files.keep(claim.generation_id, claim.attempt, 0, picture)
        async for _ in self._next():
            yield
        try:
            await store.transitions.succeed(claim, [kept])
        except FencedError:
            if not (await store.transitions.standing(claim)).prompt_wanted:
                await store.files.remove([kept])
            raise

    async def _next(self) -> Steps:
        """The end of a step. While ComfyUI is away, or until a cancel is heard of, it waits."""
        yield
        while True:
            if self.hears and self._state() == CANCELLING:
                raise CancelRequested
            if self.stops:
                raise Released
            if self._world.comfy.is_up:
                return
            yield

    # --- Prefect

    def _state(self) -> StateType | None:
        return self._world.prefect.state_of(self._run.id)

    def _tell(self, state: State[Any]) -> bool:
        return self._world.prefect.move(self._run.id, state)

    def leave(self) -> None:
        """It ends here, and what it kept on the disk stays there."""
        if self.unsaved is not None:
            self._world.left_behind.add(self.unsaved)
