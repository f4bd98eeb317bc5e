"""``prefect.yaml`` is the one source, and says what is so."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points, version
from typing import Any

import yaml
from prefect.flows import Flow
from prefect.workers.base import BaseWorker

from core.schemas import GenerationRequest
from flows.deployments import QUEUES, default_pool, read_deployments
from flows.generate import generate
from flows.runs import DEPLOYMENT
from flows.worker import ComfyWorker
from tests.harness.processes import REPOSITORY


def _flow(entrypoint: str) -> Any:
    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_each_deployment_names_an_async_flow_by_a_dotted_path() -> None:
    for deployment in read_deployments():
        # With a colon Prefect takes it for a file, and executes it anew at each load.
        assert ":" not in deployment["entrypoint"]
        flow = _flow(deployment["entrypoint"])
        assert isinstance(flow, Flow)
        assert flow.isasync


def test_the_dispatcher_asks_for_a_deployment_that_is_there() -> None:
    names = [f"{_flow(d['entrypoint']).name}/{d['name']}" for d in read_deployments()]
    assert DEPLOYMENT in names


def test_each_deployment_has_a_queue_that_the_worker_makes() -> None:
    for deployment in read_deployments():
        assert deployment["work_pool"]["work_queue_name"] in QUEUES
        assert deployment["work_pool"]["name"] == default_pool()
    assert QUEUES["interactive"] < QUEUES["bulk"]


def test_the_form_in_the_prefect_ui_is_the_schema_of_the_request() -> None:
    parameters = json.loads(json.dumps(generate.parameters.model_dump()))
    assert parameters["required"] == ["request"]
    shown = parameters["definitions"]["GenerationRequest"]
    assert shown["properties"].keys() == GenerationRequest.model_fields.keys()
    assert shown["required"] == ["prompt"]
    assert shown["additionalProperties"] is False


def test_nothing_retries_the_flow_as_a_whole() -> None:
    # A flow-level retry hides the run from workers when its worker dies meanwhile.
    assert generate.retries in (None, 0)


def test_the_file_is_written_for_the_prefect_that_is_installed() -> None:
    document = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))
    assert document["prefect-version"] == version("prefect")


def test_prefect_finds_the_worker_type_by_its_entry_point() -> None:
    [ours] = [e for e in entry_points(group="prefect.collections") if e.name == "easel"]
    ours.load()
    assert BaseWorker.get_worker_class_from_type("comfyui") is ComfyWorker
