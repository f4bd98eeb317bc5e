"""Files that a request refers to: the worker dies and ComfyUI loses them, at each moment."""

from __future__ import annotations

import asyncio
import io
import shutil
from typing import Final

import pytest
from PIL import Image as Pillow

from store.store import Store
from tests.chaos.house import ChaosStack, a_request
from tests.comfy.data import TWIN
from tests.harness.generations import BASE, GenerationHandle
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long

MOMENTS: Final = ("inputs.before_put", "inputs.after_put")


def a_twin(house: ChaosStack, seed: int) -> GenerationHandle:
    """A generation that needs an upload of its own."""
    asyncio.run(_add_workflow(house))
    buffer = io.BytesIO()
    colour = (seed % 256, seed // 256 % 256, seed // 65536)
    Pillow.new("RGB", (64, 64), colour).save(buffer, "PNG")
    sent = house.api.post("/api/v1/uploads", files={"file": ("twin.png", buffer.getvalue())})
    assert sent.is_success, sent.text
    body = {"workflow": TWIN.name, "image": f"upload:{sent.json()['upload_id']}"}
    created = house.api.post(f"{BASE}/create", json=body)
    assert created.status_code == 202, created.text
    return house.generation(created.json()["task_id"])


async def _add_workflow(house: ChaosStack) -> None:
    url = f"sqlite+aiosqlite:///{house.home / 'easel.db'}"
    async with Store(url, str(house.home / "images")) as store:
        if TWIN.name not in await store.workflows.names():
            await store.workflows.add(TWIN)


def empty_input_folder(house: ChaosStack) -> None:
    output = house.comfy_output
    shutil.rmtree(output.with_name(f"{output.name}-input") / "easel")


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=() if m == "inputs.after_put" else long) for m in MOMENTS]
)
def test_killed_around_a_put(house: ChaosStack, moment: str, seed: int) -> None:
    """After the put ComfyUI has the file, and has no prompt that needs it."""
    house.arm(moment, "kill")
    generation = a_twin(house, seed)
    house.wait_until_dead("worker")
    assert house.emulator.posts(generation.prompt_id) == 0
    house.start_worker()
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert len(generation.attempts()) == 1


def test_the_input_folder_is_emptied_between_put_and_post(house: ChaosStack, seed: int) -> None:
    house.arm("inputs.after_put", "stop")
    generation = a_twin(house, seed)
    house.wait_until_frozen("worker")
    empty_input_folder(house)
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


def test_restarted_with_its_input_folder_emptied(house: ChaosStack, seed: int) -> None:
    """The prompt waits behind another one; queue and input folder are gone."""
    house.emulator.fault("hang", step=1)
    first = house.create(**a_request(seed))
    wait_until(lambda: house.emulator.queue()["running"], "the first one to be rendered")
    house.arm("submit.after_post", "stop")
    generation = a_twin(house, seed)
    house.wait_until_frozen("worker")
    empty_input_folder(house)
    house.emulator.fault("restart")
    house.part("worker").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([first, generation], incarnations=2)
