"""Names are looked up by the system, and a name server that never answers holds up nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from ipaddress import ip_address

import pytest

from core.callbacks.addresses import Address
from tests.harness.processes import REPOSITORY
from webhooks.errors import HostUnknownError
from webhooks.resolver import SystemResolver, addresses_of

HERE = (ip_address("127.0.0.1"),)


class NameServer:
    """Answers at once, but for names that begin with ``dead``: those wait until ``revive``."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._lives = threading.Event()

    def __call__(self, host: str) -> tuple[Address, ...]:
        self.asked[host] += 1
        if host.startswith("dead"):
            assert self._lives.wait(60)
        return HERE

    def revive(self) -> None:
        self._lives.set()


async def test_the_hosts_of_this_machine_are_found() -> None:
    assert ip_address("127.0.0.1") in await SystemResolver()("localhost")
    assert addresses_of("127.0.0.1") == HERE


@pytest.mark.parametrize("host", ["a" * 64 + ".localhost", "..", "a b"])
def test_what_is_no_name_is_unknown(host: str) -> None:
    with pytest.raises(HostUnknownError):
        addresses_of(host)


async def test_a_dead_name_server_delays_no_other_host() -> None:
    server = NameServer()
    resolver = SystemResolver(server)
    waiting = [asyncio.create_task(resolver(f"dead{number}.example")) for number in range(40)]
    await asyncio.sleep(0)

    assert await resolver("shop.example") == HERE
    assert not any(task.done() for task in waiting)

    server.revive()
    assert await asyncio.gather(*waiting) == [HERE] * 40


async def test_a_name_is_looked_up_once_at_a_time() -> None:
    server = NameServer()
    resolver = SystemResolver(server)
    waiting = [asyncio.create_task(resolver(name)) for name in ("dead.example", "DEAD.example")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)

    server.revive()
    assert await waiting[1] == HERE
    assert server.asked == {"dead.example": 1}
    assert await resolver("dead.example") == HERE
    assert server.asked == {"dead.example": 2}


async def test_the_look_ups_are_bounded() -> None:
    server = NameServer()
    resolver = SystemResolver(server, together=2)
    waiting = [asyncio.create_task(resolver(f"dead{number}.example")) for number in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(HostUnknownError, match="does not answer"):
        await resolver("shop.example")

    server.revive()
    await asyncio.gather(*waiting)
    assert await resolver("shop.example") == HERE


def test_a_dead_name_server_does_not_keep_the_process_alive() -> None:
    code = """
import asyncio, threading
from webhooks.resolver import SystemResolver

async def main():
    resolver = SystemResolver(lambda host: threading.Event().wait())
    try:
        await asyncio.wait_for(resolver("dead.example"), 0.01)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.stdout, run.returncode) == ("given up\n", 0)
