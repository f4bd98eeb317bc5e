"""Batches and their items page by page, and how each stands."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import pytest

from core.problems import problem
from store.generations.acceptance import IdempotencyKey
from tests.api.batch_calls import (
    CANARY,
)
from tests.api.conftest import StartService
from tests.api.service import (
    BATCHES,
    Comfy,
    Service,
    assert_problem,
)
from tests.harness.waiting import wait_until

# --- pages


def test_batches_are_listed_newest_first(service: Service) -> None:
    made = [str(service.created_batch("a fox", name=f"batch {n}")) for n in range(6)]
    seen: list[dict[str, Any]] = []
    cursor: str | None = None

    for _ in range(3):
        query: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = service.get(BATCHES, params=query).json()
        assert len(page["items"]) == 2
        seen += page["items"]
        cursor = page["next_cursor"]

    assert [item["batch_id"] for item in seen] == made[::-1]
    assert [item["name"] for item in seen][:2] == ["batch 5", "batch 4"]
    newest = UUID(made[5])
    one = {"limit": 1}
    wait_until(lambda: service.get(BATCHES, params=one).json()["items"][0] == service.batch(newest))


def test_a_batch_that_is_being_accepted_is_not_shown(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    half = service.worker.half_accept(IdempotencyKey("k", "a" * 64))

    assert service.get(BATCHES).json() == {
        "items": [],
        "next_cursor": None,
        "previous_cursor": None,
    }
    for path in ("", "/items", "/results.zip", "/contact-sheet"):
        assert_problem(service.get(f"{BATCHES}/{half}{path}"), 404, "not_found")
    for change in ("cancel", "pause", "resume", "retry-failed"):
        response = service.client.post(f"{BATCHES}/{half}/{change}")
        assert_problem(response, 404, "not_found")


def test_items_come_page_by_page(service: Service) -> None:
    batch_id = service.created_batch(*[f"fox {n}" for n in range(7)])
    first = service.get(f"{BATCHES}/{batch_id}/items", params={"limit": 5}).json()
    second = service.get(
        f"{BATCHES}/{batch_id}/items", params={"limit": 5, "cursor": first["next_cursor"]}
    ).json()

    found = [item["request"]["prompt"] for item in first["items"] + second["items"]]
    assert found == [f"fox {n}" for n in range(7)]
    assert second["next_cursor"] is None
    back = {"limit": 5, "cursor": second["previous_cursor"]}
    assert service.get(f"{BATCHES}/{batch_id}/items", params=back).json() == first


def test_items_by_status(service: Service) -> None:
    batch_id = service.created_batch("0", "1", "2", "3")
    children = service.worker.begin_batch(batch_id, 3)
    service.worker.finish(children[0])
    service.worker.fail(service.worker.start(children[2]))

    def positions(*status: str) -> list[int]:
        return [item["position"] for item in service.items(batch_id, status=list(status))]

    assert positions("succeeded") == [0]
    assert positions("failed", "queued") == [1, 2]
    assert positions("cancelled") == []


PAGES: Final = (
    ("limit=0", 422, "invalid_request"),
    ("limit=101", 422, "invalid_request"),
    (f"limit={CANARY}", 422, "invalid_request"),
    ("offset=1", 422, "invalid_request"),
    (f"cursor={CANARY}", 400, "invalid_cursor"),
    ("cursor=", 400, "invalid_cursor"),
    ("cursor=ZzU", 400, "invalid_cursor"),
    (f"cursor={'g' * 101}", 422, "invalid_request"),
)


@pytest.mark.parametrize(("query", "status", "code"), PAGES)
def test_a_bad_page_is_refused(service: Service, query: str, status: int, code: str) -> None:
    batch_id = service.created_batch("a fox")

    for path in (BATCHES, f"{BATCHES}/{batch_id}/items"):
        response = service.get(f"{path}?{query}")
        assert_problem(response, status, code)
        assert CANARY not in response.text


def test_an_unknown_status_is_refused(service: Service) -> None:
    batch_id = service.created_batch("a fox")

    for status in (CANARY, "paused"):
        response = service.get(f"{BATCHES}/{batch_id}/items", params={"status": status})
        assert_problem(response, 422, "invalid_request")
    assert_problem(service.get(f"{BATCHES}?status=queued"), 422, "invalid_request")


# --- how it goes


def test_a_batch_says_how_it_stands(service: Service) -> None:
    batch_id = service.created_batch("0", "1", "2", "3", "4")
    children = service.worker.begin_batch(batch_id, 4)
    service.worker.finish(children[0])
    service.worker.fail(service.worker.start(children[1]))
    service.worker.start(children[2])

    now = service.batch(batch_id)

    assert now["status"] == "running"
    assert now["counts"] == {
        "waiting": 1,
        "queued": 1,
        "running": 1,
        "cancelling": 0,
        "succeeded": 1,
        "failed": 1,
        "cancelled": 0,
        "deleted": 0,
    }
    assert now["percent"] == 40.0
    assert now["started_at"] is not None
    assert now["gpu_seconds"] >= 0


def test_a_deleted_generation_is_counted_and_its_words_are_gone(service: Service) -> None:
    batch_id = service.created_batch(CANARY, "an owl")
    [child] = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(child)

    assert service.client.delete(f"/api/v1/generation/{child}").status_code == 204

    counts = service.batch(batch_id)["counts"]
    assert (counts["deleted"], counts["succeeded"]) == (1, 0)
    deleted, other = service.items(batch_id)
    assert (deleted["request"], deleted["generation"], deleted["images"]) == (None, None, [])
    assert other["request"]["prompt"] == "an owl"
    archive = service.get(f"{BATCHES}/{batch_id}/results.zip").content
    assert CANARY.encode() not in archive


def test_how_it_ended_is_said(service: Service) -> None:
    batch_id = service.created_batch("a fox")
    service.worker.begin_batch(batch_id)
    why = problem("too_many_failures", "1 generation failed, and it stops after 1.")
    service.worker.end_batch(batch_id, "failed", why)

    now = service.batch(batch_id)

    assert (now["status"], now["error"]["code"]) == ("failed", "too_many_failures")
    assert now["finished_at"] is not None
    assert (now["eta_s"], now["waiting"]) == (None, None)
