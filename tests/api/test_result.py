"""The result: pictures, or why there are none."""

from __future__ import annotations

import hashlib

import pytest

from comfy.errors import ExecutionTimeoutError
from tests.api.service import NODE_FAILED_DETAIL, Service, assert_problem, png


def test_not_ready_while_it_is_under_way(service: Service) -> None:
    task_id = service.created()
    path = service.of(task_id, "result")

    response = service.get(path)
    assert_problem(response, 409, "not_ready")
    assert int(response.headers["retry-after"]) >= 1
    service.worker.start(task_id)
    assert "running" in assert_problem(service.get(path), 409, "not_ready")["detail"]
    service.client.post(service.of(task_id, "cancel"))
    assert "cancelling" in assert_problem(service.get(path), 409, "not_ready")["detail"]


def test_the_pictures_of_a_success(service: Service) -> None:
    document = service.create(seed=100, batch_size=2, metadata={"order": "42"})
    task_id = service.created(seed=100, batch_size=2, metadata={"order": "42"})
    pictures = [png(64, 96, "teal"), png(96, 64, "salmon")]
    service.worker.finish(task_id, *pictures)

    response = service.get(service.of(task_id, "result"))
    assert response.status_code == 200
    result = response.json()
    assert result["task_id"] == str(task_id)
    assert result["request"] == document["request"]
    assert [image["seed"] for image in result["images"]] == [100, 100]
    sizes = [(image["width"], image["height"]) for image in result["images"]]
    assert sizes == [(64, 96), (96, 64)]
    for image, data in zip(result["images"], pictures, strict=True):
        assert image["bytes"] == len(data)
        assert image["sha256"] == hashlib.sha256(data).hexdigest()
        assert image["content_type"] == "image/png"
        assert service.get(image["url"]).content == data
        assert service.get(image["thumbnail_url"]).status_code == 200
    timings = result["timings"]
    assert timings.keys() == {"queued_s", "execution_s", "total_s"}
    assert timings["total_s"] == pytest.approx(
        timings["queued_s"] + timings["execution_s"], abs=0.005
    )


def test_a_failure_names_the_node(service: Service) -> None:
    task_id = service.created()
    service.worker.fail(service.worker.start(task_id))

    found = assert_problem(service.get(service.of(task_id, "result")), 409, "generation_failed")
    assert found["detail"] == NODE_FAILED_DETAIL
    assert (found["node_id"], found["node_class"]) == ("5", "KSampler")
    assert "shapes cannot be multiplied" in found["node_message"]
    error = service.status(task_id)["error"]
    assert error["code"] == "node_failed"
    assert (error["node_id"], error["node_class"]) == ("5", "KSampler")


def test_a_failure_without_a_node_names_none(service: Service) -> None:
    task_id = service.created()
    service.worker.fail(service.worker.start(task_id), ExecutionTimeoutError("It took too long."))

    found = assert_problem(service.get(service.of(task_id, "result")), 409, "generation_failed")
    assert found["detail"].startswith("It took too long. ")
    assert found.get("node_id") is None


def test_a_cancelled_one_says_so(service: Service) -> None:
    task_id = service.created()
    service.client.post(service.of(task_id, "cancel"))

    assert_problem(service.get(service.of(task_id, "result")), 409, "generation_cancelled")
