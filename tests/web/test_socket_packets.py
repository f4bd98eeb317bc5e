"""Packets that no page of ours sends: each ends its connection, and fills no log."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx
import pytest
import websockets

from tests.cli.running import Started, started
from tests.harness.processes import free_port

PACKETS: Final = ("42[]", "42{", "4", '44{"message":"x"}', "49", "42[1", "451-[")
"""An event without a name, no JSON, an empty packet, types that a client does not send."""
CLOSE: Final = "1"
"""Engine.IO's packet that ends a connection."""
pytestmark = pytest.mark.timeout(300)


async def send(port: int, packet: str) -> None:
    """Send a packet several times, and return once the server has ended the connection."""
    url = f"ws://127.0.0.1:{port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id=any"
    async with websockets.connect(url, origin=websockets.Origin(f"http://127.0.0.1:{port}")) as ws:
        await ws.recv()
        await ws.send("40")
        await ws.recv()
        for _ in range(10):
            await ws.send(packet)
        assert await ws.recv() == CLOSE


async def test_malformed_packets_fill_no_log(tmp_path: Path) -> None:
    port = free_port()
    more = {"EASEL_PREFECT__PORT": str(free_port()), "EASEL_API__PORT": str(port)}
    it: Started
    async with started("api", home=tmp_path, more=more) as it:
        await it.until("Uvicorn running", timeout_s=120)
        for packet in PACKETS:
            await send(port, packet)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/healthz")).is_success
        it.process.terminate()
        await it.ends(60)
    assert "Traceback" not in it.said
    assert "handler error" not in it.said
