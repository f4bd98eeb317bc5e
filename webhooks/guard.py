"""Guards the network that Easel runs in: says which addresses an event may be sent to."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from core.callbacks.addresses import (
    Address,
    AllowedAddresses,
    is_public,
    literal,
    names_this_machine,
    unwrapped,
)
from core.callbacks.rules import not_allowed
from core.callbacks.url import Receiver
from webhooks.errors import AddressRefusedError, HostUnknownError
from webhooks.resolver import Resolve, SystemResolver
from webhooks.services import Service, Services

MOST_ADDRESSES: Final = 4
"""How many addresses of a host are tried, of those that may be."""
SERVICE_KNOWN_S: Final = 60.0
"""Seconds for which the addresses of a service's host are remembered."""
SERVICE_LOOK_UP_S: Final = 2.0
"""Seconds after which a service's host counts as unknown: it must not delay all deliveries."""
_WEB_PORTS: Final = frozenset({80, 443})
"""Ports at which one address often has many sites, behind a reverse proxy."""
_LOOPBACK: Final[tuple[Address, ...]] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def is_own(address: Address) -> bool:
    """Returns whether the address is one of this machine, on which all of its services listen."""
    inner = unwrapped(address)
    if inner.is_loopback or inner.is_unspecified:
        return True
    family = socket.AF_INET if isinstance(inner, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(inner), 0))  # sends nothing
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class _Known:
    addresses: frozenset[Address]
    until: float


class Guard:
    """Asked before every connection, which then goes to an address that it returned.

    ``services`` are never reached, whatever is ``allowed``.
    """

    def __init__(
        self,
        allowed: AllowedAddresses,
        services: Services,
        *,
        resolve: Resolve | None = None,
        is_own: Callable[[Address], bool] = is_own,
    ) -> None:
        self._allowed = allowed
        self._services = services
        self._resolve = resolve or SystemResolver()
        self._is_own = is_own
        self._known: dict[str, _Known] = {}

    async def addresses(self, receiver: Receiver) -> tuple[Address, ...]:
        """Returns the addresses to connect to, best first.

        Raises HostUnknownError, and AddressRefusedError if there are none but forbidden ones.
        """
        found = await self._found(receiver.host)
        permitted = [one for one in found if self._allowed.permits(receiver.host, one)]
        if not permitted:
            raise AddressRefusedError(not_allowed(receiver.host, str(found[0])))
        services = [one for one in await self._services() if one.port == receiver.port]
        reached = [one for one in permitted if not await self._is_service(one, receiver, services)]
        if not reached:
            raise AddressRefusedError(
                f"{receiver.host} at port {receiver.port} is a service of Easel itself: the ports "
                "of its API, Prefect and ComfyUI are never sent to, whatever is allowed"
            )
        return tuple(reached[:MOST_ADDRESSES])

    async def _found(self, host: str) -> tuple[Address, ...]:
        if names_this_machine(host):
            return _LOOPBACK
        address = literal(host)
        if address is not None:
            return (address,)
        found = await self._resolve(host)
        if not found:
            raise HostUnknownError(f"the host {host} has no address")
        return found

    async def _is_service(
        self, address: Address, receiver: Receiver, services: Collection[Service]
    ) -> bool:
        """Returns whether one of the services, which are at this port, is reached there."""
        if not services:
            return False
        if receiver.port not in _WEB_PORTS and not is_public(address):
            return True
        for service in services:
            if service.host.lower() == receiver.host.lower().rstrip("."):
                return True
            its = await self._addresses_of(service.host)
            if unwrapped(address) in its:
                return True
            if any(map(self._is_own, its)) and self._is_own(address):
                return True
        return False

    async def _addresses_of(self, host: str) -> frozenset[Address]:
        """Returns the addresses of a service's host: those known before, if they are not found."""
        known = self._known.get(host)
        if known is not None and time.monotonic() < known.until:
            return known.addresses
        try:
            async with asyncio.timeout(SERVICE_LOOK_UP_S):
                found = frozenset(map(unwrapped, await self._found(host)))
        except (HostUnknownError, TimeoutError):
            found = known.addresses if known is not None else frozenset()
        self._known[host] = _Known(found, time.monotonic() + SERVICE_KNOWN_S)
        return found
