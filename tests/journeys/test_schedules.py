"""Schedules: Prefect keeps and fires them, and they show on both sides."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import pytest

from tests.harness.batches import BATCHES
from tests.harness.generations import SMALL
from tests.harness.stack import Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey
SCHEDULES: Final = "/api/v1/schedules"
FIRES_WITHIN_S: Final = 90.0
"""Prefect plans the runs of a new schedule within a minute."""


def schedule(stack: Stack, **more: Any) -> dict[str, Any]:
    batch = {"defaults": {"prompt": "by the clock", **SMALL}}
    answer = stack.api.post(
        SCHEDULES, json={"name": "often", "interval_s": 10, "batch": batch, **more}
    )
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def begun_by(stack: Stack, name: str) -> list[dict[str, Any]]:
    page = stack.api.get(BATCHES, params={"limit": 100}).json()
    return [item for item in page["items"] if item["schedule"] == name]


def test_it_fires_again_and_again_with_fresh_seeds(stack: Stack) -> None:
    made = schedule(stack)
    assert len(made["next_runs"]) == 3
    try:
        wait_until(lambda: len(begun_by(stack, "often")) >= 2, "two batches", within=FIRES_WITHIN_S)
    finally:
        url = f"{SCHEDULES}/{made['schedule_id']}"  # it must not go on beside other tests
        wait_until(lambda: stack.api.delete(url).status_code in {204, 404}, "its removal")
    batches = [stack.batch(item["batch_id"]) for item in begun_by(stack, "often")]
    for batch in batches:
        assert batch.wait_for("succeeded")["counts"]["succeeded"] == 1
    assert len(stack.history(q="by the clock")) >= 2
    assert len({batch.get()["seed"] for batch in batches}) == len(batches)
    assert stack.api.get(f"{SCHEDULES}/{made['schedule_id']}").status_code == 404


def test_it_is_changed_on_either_side_and_survives_a_new_registration(stack: Stack) -> None:
    made = schedule(stack, name="later", interval_s=None, cron="0 3 * * *", timezone="Asia/Tokyo")
    url = f"{SCHEDULES}/{made['schedule_id']}"
    deployment = stack.prefect.read_deployment_by_name("bulk/later")
    assert [str(one.id) for one in deployment.schedules] == [made["schedule_id"]]
    assert deployment.parameters["batch"]["vary_seed"] is False
    twin = schedule(stack, name="later", active=False)
    assert twin["name"] == "later (2)"
    assert stack.api.delete(f"{SCHEDULES}/{twin['schedule_id']}").status_code == 204

    changed = stack.api.patch(url, json={"active": False, "catch_up_minutes": 5}).json()
    assert (changed["active"], changed["next_runs"]) == (False, [])
    moved = stack.api.patch(url, json={"cron": "30 4 * * 1", "active": True}).json()
    assert (moved["cron"], moved["timezone"]) == ("30 4 * * 1", "Asia/Tokyo")
    assert moved["catch_up_minutes"] == 5
    assert moved["batch"] == made["batch"]

    # As the switch in the Prefect UI does.
    stack.prefect.update_deployment_schedule(deployment.id, UUID(made["schedule_id"]), active=False)
    switched = stack.api.get(url).json()
    assert (switched["active"], switched["batch"]) == (False, made["batch"])
    assert stack.api.patch(url, json={"active": True}).json()["active"] is True

    stack.terminate_worker()  # the next one registers every deployment anew
    stack.start_worker()
    stack.create("when it is there").wait_for("succeeded")
    again = stack.api.get(url).json()
    assert (again["cron"], again["active"]) == ("30 4 * * 1", True)
    assert stack.api.delete(url).status_code == 204


def test_the_example_of_prefect_yaml_is_there_and_switched_off(stack: Stack) -> None:
    [nightly] = [it for it in stack.api.get(SCHEDULES).json()["items"] if it["in_file"]]
    assert (nightly["name"], nightly["active"]) == ("nightly", False)
    url = f"{SCHEDULES}/{nightly['schedule_id']}"
    assert stack.api.delete(url).json()["code"] == "schedule_in_file"
    refused = stack.api.patch(url, json={"cron": "0 4 * * *"})
    assert refused.json()["code"] == "schedule_in_file"
    assert stack.api.patch(url, json={"active": True}).json()["active"] is True
    stack.terminate_worker()
    stack.start_worker()
    stack.create("registered again").wait_for("succeeded")
    [nightly] = [it for it in stack.api.get(SCHEDULES).json()["items"] if it["in_file"]]
    url = f"{SCHEDULES}/{nightly['schedule_id']}"
    assert nightly["active"] is True  # the switch is the operator's
    assert stack.api.patch(url, json={"active": False}).json()["active"] is False


def test_a_batch_that_cannot_be_made_is_refused_at_once(stack: Stack) -> None:
    bad = {"defaults": {"prompt": "by nobody", "model": "no such model"}}
    answer = stack.api.post(SCHEDULES, json={"name": "bad", "cron": "0 2 * * *", "batch": bad})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["row", 1, "model"]
