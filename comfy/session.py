"""One worker's session with one ComfyUI: submit, track, cancel, fetch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from comfy import images
from comfy.client import ComfyClient
from comfy.errors import TransientComfyError
from comfy.events import TrackEvent
from comfy.graph import Workflow
from comfy.images import FetchedImage
from comfy.mailbox import Mailroom
from comfy.messages import OutputImage
from comfy.reachability import Reachability, ReachableCallback
from comfy.socket import ComfySocket
from comfy.submission import Guard, Submitted, Submitter
from comfy.tracking import Tracker


class ComfySession:
    """A ComfyUI to be used by one worker, for as long as the worker lives.

    >>> async with ComfySession("http://127.0.0.1:8188") as session:
    ...     await session.submit(workflow, prompt_id)
    ...     images = await session.track(
    ...         prompt_id, workflow, expected_images=1, timeout_s=600, on_event=print
    ...     )

    It begins even while ComfyUI is down, and keeps connecting in the background. ``previews``
    asks ComfyUI 0.24 for preview pictures with each prompt; older ones follow their command
    line. ``timeout_s`` is how long one HTTP answer may take; ``settle_s`` how long ComfyUI may
    take to queue a prompt after its connection broke. ``on_reachable(reachable,
    detail)`` is called on each change.
    """

    def __init__(
        self,
        base_url: str,
        *,
        previews: bool = True,
        timeout_s: float = 15.0,
        settle_s: float = 1.0,
        on_reachable: ReachableCallback | None = None,
    ) -> None:
        self.client = ComfyClient(base_url, timeout_s=timeout_s)
        self._extra_data = {"preview_method": "auto" if previews else "none"}
        self._reachability = Reachability(on_reachable)
        self._mailroom = Mailroom()
        self._socket = ComfySocket(
            base_url,
            on_message=self._mailroom.sort,
            on_open=self._socket_opened,
            on_down=self._socket_down,
        )
        self._submitter = Submitter(self.client, lambda: self._socket.client_id, settle_s=settle_s)

    async def __aenter__(self) -> Self:
        # A short wait: messages about a prompt posted before the socket is open are lost.
        await self._socket.start(patience_s=2.0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._socket.stop()
        await self.client.aclose()

    @property
    def reachable(self) -> bool:
        """Whether ComfyUI answered last time."""
        return self._reachability.reachable

    @property
    def reachable_detail(self) -> str:
        """Why ComfyUI is not reachable, as text."""
        return self._reachability.detail

    async def wait_until_reachable(self) -> None:
        """Return as soon as ComfyUI answers."""
        await self._reachability.wait()

    async def submit(
        self,
        workflow: Workflow,
        prompt_id: str,
        *,
        extra_data: Mapping[str, Any] | None = None,
        fresh: bool = False,
        before_post: Guard | None = None,
    ) -> Submitted:
        """Make sure that ComfyUI has the prompt, once.

        Looks in the queue, then in the history, then for the finished files, and posts only
        what is in none of them. When the answer to a POST is lost, it looks again (twice, for
        ComfyUI validates before it queues) before it posts again. Concurrent calls for one
        prompt are serialized.

        ``fresh`` says that, by the caller's own durable record, this ``prompt_id`` was never
        posted: then the first look is skipped. ``before_post`` is called right before
        each POST, and what it raises ends the submission.

        Raises WorkflowRejectedError, or TransientComfyError when ComfyUI does not answer: then
        it may or may not have the prompt, so call again without ``fresh``.
        """
        self._mailroom.prepare(prompt_id, workflow)
        merged = {**self._extra_data, **(extra_data or {})}
        return await self._submitter.submit(
            workflow, prompt_id, merged, fresh=fresh, before_post=before_post or _always
        )

    async def track(
        self,
        prompt_id: str,
        workflow: Workflow,
        *,
        expected_images: int,
        timeout_s: float,
        on_event: Callable[[TrackEvent], None],
    ) -> tuple[OutputImage, ...]:
        """Follow a submitted prompt to its end and return its pictures.

        It may have been submitted by another process, and may have ended long ago. While
        ComfyUI is down it waits, without limit. ``timeout_s`` counts only the seconds in which
        the prompt executed and ComfyUI answered. ``on_event`` is called from this task; of
        progress and previews it gets the newest only.

        Raises ExecutionFailedError (OutOfMemoryComfyError), PromptInterruptedError,
        PromptLostError (submit it again), NoOutputError, and ExecutionTimeoutError, after which
        the prompt still executes: cancel it.
        """
        box = self._mailroom.open(prompt_id, workflow)
        box.trackers += 1
        tracker = Tracker(
            self.client,
            self._socket,
            box,
            expected_images=expected_images,
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

    async def free_memory(self) -> None:
        """Ask ComfyUI to unload its models and drop its caches, as soon as it is idle."""
        await self.client.free()

    async def fetch(self, image: OutputImage) -> FetchedImage:
        """Returns the verified bytes of a finished picture.

        Raises NoOutputError when the file is gone, ComfyProtocolError when it is not a
        complete picture the second time either.
        """
        return await images.fetch(self.client, image)

    def _socket_opened(self) -> None:
        self._reachability.report(True, "connected")
        self._mailroom.wake()

    async def _socket_down(self, reason: str) -> None:
        """The websocket alone proves nothing: a proxy may forbid it while HTTP works."""
        self._mailroom.wake()
        try:
            await self.client.queue_remaining()
        except TransientComfyError as exc:
            self._reachability.report(False, str(exc))
        else:
            self._reachability.report(True, f"without websocket: {reason}")


async def _always() -> None:
    """The default guard: no other process submits what this session submits."""
