"""A proxy in front of an HTTP/1.1 server that does to chosen requests what bad networks do.

Upstream hears of a request when it is there as a whole, over a connection of its own, which ends
with the answer (``Connection: close``). Answers, streams and WebSockets pass byte by byte.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from typing import Any, Self

from tests.harness.exchange import Exchange
from tests.harness.faults import Rule
from tests.harness.listener import Listener, bound


class FaultProxy:
    """Listens on one port as long as the context lasts. The first rule that takes a request has it.

    While upstream is away clients are reset; only ``block`` makes a true refusal of that.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._rules: list[Rule] = []
        self._exchanges: dict[Exchange, asyncio.Task[None]] = {}
        self._listener: Listener | None = None
        self._seat = bound()  # never listens: it keeps the port while nobody does
        self.port: int = self._seat.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"fault-proxy-{self.port}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self.unblock()
        return self

    def __exit__(self, *_: object) -> None:
        self.block()
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._seat.close()

    def add(self, rule: Rule) -> Rule:
        """Let it hold from now on."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let no rule hold any more; resets what black holes hold."""
        self._rules.clear()
        self._run(self._cut(only_held=True))

    def cut(self) -> None:
        """Reset every connection, WebSockets too; new ones are welcome."""
        self._run(self._cut())

    def block(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._run(self._block())

    def unblock(self) -> None:
        """Take connections again."""
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = Listener(bound(self.port), self._serve)

    async def _block(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await self._cut()
            for task in listener.tasks:  # on their way in
                task.cancel()
            await asyncio.gather(*listener.tasks, return_exceptions=True)

    async def _cut(self, *, only_held: bool = False) -> None:
        chosen = [it for it in self._exchanges.items() if it[0].is_held or not only_held]
        for exchange, task in chosen:
            exchange.reset()
            task.cancel()
        await asyncio.gather(*(task for _, task in chosen), return_exceptions=True)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        exchange = Exchange(reader, writer, self._upstream_port, self._rules)
        task = asyncio.current_task()
        assert task is not None  # the listener makes one for each connection
        self._exchanges[exchange] = task
        try:
            await exchange.run()
        finally:
            del self._exchanges[exchange]
