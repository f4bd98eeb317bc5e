"""Asks ``/healthz`` all the time and looks at the API's memory, in a process of its own.

In the benchmark's own process its waits would be those of the benchmark's own work too.
"""

from __future__ import annotations

import http.client
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Final, Self
from urllib.parse import urlsplit

import psutil

_ASK_EVERY_S: Final = 0.02
_processes: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Seen:
    """How long ``/healthz`` took each time, and the API's memory in bytes, first as it began."""

    waits: list[float]
    sizes: list[int]

    @property
    def longest_s(self) -> float:
        """Returns the longest wait."""
        return max(self.waits, default=0.0)

    @property
    def grown_mb(self) -> float:
        """Returns how much memory was taken at most."""
        return (max(self.sizes) - self.sizes[0]) / 1e6


class Watch:
    """Watches while the context lasts; what was seen is in ``seen`` afterwards."""

    def __init__(self, url: str, api_pid: int) -> None:
        self._over = _processes.Event()
        self._told, tell = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_watch, args=(url, api_pid, self._over, tell))
        self.seen = Seen([], [0])

    def __enter__(self) -> Self:
        self._process.start()
        self._told.recv()  # it has begun
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.seen = self._told.recv()
        self._process.join()


def _watch(url: str, api_pid: int, over: Event, tell: Connection) -> None:
    host, api = urlsplit(url).netloc, psutil.Process(api_pid)
    seen = Seen([], [api.memory_info().rss])
    tell.send(None)
    while not over.wait(_ASK_EVERY_S):
        began = time.perf_counter()
        connection = http.client.HTTPConnection(host, timeout=120)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        connection.close()
        seen.waits.append(time.perf_counter() - began)
        seen.sizes.append(api.memory_info().rss)
    tell.send(seen)
