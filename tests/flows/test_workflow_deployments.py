"""The deployments of imported workflows, on a real Prefect server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed

from comfy import BUILT_IN, resolve
from comfy.workflows.known import Known
from core.requests import FlowRequest, GenerationRequest, read_request_of
from core.workflows.declaration import Input, Workflow
from flows.adoption import of_its_deployment
from flows.prefect.declared import default_pool
from flows.prefect.deployments import prepare_pool, register_deployments
from flows.prefect.runs import DEPLOYMENT, FlowRuns, workflow_of_tags
from flows.prefect.stored_deployments import StoredLimit, deployment_by_name
from flows.prefect.workflow_deployments import WorkflowDeployments
from flows.reconcile.dispatcher import Dispatcher
from flows.reconcile.workflows import DeployedWorkflows
from store.store import Store
from tests.api.conftest import until_catalogue
from tests.api.service import Backstage, Comfy, Service
from tests.flows.prefect_server import Server
from tests.harness.databases import a_store
from tests.harness.waiting import wait_until as wait
from tests.store.making import wait_until

_Said = TypeVar("_Said")
pytestmark = pytest.mark.timeout(300)

GRAPH: Final = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}


def workflow(**more: Any) -> Workflow:
    """Returns a workflow under a name of its own."""
    layers = Input(
        name="layers",
        type="list",
        items=Input(
            name="layer", type="group", fields=(Input(name="opacity", type="number", maximum=1),)
        ),
    )
    told = {
        "name": f"colour-{uuid4().hex[:8]}",
        "title": "A colour",
        "inputs": (Input(name="width", type="integer", minimum=16, default=64), layers),
        "graph": GRAPH,
    }
    return Workflow(**{**told, **more})


@pytest.fixture
async def runs(server: Server) -> AsyncIterator[FlowRuns]:
    """Of a server where a worker has registered what ``prefect.yaml`` declares."""
    url = str(server.http.base_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url}):
        async with FlowRuns(url) as runs:
            await prepare_pool(runs.client, default_pool(), "comfyui")
            await register_deployments(runs.client)
            yield runs


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(a_store(tmp_path / "easel.db"), str(tmp_path / "images")) as store:
        yield store


def saying(value: _Said) -> Callable[[], Awaitable[_Said]]:
    async def say() -> _Said:
        return value

    return say


async def accepted(store: Store, of: Workflow) -> Any:
    fields = {"workflow": of.name}
    asked = read_request_of(GenerationRequest, fields, of)
    return (await store.acceptance.accept(resolve(asked, of, Known()))).generation


async def test_the_built_in_deployment_shows_the_inputs_of_its_workflow(runs: FlowRuns) -> None:
    deployment = await deployment_by_name(runs.client, "generate/comfyui")
    assert deployment.parameter_openapi_schema is not None
    shown = deployment.parameter_openapi_schema["definitions"]["GenerateRequest"]
    assert shown["required"] == ["prompt"]
    assert {"prompt", "steps", "workflow", "priority"} <= shown["properties"].keys()
    for wrong in ({"steps": 100_000}, {"callback_url": "https://shop.test/hook"}):
        with pytest.raises(PrefectHTTPStatusError, match=next(iter(wrong))) as refused:
            await runs.client.create_flow_run_from_deployment(
                deployment.id, parameters={"request": {"prompt": "a fox", **wrong}}
            )
        assert refused.value.response.status_code == 409


async def test_a_limit_of_an_operator_stays_when_a_worker_registers(runs: FlowRuns) -> None:
    """Prefect's own way of registering removes it, with the limit itself if others share it."""
    client, name = runs.client, f"house-{uuid4()}"
    path = {"id": str((await deployment_by_name(client, DEPLOYMENT)).id)}

    async def registered(**change: Any) -> tuple[StoredLimit | None, Any]:
        await client.request("PATCH", "/deployments/{id}", path_params=path, json=change)
        await register_deployments(client)
        now = await deployment_by_name(client, DEPLOYMENT)
        return now.global_concurrency_limit, (now.concurrency_options or {}).get(
            "collision_strategy"
        )

    try:
        cancelling = {"collision_strategy": "CANCEL_NEW"}
        limit, strategy = await registered(concurrency_limit=2, concurrency_options=cancelling)
        assert (limit and limit.limit, strategy) == (2, "CANCEL_NEW")
        assert await registered(concurrency_limit=None, concurrency_options=None) == (None, None)

        shared = await client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=name, limit=3)
        )
        assert await registered(global_concurrency_limit_id=str(shared)) == (
            StoredLimit(name=name, limit=3),
            None,
        )
        await client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=0))
        assert await registered() == (StoredLimit(name=name, limit=0), None)
    finally:
        await registered(concurrency_limit=None)


async def test_a_workflow_has_a_deployment_with_its_inputs(runs: FlowRuns) -> None:
    one = workflow()
    deployments = WorkflowDeployments(runs)

    await deployments.keep(saying([one]), saying(()))

    made = await deployment_by_name(runs.client, f"generate/{one.name}")
    assert set(made.tags) == {"easel", f"workflow:{one.name}"}
    assert made.parameters == {"request": {"workflow": one.name}}
    assert (made.work_pool_name, made.entrypoint) == (default_pool(), "flows.generate.generate")
    assert made.parameter_openapi_schema is not None
    definitions = made.parameter_openapi_schema["definitions"]
    shown = definitions["GenerateRequest"]["properties"]
    assert (shown["width"]["minimum"], shown["width"]["default"]) == (16, 64)
    assert shown["workflow"]["default"] == one.name
    assert "prompt" not in shown
    [reference] = [one["items"]["$ref"] for one in shown["layers"]["anyOf"] if "items" in one]
    assert reference.removeprefix("#/definitions/") in definitions

    nightly: list[tuple[SCHEDULE_TYPES, bool]] = [(CronSchedule(cron="0 2 * * *"), True)]
    scheduled = await runs.client.create_deployment_schedules(made.id, nightly)
    changed = one.model_copy(update={"inputs": one.inputs[:1], "title": "Colours"})
    changed = Workflow.model_validate(changed.model_dump())
    await deployments.keep(saying([changed]), saying(()))
    later = await deployment_by_name(runs.client, f"generate/{one.name}")
    assert later.id == made.id
    assert [each.id for each in later.schedules] == [each.id for each in scheduled]
    assert later.parameter_openapi_schema is not None
    assert (
        "layers"
        not in later.parameter_openapi_schema["definitions"]["GenerateRequest"]["properties"]
    )


async def test_a_removed_workflows_deployment_stays_until_nothing_waits(runs: FlowRuns) -> None:
    one, deployments = workflow(), WorkflowDeployments(runs)
    await deployments.keep(saying([one]), saying(()))
    made = await deployment_by_name(runs.client, f"generate/{one.name}")
    run = await runs.client.create_flow_run_from_deployment(made.id)
    assert run.parameters == {"request": {"workflow": one.name}}
    assert workflow_of_tags(run.tags) == one.name

    async def names() -> set[str]:
        await deployments.keep(saying([]), saying({"another"}))
        return {each.name for each in await runs.generate_deployments()}

    assert one.name in await names()
    await runs.client.set_flow_run_state(run.id, Completed(), force=True)
    await deployments.keep(saying([]), saying({one.name}))
    assert (await deployment_by_name(runs.client, f"generate/{one.name}")).id == made.id
    left = await names()  # those of other tests aside: the server is theirs too
    assert one.name not in left
    assert "comfyui" in left


async def test_a_workflow_that_is_added_meanwhile_keeps_its_deployment(
    runs: FlowRuns, store: Store
) -> None:
    one, deployments = workflow(), WorkflowDeployments(runs)
    await deployments.keep(saying([one]), saying(()))
    made = await deployment_by_name(runs.client, f"generate/{one.name}")

    async def offered_before_it_is_added() -> list[Workflow]:
        found = [each.workflow for each in await store.workflows.all()]
        await store.workflows.add(one)
        return found

    await deployments.keep(offered_before_it_is_added, store.workflows.names)

    assert (await deployment_by_name(runs.client, f"generate/{one.name}")).id == made.id


async def test_a_form_that_could_not_be_made_is_made_later(runs: FlowRuns) -> None:
    """An Easel of another version may have registered the pattern, or a person without a schema."""
    one, deployments = workflow(), WorkflowDeployments(runs)
    pattern = await deployment_by_name(runs.client, "generate/comfyui")
    path = {"id": str(pattern.id)}
    for schema, shows in (({}, False), (pattern.parameter_openapi_schema, True)):
        await runs.client.request(
            "PATCH",
            "/deployments/{id}",
            path_params=path,
            json={"parameter_openapi_schema": schema},
        )
        await deployments.keep(saying([one]), saying(()))
        made = await deployment_by_name(runs.client, f"generate/{one.name}")
        assert ("definitions" in (made.parameter_openapi_schema or {})) is shows


async def title_of(runs: FlowRuns, name: str) -> str:
    """The first line of what is said of a workflow's deployment."""
    path = {"flow_name": "generate", "deployment_name": name}
    answered = await runs.client.request(
        "GET", "/deployments/name/{flow_name}/{deployment_name}", path_params=path
    )
    return str(answered.json()["description"]).partition("\n")[0]


async def test_each_built_in_workflow_has_a_deployment(runs: FlowRuns, store: Store) -> None:
    own = workflow(name="upscale", title="My own")
    await store.workflows.add(own)
    keeping = DeployedWorkflows(store, runs)

    await keeping.look()

    titles = {name: one.title for name, one in BUILT_IN.items()} | {"upscale": "My own"}
    for name, title in titles.items():
        if name == "txt2img":  # generate/comfyui is that of txt2img
            continue
        made = await deployment_by_name(runs.client, f"generate/{name}")
        assert await title_of(runs, name) == title
        assert made.parameters == {"request": {"workflow": name}}
    masks = await deployment_by_name(runs.client, "generate/inpaint")
    assert masks.parameter_openapi_schema is not None
    shown = masks.parameter_openapi_schema["definitions"]["GenerateRequest"]
    assert {"prompt", "init_image", "mask"} <= set(shown["required"])

    await store.workflows.hide("upscale")
    await keeping.look()

    assert await title_of(runs, "upscale") == BUILT_IN["upscale"].title


EVERYTHING: Final[dict[str, Any]] = {
    "prompt": "a fox",
    "model": "sd15.safetensors",
    "init_image": f"artefact:{uuid4()}",
    "loras": [{"name": "film.safetensors"}, {"name": "grain.safetensors", "strength_clip": 0.5}],
    "controls": [
        {"image": f"artefact:{uuid4()}", "model": "canny.safetensors", "preprocess": "canny"}
    ],
    "hires": {"scale": 1.5},
    "clip_skip": 2,
    "vae": "vae.safetensors",
}


@pytest.mark.parametrize(
    ("name", "deployment"), [("txt2img", "generate/comfyui"), ("img2img", "generate/img2img")]
)
async def test_a_built_in_generation_is_started_from_its_deployment(
    runs: FlowRuns, store: Store, name: str, deployment: str
) -> None:
    """Prefect checks the parameters of a run by the form: every value as it was resolved."""
    fields = {"workflow": name, **EVERYTHING}
    resolved = resolve(
        read_request_of(GenerationRequest, fields, BUILT_IN[name]), BUILT_IN[name], Known()
    )
    # The files are not there, and nothing carries it out.
    resolved = resolved.model_copy(update={"plan": resolved.plan.model_copy(update={"files": ()})})
    made = (await store.acceptance.accept(resolved)).generation

    async def run_of() -> Any:
        [attempt] = await store.generations.attempts(made.id)
        return attempt.flow_run_id

    async with Dispatcher(store, runs, lambda: False, name=f"of {name}", lease_s=600):
        await wait_until(run_of)

    run_id = await run_of()
    run = (await runs.states([run_id]))[run_id]
    assert run.deployment_id == (await deployment_by_name(runs.client, deployment)).id
    assert run.name == (str(made.id) if name == "txt2img" else f"{name}: {made.id}")


async def test_a_run_by_hand_is_of_its_deployments_workflow() -> None:
    tags = ["easel", "workflow:colour"]
    plain = FlowRequest.model_validate({"width": 64})
    named = FlowRequest.model_validate({"workflow": "txt2img", "prompt": "a fox"})
    assert of_its_deployment(plain, tags).workflow == "colour"
    assert of_its_deployment(plain, tags).inputs == {"width": 64}
    assert of_its_deployment(named, tags).workflow == "txt2img"
    assert of_its_deployment(plain, ["easel"]).workflow == "txt2img"


async def test_a_generation_is_started_from_its_workflows_deployment(
    runs: FlowRuns, store: Store
) -> None:
    one = workflow()
    await store.workflows.add(one)
    first = await accepted(store, one)

    async def run_of(generation_id: Any) -> Any:
        [attempt] = await store.generations.attempts(generation_id)
        return attempt.flow_run_id

    async def started(generation_id: Any) -> Any:
        async with Dispatcher(store, runs, lambda: False, name="one", lease_s=600):
            await wait_until(lambda: run_of(generation_id))
        run_id = await run_of(generation_id)
        return (await runs.states([run_id]))[run_id]

    run = await started(first.id)
    made = await deployment_by_name(runs.client, f"generate/{one.name}")
    assert run.deployment_id == made.id
    assert run.name == f"{one.name}: {first.id}"
    assert {one.name, f"workflow:{one.name}", "interactive"} <= set(run.tags)

    for wrong in ({"width": 8}, {"callback_url": "https://shop.test/hook"}):
        with pytest.raises(PrefectHTTPStatusError, match=next(iter(wrong))):
            await runs.client.create_flow_run_from_deployment(
                made.id, parameters={"request": wrong}
            )

    # As after a restore of Prefect's database, or when the workflow was removed meanwhile. Nobody
    # dispatches until then: deleting a deployment deletes its scheduled runs.
    second = await accepted(store, one)  # its width is out of the range of the next version
    narrow = one.inputs[0].model_copy(update={"minimum": 65, "default": 65})
    later_one = Workflow.model_validate(one.model_copy(update={"inputs": (narrow,)}).model_dump())
    await store.workflows.change(later_one, one.version)
    await store.workflows.hide(one.name)
    await runs.client.delete_deployment(made.id)
    again = await started(second.id)
    later = await deployment_by_name(runs.client, f"generate/{one.name}")
    assert again.deployment_id == later.id


@pytest.fixture(scope="module")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    a_store(home / "easel.db")
    with (
        Backstage() as backstage,
        Comfy(backstage) as comfy,
        Service(backstage, home, comfy.url, str(server.http.base_url).rstrip("/")) as service,
    ):
        until_catalogue(service)
        yield service


async def test_what_is_imported_is_registered_and_what_is_removed_goes(
    runs: FlowRuns, service: Service, server: Server
) -> None:
    del runs  # it has registered what the deployment is a copy of
    one = workflow()
    told = {**one.model_dump(mode="json", exclude_defaults=True), "easel_workflow": 1}
    assert service.client.post("/api/v1/workflows", json=told).status_code == 201
    path = f"/deployments/name/generate/{one.name}"
    wait(lambda: server.http.get(path).status_code == 200)
    assert service.client.delete(f"/api/v1/workflows/{one.name}").status_code == 204
    wait(lambda: server.http.get(path).status_code == 404)
