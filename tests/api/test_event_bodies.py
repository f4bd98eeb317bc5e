"""What a receiver is told: the generation or batch as it was at the event, however late it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest

from api.deliveries.bodies import Bodies
from store.callbacks.values import Delivery, DeliveryFilter
from tests.api.conftest import HERE, shared_service
from tests.api.documented import openapi
from tests.api.service import HISTORY, Backstage, Comfy, Service
from tests.harness.receiver import CallbackReceiver

PUBLIC: Final = "https://pictures.example.org/easel"


@pytest.fixture(scope="module")
def service(
    backstage: Backstage, shared_comfy: Comfy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Shared, behind a proxy."""
    home = tmp_path_factory.mktemp("home")
    settings = {"callbacks_to": HERE, "public_url": PUBLIC}
    with shared_service(backstage, shared_comfy, home, **settings) as service:
        yield service


@pytest.fixture
def url(receiver: CallbackReceiver) -> str:
    """Of a receiver that is away."""
    receiver.down()
    return receiver.url


def events(service: Service, of: UUID) -> list[Delivery]:
    """The deliveries of a generation or of a batch alone, in order."""
    store = service.app.state.context.facade.store
    found: list[Delivery] = []
    for wanted in (DeliveryFilter(generation_id=of), DeliveryFilter(batch_id=of)):
        found += service.in_its_loop(store.deliveries.page(wanted, 100, None)).items
    return [one for one in reversed(found) if one.subject == of]


def rendered(service: Service, delivery: Delivery) -> Any:
    context = service.app.state.context
    body = service.in_its_loop(Bodies(context.facade, context.batches)(delivery))
    if body is None:
        return None
    told = json.loads(body)
    assert body == json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    assert_documented_body(told)
    return told


def assert_documented_body(told: dict[str, Any]) -> None:
    assert list(told) == ["type", "timestamp", "data"]
    kind = "GenerationEventDocument" if "task_id" in told["data"] else "BatchEventDocument"
    schema = {"$ref": f"#/components/schemas/{kind}", "components": openapi()["components"]}
    jsonschema.validate(told, schema)


def test_a_success_is_the_item_of_the_history(service: Service, url: str) -> None:
    task_id = service.created("ein roter Fuchs 🦊", callback_url=url, metadata={"order": "42"})
    service.worker.finish(task_id)
    [delivery] = events(service, task_id)

    told = rendered(service, delivery)

    assert told["type"] == "generation.succeeded"
    assert datetime.fromisoformat(told["timestamp"]) == delivery.created_at
    [item] = service.get(HISTORY, params={"limit": 1}).json()["items"]
    assert told["data"] == item
    [image] = told["data"]["images"]
    assert image["url"].startswith(f"{PUBLIC}/api/v1/images/")
    assert told["data"]["urls"]["result"].startswith(PUBLIC)
    assert told["data"]["callback"]["host"] == delivery.host
    assert "zx81canary" not in json.dumps(told)


def test_a_failure_that_was_retried_since_is_told_as_it_was(service: Service, url: str) -> None:
    task_id = service.created(callback_url=url)
    service.worker.fail(service.worker.start(task_id))
    then = service.status(task_id)
    assert service.client.post(service.of(task_id, "retry")).status_code == 202
    service.worker.progress(service.worker.start(task_id), 50)
    now = service.status(task_id)
    assert (now["status"], now["attempt"], now["error"]) == ("running", 2, None)
    [delivery] = events(service, task_id)

    data = rendered(service, delivery)["data"]

    assert (data["status"], data["attempt"]) == ("failed", 1)
    assert data == {**then, "outputs": [], "images": []}


def test_a_failure_that_succeeded_since_has_no_images(service: Service, url: str) -> None:
    task_id = service.created(callback_url=url)
    service.worker.fail(service.worker.start(task_id))
    assert service.client.post(service.of(task_id, "retry")).status_code == 202
    service.worker.finish(task_id)

    failed, succeeded = (rendered(service, one)["data"] for one in events(service, task_id))

    assert (failed["status"], failed["images"]) == ("failed", [])
    assert (succeeded["status"], len(succeeded["images"])) == ("succeeded", 1)
    assert failed["sequence"] < succeeded["sequence"]


def test_a_start_is_told_without_estimates(service: Service, url: str) -> None:
    asked = ["generation.running", "generation.cancelled"]
    task_id = service.created(callback_url=url, callback_events=asked)
    claim = service.worker.start(task_id)
    service.client.post(service.of(task_id, "cancel"))
    service.worker.cancel(claim)

    start, end = (rendered(service, one)["data"] for one in events(service, task_id))

    assert (start["status"], start["finished_at"]) == ("running", None)
    assert start["queue_position"] is start["eta_s"] is start["waiting"] is None
    assert (end["status"], end["images"]) == ("cancelled", [])


def test_a_batch_is_told_as_it_was(service: Service, url: str) -> None:
    asked = ["batch.running", "batch.failed"]
    batch_id = service.created_batch("a fox", "an owl", callback_url=url, callback_events=asked)
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(first)
    service.worker.fail(service.worker.start(second))
    service.worker.end_batch(batch_id, "failed")
    ended = service.batch(batch_id)
    service.client.post(f"/api/v1/batches/{batch_id}/retry-failed")
    assert service.batch(batch_id)["status"] != "failed"

    start, end = (rendered(service, one) for one in events(service, batch_id))

    assert (start["type"], end["type"]) == ("batch.running", "batch.failed")
    assert (start["data"]["status"], start["data"]["finished_at"]) == ("running", None)
    told = ("status", "error", "started_at", "finished_at", "callback", "urls", "options")
    assert {name: end["data"][name] for name in told} == {name: ended[name] for name in told}
    assert end["data"]["callback"]["events"] == asked
    for each in (start, end):
        assert each["data"]["eta_s"] is each["data"]["waiting"] is None


def test_of_what_is_deleted_nothing_is_told(service: Service, url: str) -> None:
    task_id = service.created(callback_url=url)
    service.worker.finish(task_id)
    [delivery] = events(service, task_id)
    service.client.delete(f"/api/v1/generation/{task_id}")

    assert rendered(service, delivery) is None


@pytest.mark.parametrize("odd", ["null", "[1]", '{"status": {"a": 1}, "other": 2}'])
def test_a_snapshot_of_another_version_is_left_out(service: Service, url: str, odd: str) -> None:
    task_id = service.created(callback_url=url)
    service.worker.finish(task_id)
    with service.database() as database:
        database.execute(
            "UPDATE deliveries SET snapshot = ? WHERE generation_id = ?", (odd, task_id.hex)
        )
    [delivery] = events(service, task_id)

    assert rendered(service, delivery)["data"]["status"] == "succeeded"
