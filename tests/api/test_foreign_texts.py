"""Texts that ComfyUI wrote, and that no answer can be made of as they are."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from comfy import ExecutionFailedError
from store.values import Preview, Waiting, WorkerRecord
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import HISTORY, Comfy, Service, assert_problem
from tests.harness.waiting import wait_until

NOT_UTF8 = "caf\udce9.safetensors"
SHOWN = "caf�.safetensors"


@pytest.fixture
def odd(start_service: StartService, comfy: Comfy) -> Service:
    """In front of a ComfyUI with a model whose file name is not UTF-8."""
    comfy.add_checkpoint(NOT_UTF8)
    service = start_service(comfy.url)
    until_catalogue(service)
    return service


def test_a_model_whose_name_is_not_utf8_is_left_out(odd: Service) -> None:
    models = odd.get("/api/v1/models")
    options = odd.get("/api/v1/options")

    assert (models.status_code, options.status_code) == (200, 200)
    assert len(options.json()["models"]) == 2
    assert "caf" not in models.text + options.text
    odd.create()  # without a model
    assert_problem(
        odd.client.post("/api/v1/generation/create", json={"prompt": "a", "model": SHOWN}),
        422,
        "invalid_request",
    )


def test_readyz_names_the_model_that_is_left_out(odd: Service) -> None:
    odd.worker.appear(comfy_reachable=True)
    parts = {part["name"]: part for part in odd.get("/readyz").json()["parts"]}
    assert parts["comfyui"]["ok"]
    assert SHOWN in parts["comfyui"]["detail"]


@pytest.mark.parametrize("bad", ["\udcff", "\x00", "\u202e"])
def test_an_error_of_an_earlier_version_is_shown_everywhere(
    service: Service, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    # As it was stored before texts were made readable where they come in. No report of a test can
    # have it, so it is not logged.
    caplog.set_level(logging.CRITICAL, "flows.pipeline")
    task_id = service.created("an error to be shown")
    claim = service.worker.start(task_id)
    service.worker.fail(claim, ExecutionFailedError("5", "KSampler", f"bad {bad} name", ""))

    status = service.status(task_id)
    assert "bad" in status["error"]["detail"]
    assert "name" in status["error"]["node_message"]
    for path in (service.of(task_id, "attempts"), HISTORY):
        assert service.get(path).status_code == 200
    assert_problem(service.get(service.of(task_id, "result")), 409, "generation_failed")


def test_a_reason_of_an_earlier_version_is_shown(service: Service) -> None:
    task_id = service.created("to wait for a reason")
    claim = service.worker.start(task_id)
    service.worker.progress(claim, 10, waiting=Waiting("waiting_for_comfyui", "no \udcff file"))
    assert service.status(task_id)["waiting"]["detail"] == "no � file"


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "image/中文"])
def test_a_preview_of_an_earlier_version_that_is_no_picture_is_not_shown(
    service: Service, content_type: str
) -> None:
    task_id = service.created("a preview that is none")
    claim = service.worker.start(task_id)
    preview = Preview(1, content_type, b"<script>alert(1)</script>")
    service.worker.progress(claim, 10, preview=preview)
    assert_problem(service.get(service.of(task_id, "preview")), 404, "not_found")


def test_a_comfyui_that_is_too_old_is_said_without_its_password(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    task_id = service.created()
    service.worker.claim(task_id)
    why, now = "ComfyUI 0.3.44 is too old: Easel needs 0.3.45 or later", datetime.now(UTC)
    # As a worker of an earlier version records it.
    record = WorkerRecord("w", "http://user:secretpw@gpu:8188", False, why, now, now)
    service.worker.run(service.worker.store.registry.record_worker(record))

    def waiting() -> Any:
        return (service.status(task_id)["waiting"] or {}).get("detail", "")

    wait_until(lambda: why in waiting())
    assert (
        waiting() == f"{why} (at gpu:8188). Your queue is safe; it continues when ComfyUI is "
        "updated."
    )
    ready = service.get("/readyz")
    parts = {part["name"]: part for part in ready.json()["parts"]}
    assert (parts["comfyui"]["ok"], parts["comfyui"]["detail"]) == (
        False, f"http://gpu:8188: {why}",
    )  # fmt: skip
    assert "secretpw" not in ready.text
