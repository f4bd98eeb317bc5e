"""The workers, and what only one of them can do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from store.values import WorkerRecord
from tests.api.conftest import StartService
from tests.api.service import CHECKPOINTS, CREATE, Backstage, Comfy, Service, assert_problem
from tests.api.test_metrics import samples
from tests.harness.waiting import wait_until

WORKERS = "/api/v1/workers"
LORA = "film.safetensors"
PLAIN, SDXL = CHECKPOINTS


@pytest.fixture
def other(backstage: Backstage) -> Iterator[Comfy]:
    """A ComfyUI with another checkpoint and a LoRA."""
    with Comfy(backstage, {"loras": (LORA,)}) as other:
        other.take_checkpoint(PLAIN)
        yield other


def waiting_of(service: Service, task_id: UUID) -> Any:
    return service.status(task_id)["waiting"]


def workers(service: Service) -> dict[str, dict[str, Any]]:
    response = service.get(WORKERS)
    assert response.status_code == 200, response.text
    return {one["name"]: one for one in response.json()["workers"]}


def is_taken(service: Service, **fields: Any) -> bool:
    return service.client.post(CREATE, json={"prompt": "a fox", **fields}).status_code == 202


def test_without_any_worker_there_is_none(start_service: StartService) -> None:
    assert workers(start_service()) == {}


def test_a_worker_and_how_busy_it_is(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    service.worker.look_at(comfy.url)
    now = datetime.now(UTC)
    waiting, running = service.created(model=PLAIN), service.created(model=PLAIN)
    service.worker.start(running)
    record = WorkerRecord(
        *("gpu-1", comfy.url, True, None, now, now),
        holder=service.worker.holder.lease,
        last_model=PLAIN,
        seconds_per_cost=0.25,
    )
    service.worker.run(service.worker.store.registry.record_worker(record))

    wait_until(lambda: workers(service).get("gpu-1", {}).get("waiting"))
    found = workers(service)["gpu-1"]

    assert datetime.fromisoformat(found.pop("seen_at")) == now
    assert found == {
        "name": "gpu-1",
        "comfyui_version": "0.33.0",
        "reachable": True,
        "detail": None,
        "last_model": PLAIN,
        "running": 1,
        "waiting": 1,
        "seconds_per_cost": 0.25,
    }
    told = samples(service)
    assert told["easel_worker_reachable", "gpu-1"] == 1
    assert told["easel_worker_running", "gpu-1"] == 1
    assert told["easel_worker_waiting", "gpu-1"] == 1
    assert told["easel_worker_seconds_per_cost", "gpu-1"] == 0.25
    assert told["easel_worker_seen_timestamp_seconds", "gpu-1"] == now.timestamp()
    assert service.status(waiting)["status"] == "queued"


def test_why_a_worker_is_not_reachable(start_service: StartService) -> None:
    service = start_service()
    service.worker.appear(comfy_reachable=False, name="without ComfyUI")
    service.worker.appear(comfy_reachable=True, name="stopped")
    service.worker.stop("stopped")

    found = workers(service)

    assert not any(one["reachable"] for one in found.values())
    assert found["without ComfyUI"]["detail"] == "connection refused"
    assert found["stopped"]["detail"] == "it was stopped"


def test_what_no_worker_lists_is_refused_and_says_where_it_would_be(
    start_service: StartService, comfy: Comfy, other: Comfy
) -> None:
    service = start_service(comfy.url)
    for one in (comfy, other):
        service.worker.look_at(one.url)
        service.worker.appear(comfy_reachable=True, name=one.url, comfy_url=one.url)
    wait_until(lambda: is_taken(service, model=SDXL, loras=[{"name": LORA}]))

    asked = {"prompt": "a fox", "model": SDXL, "loras": [{"name": "grain.safetensors"}]}
    told = assert_problem(service.client.post(CREATE, json=asked), 422, "invalid_request")

    [error] = told["errors"]
    assert (error["loc"], error["code"]) == (["loras", 0, "name"], "unknown_model")
    assert "in models/loras" in error["message"]


def test_what_only_an_absent_worker_has_waits_and_says_so(
    start_service: StartService, comfy: Comfy, other: Comfy
) -> None:
    service = start_service(comfy.url)
    service.worker.look_at(comfy.url)
    service.worker.appear(comfy_reachable=True, name="here", comfy_url=comfy.url)
    service.worker.look_at(other.url)
    service.worker.appear(comfy_reachable=True, name="there", comfy_url=other.url)
    service.worker.stop("there")
    wait_until(lambda: is_taken(service, model=SDXL, loras=[{"name": LORA}]))

    accepted = service.created(model=SDXL, loras=[{"name": LORA}])
    can_be_done = service.created(model=SDXL)

    why = f"no worker has {LORA}; there, which has all of it, is away"
    wait_until(
        lambda: waiting_of(service, accepted) == {"code": "no_capable_worker", "detail": why}
    )
    assert waiting_of(service, can_be_done) is None
    assert service.history()[1]["waiting"]["code"] == "no_capable_worker"

    service.worker.appear(comfy_reachable=True, name="there", comfy_url=other.url)
    wait_until(lambda: waiting_of(service, accepted) is None)


def test_what_is_on_no_single_worker_waits(
    start_service: StartService, comfy: Comfy, other: Comfy
) -> None:
    service = start_service(comfy.url)
    for one in (comfy, other):
        service.worker.look_at(one.url)
        service.worker.appear(comfy_reachable=True, name=one.url, comfy_url=one.url)
    wait_until(lambda: is_taken(service, model=PLAIN, loras=[{"name": LORA}]))
    accepted = service.created(model=PLAIN, loras=[{"name": LORA}])
    wait_until(lambda: waiting_of(service, accepted))
    assert waiting_of(service, accepted) == {
        "code": "no_capable_worker",
        "detail": f"no worker has all of {LORA}, {PLAIN}",
    }


def test_a_file_that_vanished_after_acceptance_is_waited_for(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    service.worker.look_at(comfy.url)
    service.worker.appear(comfy_reachable=True, comfy_url=comfy.url)
    accepted = service.created(model=SDXL)
    wait_until(lambda: waiting_of(service, accepted) is None)

    comfy.take_checkpoint(SDXL)
    service.worker.look_at(comfy.url)

    wait_until(lambda: waiting_of(service, accepted))
    assert waiting_of(service, accepted) == {
        "code": "no_capable_worker",
        "detail": f"no worker has {SDXL}",
    }


def test_while_nothing_is_known_of_workers_comfyuis_the_apis_own_counts(
    start_service: StartService, comfy: Comfy
) -> None:
    """A worker that has just come, and whose ComfyUI nobody has looked at, lacks nothing."""
    service = start_service(comfy.url)
    wait_until(lambda: is_taken(service, model=PLAIN))
    service.worker.appear(comfy_reachable=True)
    accepted = service.created(model=PLAIN)
    wait_until(lambda: waiting_of(service, accepted) is None)
    told = service.client.post(CREATE, json={"prompt": "a fox", "model": "nobodys.safetensors"})
    assert_problem(told, 422, "invalid_request")
