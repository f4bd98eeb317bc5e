"""Looks host names up as the system does, without waiting for name servers that never answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Final

from core.callbacks.addresses import Address
from webhooks.errors import HostUnknownError

Resolve = Callable[[str], Awaitable[tuple[Address, ...]]]
"""Returns a host's addresses, best first. Raises HostUnknownError."""
TOGETHER: Final = 256
"""How many names are looked up at once, most of them given up: each may take half a minute."""
Addresses = tuple[Address, ...]


class SystemResolver:
    """Resolves by the system's ``getaddrinfo``, each name in a daemon thread.

    A pool of threads would not do: its threads are joined when the process ends, and the loop's own
    pool is for other work too. A name that is being looked up is not looked up a second time.
    """

    def __init__(
        self,
        look_up: Callable[[str], Addresses] | None = None,
        *,
        together: int = TOGETHER,
    ) -> None:
        self._look_up = look_up or addresses_of
        self._together = together
        self._running: dict[str, asyncio.Future[Addresses]] = {}

    async def __call__(self, host: str) -> Addresses:
        """Returns the host's addresses, best first. Raises HostUnknownError."""
        name = host.lower()
        running = self._running.get(name)
        if running is None:
            if len(self._running) >= self._together:
                raise HostUnknownError(
                    f"the host {host} was not looked up: the name server does not answer, "
                    f"{len(self._running)} look-ups are waiting"
                )
            running = self._start(name)
        return await asyncio.shield(running)

    def _start(self, name: str) -> asyncio.Future[Addresses]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Addresses] = loop.create_future()
        self._running[name] = found
        found.add_done_callback(partial(self._end, name))

        def run() -> None:
            try:
                act: Callable[[], None] = partial(_set_result, found, self._look_up(name))
            except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
                act = partial(_set_error, found, error)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(act)

        threading.Thread(target=run, name=f"look up {name}", daemon=True).start()
        return found

    def _end(self, name: str, found: asyncio.Future[Addresses]) -> None:
        del self._running[name]
        if not found.cancelled():
            found.exception()  # it is seen, though all who waited may have given up


def addresses_of(host: str) -> Addresses:
    """Returns the host's addresses by ``getaddrinfo``, best first. Raises HostUnknownError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name for DNS"
        raise HostUnknownError(f"the host {host} was not found: {reason}") from error
    return tuple(dict.fromkeys(ip_address(str(address[0])) for *_, address in found))


def _set_result(found: asyncio.Future[Addresses], addresses: Addresses) -> None:
    if not found.done():
        found.set_result(addresses)


def _set_error(found: asyncio.Future[Addresses], error: Exception) -> None:
    if not found.done():
        found.set_exception(error)
