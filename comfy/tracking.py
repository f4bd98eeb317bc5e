"""Following one prompt to its end.

The websocket is a hint that makes it fast; ``/queue``, then ``/history``, in that order, are
authoritative. So lost, duplicate, foreign and reordered messages cost time at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import Final

from comfy.answers import HistoryEntry, QueueState
from comfy.client import ComfyClient
from comfy.errors import (
    ExecutionFailedError,
    ExecutionTimeoutError,
    NoOutputError,
    OutOfMemoryComfyError,
    PromptInterruptedError,
    PromptLostError,
    TransientComfyError,
)
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
from comfy.finished_files import find_by_name
from comfy.graph import Graph
from comfy.mailbox import Mailbox
from comfy.messages import ExecutionError, Output, OutputFile
from comfy.outputs import kept_of, ours
from comfy.socket import ComfySocket
from comfy.stopwatch import Stopwatch

_POLL_S: Final = 0.3
_LIVE_POLL_S: Final = 5.0
"""Between polls while the websocket reports on this prompt anyway."""
_SILENCE_S: Final = 1.5
"""A websocket that was silent for this long is not relied on."""
_SETTLES_WITHIN_S: Final = 0.02
"""ComfyUI says how a prompt ended, then writes its history, then says "executing: null" (main.py,
``prompt_worker``): asked before that, it has nothing yet every fourth time."""
_ENDED_POLL_S: Final = 0.002
"""Between polls after the end, for as long as the history lacks it."""
_AWAY_POLL_MAX_S: Final = 2.0
_OOM_WORDS: Final = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "allocation on device",
    "outofmemory",
    "memoryerror",
)


class Tracker:
    """Follows one prompt; see ``ComfySession.track``."""

    def __init__(
        self,
        client: ComfyClient,
        socket: ComfySocket,
        box: Mailbox,
        *,
        ours: Container[str],
        graph: Graph,
        timeout_s: float,
        on_event: Callable[[TrackEvent], None],
    ) -> None:
        self._client = client
        self._socket = socket
        self._box = box
        self._ours = ours
        self._prompt_id = box.prompt_id
        self._graph = graph
        self._expected_outputs = graph.expected_outputs
        self._timeout_s = timeout_s
        self._emit = on_event
        self._now = asyncio.get_running_loop().time
        self._executing = Stopwatch(self._now)
        self._last_look = self._now()
        self._next_pause = 0.0
        self._owner: str | None = None
        self._queued: Queued | None = None
        self._started = False
        self._away = False
        self._absences = 0
        self._ended_at: float | None = None
        self._looked_at_end = False
        self._progress: Progress | None = None
        self._announced: set[OutputFile] = set()

    async def run(self) -> tuple[Output, ...]:
        """Wait for the end. Returns the outputs or raises why there are none."""
        if self._box.posted_for is not None:  # ComfyUI has it, and tells that websocket
            self._owner, self._box.posted_for = self._box.posted_for, None
            await self._listen()
        while True:
            outputs = await self._look_patiently()
            if outputs is not None:
                return self._finish(outputs)
            if self._executing.elapsed() >= self._timeout_s:
                raise ExecutionTimeoutError(f"still executing after {self._timeout_s:g} s")
            await self._listen()

    async def _look_patiently(self) -> tuple[Output, ...] | None:
        """Poll, tolerating a ComfyUI that does not answer."""
        try:
            outputs = await self._look()
        except TransientComfyError as exc:
            self._went_away(str(exc))
            outputs = None
        else:
            self._came_back()
        self._last_look = self._now()
        return outputs

    async def _look(self) -> tuple[Output, ...] | None:
        if self._box.ended:
            self._looked_at_end = True
            if entry := await self._client.history(self._prompt_id):
                return await self._conclude(entry)
        self._box.queue_changed = False
        queue = await self._client.queue()
        if queue.find(self._prompt_id):
            self._note(queue)
            return None
        if entry := await self._client.history(self._prompt_id):
            return await self._conclude(entry)
        return await self._absent()

    def _note(self, queue: QueueState) -> None:
        item = queue.find(self._prompt_id)
        self._owner = item.client_id if item else None
        self._absences = 0
        ahead = queue.ahead(self._prompt_id)
        if queue.is_running(self._prompt_id):
            self._start()
        elif ahead is not None and not self._started:
            self._tell_queued(ahead)

    def _tell_queued(self, ahead: tuple[str, ...]) -> None:
        strangers = sum(prompt_id not in self._ours for prompt_id in ahead)
        queued = Queued(len(ahead), strangers)
        if queued != self._queued:
            self._queued = queued
            self._emit(queued)

    async def _absent(self) -> tuple[Output, ...] | None:
        """Neither waiting nor executing nor ended. A restart loses all but the files.

        Only a second poll decides: a POST whose answer was lost may still be about to be queued.
        """
        self._executing.pause()
        if files := await self._by_name():
            return files
        self._absences += 1
        if self._absences >= 2:
            raise PromptLostError(f"ComfyUI does not know prompt {self._prompt_id} any more")
        return None

    async def _conclude(self, entry: HistoryEntry) -> tuple[Output, ...]:
        self._start()
        if entry.interrupted:
            raise PromptInterruptedError("the prompt was interrupted in ComfyUI")
        if entry.error is not None:
            raise execution_failed(entry.error)
        if not entry.succeeded:
            raise ExecutionFailedError("", "", "ComfyUI says error, but not which", "")
        if self._expected_outputs is None:
            return self._all_of(entry)
        files = ours(self._prompt_id, entry.files)
        if len(files) >= self._expected_outputs:
            return files
        found = await self._by_name()
        if found is None:
            raise NoOutputError(self._what_is_missing(entry, files))
        return found

    async def _by_name(self) -> tuple[OutputFile, ...] | None:
        return await find_by_name(self._client, self._prompt_id, self._graph)

    def _all_of(self, entry: HistoryEntry) -> tuple[Output, ...]:
        """Returns everything that ComfyUI names, where nothing says how much is to come."""
        outputs = kept_of(entry.outputs)
        if not outputs:
            raise NoOutputError("ComfyUI finished without any output")
        return outputs

    def _what_is_missing(self, entry: HistoryEntry, files: tuple[OutputFile, ...]) -> str:
        said = f"ComfyUI finished with {len(files)} of {self._expected_outputs} outputs"
        foreign = len(entry.files) - len(files)
        return f"{said}; it named {foreign} files of another prompt" if foreign else said

    def _finish(self, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        self._tell()
        self._emit(self._box.meter.completed())
        for output in outputs:
            if isinstance(output, OutputFile):
                self._announce(output)
        return outputs

    async def _listen(self) -> None:
        """Pass on what the websocket reports until the next poll is due."""
        self._next_pause = self._first_pause()
        while (wait := self._due() - self._now()) > 0:
            if not await self._news(wait):
                return
            self._tell()
            if self._box.settled or self._away:
                return

    async def _news(self, wait: float) -> bool:
        try:
            async with asyncio.timeout(wait):
                await self._box.news.wait()
        except TimeoutError:
            return False
        self._box.news.clear()
        return True

    def _first_pause(self) -> float:
        """Returns the pause before the next poll if it grows from poll to poll, else 0."""
        doubled = self._next_pause * 2
        if self._away:
            return min(max(doubled, _POLL_S), _AWAY_POLL_MAX_S)
        if self._looked_at_end:
            return min(max(doubled, _ENDED_POLL_S), _POLL_S)
        return 0.0

    def _due(self) -> float:
        """Returns when to poll again. Evaluated after each message, which may change it."""
        due = self._last_look + (self._next_pause or _POLL_S)
        if not self._next_pause and self._is_live():
            silent = self._socket.last_heard + _SILENCE_S
            due = max(due, min(silent, self._last_look + _LIVE_POLL_S))
        if self._box.ended and not self._looked_at_end:
            self._ended_at = self._ended_at or self._now()
            due = min(due, self._ended_at + _SETTLES_WITHIN_S)
        if self._executing.runs:
            due = min(due, self._now() + self._timeout_s - self._executing.elapsed())
        return due

    def _is_live(self) -> bool:
        """Whether this websocket receives the prompt's messages, and nothing is in doubt."""
        if self._absences or (self._box.queue_changed and not self._started):
            return False
        return self._socket.is_open and self._owner == self._socket.client_id

    def _tell(self) -> None:
        """Pass on what is new in the mailbox."""
        box = self._box
        if box.started:
            self._start()
        if box.progressed:
            box.progressed = False
            self._tell_progress(box.meter.reading())
        if box.preview is not None:
            frame, box.preview = box.preview, None
            self._emit(Preview(frame.data, frame.content_type))
        for file in box.files:
            self._announce(file)

    def _tell_progress(self, progress: Progress) -> None:
        if progress != self._progress:
            self._progress = progress
            self._emit(progress)

    def _announce(self, file: OutputFile) -> None:
        if file not in self._announced:
            self._announced.add(file)
            self._emit(OutputReady(file))

    def _start(self) -> None:
        if not self._away:
            self._executing.run()
        if not self._started:
            self._started = True
            self._emit(Started())

    def _went_away(self, detail: str) -> None:
        self._executing.pause()
        if not self._away:
            self._away = True
            self._next_pause = 0.0
            self._emit(ComfyAway(detail))

    def _came_back(self) -> None:
        if self._away:
            self._away = False
            self._next_pause = 0.0
            self._queued = None  # to be told again
            self._emit(ComfyBack())
            if self._started and not self._absences:
                self._executing.run()


def execution_failed(error: ExecutionError) -> ExecutionFailedError:
    """Returns the exception for a node's error; memory errors are recognized by type or text.

    PyTorch, ComfyUI and the CPU allocator each have their own text, and the CPU's comes as a
    plain RuntimeError.
    """
    said = f"{error.exception_type} {error.message}".lower()
    kind = (
        OutOfMemoryComfyError
        if any(words in said for words in _OOM_WORDS)
        else ExecutionFailedError
    )
    return kind(error.node_id, error.node_class, error.message, error.exception_type)
