"""Between the reader and the trackers: one mailbox of bounded size for each prompt.

The reader adds messages without waiting; a tracker takes what is new when it gets to it.
Of progress and previews only the newest is kept, so a slow tracker costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from comfy.graph import Graph
from comfy.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    Message,
    OutputFile,
    PreviewFrame,
    ProgressState,
    Status,
    StepProgress,
)
from comfy.outputs import ours
from comfy.progress import ProgressMeter

_UNTRACKED_MAX: Final = 256


class Mailbox:
    """What the websocket reported about one prompt: all of it hints, never authoritative."""

    def __init__(self, prompt_id: str, graph: Graph) -> None:
        self.prompt_id = prompt_id
        self.meter = ProgressMeter(graph)
        self.started = False
        self.ended = False
        self.settled = False
        """Whether ComfyUI has said the last of it, which it does once its history has it."""
        self.posted_for: str | None = None
        """The client id for whose websocket it was posted, until somebody begins to track it."""
        self.queue_changed = False
        self.progressed = False
        self.preview: PreviewFrame | None = None
        self.files: tuple[OutputFile, ...] = ()
        self.trackers = 0
        self.news = asyncio.Event()

    def put(self, message: Message) -> None:
        """Note one message about this prompt."""
        match message:
            case ExecutionStart():
                self.started = True
            case ExecutionSuccess() | ExecutionInterrupted():
                self.ended = True
            case Executing(node=None):
                self.ended = self.settled = True
            case ExecutionError():
                self.ended = self.ended or message.is_terminal
            case Executed():
                self.meter.executed(message.node)
                self._keep(ours(self.prompt_id, message.files))
            case PreviewFrame():
                self.preview = message
            case Status():
                self.queue_changed = True
            case _:
                self._measure(message)
        self.news.set()

    def _measure(self, message: Message) -> None:
        self.started = self.progressed = True
        match message:
            case ExecutionCached():
                self.meter.cached(message.nodes)
            case Executing(node=str(node)):
                self.meter.executing(node)
            case ProgressState():
                self.meter.state(message)
            case StepProgress():
                self.meter.step(message.node, message.value, message.max)

    def _keep(self, files: tuple[OutputFile, ...]) -> None:
        new = tuple(file for file in files if file not in self.files)
        self.files += new


class Mailroom:
    """Sorts messages into mailboxes; those for unknown prompts are dropped."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[str, Mailbox] = OrderedDict()

    def __len__(self) -> int:
        return len(self._boxes)

    def __contains__(self, prompt_id: object) -> bool:
        return prompt_id in self._boxes

    def prepare(self, prompt_id: str, graph: Graph) -> None:
        """Make a mailbox before the prompt is posted, so that nothing is missed.

        An old one without a tracker is replaced: its messages were about an earlier POST.
        """
        box = self._boxes.get(prompt_id)
        if box is None or not box.trackers:
            self._boxes.pop(prompt_id, None)
            self.open(prompt_id, graph)

    def open(self, prompt_id: str, graph: Graph) -> Mailbox:
        """Returns the prompt's mailbox; a new, empty one if none was prepared."""
        if prompt_id not in self._boxes:
            self._boxes[prompt_id] = Mailbox(prompt_id, graph)
            self._forget_untracked()
        return self._boxes[prompt_id]

    def close(self, prompt_id: str) -> None:
        """Drop the prompt's mailbox."""
        self._boxes.pop(prompt_id, None)

    def sort(self, message: Message) -> None:
        """Put one message into its mailbox."""
        if isinstance(message, Status):
            for box in self._boxes.values():
                box.put(message)
            return
        addressee = self._addressee(message)
        if addressee is not None:
            addressee.put(message)

    def wake(self) -> None:
        """Wake every tracker: the connection opened or closed."""
        for box in self._boxes.values():
            box.news.set()

    def _addressee(self, message: Message) -> Mailbox | None:
        prompt_id = getattr(message, "prompt_id", None)
        if prompt_id is not None:
            return self._boxes.get(prompt_id)
        # Only old previews are assigned by guess: ComfyUI executes one prompt at a time.
        if isinstance(message, PreviewFrame):
            executing = [box for box in self._boxes.values() if box.started and not box.ended]
            return executing[0] if len(executing) == 1 else None
        return None

    def _forget_untracked(self) -> None:
        idle = [prompt_id for prompt_id, box in self._boxes.items() if not box.trackers]
        for prompt_id in idle[:-_UNTRACKED_MAX]:
            del self._boxes[prompt_id]
