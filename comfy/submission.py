"""Exactly-once submission: look before each POST, and again when its answer is lost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from weakref import WeakValueDictionary

from comfy.cancelling import cancel_prompt
from comfy.client import ComfyClient
from comfy.errors import (
    ForeignPromptError,
    HeldBackError,
    NothingSentError,
    TransientComfyError,
    WorkflowRejectedError,
)
from comfy.finished_files import find_by_name
from comfy.graph import Graph
from core.failpoints import reach

Guard = Callable[[], Awaitable[None]]
"""Called right before each POST: raises when the caller may no longer post. Also what is called
after a POST that was not begun: no connection was made, it was held back, or the caller was
cancelled."""
Sure = Callable[[], bool]
"""Whether the caller still may post; asked in the moment in which it is sent."""
How = Literal["posted", "already_queued", "already_finished", "found_by_name"]

_POSTS_MAX: Final = 3
_TAKE_BACK_S: Final = 5.0
_REMEMBERED_MAX: Final = 10_000


@dataclass(frozen=True)
class Submitted:
    """A prompt that ComfyUI has.

    ``how`` says how it came to be there: posted now, found waiting or executing, found in the
    history (however it ended there), or found as finished files after the history was lost.
    """

    prompt_id: str
    how: How


@dataclass(eq=False)
class _Turn:
    """One prompt's lock in this process: its submissions are serialized."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class _Post:
    """A POST as it goes out: it may have taken long to connect, or the process was stopped."""

    before: Guard
    is_sure: Sure
    not_posted: Guard
    sent: Callable[[], None]

    async def connected(self) -> None:
        """There is a connection, perhaps since a long time ago: make sure once more, if need be."""
        if not self.is_sure():
            await self.not_posted()
            await self.before()

    def sending(self) -> None:
        """It is written now. Raises HeldBackError, so that it is not."""
        if not self.is_sure():
            raise HeldBackError("it took too long until the prompt could be sent")
        self.sent()


class Submitter:
    """Puts each prompt in ComfyUI's queue exactly once.

    ``settle_s`` is how long ComfyUI may take to queue a prompt whose connection broke: it
    validates first, and only then queues.
    """

    def __init__(
        self, client: ComfyClient, client_id: Callable[[], str], *, settle_s: float
    ) -> None:
        self._client = client
        self._client_id = client_id
        self._settle_s = settle_s
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._unsure: set[str] = set()
        self._posted: OrderedDict[str, None] = OrderedDict()

    async def submit(
        self,
        graph: Graph,
        prompt_id: str,
        extra_data: Mapping[str, Any],
        *,
        fresh: bool,
        before_post: Guard,
        is_sure: Sure,
        not_posted: Guard,
    ) -> Submitted:
        """See ``ComfySession.submit``."""
        turn = self._turn(prompt_id)
        async with turn.lock:
            if not fresh or prompt_id in self._posted:
                how = await self._look(graph, prompt_id)
                if how is not None:
                    return Submitted(prompt_id, how)
            how = await self._post_once(
                graph, prompt_id, extra_data, before_post, is_sure, not_posted
            )
            return Submitted(prompt_id, how)

    async def cancel(self, prompt_id: str, *, patience_s: float) -> bool:
        """See ``ComfySession.cancel``. Waits for a submission of the same prompt."""
        async with self._turn(prompt_id).lock:
            if prompt_id in self._unsure:
                # A POST was cut off in this process: ComfyUI may be about to queue it.
                await asyncio.sleep(self._settle_s)
                self._unsure.discard(prompt_id)
            return await cancel_prompt(self._client, prompt_id, patience_s=patience_s)

    def _remember(self, prompt_id: str) -> None:
        """A caller's ``fresh`` no longer holds for what this process has posted."""
        self._posted[prompt_id] = None
        while len(self._posted) > _REMEMBERED_MAX:
            self._posted.popitem(last=False)

    def _turn(self, prompt_id: str) -> _Turn:
        return self._turns.setdefault(prompt_id, _Turn())

    async def _look(self, graph: Graph, prompt_id: str) -> How | None:
        """Returns where ComfyUI has it. The order matters: prompts move from queue to history."""
        if (await self._client.queue()).find(prompt_id):
            return "already_queued"
        if await self._client.history(prompt_id):
            return "already_finished"
        if await find_by_name(self._client, prompt_id, graph):
            return "found_by_name"
        return None

    async def _post_once(
        self,
        graph: Graph,
        prompt_id: str,
        extra_data: Mapping[str, Any],
        before_post: Guard,
        is_sure: Sure,
        not_posted: Guard,
    ) -> How:
        for attempt in range(1, _POSTS_MAX + 1):
            try:
                await before_post()
            except asyncio.CancelledError:
                await _within_reason(not_posted)
                raise
            reach("submit.before_post")
            sent = asyncio.Event()
            try:
                post = _Post(before_post, is_sure, not_posted, sent.set)
                await self._post(graph, prompt_id, extra_data, post)
            except asyncio.CancelledError:
                if not sent.is_set():
                    await _within_reason(not_posted)
                raise
            except TransientComfyError as error:
                if isinstance(error, NothingSentError | HeldBackError):
                    await not_posted()
                how = None
                if not isinstance(error, HeldBackError):
                    how = await self._look_twice(graph, prompt_id)
                if how is not None:
                    self._unsure.discard(prompt_id)
                    return "posted" if how == "already_queued" else how
                if attempt == _POSTS_MAX:
                    raise
            else:
                return "posted"
        raise AssertionError("unreachable")

    async def _post(
        self,
        graph: Graph,
        prompt_id: str,
        extra_data: Mapping[str, Any],
        post: _Post,
    ) -> None:
        was_unsure = prompt_id in self._unsure
        self._remember(prompt_id)
        self._unsure.add(prompt_id)
        try:
            answer = await self._client.post_prompt(
                graph, prompt_id, self._client_id(), extra_data, post.connected, post.sending
            )
        except WorkflowRejectedError:
            self._unsure.discard(prompt_id)
            raise
        except HeldBackError:
            if not was_unsure:  # by an earlier POST
                self._unsure.discard(prompt_id)
            raise
        reach("submit.after_post")
        self._unsure.discard(prompt_id)
        if answer.prompt_id != prompt_id:
            with suppress(TransientComfyError):  # it must not be posted again
                await cancel_prompt(self._client, answer.prompt_id, patience_s=_TAKE_BACK_S)
            raise ForeignPromptError("ComfyUI ignored the prompt's id and used one of its own")
        if answer.problems:
            # ComfyUI would execute the rest and call that a success.
            await cancel_prompt(self._client, prompt_id, patience_s=_TAKE_BACK_S)
            raise WorkflowRejectedError("ComfyUI would drop an output", answer.problems)

    async def _look_twice(self, graph: Graph, prompt_id: str) -> How | None:
        how = await self._look(graph, prompt_id)
        if how is None:
            await asyncio.sleep(self._settle_s)
            how = await self._look(graph, prompt_id)
        return how


async def _within_reason(not_posted: Guard) -> None:
    """For a caller that is being cancelled: if it fails, it stays unsure whether it was posted."""
    with suppress(Exception):
        async with asyncio.timeout(_TAKE_BACK_S):
            await not_posted()
