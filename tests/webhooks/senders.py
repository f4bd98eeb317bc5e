"""Guards and senders as the tests need them: loopback is allowed, nothing is Easel's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final

import httpcore

from core.callbacks.addresses import Address, AllowedAddresses
from webhooks.connecting import Connect, connect_to
from webhooks.errors import HostUnknownError
from webhooks.guard import Guard
from webhooks.sending import Sender
from webhooks.services import Service
from webhooks.trust import trust

LOOPBACK: Final = "127.0.0.0/8"
HEADERS: Final = {"content-type": "application/json", "webhook-id": "some"}


class Names:
    """A resolver that knows some names; ``asked`` are those that were looked up, in order.

    A name with several lists of addresses has the next one at each look-up, and keeps the last.
    """

    def __init__(self, known: Mapping[str, list[list[str]]] | None = None) -> None:
        self.known = {host: list(answers) for host, answers in (known or {}).items()}
        self.asked: list[str] = []

    async def __call__(self, host: str) -> tuple[Address, ...]:
        self.asked.append(host)
        answers = self.known.get(host.rstrip("."))
        if answers is None:
            raise HostUnknownError(f"the host {host} was not found: not in this test")
        return tuple(map(ip_address, answers.pop(0) if len(answers) > 1 else answers[0]))


class Wires:
    """A connector that leads to a port of this machine, whatever the address; it records them."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self.dialled: list[tuple[str, int]] = []

    async def __call__(self, address: Address, port: int) -> httpcore.AsyncNetworkStream:
        self.dialled.append((str(address), port))
        if self._port is None:
            raise httpcore.ConnectError("no wire in this test")
        return await connect_to(ip_address("127.0.0.1"), self._port)


def guard(
    *allow: str,
    services: frozenset[Service] = frozenset(),
    names: Names | None = None,
    is_own: Callable[[Address], bool] | None = None,
) -> Guard:
    async def known() -> frozenset[Service]:
        return services

    allowed = AllowedAddresses.of(allow)
    resolve = names or Names()
    if is_own is None:
        return Guard(allowed, known, resolve=resolve)
    return Guard(allowed, known, resolve=resolve, is_own=is_own)


def sender(
    its_guard: Guard | None = None,
    *,
    timeout_s: float = 30.0,
    tls: ssl.SSLContext | None = None,
    connect: Connect = connect_to,
) -> Sender:
    return Sender(its_guard or guard(LOOPBACK), tls or trust(), timeout_s, connect=connect)
