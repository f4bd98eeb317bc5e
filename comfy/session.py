"""One worker's session with one ComfyUI: submit, track, cancel, fetch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from comfy import outputs
from comfy.address import Address
from comfy.client import ComfyClient
from comfy.errors import (
    ComfyProtocolError,
    ComfyTooOldError,
    PaidNodesError,
    TransientComfyError,
)
from comfy.events import TrackEvent
from comfy.graph import Graph
from comfy.inputs import InputFile
from comfy.mailbox import Mailroom
from comfy.messages import Output, OutputFile
from comfy.outputs import FetchedFile, FetchedImage
from comfy.paid import Hiding, PaidServices
from comfy.reachability import Reachability, ReachableCallback
from comfy.socket import ComfySocket
from comfy.submission import Guard, Submitted, Submitter, Sure
from comfy.tracking import Tracker
from comfy.versions import too_old
from core.loop import Loop

LOOK_EVERY_S: Final = 2.0
"""Seconds between two looks whether ComfyUI answers HTTP; its websocket may outlive that."""
FILE_BYTES_MAX: Final = 4_000_000_000
"""Bytes of the largest file that is fetched, unless it is said otherwise."""
ANSWERS_WITHIN_S: Final = 5.0
"""A ComfyUI that takes longer for the smallest answer is stopped or stuck."""


class ComfySession:
    """A ComfyUI to be used by one worker, for as long as the worker lives.

    >>> async with ComfySession("http://127.0.0.1:8188") as session:
    ...     await session.submit(graph, prompt_id)
    ...     outputs = await session.track(
    ...         prompt_id, graph, expected_outputs=1, timeout_s=600, on_event=print
    ...     )

    It begins even while ComfyUI is down, and keeps connecting in the background. ``previews``
    asks ComfyUI 0.24 for preview pictures with each prompt; older ones follow their command
    line. ``timeout_s`` is how long one HTTP answer may take; ``settle_s`` how long ComfyUI may
    take to queue a prompt after its connection broke. ``ca_file`` holds certificates (PEM) to trust
    beside the system's. ``file_bytes_max`` is the size of the largest file that is fetched.
    ``paid`` allows graphs that call paid services; their prompts get its key, and nothing that
    ComfyUI says shows it. ``on_reachable(reachable, detail)`` is called on each change. A ComfyUI
    that is too old counts as not reachable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        previews: bool = True,
        timeout_s: float = 15.0,
        settle_s: float = 1.0,
        ca_file: Path | None = None,
        file_bytes_max: int = FILE_BYTES_MAX,
        paid: PaidServices | None = None,
        on_reachable: ReachableCallback | None = None,
    ) -> None:
        address = Address.of(base_url, ca_file)
        self._paid = paid
        hiding = Hiding(paid.key if paid is not None else None)
        self.client = ComfyClient(address, timeout_s=timeout_s, hiding=hiding)
        self._file_bytes_max = file_bytes_max
        self._extra_data = {"preview_method": "auto" if previews else "none"}
        self._reachability = Reachability(on_reachable)
        self._mailroom = Mailroom()
        self._looking = asyncio.Lock()
        self._too_old: str | None = None
        self._version_read = False
        self._without_socket: str | None = None
        self._looks = Loop(
            "looking whether ComfyUI answers", self._look_now_and_then, every_s=LOOK_EVERY_S
        )
        self._socket = ComfySocket(
            address,
            on_message=self._mailroom.sort,
            on_open=self._socket_opened,
            on_down=self._socket_down,
            hiding=hiding,
        )
        self._submitter = Submitter(self.client, lambda: self._socket.client_id, settle_s=settle_s)

    async def __aenter__(self) -> Self:
        # A short wait: messages about a prompt posted before the socket is open are lost.
        await self._socket.start(patience_s=2.0)
        self._looks.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._looks.stop()
        await self._socket.stop()
        await self.client.aclose()

    @property
    def reachable(self) -> bool:
        """Whether ComfyUI answered last time."""
        return self._reachability.reachable

    @property
    def allows_paid_nodes(self) -> bool:
        """Whether graphs may call paid services."""
        return self._paid is not None

    @property
    def reachable_detail(self) -> str:
        """Why ComfyUI is not reachable, as text."""
        return self._reachability.detail

    async def wait_until_reachable(self) -> None:
        """Return as soon as ComfyUI answers."""
        await self._reachability.wait()

    async def submit(
        self,
        graph: Graph,
        prompt_id: str,
        *,
        extra_data: Mapping[str, Any] | None = None,
        fresh: bool = False,
        before_post: Guard | None = None,
        is_sure: Sure | None = None,
        not_posted: Guard | None = None,
    ) -> Submitted:
        """Make sure that ComfyUI has the prompt, once.

        Looks in the queue, then in the history, then for the finished files, and posts only
        what is in none of them. When the answer to a POST is lost, it looks again (twice, for
        ComfyUI validates before it queues) before it posts again. Concurrent calls for one
        prompt are serialized.

        ``fresh`` says that, by the caller's own durable record, this ``prompt_id`` was never
        posted: then the first look is skipped. ``before_post`` is called right before
        each POST, and what it raises ends the submission. When there is a connection, and in the
        moment in which the POST is sent, ``is_sure`` is asked whether it still may be: if not,
        ``not_posted`` and ``before_post`` are called again.
        ``not_posted`` is called after a POST that was not even begun, as ComfyUI took no
        connection, it was held back, or the caller was cancelled.

        Raises PaidNodesError for a graph that calls paid services where that is not allowed, and
        that ComfyUI does not have yet; WorkflowRejectedError, or TransientComfyError when ComfyUI
        does not answer: then it may or may not have the prompt, so call again without ``fresh``.
        ForeignPromptError when it ignored the prompt's id.
        """
        if self._too_old is not None:
            raise ComfyTooOldError(self._too_old)
        self._mailroom.prepare(prompt_id, graph)
        paid_data = self._paid.extra_data if graph.paid and self._paid is not None else {}

        async def right_before() -> None:
            # Not before the look: what was posted while it was allowed is paid, and goes on.
            if graph.paid and self._paid is None:
                raise PaidNodesError(graph.paid)
            await (before_post or _always)()

        client_id = self._socket.client_id
        submitted = await self._submitter.submit(
            graph,
            prompt_id,
            {**self._extra_data, **(extra_data or {}), **paid_data},
            fresh=fresh,
            before_post=right_before,
            is_sure=is_sure or _yes,
            not_posted=not_posted or _always,
        )
        if submitted.how == "posted" and client_id == self._socket.client_id:
            self._mailroom.open(prompt_id, graph).posted_for = client_id
        return submitted

    async def track(
        self,
        prompt_id: str,
        graph: Graph,
        *,
        expected_outputs: int | None,
        timeout_s: float,
        on_event: Callable[[TrackEvent], None],
    ) -> tuple[Output, ...]:
        """Follow a submitted prompt to its end and return its outputs.

        So many of them are expected, each a file named after the prompt. None: it is not known how
        many, so that ComfyUI's success decides, and whatever it names is an output.

        It may have been submitted by another process, and may have ended long ago. While
        ComfyUI is down it waits, without limit. ``timeout_s`` counts only the seconds in which
        the prompt executed and ComfyUI answered. ``on_event`` is called from this task; of
        progress and previews it gets the newest only.

        Raises ExecutionFailedError (OutOfMemoryComfyError), PromptInterruptedError,
        PromptLostError (submit it again), NoOutputError, and ExecutionTimeoutError, after which
        the prompt still executes: cancel it.
        """
        box = self._mailroom.open(prompt_id, graph)
        box.trackers += 1
        tracker = Tracker(
            self.client,
            self._socket,
            box,
            ours=self._mailroom,
            graph=replace(graph, expected_outputs=expected_outputs),
            timeout_s=timeout_s,
            on_event=on_event,
        )
        try:
            return await tracker.run()
        finally:
            box.trackers -= 1
            if not box.trackers:
                self._mailroom.close(prompt_id)

    async def cancel(self, prompt_id: str, *, patience_s: float = 30.0) -> bool:
        """Remove the prompt from ComfyUI's queue or interrupt it; never touches another.

        Returns True when ComfyUI no longer queues or executes it, also when it had ended
        before, and False when it still executes after ``patience_s`` seconds: some nodes
        cannot be interrupted. Raises TransientComfyError when ComfyUI does not answer.
        """
        return await self._submitter.cancel(prompt_id, patience_s=patience_s)

    async def forget(self, prompt_id: str) -> None:
        """Drop an ended prompt from ComfyUI's history, so that ``submit`` posts its id again."""
        await self.client.forget(prompt_id)

    async def has_input(self, file: InputFile) -> bool:
        """Returns whether ComfyUI has an input file whole. Raises TransientComfyError."""
        return await self.client.input_size(file) == file.size

    async def put_input(self, file: InputFile, data: AsyncIterator[bytes]) -> None:
        """Put a file into ComfyUI's input folder. Raises InputRefusedError, TransientComfyError."""
        await self.client.put_input(file, data)

    async def free_memory(self) -> None:
        """Ask ComfyUI to unload its models and drop its caches, as soon as it is idle."""
        await self.client.free()

    async def fetch(self, file: OutputFile, pixels: int = outputs.PIXELS_ASKED_MAX) -> FetchedImage:
        """Returns the verified bytes of a finished picture; ``pixels`` is the size asked for.

        Raises NoOutputError when the file is gone, ComfyProtocolError when it is cut short the
        second time too, UnusableFileError when it is no picture or much larger.
        """
        return await outputs.fetch(self.client, file, pixels)

    def open(
        self, file: OutputFile, pixels: int = outputs.PIXELS_ASKED_MAX
    ) -> AbstractAsyncContextManager[FetchedImage | FetchedFile]:
        """Fetch a finished file of any kind, within the ``async with``.

        A picture comes whole, as from ``fetch``; any other file is read in chunks. Raises as
        ``fetch`` does, UnusableFileError also for a file of more than ``file_bytes_max``.
        """
        return outputs.opened(self.client, file, pixels, self._file_bytes_max)

    async def _socket_opened(self) -> None:
        self._mailroom.wake()
        self._without_socket = None
        self._version_read = False  # it may be another ComfyUI than before
        await self._look()

    async def _socket_down(self, reason: str) -> None:
        """The websocket alone proves nothing: a proxy may forbid it while HTTP works."""
        self._mailroom.wake()
        self._without_socket = reason
        self._version_read = False
        await self._look()

    async def _look_now_and_then(self) -> None:
        silent_s = asyncio.get_running_loop().time() - self._socket.last_heard
        if silent_s >= LOOK_EVERY_S or not self.reachable:
            await self._look()

    async def _look(self) -> None:
        """Report whether ComfyUI answers HTTP, and is new enough."""
        async with self._looking:
            try:
                async with asyncio.timeout(ANSWERS_WITHIN_S):
                    await self._ask()
            except TransientComfyError as exc:
                self._reachability.report(False, str(exc))
            except TimeoutError:
                self._reachability.report(
                    False, f"ComfyUI did not answer within {ANSWERS_WITHIN_S:g} s"
                )
            else:
                self._reachability.report(self._too_old is None, self._too_old or self._how())

    async def _ask(self) -> None:
        """The version once for each connection, else only whether it answers: that is cheaper."""
        if not self._version_read:
            with suppress(ComfyProtocolError):  # a version that it does not say is no reason
                stats = await self.client.system_stats()
                self._too_old, self._version_read = too_old(stats.version), True
                return
        await self.client.queue_remaining()

    def _how(self) -> str:
        return f"without websocket: {self._without_socket}" if self._without_socket else "connected"


def _yes() -> bool:
    return True


async def _always() -> None:
    """The default guards: no other process submits what this session submits."""
