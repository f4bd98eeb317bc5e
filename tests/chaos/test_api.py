"""The API dies at its own moments: what was answered stands, what was not can be asked again."""

from __future__ import annotations

from typing import Final

import httpx
import pytest

from tests.chaos.house import ChaosStack, a_request, post
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.chaos
long = pytest.mark.long

DISPATCHING: Final = ("dispatch.before_create", "dispatch.after_create")


@pytest.mark.parametrize(
    "moment", [pytest.param("accept.before_commit", marks=long), "accept.after_commit"]
)
def test_killed_before_it_answered(house: ChaosStack, moment: str, seed: int) -> None:
    body = a_request(seed)
    house.arm(moment, "kill")
    with pytest.raises(httpx.TransportError):
        post(house, body, key=f"once {seed}")
    house.wait_until_dead("api")
    house.start_api()
    committed = moment == "accept.after_commit"
    assert len(house.history(q=body["prompt"])) == committed

    answer = post(house, body, key=f"once {seed}")

    assert answer.status_code == 202
    assert len(house.history(q=body["prompt"])) == 1
    generation = house.generation(answer.json()["task_id"])
    assert house.ends(generation) == "succeeded"
    house.check([generation])


@pytest.mark.parametrize(
    "moment", [DISPATCHING[1], *(pytest.param(m, marks=long) for m in DISPATCHING[:1])]
)
def test_killed_while_it_told_prefect(house: ChaosStack, moment: str, seed: int) -> None:
    house.kill_worker()  # else it takes the generation, and makes the flow run itself
    house.arm(moment, "kill")
    generation = house.create(**a_request(seed))
    house.wait_until_dead("api")
    house.start_api()
    house.start_worker()
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert len(generation.attempts()) == 1


@long
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_ended_in_mid_render(house: ChaosStack, how: str, seed: int) -> None:
    with house.halfway("unwatched", seed=seed) as generation:
        getattr(house.part("api"), how)()
    house.start_api()
    assert house.ends(generation) == "succeeded"
    house.check([generation])


def test_killed_in_the_middle_of_a_delete(house: ChaosStack, seed: int) -> None:
    generation = house.create(**a_request(seed))
    assert house.ends(generation) == "succeeded"
    run = generation.flow_run_id()
    house.arm("delete.after_tombstone", "kill")
    with pytest.raises(httpx.TransportError):
        generation.delete()
    house.wait_until_dead("api")
    house.start_api()
    assert generation.get().status_code == 410
    wait_until(lambda: not list(house.home.glob(f"images/*/{generation.id}/*")), "its files to go")
    wait_until(lambda: house.flow_run(run) is None, "its flow run to go")
    house.check([generation])


@long
def test_frozen_between_its_own_looks(house: ChaosStack, seed: int) -> None:
    """A reconciler that slept takes nobody for dead."""
    with house.halfway("while the watchman sleeps", seed=seed) as generation:
        house.part("api").freeze()
        house.wait_for_beats()
        house.part("api").thaw()
    assert house.ends(generation) == "succeeded"
    house.check([generation])
    assert generation.attempts()[0]["worker"] == "one"
