"""Callbacks of creates: what is taken, what is refused, and that a receiver's URL is not shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from tests.api.conftest import HERE, StartService, until_catalogue
from tests.api.documented import openapi
from tests.api.service import BATCHES, CREATE, DELIVERIES, Comfy, Service, assert_problem
from tests.harness.receiver import CallbackReceiver, answers
from tests.harness.waiting import wait_until

CANARY: Final = "zx81canary"
URL: Final = f"https://shop.example/easel?token={CANARY}"
ENDS: Final = ["generation.succeeded", "generation.failed", "generation.cancelled"]


@pytest.fixture
def shop(service: Service) -> Iterator[str]:
    """A stored callback."""
    service.worker.run(service.worker.store.callbacks.add("shop", URL))
    yield "shop"
    service.worker.run(service.worker.store.callbacks.remove("shop"))


def _stored(service: Service, task_id: UUID) -> Any:
    with service.database() as database:
        (found,) = database.execute(
            "SELECT callback FROM generations WHERE id = ?", (task_id.hex,)
        ).fetchone()
    return found and json.loads(found)


def test_a_callback_is_stored_beside_the_request(service: Service) -> None:
    document = service.create(callback_url=URL)

    assert document["request"]["callback_url"] is None
    stored = _stored(service, UUID(document["task_id"]))
    assert stored == {"url": URL, "name": None, "events": ENDS}


def test_a_stored_callback_is_taken_by_its_name(service: Service, shop: str) -> None:
    document = service.create(callback=shop, callback_events=["generation.running", *ENDS[:1]])

    stored = _stored(service, UUID(document["task_id"]))
    assert stored == {"url": None, "name": shop, "events": ["generation.running", ENDS[0]]}


def test_a_name_that_is_not_stored_is_told_with_one_that_is(service: Service, shop: str) -> None:
    before = service.count()
    response = service.client.post(CREATE, json={"prompt": "a fox", "callback": "shpo"})

    [problem] = assert_problem(response, 422, "invalid_request")["errors"]
    assert (problem["loc"], problem["code"]) == (["callback"], "unknown_callback")
    assert shop in problem["message"]
    assert service.count() == before


def test_an_address_of_the_home_is_refused_with_the_setting_that_allows_it(
    service: Service,
) -> None:
    body = {"prompt": "a fox", "callback_url": "http://192.168.1.7:8000/x"}
    [problem] = assert_problem(service.client.post(CREATE, json=body), 422, "invalid_request")[
        "errors"
    ]

    assert (problem["loc"], problem["code"]) == (["callback_url"], "address_not_allowed")
    assert "EASEL_WEBHOOKS__ALLOW='[\"192.168.1.7\"]'" in problem["message"]


def test_an_address_that_is_allowed_is_taken(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url, callbacks_to=HERE)
    until_catalogue(service)

    service.create(callback_url="http://127.0.0.1:8000/x")


def test_a_create_with_a_url_costs_no_statement_more(service: Service, shop: str) -> None:
    def statements(**more: Any) -> int:
        counted = []
        for _ in range(5):  # what is read at intervals is read in some of them
            with service.statements() as seen:
                service.create(**more)
            counted.append(len(seen))
        return min(counted)

    without = statements()
    assert statements(callback_url=URL) == without
    assert statements(callback=shop) == without + 1


BATCH_EVENTS_ASKED: Final = ["batch.running", "batch.failed", "generation.succeeded"]


LEFT_OUT = ("schedule", "image_id", "artefact_id")


def _everything(service: Service, tasks: list[UUID], batches: list[UUID]) -> Iterator[str]:
    """The path of every answer to a GET."""
    deliveries = [one["delivery_id"] for one in service.deliveries(limit=100)]
    ids = {"task_id": tasks, "batch_id": batches, "delivery_id": deliveries}
    for path, methods in openapi()["paths"].items():
        if "get" not in methods or any(one in path for one in LEFT_OUT):
            continue
        named = [name for name in ids if f"{{{name}}}" in path]
        if named:
            [name] = named
            yield from (path.format(**{name: one}, number=1) for one in ids[name])
        else:
            yield path
    yield "/openapi.json"
    yield "/docs"


def test_the_url_and_the_secret_are_shown_nowhere(
    start_service: StartService,
    comfy: Comfy,
    receiver: CallbackReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The token in the receiver's URL is the canary; so are the secret and a stored callback."""
    caplog.set_level(logging.INFO)
    service = start_service(comfy.url, callbacks_to=HERE)
    until_catalogue(service)
    store, run = service.worker.store, service.worker.run
    [secret] = run(store.secrets.valid())
    run(store.callbacks.add("shop", receiver.url))
    receiver.script = [answers(500), answers(410), answers()]
    answered: list[httpx.Response] = []

    def post(path: str, **more: Any) -> dict[str, Any]:
        response = service.client.post(path, **more)
        answered.append(response)
        document: dict[str, Any] = response.json()
        return document

    url, key = receiver.url, {"Idempotency-Key": "a key"}
    body = {"prompt": "a fox", "callback_url": url}
    tasks = [UUID(post(CREATE, json=body, headers=key)["task_id"]) for _ in range(2)]  # a replay
    tasks.append(UUID(post(CREATE, json={"prompt": "an owl", "callback": "shop"})["task_id"]))
    for refused in ("ftp://", "http://10.0.0.1/", "https://u:p@h/", f"{url}#"):
        post(CREATE, json={**body, "callback_url": f"{refused}{CANARY}"})
    for task_id in dict.fromkeys(tasks):
        service.worker.finish(task_id)
    batch = {
        "items": [{"prompt": "a fox"}, {"prompt": "a hen", "callback_url": url}],
        "callback_url": url,
        "callback_events": BATCH_EVENTS_ASKED,
    }
    post(BATCHES, json=batch, params={"dry_run": "true"})
    post(BATCHES, json={**batch, "items": [{"prompt": "", "callback_url": f"ftp://{CANARY}"}]})
    batches = [UUID(post(BATCHES, json=batch, headers=key)["batch_id"]) for _ in range(2)]
    rows = f"prompt,callback_url\na fox,{url}\na hen,{url}#{CANARY}\n"
    csv = {"content": rows.encode(), "headers": {"Content-Type": "text/csv"}}
    from_file = {"callback_url": url, "skip_bad": "true"}
    batches.append(UUID(post(BATCHES, params=from_file, **csv)["batch_id"]))
    for batch_id in dict.fromkeys(batches):
        made = service.worker.begin_batch(batch_id, 1)
        service.worker.finish(made[0])
        service.worker.end_batch(batch_id, "failed")
    wait_until(lambda: len(receiver.requests) > 2)
    wait_until(lambda: service.deliveries(state="failed"))
    for one in service.deliveries():
        post(f"{DELIVERIES}/{one['delivery_id']}/redeliver")

    answered += [service.get(path) for path in _everything(service, tasks, batches)]
    answered += [
        service.client.delete(f"/api/v1/generation/{task_id}") for task_id in dict.fromkeys(tasks)
    ]

    for response in answered:
        said = f"{response.headers} {response.text}"
        assert CANARY not in said, (response.request.url.path, said)
        assert secret not in said
        assert secret.removeprefix("whsec_") not in said
    # The test's own client logs the URLs that it asks for.
    logged = [caplog.handler.format(one) for one in caplog.records if one.name != "httpx"]
    assert any("delivery" in line for line in logged)
    for line in logged:
        assert CANARY not in line
        assert secret.removeprefix("whsec_") not in line


def test_an_error_of_the_database_is_logged_without_the_url(
    start_service: StartService, comfy: Comfy, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    with service.database() as database:
        database.execute("CREATE UNIQUE INDEX one_only ON generations (status)")
    service.create()

    response = service.client.post(CREATE, json={"prompt": "a fox", "callback_url": URL})

    assert_problem(response, 500, "internal_error")
    assert "UNIQUE constraint failed" in caplog.text
    assert CANARY not in caplog.text
