"""A batch of two hundred, and everything that can die while it is done: each is made once."""

from __future__ import annotations

from typing import Final

import pytest

from tests.chaos.house import ChaosStack
from tests.harness.waiting import wait_until

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(900),
]
long = pytest.mark.long
WITHIN_S: Final = 600.0


def of_seed(seed: int, count: int) -> dict[str, object]:
    row = {"prompt": "a {red|silver|blue} fox", "count": count}
    return {"items": [row], "seed": seed, "max_in_flight": 6}


@long
def test_killed_in_the_middle_and_resumed(house: ChaosStack, seed: int) -> None:
    batch = house.create_batch(**of_seed(seed, 200))
    batch.wait_for_count("succeeded", 40, WITHIN_S)
    house.kill_worker()
    house.kill_api()
    house.heal()
    batch.wait_for_count("succeeded", 90, WITHIN_S)
    house.stop_prefect()
    house.heal()
    done = batch.wait_for("succeeded", within=WITHIN_S)
    assert done["counts"]["succeeded"] == 200
    assert batch.renders() == [1] * 200
    house.check([house.generation(item["task_id"]) for item in batch.items()])


def test_its_worker_dies_and_another_goes_on(house: ChaosStack, seed: int) -> None:
    house.start_second_worker()
    batch = house.create_batch(**of_seed(seed, 12))
    batch.wait_for_count("succeeded", 2, WITHIN_S)
    first = batch.get()
    house.kill_worker()
    done = batch.wait_for("succeeded", within=WITHIN_S)
    assert done["urls"]["flow_run"] == first["urls"]["flow_run"]
    assert batch.renders() == [1] * 12
    house.check([house.generation(item["task_id"]) for item in batch.items()])


@long
def test_comfyui_restarts_in_the_middle(house: ChaosStack, seed: int) -> None:
    batch = house.create_batch(**of_seed(seed, 40))
    batch.wait_for_count("succeeded", 8, WITHIN_S)
    house.emulator.fault("restart")
    batch.wait_for("succeeded", within=WITHIN_S)
    twice = [count for count in batch.renders() if count > 1]
    assert len(twice) <= 1  # the one that was being rendered
    house.check([house.generation(item["task_id"]) for item in batch.items()], incarnations=2)


@long
@pytest.mark.parametrize("part", ["worker", "api", "prefect"])
def test_cancelled_while_something_is_away(house: ChaosStack, seed: int, part: str) -> None:
    batch = house.create_batch(**of_seed(seed, 60))
    batch.wait_for_count("succeeded", 4, WITHIN_S)
    if part == "api":
        batch.do("cancel")
    {"worker": house.kill_worker, "api": house.kill_api, "prefect": house.stop_prefect}[part]()
    if part != "api":
        batch.do("cancel")
    house.heal()
    batch.wait_for("cancelled", within=WITHIN_S)
    wait_until(lambda: not any(house.emulator.queue().values()), "ComfyUI to be idle")
    made = [item for item in batch.items() if item["generation"] is not None]
    assert len(made) < 60
    house.check([house.generation(item["task_id"]) for item in made])


@long
def test_cancelled_while_its_worker_is_dead_it_stays_so(house: ChaosStack, seed: int) -> None:
    """Its run is put back and taken again: that is no operator's retry."""
    batch = house.create_batch(**of_seed(seed, 30))
    batch.wait_for_count("succeeded", 1, WITHIN_S)
    house.kill_worker()
    batch.do("cancel")
    batch.wait_for("cancelled", within=WITHIN_S)
    run = batch.get()["urls"]["flow_run"].rpartition("/")[2]
    house.start_worker()
    house.wait_for_flow_run(run, "Cancelled")
    assert batch.get()["status"] == "cancelled"
    house.wait_until_idle()
    assert batch.get()["status"] == "cancelled"
