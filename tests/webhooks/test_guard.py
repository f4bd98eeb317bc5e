"""The guard: no event goes inside, by whatever name or form of address."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from core.callbacks.url import Receiver
from core.settings import Settings
from tests.webhooks.senders import LOOPBACK, Names, guard
from webhooks.errors import AddressRefusedError, HostUnknownError
from webhooks.guard import MOST_ADDRESSES, Guard, is_own
from webhooks.services import Service, services_at, services_of

EASEL = frozenset({Service("127.0.0.1", 8700)})


async def addresses(its_guard: Guard, url: str) -> list[str]:
    return [str(one) for one in await its_guard.addresses(Receiver.of(url))]


async def test_a_public_address_may_be_connected_to() -> None:
    names = Names({"shop.example": [["93.184.215.14", "2606:2800::1"]]})

    assert await addresses(guard(names=names), "https://shop.example/x") == [
        "93.184.215.14",
        "2606:2800::1",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::1",
        "0.0.0.0",
    ],
)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    names = Names({"shop.example": [[address]]})

    with pytest.raises(AddressRefusedError, match="EASEL_WEBHOOKS__ALLOW") as caught:
        await addresses(guard(names=names), "http://shop.example")

    assert f"shop.example ({ip_address(address)})" in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254"),
        *("localhost", "LOCALHOST.", "a.localhost"),
    ],
)
async def test_a_literal_address_inside_is_refused_without_a_look_up(host: str) -> None:
    names = Names()

    with pytest.raises(AddressRefusedError):
        await addresses(guard(names=names), f"http://{host}/")

    assert names.asked == []


async def test_of_several_addresses_only_the_permitted_are_left() -> None:
    names = Names({"shop.example": [["10.0.0.1", "93.184.215.14", "127.0.0.1"]]})

    assert await addresses(guard(names=names), "http://shop.example") == ["93.184.215.14"]


async def test_a_name_with_many_addresses_is_no_tool_to_scan_with() -> None:
    many = [f"93.184.215.{number}" for number in range(100)]

    found = await addresses(guard(names=Names({"shop.example": [many]})), "http://shop.example")

    assert found == many[:MOST_ADDRESSES]


async def test_what_is_allowed_is_reached() -> None:
    names = Names({"nas.lan": [["192.168.1.7"]]})

    assert await addresses(guard("192.168.1.0/24", names=names), "http://nas.lan") == [
        "192.168.1.7"
    ]
    assert await addresses(guard("nas.lan", names=names), "http://nas.lan") == ["192.168.1.7"]
    assert await addresses(guard("127.0.0.1"), "http://localhost") == ["127.0.0.1"]
    assert await addresses(guard("localhost"), "http://localhost") == ["127.0.0.1", "::1"]


async def test_each_look_is_a_new_one() -> None:
    names = Names({"shop.example": [["93.184.215.14"], ["127.0.0.1"]]})
    its_guard = guard(names=names)

    assert await addresses(its_guard, "http://shop.example") == ["93.184.215.14"]
    with pytest.raises(AddressRefusedError):
        await addresses(its_guard, "http://shop.example")


async def test_a_name_without_an_address_is_unknown() -> None:
    with pytest.raises(HostUnknownError):
        await addresses(guard(), "http://nowhere.example")
    with pytest.raises(HostUnknownError):
        await addresses(guard(names=Names({"void.example": [[]]})), "http://void.example")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "0", "nas.lan", "easel"],
)
async def test_own_services_are_refused_whatever_is_allowed(host: str) -> None:
    names = Names({"nas.lan": [["192.168.1.7"]], "easel": [["127.0.0.1"]]})
    everything = guard("0.0.0.0/0", "::/0", host, services=EASEL, names=names)

    with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
        await addresses(everything, f"http://{host}:8700/api/v1/generation")
    assert await addresses(everything, f"http://{host}:8701/") != []


async def test_this_machine_is_known_by_its_other_addresses() -> None:
    public = "93.184.215.14"
    names = Names({"me.example": [[public]], "other.example": [["93.184.215.15"]]})
    its_guard = guard(
        services=EASEL, names=names, is_own=lambda one: str(one) in {public, "127.0.0.1"}
    )

    with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
        await addresses(its_guard, "http://me.example:8700/")
    assert await addresses(its_guard, "http://other.example:8700/") == ["93.184.215.15"]


def test_an_address_is_own_if_a_socket_can_be_bound_to_it() -> None:
    assert all(is_own(ip_address(text)) for text in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"))
    assert is_own(ip_address("::ffff:127.0.0.1"))
    assert is_own(ip_address("64:ff9b::127.0.0.1"))
    assert not is_own(ip_address("93.184.215.14"))
    assert not is_own(ip_address("2606:2800::1"))


async def test_a_service_elsewhere_is_known_by_the_addresses_of_its_host() -> None:
    names = Names(
        {
            "gpu.example": [["93.184.215.14"]],
            "innocent.example": [["93.184.215.14"]],
            "shop.example": [["93.184.215.15"]],
        }
    )
    its_guard = guard(services=frozenset({Service("gpu.example", 8188)}), names=names)

    for url in (
        "http://innocent.example:8188",
        "http://GPU.example.:8188",
        "http://93.184.215.14:8188",
    ):
        with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
            await addresses(its_guard, url)
    assert await addresses(its_guard, "http://shop.example:8188") == ["93.184.215.15"]
    assert await addresses(its_guard, "http://innocent.example:8189") == ["93.184.215.14"]


async def test_behind_a_reverse_proxy_only_the_service_itself_is_refused() -> None:
    names = Names(
        {
            "easel.lan": [["192.168.1.5"]],
            "alias.lan": [["192.168.1.5"]],
            "nas.lan": [["192.168.1.7"]],
        }
    )
    its_guard = guard(
        "192.168.1.0/24", services=frozenset({Service("easel.lan", 443)}), names=names
    )

    for host in ("easel.lan", "alias.lan"):
        with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
            await addresses(its_guard, f"https://{host}/")
    assert await addresses(its_guard, "https://nas.lan/") == ["192.168.1.7"]


async def test_a_service_on_this_machine_is_refused_at_all_of_its_addresses() -> None:
    for port in (443, 8700):
        its_guard = guard(LOOPBACK, services=frozenset({Service("0.0.0.0", port)}))
        with pytest.raises(AddressRefusedError, match="a service of Easel itself"):
            await addresses(its_guard, f"http://127.0.0.2:{port}/")


async def test_a_service_whose_host_is_not_found_delays_nothing_and_stays_known() -> None:
    names = Names({"easel.lan": [["192.168.1.5"]], "nas.lan": [["192.168.1.7"]]})
    its_guard = guard(
        "192.168.1.0/24",
        services=frozenset({Service("easel.lan", 443), Service("lost.lan", 443)}),
        names=names,
    )

    assert await addresses(its_guard, "https://nas.lan/") == ["192.168.1.7"]
    assert await addresses(its_guard, "https://nas.lan/") == ["192.168.1.7"]
    assert names.asked.count("lost.lan") == 1  # not at every try


def test_the_services_are_those_of_the_settings() -> None:
    settings = Settings.model_validate(
        {
            "api": {"host": "0.0.0.0", "port": 8701, "public_url": "https://u:p@easel.example"},
            "prefect": {"api_url": "http://prefect.lan:4300/api", "port": 4201},
            "comfy": {"url": "http://user:pass@[fd00::8]:9188"},
        }
    )

    assert services_of(settings) == {
        Service("0.0.0.0", 8701),
        Service("easel.example", 443),
        Service("127.0.0.1", 4201),
        Service("prefect.lan", 4300),
        Service("fd00::8", 9188),
    }
    assert Service("127.0.0.1", 8188) in services_of(Settings())
    assert services_at(["nonsense", "http://[", "http://gpu:99999", "http://gpu.:8188"]) == {
        Service("gpu", 8188)
    }
