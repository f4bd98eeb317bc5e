"""Where callbacks may be sent to: public addresses in whatever form, and those allowed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.provisional import domains

from core.callbacks.addresses import AllowedAddresses, Network, is_public, literal, unwrapped

NOBODY: Final = AllowedAddresses()
WRAPPINGS: Final[dict[str, Callable[[int], IPv6Address]]] = {
    "mapped": lambda inner: IPv6Address((0xFFFF << 32) | inner),
    "compatible": IPv6Address,
    "6to4": lambda inner: IPv6Address((0x2002 << 112) | (inner << 80) | 1),
    "NAT64": lambda inner: IPv6Address((0x64_FF9B << 96) | inner),
}
SPECIAL_V4: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
SPECIAL_V6: Final = (
    "::/127",
    "::ffff:0:0:0/96",  # IPv4-translated
    "64:ff9b:1::/48",  # NAT64 of one's own network
    "100::/64",  # discarded
    "2001::/23",  # Teredo and others
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",  # segment routing
    "fc00::/7",  # unique local, the metadata of clouds among them
    "fe80::/10",
    "fec0::/10",  # site-local
    "ff00::/8",
)


def within(network: Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = IPv4Address if isinstance(network, IPv4Network) else IPv6Address
    return st.integers(first, last).map(kind)


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "1.1.1.1",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.88.98.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "2003::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",  # metadata: AWS, Google, Azure and others
        "100.100.100.200",  # Alibaba's
        "192.0.0.192",  # Oracle's; no Python before 3.11.9 calls it private
        "168.63.129.16",  # Azure's, in public space
        "fd00:ec2::254",  # AWS's by IPv6
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::169.254.169.254",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2a00:1450::5efe:127.0.0.1",  # ISATAP
        "2a00:1450::200:5efe:10.0.0.1",
        "fe80::1%eth0",
        "fec0::1",
    ],
)
def test_an_address_inside_is_not_public(text: str) -> None:
    address = ipaddress.ip_address(text)

    assert not is_public(address)
    assert not NOBODY.permits("shop.example", address)


@given(st.sampled_from(SPECIAL_V4).flatmap(lambda text: within(IPv4Network(text))), st.data())
def test_special_ipv4_addresses_are_refused_in_every_wrapping(
    address: IPv4Address, data: st.DataObject
) -> None:
    wrap = data.draw(st.sampled_from(sorted(WRAPPINGS)))

    assert not is_public(address)
    assert not is_public(WRAPPINGS[wrap](int(address)))


@given(st.sampled_from(SPECIAL_V6).flatmap(lambda text: within(IPv6Network(text))))
def test_special_ipv6_addresses_are_refused(address: IPv6Address) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4), st.sampled_from(sorted(WRAPPINGS)))
def test_a_wrapped_address_is_judged_as_the_one_in_it(inner: IPv4Address, wrap: str) -> None:
    wrapped = WRAPPINGS[wrap](int(inner))

    assert is_public(wrapped) == is_public(inner)
    if int(inner) > 1 or wrap != "compatible":  # these two are :: and ::1
        assert unwrapped(wrapped) == inner


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private_or_reserved(
    address: IPv4Address | IPv6Address,
) -> None:
    if is_public(address):
        inner = unwrapped(address)
        assert inner.is_global
        wrong = ("private", "loopback", "link_local", "multicast", "reserved", "unspecified")
        assert [name for name in wrong if getattr(inner, f"is_{name}")] == []


@pytest.mark.parametrize(
    ("allowed", "host", "address", "permitted"),
    [
        ("192.168.1.0/24", "nas.lan", "192.168.1.7", True),
        ("192.168.1.0/24", "nas.lan", "::ffff:192.168.1.7", True),
        ("192.168.1.0/24", "nas.lan", "192.168.2.7", False),
        ("192.168.1.7", "nas.lan", "192.168.1.7", True),
        ("nas.lan", "nas.lan", "192.168.2.7", True),
        ("NAS.lan.", "nas.LAN", "192.168.2.7", True),
        ("nas.lan", "evil.nas.lan", "192.168.2.7", False),
        ("nas.lan", "nas.lan.evil.example", "192.168.2.7", False),
        ("[fd00::7]", "nas.lan", "fd00::7", True),
        ("fd00::/8", "nas.lan", "fe80::7", False),
    ],
)
def test_what_is_allowed_by_name_or_network(
    allowed: str, host: str, address: str, permitted: bool
) -> None:
    assert AllowedAddresses.of([allowed]).permits(host, ipaddress.ip_address(address)) is permitted


@pytest.mark.parametrize("text", ["", "http://nas.lan", "nas.lan:80", "10.0.0.0/33", "a b", "*"])
def test_what_is_no_host_and_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host or network"):
        AllowedAddresses.of([text])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7F.0x1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "127.0.0.1"),
        ("a.b.localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("shop.example", None),
        ("localhost.example", None),
        ("1.2.3.4.example", None),
        ("127.0.0.1.nip.io", None),
    ],
)
def test_literal_addresses_are_read_in_all_forms(host: str, address: str | None) -> None:
    assert literal(host) == (None if address is None else ipaddress.ip_address(address))


@given(domains())
def test_a_name_is_no_literal_address(host: str) -> None:
    assert literal(host) is None


@given(st.ip_addresses())
def test_every_address_as_it_is_written_is_literal(address: IPv4Address | IPv6Address) -> None:
    assert literal(str(address)) == address
    if isinstance(address, IPv4Address):
        assert literal(str(int(address))) == literal(hex(int(address))) == address
