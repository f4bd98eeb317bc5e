"""The status document: unchanged ones cost nothing; it tells why things wait, and how long."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.prefect.gate import Gate, Paused
from store.values import Waiting
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import Comfy, Service, assert_problem, png
from tests.harness.waiting import wait_until


def test_an_unchanged_document_is_a_304(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    path = service.of(task_id, "status")
    first = service.get(path)
    etag = first.headers["etag"]

    for condition in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = service.get(path, headers={"If-None-Match": condition})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == etag
    assert service.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_changed_document_has_another_etag(service: Service) -> None:
    task_id = service.created()
    etag = service.get(service.of(task_id, "status")).headers["etag"]
    service.worker.start(task_id)

    changed = service.get(service.of(task_id, "status"), headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.json()["status"] == "running"


def test_retry_after_is_for_those_who_wait(service: Service) -> None:
    task_id = service.created()
    assert int(service.get(service.of(task_id, "status")).headers["retry-after"]) >= 1
    service.worker.finish(task_id)
    assert "retry-after" not in service.get(service.of(task_id, "status")).headers


def test_the_way_of_a_generation(service: Service) -> None:
    task_id = service.created()
    queued = service.status(task_id)
    claim = service.worker.start(task_id)
    running = service.status(task_id)
    service.worker.progress(claim, 62.5)
    half_done = service.status(task_id)
    service.worker.succeed(claim)
    succeeded = service.status(task_id)

    stages = [queued, running, half_done, succeeded]
    assert [stage["status"] for stage in stages] == ["queued", "running", "running", "succeeded"]
    sequences = [stage["sequence"] for stage in stages]
    assert sequences == sorted(set(sequences))
    assert running["started_at"]
    assert running["queue_position"] is None
    assert half_done["progress"] == {
        "percent": 62.5,
        "step": 12,
        "steps": 20,
        "node": "KSampler",
        "nodes_done": 4,
        "nodes_total": 7,
    }
    assert half_done["eta_s"] is not None
    assert succeeded["progress"]["percent"] == 100
    assert succeeded["finished_at"] >= succeeded["started_at"] >= succeeded["created_at"]
    assert succeeded["eta_s"] is None


def test_the_flow_run_is_linked_once_there_is_one(service: Service) -> None:
    task_id = service.created()
    assert service.status(task_id)["urls"]["flow_run"] is None
    service.worker.start(task_id)

    url = service.status(task_id)["urls"]["flow_run"]
    ui = service.settings.prefect_ui_url
    prefix, _, run_id = url.rpartition("/")
    assert prefix == f"{ui}/runs/flow-run"
    assert str(UUID(run_id)) == run_id


def test_the_place_in_the_queue(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    created = [
        service.create(priority=priority)
        for priority in ("interactive", "bulk", "interactive", "bulk")
    ]
    ids = [UUID(document["task_id"]) for document in created]

    assert [document["queue_position"] for document in created] == [0, 1, 1, 3]
    assert _positions(service, ids) == [0, 2, 1, 3]
    service.worker.start(ids[0])
    assert _positions(service, ids) == [None, 1, 0, 2]
    service.client.delete(f"/api/v1/generation/{ids[2]}")
    assert _positions(service, [ids[1], ids[3]]) == [0, 1]


def _positions(service: Service, ids: list[UUID]) -> list[int | None]:
    return [service.status(task_id)["queue_position"] for task_id in ids]


def test_estimates_come_from_measured_times(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    first, second = service.created(), service.created()
    assert service.status(second)["eta_s"] is None

    claim = service.worker.start(first)
    service.worker.succeed(claim, png())
    wait_until(lambda: service.status(second)["eta_s"] is not None)
    assert service.status(second)["eta_s"] >= 0
    third = service.created()
    assert service.status(third)["eta_s"] >= service.status(second)["eta_s"]


def test_what_runs_counts_for_those_that_wait(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    service.worker.succeed(service.worker.start(service.created()), png())
    first, second = service.created(), service.created()
    wait_until(lambda: service.status(second)["eta_s"] is not None)
    without = service.status(second)["eta_s"]

    claim = service.worker.start(first)
    service.worker.progress(claim, 10)  # nine times as long is still to come
    wait_until(lambda: service.status(second)["eta_s"] > without + 2)
    assert service.status(second)["queue_position"] == 0
    away = Waiting("waiting_for_comfyui", "ComfyUI does not answer.")
    service.worker.progress(claim, 10, waiting=away)
    assert service.status(first)["eta_s"] is None


def test_why_it_waits(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    task_id = service.created()

    def reason(task_id: UUID) -> Any:
        return (service.status(task_id)["waiting"] or {}).get("code")

    # Nobody is there, Prefect first of all.
    wait_until(lambda: reason(task_id) == "waiting_for_prefect")
    said = service.status(task_id)["waiting"]["detail"]
    assert said.startswith("Prefect isn't answering")
    assert said.endswith("Your queue is safe; it continues when Prefect can be used.")
    # Another one has its flow run already; then the worker is what is missing.
    dispatched = service.created()
    service.worker.claim(dispatched)
    wait_until(lambda: reason(dispatched) == "waiting_for_worker")
    service.worker.appear(comfy_reachable=False)
    wait_until(lambda: reason(dispatched) == "waiting_for_comfyui")
    assert "connection refused" in service.status(dispatched)["waiting"]["detail"]
    service.worker.appear(comfy_reachable=True)
    wait_until(lambda: reason(dispatched) is None)
    assert reason(task_id) is None  # a worker takes it, and tells Prefect later
    service.worker.keep_gate(Gate(limits=("At most 1.",)))
    wait_until(lambda: reason(task_id) == "waiting_for_prefect")
    assert reason(dispatched) is None


def test_what_an_operator_paused_is_said_as_a_worker_saw_it(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    urgent, many = service.created(), service.created(priority="bulk")
    for task_id in (urgent, many):
        service.worker.claim(task_id)  # it has a flow run

    def reasons() -> list[str | None]:
        found = (service.status(task_id)["waiting"] or {} for task_id in (urgent, many))
        return [waiting.get("code") for waiting in found]

    service.worker.appear(comfy_reachable=True)
    wait_until(lambda: reasons() == [None, None])
    service.worker.keep_gate(Gate(Paused(None, {"bulk": "The work queue bulk is paused."})))
    wait_until(lambda: reasons() == [None, "paused"])
    assert service.status(many)["waiting"]["detail"] == "The work queue bulk is paused."
    service.worker.keep_gate(Gate(Paused("The work pool is paused."), ("At most 2.",)))
    wait_until(lambda: reasons() == ["paused", "paused"])

    service.worker.leave()  # nobody would know of its end any more
    wait_until(lambda: reasons() == ["waiting_for_worker", "waiting_for_worker"])
    service.worker.keep_gate(Gate(limits=("At most 2.",)))
    service.worker.appear(comfy_reachable=True)
    wait_until(lambda: reasons() == [None, None])


@pytest.mark.parametrize("code", ["storage_away", "disk_full"])
def test_those_behind_an_image_that_cannot_be_kept_say_so(service: Service, code: str) -> None:
    claim = service.worker.start(service.created())
    behind = service.created()
    service.worker.claim(behind)  # it has a flow run, and no other reason to wait
    service.worker.appear(comfy_reachable=True)
    service.worker.progress(claim, 100, waiting=Waiting(code, "cannot write 1/secret.png"))

    def waiting() -> dict[str, str]:
        return service.status(behind)["waiting"] or {}

    wait_until(lambda: waiting().get("code") == code)
    assert "it continues" in waiting()["detail"]
    assert "secret" not in waiting()["detail"]
    service.worker.progress(claim, 100, waiting=None)
    wait_until(lambda: not waiting())


def test_a_worker_says_itself_why_a_run_waits(service: Service) -> None:
    claim = service.worker.start(service.created())
    waiting = Waiting("waiting_for_comfyui", "it restarts")
    service.worker.progress(claim, 10, waiting=waiting)

    document = service.status(claim.generation_id)
    assert document["waiting"] == {"code": "waiting_for_comfyui", "detail": "it restarts"}


def test_nothing_is_known_of_an_id_nobody_gave(service: Service) -> None:
    for what in ("status", "result", "attempts", "events", "preview"):
        assert_problem(service.get(service.of(uuid4(), what)), 404, "not_found")
