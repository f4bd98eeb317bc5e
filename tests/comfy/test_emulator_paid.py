"""Nodes of paid services in the emulator: they need a key, and nothing tells it afterwards."""

import hashlib

import pytest

from comfy.emulator import EmulatorOptions
from tests.comfy.data import PAID_GRAPH
from tests.comfy.test_emulator import blank, calling

KEY = "comfyui-0123456789"


@pytest.mark.parametrize("version", ["0.3.64", "0.33.0"])
async def test_a_paid_node_needs_a_key(version: str) -> None:
    """comfy_api_nodes of 0.3.64 and 0.33.0: without one, its service answers 401."""
    async with calling(EmulatorOptions(comfyui_version=version)) as (_, caller):
        refused = await caller.run(PAID_GRAPH)
        taken = await caller.run(PAID_GRAPH, extra_data={"api_key_comfy_org": KEY})

    assert refused["status"]["status_str"] == "error"
    assert "Unauthorized: Please login first to use this node." in str(refused["status"])
    assert taken["status"]["status_str"] == "success"
    assert KEY not in str(taken)


async def test_the_ledger_has_the_hash_of_each_key() -> None:
    async with calling() as (emulator, caller):
        paid = await caller.submit(PAID_GRAPH, extra_data={"api_key_comfy_org": KEY})
        free = await caller.submit(blank(), extra_data={"preview_method": "none"})
        _, state = await caller.get("/emulator/state")

        digest = hashlib.sha256(KEY.encode()).hexdigest()
        assert emulator.keys == {paid: {"api_key_comfy_org": digest}, free: {}}
        assert state["keys"] == emulator.keys
        assert KEY not in str(state)
