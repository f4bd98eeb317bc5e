"""A ComfyUI that renders what, and when, the test says."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from PIL import Image as Pillow

from comfy import FetchedFile, FetchedImage, Graph, InputFile, Output, OutputFile, Submitted
from comfy.errors import NoOutputError
from comfy.events import Preview, Progress, Started, TrackEvent
from comfy.finished_files import named
from core.artefacts import HEAD_BYTES, type_of
from core.ids import OUTPUT_SUBFOLDER
from core.pictures import in_small
from core.requests import ResolvedRequest
from flows.testing.painter import Painter, PlainPainter
from store.values import Claim

SAMPLER: Final = "KSampler"
NODES_BEFORE: Final = 4
"""How many nodes a text-to-image graph executes before its sampler."""
_SAMPLING_SHARE: Final = 0.95
_HELD_LOOK_S: Final = 0.1
_CHUNK_BYTES: Final = 65_536


class ScriptedComfyUI:
    """Stands in for ComfyUI (``flows.pipeline.Session``): renders what, and when, the test says.

    ``step_s`` is the pace of a render. ``failure`` is how a render ends; None is success.
    ``limit`` stops every render after this many steps; None lets all go on.
    """

    def __init__(self, painter: Painter | None = None) -> None:
        self.step_s = 0.02
        self.failure: Callable[[ResolvedRequest], Exception | None] = lambda _request: None
        self.limit: int | None = None
        self.inputs: dict[InputFile, bytes] = {}
        self._painter = painter or PlainPainter()
        self._requests: dict[str, ResolvedRequest] = {}
        self._files: dict[OutputFile, Callable[[], bytes]] = {}
        self._steps_done: dict[str, int] = {}

    def expect(self, claim: Claim) -> None:
        """Learn the request of a prompt that is going to be submitted."""
        self._requests[claim.prompt_id] = claim.request

    def give(self, prompt_id: str, pictures: Sequence[bytes]) -> tuple[Output, ...]:
        """Finish a prompt with these pictures, or with its painter's. Returns its outputs."""
        request, paint = self._requests[prompt_id], self._painter.picture
        files: Sequence[Callable[[], bytes]] = [partial(bytes, data) for data in pictures] or [
            partial(paint, request, position) for position in range(request.batch_size)
        ]
        outputs = tuple(named(prompt_id, number) for number in range(1, len(files) + 1))
        self._files.update(zip(outputs, files, strict=True))
        return outputs

    def give_file(self, prompt_id: str, filename: str, data: bytes, node: str = "7") -> OutputFile:
        """Finish a prompt with a file of any kind. Returns its output."""
        output = OutputFile(f"{prompt_id}_{filename}", OUTPUT_SUBFOLDER, "output", node)
        self._files[output] = partial(bytes, data)
        return output

    def steps_done(self, prompt_id: str) -> int | None:
        """Returns the steps a render has reported; None when the prompt does not execute."""
        return self._steps_done.get(prompt_id)

    def may_move(self, done: int) -> bool:
        """Returns whether a render that has done this many steps may go on."""
        return self.limit is None or done < self.limit

    # --- as ``flows.pipeline.Session``

    async def submit(
        self,
        graph: Graph,  # noqa: ARG002 - Session's
        prompt_id: str,
        *,
        fresh: bool = False,  # noqa: ARG002 - Session's
        before_post: Callable[[], Awaitable[None]] | None = None,
        is_sure: Callable[[], bool] | None = None,  # noqa: ARG002 - Session's
        not_posted: Callable[[], Awaitable[None]] | None = None,  # noqa: ARG002 - Session's
    ) -> Submitted:
        """Take the prompt."""
        if before_post is not None:
            await before_post()
        return Submitted(prompt_id, "posted")

    async def track(
        self,
        prompt_id: str,
        graph: Graph,
        *,
        expected_outputs: int | None,  # noqa: ARG002 - Session's
        timeout_s: float,  # noqa: ARG002 - Session's
        on_event: Callable[[TrackEvent], None],
    ) -> tuple[Output, ...]:
        """Render, step by step."""
        request = self._requests[prompt_id]
        on_event(Started())
        self._steps_done[prompt_id] = 0
        try:
            await self._render(prompt_id, graph, request, on_event)
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

    async def has_input(self, file: InputFile) -> bool:
        """Returns whether the file was put here."""
        return file in self.inputs

    async def put_input(self, file: InputFile, data: AsyncIterator[bytes]) -> None:
        """Keep the file's bytes."""
        self.inputs[file] = b"".join([piece async for piece in data])

    @asynccontextmanager
    async def open(
        self,
        file: OutputFile,
        pixels: int,  # noqa: ARG002 - Session's
    ) -> AsyncIterator[FetchedImage | FetchedFile]:
        """Paint the picture, or give the file. Raises NoOutputError for one never given."""
        if file not in self._files:
            raise NoOutputError(f"{file.filename} is not there")
        data = await asyncio.to_thread(self._files[file])
        found = type_of(data[:HEAD_BYTES], file.filename)
        if not found.is_picture:
            yield FetchedFile(found, _in_chunks(data))
            return
        with Pillow.open(io.BytesIO(data)) as picture:
            media_type = picture.get_format_mimetype() or "image/png"
            small = in_small(picture)
            fetched = FetchedImage(data, picture.width, picture.height, media_type, small)
        yield fetched

    async def _render(
        self,
        prompt_id: str,
        graph: Graph,
        request: ResolvedRequest,
        on_event: Callable[[TrackEvent], None],
    ) -> None:
        steps_, done = request.steps or 1, 0
        while done < steps_ or not self.may_move(done):
            if done < steps_ and await self._step(graph, request, done, on_event):
                done += 1
                self._steps_done[prompt_id] = done
                await asyncio.sleep(self.step_s)
                continue
            if done:  # repeatedly, so that the row is written and a cancel is noticed
                on_event(_progress(graph, done, steps_))
            await asyncio.sleep(_HELD_LOOK_S)

    async def _step(
        self,
        graph: Graph,
        request: ResolvedRequest,
        done: int,
        on_event: Callable[[TrackEvent], None],
    ) -> bool:
        """Do the step after ``done``. Returns False, with nothing reported, when held there."""
        steps = request.steps or 1
        share = (done + 1) / steps
        preview = await asyncio.to_thread(self._painter.preview, request, share)
        if not self.may_move(done):  # checked after painting: a hold may have come meanwhile
            return False
        on_event(_progress(graph, done + 1, steps))
        on_event(Preview(preview, "image/jpeg"))
        return True


async def _in_chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _progress(graph: Graph, step: int, of_steps: int) -> Progress:
    return Progress(
        percent=100 * _SAMPLING_SHARE * step / of_steps,
        step=step,
        steps=of_steps,
        node="5",
        node_class=SAMPLER,
        nodes_done=NODES_BEFORE,
        nodes_total=graph.node_count,
    )
