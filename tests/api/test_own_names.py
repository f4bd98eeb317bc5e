"""A user's own workflow that had its name before Easel brought one keeps it while it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest

from core.workflows.declaration import Workflow
from tests.api.operations import UPSCALER, a_picture, operating_service, sent
from tests.api.service import BATCHES, CREATE, Service, assert_problem
from tests.comfy.data import TWIN

WORKFLOWS: Final = "/api/v1/workflows"
OWN: Final = Workflow.model_validate(
    {**TWIN.model_dump(mode="json"), "name": "upscale", "title": "My own"}
)
"""It has an input called ``image``; that of Easel's own workflow is called ``init_image``."""


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with operating_service(tmp_path_factory.mktemp("home")) as service:
        service.worker.run(service.worker.store.workflows.add(OWN))
        yield service


def listed(service: Service) -> list[tuple[str, bool]]:
    items = service.get(WORKFLOWS).json()["items"]
    return [(one["name"], one["built_in"]) for one in items]


def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get(f"{WORKFLOWS}/upscale").json()
    return found


def nodes_of(service: Service, task_id: UUID) -> int:
    """How many nodes its graph has."""
    claim = service.worker.start(task_id)
    service.worker.succeed(claim)
    progress = service.status(task_id)["progress"]
    assert isinstance(progress["nodes_total"], int)
    return progress["nodes_total"]


def test_it_is_the_one_that_is_offered_and_used(service: Service) -> None:
    assert listed(service) == [
        ("txt2img", True), ("img2img", True), ("inpaint", True), ("outpaint", True),
        ("edit", True), ("upscale", False),
    ]  # fmt: skip
    assert (document(service)["title"], document(service)["version"]) == ("My own", OWN.version)
    assert "image" in service.get(f"{WORKFLOWS}/upscale/schema").json()["properties"]
    image = sent(service, a_picture())

    made = service.client.post(CREATE, json={"workflow": "upscale", "image": image})

    assert made.status_code == 202, made.text
    assert made.json()["workflow"] == {"name": "upscale", "version": OWN.version}
    assert nodes_of(service, UUID(made.json()["task_id"])) == 2
    unknown = {"workflow": "upscale", "init_image": image}
    assert_problem(service.client.post(CREATE, json=unknown), 422, "invalid_request")
    items = [{"image": image}]
    batch = service.client.post(BATCHES, json={"workflow": "upscale", "items": items})
    assert batch.status_code == 202, batch.text


def test_it_can_be_changed_but_no_other_takes_the_name(service: Service) -> None:
    answered = service.client.put(
        f"{WORKFLOWS}/upscale", json={"title": "Mine"}, headers={"If-Match": f'"{OWN.version}"'}
    )
    assert answered.status_code == 200, answered.text
    assert document(service)["title"] == "Mine"
    exported = service.get(f"{WORKFLOWS}/upscale/export").json()
    for name in ("upscale", "edit", "inpaint"):
        told = service.client.post(WORKFLOWS, json={**exported, "name": name})
        assert_problem(told, 409, "workflow_exists")
    named = service.client.post(WORKFLOWS, json={**exported, "name": "upscale-twice"})
    assert named.status_code == 201, named.text


def test_when_it_is_removed_what_uses_it_goes_on(service: Service) -> None:
    image = sent(service, a_picture())
    before = service.client.post(CREATE, json={"workflow": "upscale", "image": image}).json()
    assert service.client.delete(f"{WORKFLOWS}/upscale").status_code == 204

    assert listed(service)[-1] == ("upscale", True)
    assert document(service)["title"] == "Upscale"
    assert_problem(service.client.delete(f"{WORKFLOWS}/upscale"), 409, "workflow_built_in")
    after = service.create("", workflow="upscale", init_image=image, model=UPSCALER)

    assert nodes_of(service, UUID(before["task_id"])) == 2
    assert after["workflow"]["version"] != OWN.version
    assert nodes_of(service, UUID(after["task_id"])) > 2
