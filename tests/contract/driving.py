"""What the tests do again and again: make a graph, submit it, follow it, wait for something."""

from __future__ import annotations

import asyncio
import uuid
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from comfy import (
    ComfySession,
    Graph,
    GraphBuilder,
    OutputFile,
    Progress,
    Started,
    TrackEvent,
    build_graph,
)
from comfy.emulator import Emulator
from core.ids import filename_prefix
from tests.comfy.data import resolved
from tests.harness.listener import Listener, bound

LONG_STEPS = 150
_Event = TypeVar("_Event")


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], *, within: float = 20
) -> None:
    """Poll until it is so; fails the test when it never is."""
    async with asyncio.timeout(within):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.005)


def model_free(prompt_id: str, *, color: int = 0, size: int = 64) -> Graph:
    """A graph that needs no model and no time."""
    graph = GraphBuilder()
    graph.save_image(graph.empty_image(size, size, color=color), filename_prefix(prompt_id))
    return graph.build()


def release(emulator: Emulator, task: asyncio.Task[Any]) -> bool:
    """Let a hanging sampler go on, also one that is only about to hang; whether it is over."""
    emulator.faults.release()
    return task.done()


class SlowLine:
    """A relay that holds each POST /prompt back, and delivers it even if the sender has gone.

    Raises at its end what went wrong in it, so that no test passes by a broken line.
    """

    def __init__(self, port: int, *, delay_s: float) -> None:
        self._port = port
        self._delay_s = delay_s
        self.has_post = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._listener = Listener(bound(), self._relay)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._listener.close()
        await asyncio.gather(*self._listener.tasks, return_exceptions=True)
        if kind is None and self._listener.failures:
            raise self._listener.failures[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    async def _relay(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:  # nobody is there: the client is told as it would be
            writer.transport.abort()
            return
        except BaseException:
            writer.transport.abort()
            raise
        down = asyncio.create_task(self._down(up_reader, writer))
        with suppress(ConnectionError):
            await self._up(reader, up_writer)
        for end in (up_writer, writer):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()
        await asyncio.gather(down, return_exceptions=True)

    async def _up(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(2**20):
            self._note(data)
            if data.startswith(b"POST /prompt"):
                self.has_post.set()
                await asyncio.sleep(self._delay_s)
            writer.write(data)
            await writer.drain()
        await asyncio.sleep(self._delay_s)  # ComfyUI reads it before it sees the end

    def _note(self, data: bytes) -> None:
        """For a relay that looks at what it delivers."""

    async def _down(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(2**20):
            writer.write(data)
        writer.close()


class Recorder(SlowLine):
    """A relay that delays nothing and notes each request's method and path."""

    def __init__(self, port: int) -> None:
        super().__init__(port, delay_s=0)
        self.lines: list[str] = []

    def _note(self, data: bytes) -> None:
        line = data.partition(b"\r\n")[0].decode(errors="replace")
        if line.endswith(" HTTP/1.1"):
            self.lines.append(line.removesuffix(" HTTP/1.1"))


@dataclass
class Run:
    """One prompt, and what was heard of it."""

    session: ComfySession
    prompt_id: str
    graph: Graph
    events: list[TrackEvent] = field(default_factory=list)

    async def submit(self, **more: Any) -> str:
        return (await self.session.submit(self.graph, self.prompt_id, **more)).how

    async def track(self, *, timeout_s: float = 120) -> tuple[OutputFile, ...]:
        outputs = await self.session.track(
            self.prompt_id,
            self.graph,
            expected_outputs=self.graph.expected_outputs,
            timeout_s=timeout_s,
            on_event=self.events.append,
        )
        files = tuple(output for output in outputs if isinstance(output, OutputFile))
        assert len(files) == len(outputs)
        return files

    def start_tracking(self) -> asyncio.Task[tuple[OutputFile, ...]]:
        return asyncio.create_task(self.track())

    async def finish(self) -> tuple[OutputFile, ...]:
        await self.submit()
        return await self.track()

    def heard(self, kind: type[_Event]) -> list[_Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def percents(self) -> list[float]:
        return [event.percent for event in self.heard(Progress)]

    async def until_started(self) -> None:
        await wait_until(lambda: bool(self.heard(Started)))

    async def until_running(self) -> None:
        await wait_until(self._is_running)

    async def until_over(self) -> None:
        await wait_until(self._is_over)

    async def _is_running(self) -> bool:
        return (await self.session.client.queue()).is_running(self.prompt_id)

    async def _is_over(self) -> bool:
        return await self.session.client.history(self.prompt_id) is not None


@dataclass(frozen=True)
class Driver:
    """Makes runs on a ComfyUI with one of its own checkpoints."""

    session: ComfySession
    checkpoint: str

    @classmethod
    async def on(cls, session: ComfySession) -> Driver:
        return cls(session, (await session.client.catalogue()).checkpoints[0])

    def run(self, **changes: Any) -> Run:
        """A run of txt2img, small and unlike any other unless a seed is given."""
        prompt_id = str(uuid.uuid4())
        changes = {"model": self.checkpoint, "seed": uuid.uuid4().int % 2**50, **changes}
        return Run(self.session, prompt_id, build_graph(resolved(**changes), prompt_id))

    def model_free_run(self) -> Run:
        prompt_id = str(uuid.uuid4())
        color = uuid.uuid4().int % 2**24
        return Run(self.session, prompt_id, model_free(prompt_id, color=color))
