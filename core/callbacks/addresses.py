"""Addresses to which callbacks may be sent: those of the public internet, and those allowed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Self

from core.urls import HOST_NAME

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind carriers' NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # what Azure's machines ask about themselves
        "169.254.0.0/16",  # link-local, where other clouds have that
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays from IPv4 to 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation, as is the next one
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""IANA's registry of special addresses, named here because each Python knows another part of it."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that is assigned to the IPv6 internet (RFC 4291, section 2.4)."""
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo with its hidden IPv4 addresses among them
        "2001:db8::/32",  # documentation, as is the next one
        "3fff::/20",
    )
)
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""What stands before the IPv4 address in an interface's identifier (RFC 5214, section 6.1)."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_LOCAL_NAMES: Final = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


@dataclass(frozen=True)
class AllowedAddresses:
    """What may be reached though it is not public: host names, and networks of addresses."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Returns those that the texts name: ``receiver.lan``, ``192.168.1.7``, ``10.0.0.0/8``.

        Raises ValueError for a text that is neither a host name nor an address nor a network.
        """
        hosts: set[str] = set()
        networks: list[Network] = []
        for text in (text.strip().lower() for text in texts):
            try:
                networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
            except ValueError:
                host = text.rstrip(".")
                if not HOST_NAME.fullmatch(host):
                    raise ValueError(
                        f"{text!r} is not a host or network: give names such as receiver.lan, "
                        "addresses or networks such as 192.168.1.0/24, without http:// and port"
                    ) from None
                hosts.add(host)
        return cls(frozenset(hosts), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Returns whether a receiver called ``host`` may be reached at ``address``."""
        return is_public(address) or self.names(host) or self._contains(address)

    def names(self, host: str) -> bool:
        """Returns whether the host is allowed by its name, whatever its address is."""
        return host.lower().rstrip(".") in self.hosts

    def _contains(self, address: Address) -> bool:
        forms = {address, unwrapped(address)}
        return any(form in network for form in forms for network in self.networks)


def unwrapped(address: Address) -> Address:
    """Returns the IPv4 address that an IPv6 address stands for, else the address itself.

    Mapped (``::ffff:0:0/96``), compatible (``::/96``), 6to4 (``2002::/16``) and NAT64
    (``64:ff9b::/96``) addresses lead to the IPv4 address in them.
    """
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Returns whether the address is one of the public internet, reachable from everywhere."""
    inner = unwrapped(address)
    if isinstance(inner, IPv4Address):
        return inner.is_global and not any(inner in network for network in _NOT_PUBLIC_V4)
    if inner not in _GLOBAL_UNICAST or any(inner in network for network in _NOT_PUBLIC_V6):
        return False
    tunnelled = _tunnelled(inner)
    return inner.is_global and (tunnelled is None or is_public(tunnelled))


def _tunnelled(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address at the end of the tunnel that an ISATAP address leads through."""
    identifier = int(address) & 0xFFFF_FFFF_FFFF_FFFF
    if identifier >> 32 not in _ISATAP:
        return None
    return IPv4Address(identifier & 0xFFFF_FFFF)


def literal(host: str) -> Address | None:
    """Returns the address that a host is without asking DNS; None for other names.

    That is an address in every form that resolvers take (``127.1``, ``0x7f000001``), and the names
    of this machine itself.
    """
    if names_this_machine(host):
        return IPv4Address("127.0.0.1")
    name = host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name)) if name[:1].isdigit() else None
    except OSError:
        return None


def names_this_machine(host: str) -> bool:
    """Returns whether the name is one that always means this machine, as ``localhost``."""
    name = host.lower().rstrip(".")
    return name in _LOCAL_NAMES or name.endswith(".localhost")
