"""One key makes one batch, across repeats, restarts and crashes."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx

from store.generations.acceptance import IdempotencyKey
from tests.api.batch_calls import (
    CSV,
    KEY,
    accepted,
    places,
    post,
    post_json,
)
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import (
    BATCHES,
    Comfy,
    Service,
    assert_problem,
)
from tests.harness.waiting import wait_until


def test_the_same_key_and_manifest_are_one_batch(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    before = service.batch_counts()

    first = post(service, "prompt\na fox\n", key, name="foxes")
    second = post(service, "prompt\na fox\n", key, name="foxes")

    assert accepted(first) == accepted(second)
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert service.batch_counts() == (before[0] + 1, before[1] + 1)


def test_a_repeat_tells_again_which_rows_were_left_out(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    body = "prompt,steps\na fox,20\nan owl,0\n"

    first = post(service, body, key, skip_bad="true")
    second = post(service, body, key, skip_bad="true")

    assert second.headers["idempotency-replayed"] == "true"
    assert [row["row"] for row in first.json()["skipped"]] == [3]
    assert second.json()["skipped"] == first.json()["skipped"]


def test_what_another_version_left_out_is_told_as_it_was_stored(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    body = "prompt,steps\na fox,20\nan owl,0\n"
    first = post(service, body, key, skip_bad="true")
    stored = [{"line": 3, "field": "steps", "why": "too few"}]
    with service.database() as connection:
        connection.execute(
            "UPDATE batches SET skipped = ? WHERE id = ?",
            [json.dumps(stored), UUID(first.json()["batch_id"]).hex],
        )

    second = post(service, body, key, skip_bad="true")

    assert second.status_code == 202
    assert second.json()["skipped"] == stored
    assert second.headers["idempotency-replayed"] == "true"


def test_the_same_key_with_another_manifest_is_refused(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    accepted(post(service, "prompt\na fox\n", key, name="foxes"))
    before = service.batch_counts()

    for body, query in (("prompt\nan owl\n", {"name": "foxes"}), ("prompt\na fox\n", {})):
        assert_problem(post(service, body, key, **query), 422, "idempotency_mismatch")

    assert service.batch_counts() == before


def test_a_repeat_may_ask_for_another_pace(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    first = accepted(post(service, "prompt\na fox\n", key, name="foxes", max_in_flight=2))

    for query in ({"max_in_flight": 8}, {"not_after": "07:00"}, {"stop_after_failures": 1}):
        again = post(service, "prompt\na fox\n", key, name="foxes", **query)
        assert accepted(again) == first
    for query in ({"count": 2}, {"seed": 1}, {"wildcards": "false"}, {"skip_bad": "true"}):
        other = post(service, "prompt\na fox\n", key, name="foxes", **query)
        assert_problem(other, 422, "idempotency_mismatch")
    assert service.batch(first)["options"]["max_in_flight"] == 2


def test_a_manifest_that_was_refused_uses_no_key_up(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    assert places(post(service, "prompt,steps\na fox,0\n", key))

    accepted(post(service, "prompt,steps\na fox,1\n", key))


def test_a_key_of_a_generation_is_free_for_a_batch(service: Service) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    single = service.client.post("/api/v1/generation/create", json={"prompt": "a fox"}, headers=key)
    assert single.status_code == 202

    accepted(post_json(service, key, items=[{"prompt": "a fox"}]))


async def test_twenty_at_once_make_one_batch(service: Service) -> None:
    before = service.batch_counts()
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"items": [{"prompt": f"fox {n}"} for n in range(300)]}
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post(BATCHES, json=body, headers=headers) for _ in range(20))
        )

    made = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["batch_id"] for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 202:
            assert_problem(answer, 409, "idempotency_in_flight")
            assert "retry-after" in answer.headers
    assert service.batch_counts() == (before[0] + 1, before[1] + 300)


def test_a_key_is_known_after_a_restart(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    batch_id = accepted(post_json(service, KEY, items=[{"prompt": "a fox"}], seed=7))

    again = start_service(comfy.url)  # before the catalogue is there, too
    second = post_json(again, KEY, items=[{"prompt": "a fox"}], seed=7)

    assert accepted(second) == batch_id
    assert second.headers["idempotency-replayed"] == "true"
    mismatch = post_json(again, KEY, items=[{"prompt": "a fox"}], seed=8)
    assert_problem(mismatch, 422, "idempotency_mismatch")
    assert again.batch_counts() == (1, 1)


def test_a_key_whose_create_was_killed_yesterday_is_free_again(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    service.worker.half_accept(IdempotencyKey(KEY["Idempotency-Key"], "a" * 64))
    with service.database() as connection:
        connection.execute("UPDATE batches SET created_at = datetime('now', '-1 day')")

    again = start_service(comfy.url)
    until_catalogue(again)

    body: dict[str, Any] = {"items": [{"prompt": "a fox"}]}
    wait_until(lambda: post_json(again, KEY, **body).status_code == 202)
    assert again.batch_counts() == (1, 1)
