"""Writes an attempt's progress to its row, without delaying the attempt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from comfy.events import (
    ComfyAway,
    ComfyBack,
    OutputReady,
    Preview,
    Progress,
    Queued,
    Started,
    TrackEvent,
)
from comfy.messages import OutputFile
from comfy.outputs import ours, saved_file
from comfy.reachability import away_words
from core.artefacts import type_of
from core.loop import Loop
from core.status import Status
from flows.errors import CancelRequested
from flows.retries import patiently
from store.errors import FencedError, StoreUnavailableError
from store.generations.transitions import Transitions
from store.values import Claim, ProgressRecord, RenderedOutput, Waiting
from store.values import Preview as KeptPreview

WRITE_EVERY_S: Final = 0.1
"""Seconds between two writes of progress; events in between are merged into the next one."""
PREVIEW_EVERY_S: Final = 0.25
RENDERED_MAX: Final = 100
"""So many outputs of an attempt are announced before they are kept."""
WRITTEN_WITHIN_S: Final = 0.1
"""How long the end of tracking waits for what is being written of rendered outputs."""
ANNOUNCED_WITHIN_S: Final = 0.05
"""How long anything waits for rendered outputs to be announced first."""
OnProgress = Callable[[float], None]
"""Called with the percentage repeatedly while the attempt renders; must not block."""
LOOK_EVERY_S: Final = 1.0
"""Seconds between reads of the row without events: the client may have cancelled."""


class Reporter:
    """Takes events as they arrive (``on_event`` never blocks) and writes them from its own task.

    Use as an async context manager around tracking. ``stopped`` is set, with ``reason``, when the
    row says that the work should stop: the client cancelled, or another worker has the attempt.
    """

    def __init__(
        self, transitions: Transitions, claim: Claim, on_progress: OnProgress | None
    ) -> None:
        self._transitions = transitions
        self._claim = claim
        self._on_progress = on_progress
        self._progress: ProgressRecord | None = None
        self._preview: KeptPreview | None = None
        self._previews = 0
        self._shown: int | None = None
        self._rendered: tuple[RenderedOutput, ...] = ()
        self._announced = 0
        self._is_announced = asyncio.Event()
        self._is_announced.set()
        self._is_urgent = asyncio.Event()
        self._waiting: Waiting | None = None
        self._started_at: datetime | None = None
        self._running = False
        self._last_preview = 0.0
        self._has_news = False
        self._loop = Loop(
            f"reporting the progress of {claim.generation_id}",
            self._tell,
            every_s=LOOK_EVERY_S,
            retry_s=WRITE_EVERY_S,
            expected=(StoreUnavailableError,),
        )
        self.reason: CancelRequested | FencedError | None = None
        self.stopped = asyncio.Event()

    async def __aenter__(self) -> Reporter:
        self._loop.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_urgent.set()
        is_owed = exc is None and not self._all_announced
        await self._loop.stop(grace_s=WRITTEN_WITHIN_S if is_owed else 0.0)
        if exc is None and self._started_at is not None and not self._running:
            # A render can end before its start was written; its times are recorded anyway.
            await patiently(self._transitions.start, self._claim, self._started_at)
        if exc is None and not self._all_announced:
            with contextlib.suppress(FencedError):  # whoever saves finds it out
                await patiently(self._write_progress)

    @property
    def _all_announced(self) -> bool:
        return self._announced == len(self._rendered)

    def on_event(self, event: TrackEvent) -> None:
        """Take an event."""
        match event:
            case Started():
                self._started_at = self._started_at or datetime.now(UTC)
                self._waiting = None
            case Progress():
                self._progress = ProgressRecord(
                    percent=round(event.percent, 1),
                    step=event.step,
                    steps=event.steps,
                    node=event.node_class,
                    nodes_done=event.nodes_done,
                    nodes_total=event.nodes_total,
                )
            case Preview():
                self._previews += 1
                self._preview = KeptPreview(self._previews, event.content_type, event.data)
            case OutputReady():
                if not self._note_rendered(event.file):
                    return
            case ComfyAway():
                said = away_words(self._claim.comfy_url, event.detail)
                self._waiting = Waiting("waiting_for_comfyui", said)
            case Queued():
                self._waiting = _behind(event.strangers)
            case ComfyBack():
                self._waiting = None
        self._has_news = True
        self._loop.wake()

    def _note_rendered(self, file: OutputFile) -> bool:
        """Note an output to be announced at once. Returns False for what is not announced.

        That is what nobody may ask for by its name, as it is not named after this prompt.
        """
        if not ours(self._claim.prompt_id, [file]) or saved_file(file.filename) is None:
            return False
        if len(self._rendered) >= RENDERED_MAX:
            return False
        kind = type_of(b"", file.filename, file.format, file.key).kind
        self._rendered += (RenderedOutput(kind, file.filename, self._claim.comfy_url),)
        self._is_announced.clear()
        self._is_urgent.set()
        return True

    async def announced(self) -> None:
        """Return when all that is rendered by now has been announced; without the store, soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCED_WITHIN_S):
                await self._is_announced.wait()

    async def _tell(self) -> None:
        if self._on_progress is not None and self._progress is not None:
            self._on_progress(self._progress.percent)
        elif self._on_progress is not None and self._started_at is not None:
            # The websocket may be down for as long as a render takes: it is seen to begin anyway.
            self._on_progress(0.0)
        try:
            status = await self._write()
        except FencedError as error:
            self._stop(error)
            return
        except StoreUnavailableError:
            self._has_news = True  # to be written when the store answers again
            raise
        if status == "cancelling":
            self._stop(CancelRequested())
            return
        await self._pause()

    async def _pause(self) -> None:
        """Until the next write, which comes at once for a rendered output."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITE_EVERY_S):
                await self._is_urgent.wait()

    async def _write(self) -> Status:
        """Write what is new; only read the row when nothing is."""
        if not self._has_news and self._preview is None:
            return await self._transitions.status(self._claim)
        self._has_news = False
        self._is_urgent.clear()
        if self._started_at is not None and not self._running:
            status = await self._transitions.start(self._claim, self._started_at)
            self._running = True
            if not self._all_announced:
                self._is_urgent.set()
            if self._progress or self._preview or self._waiting or self._rendered:
                self._has_news = True  # arrived together with the start: written next
                self._loop.wake()
            return status
        return await self._write_progress()

    async def _write_progress(self) -> Status:
        preview, rendered = self._due_preview(), self._rendered
        if preview is not None:
            self._shown = preview.number
        progress = self._progress or (ProgressRecord(0.0) if rendered else None)
        if progress is not None:
            progress = replace(progress, preview=self._shown, rendered=rendered)
        status = await self._transitions.record_progress(
            self._claim, progress, preview, self._waiting
        )
        self._announced = len(rendered)
        if self._all_announced:
            self._is_announced.set()
        return status

    def _due_preview(self) -> KeptPreview | None:
        now = asyncio.get_running_loop().time()
        if self._preview is None or now - self._last_preview < PREVIEW_EVERY_S:
            return None
        preview, self._preview, self._last_preview = self._preview, None, now
        return preview

    def _stop(self, reason: CancelRequested | FencedError) -> None:
        self.reason = reason
        self.stopped.set()
        self._loop.end()


def _behind(strangers: int) -> Waiting | None:
    """Returns why a prompt waits behind others that Easel does not know."""
    if not strangers:
        return None
    prompts = "1 prompt" if strangers == 1 else f"{strangers} prompts"
    return Waiting(
        "comfyui_busy", f"{prompts} that Easel did not submit come first in ComfyUI's queue."
    )
