"""A running emulator for what the graphs do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from comfy.nodes import NodeCatalogue
from tests.comfy.building.running import Comfy, put_files
from tests.comfy.test_emulator import calling
from tests.comfy.test_emulator_artefacts import ANY_MODEL


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Comfy]:
    async with calling(ANY_MODEL) as (emulator, caller):
        put_files(emulator.input_dir)
        _, told = await caller.get("/object_info")
        yield Comfy(caller, NodeCatalogue.from_object_info(told), emulator.input_dir)
