"""Callbacks of creates: what is taken, what is refused, and that a receiver's URL is not shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import pytest

from tests.api.conftest import HERE, StartService, until_catalogue
from tests.api.service import CREATE, Comfy, Service, assert_problem

URL: Final = "https://shop.example/easel?token=zx81canary"
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
