"""Idempotency-Key: a create that is repeated is answered again, not done again."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CREATE, Comfy, Service, assert_problem
from tests.harness.waiting import wait_until


def _post(service: Service, key: str, body: dict[str, Any]) -> httpx.Response:
    return service.client.post(CREATE, json=body, headers={"Idempotency-Key": key})


def test_the_same_key_and_body_give_the_first_answer(service: Service) -> None:
    key, body = str(uuid4()), {"prompt": "once"}
    before = service.count()
    first, second = _post(service, key, body), _post(service, key, body)

    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert service.count() == before + 1


def test_the_first_answer_stays_when_the_generation_has_moved_on(service: Service) -> None:
    key, body = str(uuid4()), {"prompt": "once, then done"}
    first = _post(service, key, body).json()
    service.worker.finish(UUID(first["task_id"]))

    second = _post(service, key, body)
    assert second.status_code == 202
    assert second.json() == first


def _answer_as_another_version(service: Service, key: str) -> dict[str, Any]:
    """Store the first answer as another version would; what is stored then."""
    with service.database() as connection:
        [(stored,)] = connection.execute(
            "SELECT answer FROM idempotency_keys WHERE key = ?", [key]
        ).fetchall()
        first = json.loads(stored)
        answer = {**first, "cost": 5.2, "request": {**first["request"], "loras": [{"name": "ink"}]}}
        del answer["attempt"], answer["urls"], answer["request"]["sampler"]
        connection.execute(
            "UPDATE idempotency_keys SET answer = ? WHERE key = ?", [json.dumps(answer), key]
        )
    return answer


def test_the_answer_of_another_version_is_given_as_it_was(service: Service) -> None:
    key, body = str(uuid4()), {"prompt": "once", "metadata": {"weight": 0.1, "note": "赤い狐"}}
    first = _post(service, key, body)
    stored = _answer_as_another_version(service, key)

    second = _post(service, key, body)

    assert second.status_code == 202
    assert list(second.json().items()) == list(stored.items())
    for name in ("content-type", "location", "retry-after"):
        assert second.headers[name] == first.headers[name]
    assert second.headers["idempotency-replayed"] == "true"


def test_a_repeat_that_waits_is_given_the_end(service: Service) -> None:
    key, body = str(uuid4()), {"prompt": "once"}
    task_id = UUID(_post(service, key, body).json()["task_id"])
    _answer_as_another_version(service, key)
    service.worker.finish(task_id)

    headers = {"Idempotency-Key": key, "Prefer": "wait=1"}
    response = service.client.post(CREATE, json=body, headers=headers)

    assert response.status_code == 200
    assert response.json() == service.status(task_id)
    assert response.headers["idempotency-replayed"] == "true"
    assert response.headers["preference-applied"] == "wait=1"
    assert "retry-after" not in response.headers


def test_a_repeat_that_waits_for_what_goes_on_is_told_how_it_goes(service: Service) -> None:
    key, body = str(uuid4()), {"prompt": "once"}
    task_id = UUID(_post(service, key, body).json()["task_id"])
    service.worker.start(task_id)

    headers = {"Idempotency-Key": key, "Prefer": "wait=0"}
    response = service.client.post(CREATE, json=body, headers=headers)

    assert response.status_code == 202
    assert response.json()["status"] == "running"
    assert response.headers["idempotency-replayed"] == "true"
    assert response.headers["retry-after"]


def test_the_same_key_with_another_body_is_refused(service: Service) -> None:
    key = str(uuid4())
    _post(service, key, {"prompt": "one"})
    before = service.count()

    response = _post(service, key, {"prompt": "zx81canary"})
    assert_problem(response, 422, "idempotency_mismatch")
    assert "zx81canary" not in response.text
    assert service.count() == before


def test_a_body_that_was_refused_uses_no_key_up(service: Service) -> None:
    key = str(uuid4())
    assert_problem(_post(service, key, {"prompt": ""}), 422, "invalid_request")

    assert _post(service, key, {"prompt": "better"}).status_code == 202


def test_without_a_key_every_create_is_its_own(service: Service) -> None:
    assert service.created("twice") != service.created("twice")


async def test_fifty_at_once_make_one(service: Service) -> None:
    before = service.count()
    headers = {"Idempotency-Key": str(uuid4())}
    async with httpx.AsyncClient(base_url=service.url, timeout=20, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post(CREATE, json={"prompt": "at once"}, headers=headers) for _ in range(50))
        )

    assert {answer.status_code for answer in answers} == {202}
    assert len({json.dumps(answer.json(), sort_keys=True) for answer in answers}) == 1
    assert [a.headers.get("idempotency-replayed") for a in answers].count(None) == 1
    assert service.count() == before + 1


async def test_fifty_bodies_at_once_with_one_key_make_one(service: Service) -> None:
    before = service.count()
    headers = {"Idempotency-Key": str(uuid4())}
    async with httpx.AsyncClient(base_url=service.url, timeout=20, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post(CREATE, json={"prompt": f"{n}"}, headers=headers) for n in range(50))
        )

    assert sorted(answer.status_code for answer in answers) == [202, *[422] * 49]
    assert service.count() == before + 1


def test_a_key_is_known_after_a_restart(start_service: StartService, comfy: Comfy) -> None:
    key, body = "order-42", {"prompt": "across a restart", "seed": 7}
    service = start_service(comfy.url)
    until_catalogue(service)
    first = _post(service, key, body).json()

    again = start_service(comfy.url)
    second = _post(again, key, body)
    assert second.status_code == 202
    assert second.json() == first
    assert_problem(_post(again, key, {"prompt": "other"}), 422, "idempotency_mismatch")
    assert again.count() == 1


def test_a_key_of_255_characters_is_taken(service: Service) -> None:
    key = (str(uuid4()) * 8)[:255]
    first, second = (_post(service, key, {"prompt": "long key"}) for _ in range(2))
    assert first.json()["task_id"] == second.json()["task_id"]


def test_a_known_key_is_answered_though_its_model_is_gone(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    key, body = str(uuid4()), {"prompt": "kept", "model": "painter-xl.safetensors"}
    first = _post(service, key, body)
    assert first.status_code == 202
    comfy.take_checkpoint("painter-xl.safetensors")
    again = start_service(comfy.url)
    gone = "painter-xl.safetensors"
    wait_until(lambda: gone not in again.get("/api/v1/models").text)
    assert_problem(_post(again, str(uuid4()), body), 422, "invalid_request")

    second = _post(again, key, body)

    assert (second.status_code, second.content) == (202, first.content)
    assert second.headers["idempotency-replayed"] == "true"


async def test_a_thousand_at_once_make_one_also_after_a_restart(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    headers, body = {"Idempotency-Key": str(uuid4())}, {"prompt": "a thousand times"}

    first = await _a_thousand(service, headers, body)
    again = start_service(comfy.url)  # before the catalogue is there, too
    second = await _a_thousand(again, headers, body)

    assert {answer.status_code for answer in (*first, *second)} == {202}
    assert len({answer.content for answer in (*first, *second)}) == 1
    made = [answer for answer in first if "idempotency-replayed" not in answer.headers]
    assert len(made) == 1
    assert all(answer.headers["idempotency-replayed"] == "true" for answer in second)
    assert again.count() == 1


async def _a_thousand(
    service: Service, headers: dict[str, str], body: dict[str, Any]
) -> list[httpx.Response]:
    """All of them at once, over 200 connections. A pool's own work grows with its square."""

    async def fifty() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=service.url,
            timeout=60,
            trust_env=False,
            limits=httpx.Limits(max_connections=10),
        ) as client:
            posts = (client.post(CREATE, json=body, headers=headers) for _ in range(50))
            return await asyncio.gather(*posts)

    return [
        answer for some in await asyncio.gather(*(fifty() for _ in range(20))) for answer in some
    ]
