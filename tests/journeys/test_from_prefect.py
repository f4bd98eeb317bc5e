"""Operators start, cancel, retry and delete runs in Prefect, and the API tells of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from tests.harness.generations import SMALL, GenerationHandle
from tests.harness.processes import REPOSITORY
from tests.harness.stack import POOL, Stack
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.journey


def start_run(stack: Stack, request: dict[str, Any], name: str | None = None) -> GenerationHandle:
    """As Custom run in the Prefect UI does. The generation has the run's own id."""
    deployment = stack.prefect.read_deployment_by_name("generate/comfyui")
    run = stack.prefect.create_flow_run_from_deployment(
        deployment.id, parameters={"request": request}, name=name
    )
    return stack.generation(str(run.id))


def plain_colour(name: str) -> dict[str, Any]:
    """Returns the file of a workflow that needs no model."""
    width = {"name": "width", "type": "integer", "role": "width", "minimum": 16, "default": 64}
    colour = {"width": 64, "height": 64, "batch_size": 1, "color": 255}
    return {
        "easel_workflow": 1,
        "name": name,
        "title": "A colour",
        "inputs": [{**width, "targets": [{"node": "1", "field": "width"}]}],
        "outputs": [{"node": "2", "kind": "image", "name": "image", "primary": True}],
        "graph": {
            "1": {"class_type": "EmptyImage", "inputs": colour},
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": "a"},
            },
        },
    }


def deployed(stack: Stack, name: str) -> DeploymentResponse | None:
    try:
        return stack.prefect.read_deployment_by_name(f"generate/{name}")
    except ObjectNotFound:
        return None


def appear(stack: Stack, generation: GenerationHandle) -> None:
    """Wait until it is in the history."""
    wait_until(lambda: generation.get().status_code == 200, "it appears in the history")


def test_a_run_started_in_the_prefect_ui(stack: Stack) -> None:
    generation = start_run(stack, {"prompt": "an operator's cat", **SMALL}, "for the poster")
    appear(stack, generation)
    done = generation.wait_for("succeeded")
    assert generation.flow_run_id() == generation.id
    assert done["request"]["model"]
    assert isinstance(done["request"]["seed"], int)
    assert stack.history(limit=1)[0]["task_id"] == generation.id
    assert generation.renders() == 1
    run = stack.wait_for_flow_run(generation.id, "Completed")
    assert run.name == "for the poster"


def test_a_run_started_on_the_command_line(stack: Stack) -> None:
    said = stack.prefect_cli(
        "deployment", "run", "generate/comfyui", "--param", 'request={"prompt": "typed"}'
    )
    [item] = wait_until(lambda: stack.history(q="typed", limit=2), "it appears in the history")
    assert item["task_id"] in said
    stack.generation(item["task_id"]).wait_for("succeeded")


def test_a_run_of_an_imported_workflow(stack: Stack) -> None:
    """Its deployment says which workflow it is; what runs under it is a generation like others."""
    name = f"plain-{uuid4().hex[:8]}"
    assert stack.api.post("/api/v1/workflows", json=plain_colour(name)).status_code == 201
    deployment = wait_until(lambda: deployed(stack, name), "its deployment is registered")
    assert deployment is not None
    shown = deployment.parameter_openapi_schema or {}
    assert "width" in shown["definitions"]["GenerateRequest"]["properties"]
    by_hand = stack.prefect.create_flow_run_from_deployment(
        deployment.id, parameters={"request": {"width": 96}}
    )
    generation = stack.generation(str(by_hand.id))
    appear(stack, generation)
    done = generation.wait_for("succeeded")
    assert done["workflow"]["name"] == name
    assert done["request"]["width"] == 96

    answer = stack.api.post("/api/v1/generation/create", json={"workflow": name})
    assert answer.status_code == 202, answer.text
    created = stack.generation(answer.json()["task_id"])
    created.wait_for("succeeded")
    for run_id in (str(by_hand.id), created.flow_run_id()):
        run = stack.wait_for_flow_run(run_id, "Completed")
        assert run.deployment_id == deployment.id
    assert stack.api.delete(f"/api/v1/workflows/{name}").status_code == 204
    wait_until(lambda: deployed(stack, name) is None, "its deployment is removed")


def test_a_run_with_a_bad_request_fails_alone(stack: Stack) -> None:
    with stack.halfway("in peace") as generation:
        with pytest.raises(PrefectHTTPStatusError, match="steps"):
            start_run(stack, {"prompt": "for ever", "steps": 100_000})
        bad = start_run(stack, {"prompt": " "})  # what a JSON schema cannot tell
        stack.wait_for_flow_run(bad.id, "Failed")
        unknown = start_run(stack, {"prompt": "by nobody", "model": "no such model", **SMALL})
        failed = stack.wait_for_flow_run(unknown.id, "Failed")
        assert failed.state is not None
        assert "no such model" in (failed.state.message or "")
        assert generation.status()["status"] == "running"
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_an_operator_cancels_a_run_that_waits(stack: Stack) -> None:
    with stack.halfway("the one before"):
        stack.create("between").flow_run_id()
        generation = stack.create("struck off the list")
        run = stack.flow_run(generation.flow_run_id())
        assert run is not None
        stack.prefect.set_flow_run_state(run.id, Cancelling())
        generation.wait_for("cancelled")
    assert generation.renders() == 0


def test_an_operator_cancels_a_run_that_renders(stack: Stack) -> None:
    with stack.halfway("stopped by the operator") as generation:
        run = stack.flow_run(generation.flow_run_id())
        assert run is not None
        stack.prefect.set_flow_run_state(run.id, Cancelling())
        generation.wait_for("cancelled")
        assert stack.emulator.outcomes(generation.prompt_id) == ["interrupted"]
    stack.wait_for_flow_run(str(run.id), "Cancelled")


def test_an_operator_retries_a_run_that_failed(stack: Stack) -> None:
    stack.emulator.fault("fail_node", class_type="KSampler")
    generation = stack.create("second thoughts")
    generation.wait_for("failed")
    run = stack.wait_for_flow_run(generation.flow_run_id(), "Failed")
    stack.prefect.set_flow_run_state(
        run.id,
        State(type=StateType.SCHEDULED, name="AwaitingRetry", message="Retry from the UI"),
    )
    wait_until(lambda: generation.status()["attempt"] == 2, "a second attempt")
    generation.wait_for("succeeded")
    first, second = generation.attempts()
    assert (first["outcome"], second["outcome"]) == ("failed", "succeeded")
    assert first["flow_run_id"] == second["flow_run_id"]
    stack.wait_for_flow_run(str(run.id), "Completed")


def test_an_operator_pauses_and_resumes_a_queue(stack: Stack) -> None:
    [queue] = [
        queue
        for queue in stack.prefect.read_work_queues(work_pool_name=POOL)
        if queue.name == "interactive"
    ]
    stack.prefect.update_work_queue(queue.id, is_paused=True)
    stack.wait_for_pause()
    try:
        generation = stack.create("held back")
        waiting = generation.wait_for_reason("paused")
        assert waiting["status"] == "queued"
        assert "The work queue interactive is paused." in waiting["waiting"]["detail"]
    finally:
        stack.prefect.update_work_queue(queue.id, is_paused=False)
    generation.wait_for("succeeded")
    assert generation.renders() == 1


def test_an_operator_deletes_a_run_that_waits(stack: Stack) -> None:
    with stack.halfway("the one before"):
        stack.create("between").flow_run_id()
        generation = stack.create("thrown out")
        run = stack.flow_run(generation.flow_run_id())
        assert run is not None
        stack.prefect.delete_flow_run(run.id)
        generation.wait_for("cancelled")
    assert generation.renders() == 0


def test_prefect_deploy_registers_what_prefect_yaml_says(stack: Stack, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "prefect.yaml", tmp_path)
    before = stack.prefect.read_deployment_by_name("generate/comfyui")
    stack.prefect_cli("--no-prompt", "deploy", "--all", cwd=tmp_path)
    after = stack.prefect.read_deployment_by_name("generate/comfyui")
    assert after.id == before.id
    assert after.entrypoint == before.entrypoint == "flows.generate.generate"
    assert after.work_pool_name == POOL
    assert after.parameter_openapi_schema == before.parameter_openapi_schema
    generation = start_run(stack, {"prompt": "deployed by hand", **SMALL})
    appear(stack, generation)
    generation.wait_for("succeeded")


def test_prefect_knows_the_worker_type(stack: Stack) -> None:
    stack.prefect_cli("work-pool", "create", "another-gpu", "--type", "comfyui")
    assert stack.prefect.read_work_pool("another-gpu").type == "comfyui"


FOREIGN = """
from pathlib import Path
from prefect import flow

Path({marker!r}).touch()

@flow
async def foreign() -> None:
    Path({marker!r}).touch()
"""


def deploy(stack: Stack, entrypoint: str, name: str) -> UUID:
    """What whoever reaches the Prefect API can do: a deployment in the worker's own pool."""
    flow_id = stack.prefect.create_flow_from_name(name)
    return stack.prefect.create_deployment(
        flow_id, name, entrypoint=entrypoint, work_pool_name=POOL, work_queue_name="batches"
    )


def test_no_flow_but_easels_own_is_imported(stack: Stack, tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    file = tmp_path / "foreign.py"
    file.write_text(FOREIGN.format(marker=str(marker)), encoding="utf-8")
    entrypoints = (f"{file}:foreign", "this.foreign", "flows.generate.Path", "prefect.flow", "")
    for number, entrypoint in enumerate(entrypoints):
        deployment = deploy(stack, entrypoint, f"foreign-{number}")
        run = stack.prefect.create_flow_run_from_deployment(deployment)
        failed = stack.wait_for_flow_run(str(run.id), "Failed")
        assert failed.state is not None
        assert failed.state.message is not None
        assert entrypoint in failed.state.message
        assert "of Easel" in failed.state.message
    assert not marker.exists()
    stack.create("nothing of that matters").wait_for("succeeded")


def test_easels_own_flow_is_run_when_a_deployment_names_its_file(stack: Stack) -> None:
    deployment = deploy(stack, "flows/generate.py:generate", "generate-by-file")
    request = {"prompt": "deployed from the file", **SMALL}
    run = stack.prefect.create_flow_run_from_deployment(deployment, parameters={"request": request})
    generation = stack.generation(str(run.id))
    appear(stack, generation)
    generation.wait_for("succeeded")


TEMPLATES = (
    {"__prefect_kind": "jinja", "template": "{{ 7 * 7 }}"},
    {"__prefect_kind": "json", "value": '{"a": 1}'},
    {"__prefect_kind": "workspace_variable", "variable_name": "secret"},
)


def test_prefect_fills_in_no_template_of_a_client(stack: Stack) -> None:
    """Its server would replace such a value in the parameters of a run."""
    for template in TEMPLATES:
        made = stack.create("{{ 7 * 7 }}", metadata=template).wait_for("succeeded")
        assert made["request"]["prompt"] == "{{ 7 * 7 }}"
        assert made["request"]["metadata"] == template
        batch = stack.create_batch(items=[{"prompt": "one", "metadata": template}])
        batch.wait_for("succeeded")
        [item] = stack.history(batch_id=batch.id)
        assert item["request"]["metadata"] == template
