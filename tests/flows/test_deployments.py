"""``prefect.yaml`` is the one source, and says what is so."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points, version
from typing import Any

import yaml
from prefect.flows import Flow
from prefect.workers.base import BaseWorker

from comfy import TXT2IMG
from core.batches.expansion import Item, expand
from core.batches.lists import Lists
from core.batches.request import BatchRequest, FlowBatchRequest
from core.requests import FlowRequest, GenerationRequest
from flows.batches.parameters import CATCH_UP_MINUTES
from flows.bulk import bulk
from flows.generate import generate
from flows.prefect.cron import plain_cron
from flows.prefect.declared import QUEUES, default_pool, read_deployments
from flows.prefect.forms import form_of
from flows.prefect.runs import BATCH_DEPLOYMENT, BATCH_QUEUE, DEPLOYMENT
from flows.worker.worker import ComfyWorker
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
    assert BATCH_DEPLOYMENT in names


def test_each_deployment_has_a_queue_that_the_worker_makes() -> None:
    for deployment in read_deployments():
        assert deployment["work_pool"]["work_queue_name"] in QUEUES
        assert deployment["work_pool"]["name"] == default_pool()
    assert QUEUES[BATCH_QUEUE] < QUEUES["interactive"] < QUEUES["bulk"]


def test_runs_of_batches_wait_in_a_queue_of_their_own() -> None:
    """Else a batch's run would wait behind the generations that it has to release."""
    for deployment in read_deployments():
        is_batch = _flow(deployment["entrypoint"]) is bulk
        assert (deployment["work_pool"]["work_queue_name"] == BATCH_QUEUE) is is_batch


def test_what_schedules_begin_can_be_made_and_nothing_is_switched_on() -> None:
    scheduled = [one for one in read_deployments() if one.get("schedules")]
    assert scheduled
    for deployment in scheduled:
        request = FlowBatchRequest.model_validate(deployment["parameters"]["batch"])
        items = list(expand(request, None, 7, Lists.of({}), TXT2IMG))
        assert items
        assert all(isinstance(item, Item) for item in items)
        for schedule in deployment["schedules"]:
            plain_cron(schedule["cron"])
            assert schedule["slug"]
            assert schedule["active"] is False


def test_the_form_in_the_prefect_ui_is_the_schema_of_the_request() -> None:
    parameters = json.loads(json.dumps(generate.parameters.model_dump()))
    assert parameters["required"] == ["request"]
    shown = parameters["definitions"]["GenerateRequest"]
    assert shown["properties"].keys() == FlowRequest.model_fields.keys() | TXT2IMG.by_name.keys()
    assert GenerationRequest.model_fields.keys() - shown["properties"].keys() == {"callback_url"}
    assert shown["required"] == ["prompt"]
    of_any = form_of(parameters, TXT2IMG)["definitions"]["GenerateRequest"]["properties"]
    assert {**shown["properties"], "workflow": of_any["workflow"]} == of_any


def test_the_form_of_a_batch_in_the_prefect_ui_is_its_schema() -> None:
    parameters = json.loads(json.dumps(bulk.parameters.model_dump()))
    assert parameters.get("required", []) == []
    assert parameters["properties"].keys() == {"batch", "batch_id", "catch_up_minutes"}
    assert parameters["properties"]["catch_up_minutes"]["default"] == CATCH_UP_MINUTES
    shown = parameters["definitions"]["FlowBatchRequest"]
    assert shown["properties"].keys() == FlowBatchRequest.model_fields.keys()
    assert BatchRequest.model_fields.keys() - shown["properties"].keys() == {"callback_url"}
    assert shown["additionalProperties"] is False


def test_nothing_retries_a_flow_as_a_whole() -> None:
    # A flow-level retry hides the run from workers when its worker dies meanwhile.
    assert generate.retries in (None, 0)
    assert bulk.retries in (None, 0)


def test_the_file_is_written_for_the_prefect_that_is_installed() -> None:
    document = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text(encoding="utf-8"))
    assert document["prefect-version"] == version("prefect")


def test_prefect_finds_the_worker_type_by_its_entry_point() -> None:
    [ours] = [e for e in entry_points(group="prefect.collections") if e.name == "easel"]
    ours.load()
    assert BaseWorker.get_worker_class_from_type("comfyui") is ComfyWorker
