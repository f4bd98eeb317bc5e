"""Runs the worker as a process: ``easel worker``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from dataclasses import dataclass, field
from types import FrameType

from prefect.context import AsyncClientContext
from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

from flows.worker.worker import ComfyWorker


@dataclass(eq=False)
class _Loop:
    """The worker's event loop in its thread.

    Not in the main thread: there Prefect's own SIGTERM handling would crash every live run.
    """

    pool: str
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._run())
        except BaseException as error:  # noqa: BLE001 - raised by the main thread
            self.error = error
        finally:
            self.ready.set()

    def ask_to_stop(self) -> None:
        self.ready.wait()
        if self.loop is not None and self.stop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.stop.set)

    async def _run(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        async with contextlib.AsyncExitStack() as stack:
            with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}):
                # One HTTP client for all runs. The worker asks for the version, as it can wait.
                await stack.enter_async_context(AsyncClientContext())
            worker = ComfyWorker(work_pool_name=self.pool)
            working = asyncio.create_task(worker.start(printer=_say))
            stopping = [
                asyncio.create_task(self.stop.wait()),
                asyncio.create_task(worker.superseded()),
            ]
            await asyncio.wait([working, *stopping], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                if worker.is_setup:
                    await worker.drain()
                working.cancel()
            for task in stopping:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working


def _new_loop() -> asyncio.AbstractEventLoop:
    """Returns the loop that uvicorn uses for the API: it needs a fifth less processor time."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def _say(line: str) -> None:
    print(line, flush=True)


def run_worker(pool: str) -> None:
    """Run until SIGTERM or SIGINT, then drain. Raises any other error that ended the worker."""
    body = _Loop(pool)
    thread = threading.Thread(target=body.run, name="worker")

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=body.ask_to_stop, daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
    if body.error is not None:
        raise body.error
