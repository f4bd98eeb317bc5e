"""The history: pages, filters, and text that is only text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CHECKPOINTS, HISTORY, Comfy, Service, assert_problem


def _ids(service: Service, **params: Any) -> list[str]:
    response = service.get(HISTORY, params=params)
    assert response.status_code == 200, response.text
    return [item["task_id"] for item in response.json()["items"]]


def _made(service: Service, count: int, tag: str, **more: Any) -> list[str]:
    """Some generations, oldest first; ``tag`` is in their prompts."""
    return [service.create(f"{tag} {number}", **more)["task_id"] for number in range(count)]


def _tag() -> str:
    return f"tag{uuid4().hex}"


def test_pages_go_from_the_newest_to_the_oldest(service: Service) -> None:
    tag = _tag()
    made = _made(service, 7, tag)
    pages, cursor = [], None
    while True:
        params: dict[str, Any] = {"q": tag, "limit": 3}
        page = service.get(
            HISTORY, params={**params, "cursor": cursor} if cursor else params
        ).json()
        pages.append([item["task_id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # What comes meanwhile moves nothing.
        service.create(f"{tag} late")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [task_id for page in pages for task_id in page] == made[::-1]


def test_a_full_last_page_has_no_next(service: Service) -> None:
    tag = _tag()
    _made(service, 2, tag)
    assert service.get(HISTORY, params={"q": tag, "limit": 2}).json()["next_cursor"] is None


def test_twenty_unless_said_otherwise(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    assert service.get(HISTORY).json() == {
        "items": [],
        "next_cursor": None,
        "previous_cursor": None,
    }
    made = _made(service, 21, "many")

    assert _ids(service) == made[:0:-1]
    assert _ids(service, limit=100) == made[::-1]
    assert _ids(service, limit=1) == made[-1:]


def test_items_are_status_documents_with_pictures(service: Service) -> None:
    tag = _tag()
    (task_id,) = _made(service, 1, tag)
    service.worker.finish(UUID(task_id))

    (item,) = service.get(HISTORY, params={"q": tag}).json()["items"]
    (image,) = item.pop("images")
    result = service.get(item["urls"]["result"]).json()
    assert item.pop("outputs") == result["outputs"]
    assert item == service.status(UUID(task_id))
    assert image == result["images"][0]


def test_by_status(service: Service) -> None:
    tag = _tag()
    waiting, done, failed = _made(service, 3, tag)
    service.worker.finish(UUID(done))
    service.worker.fail(service.worker.start(UUID(failed)))

    assert _ids(service, q=tag, status="queued") == [waiting]
    assert _ids(service, q=tag, status="succeeded") == [done]
    assert _ids(service, q=tag, status=["failed", "succeeded"]) == [failed, done]
    assert _ids(service, q=tag, status="cancelled") == []


def test_by_model(service: Service) -> None:
    tag = _tag()
    (small,) = _made(service, 1, tag, model=CHECKPOINTS[0])
    (large,) = _made(service, 1, tag, model=CHECKPOINTS[1])

    assert _ids(service, q=tag, model=CHECKPOINTS[0]) == [small]
    assert _ids(service, q=tag, model=CHECKPOINTS[1]) == [large]
    assert _ids(service, q=tag, model="%") == []


def test_by_time(service: Service) -> None:
    tag = _tag()
    first, second = (service.create(f"{tag} {number}") for number in range(2))
    between = second["created_at"]
    assert first["created_at"] < between

    assert _ids(service, q=tag, created_after=between) == [second["task_id"]]
    assert _ids(service, q=tag, created_before=between) == [first["task_id"]]
    elsewhere = datetime.fromisoformat(between) + timedelta(0)
    tokyo = (elsewhere + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%S.%f+09:00")
    assert _ids(service, q=tag, created_after=tokyo) == [second["task_id"]]
    unescaped = service.get(f"{HISTORY}?created_after={tokyo}")
    found = assert_problem(unescaped, 422, "invalid_request")
    assert found["errors"][0]["message"] == "a + in a URL must be written %2B"
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert _ids(service, q=tag, created_after=later) == []
    assert _ids(service, q=tag, created_after="0001-01-01T00:00:00Z") == [
        second["task_id"],
        first["task_id"],
    ]


def test_by_batch(service: Service) -> None:
    tag = _tag()
    _made(service, 1, tag)
    assert _ids(service, q=tag, batch_id=str(uuid4())) == []


@pytest.mark.parametrize("literal", ["100%", "a_b", "%_%", "back\\slash", "'quoted'", '"', "[x]"])
def test_no_text_is_special(service: Service, literal: str) -> None:
    tag = _tag()
    found = service.create(f"{tag} {literal} end")["task_id"]
    service.create("end")

    assert _ids(service, q=f"{tag} {literal}") == [found]


def test_words_are_looked_for_in_any_order(service: Service) -> None:
    tag = _tag()
    fox = service.create(f"{tag} foxes at dawn", negative_prompt="watermark")["task_id"]
    snow = service.create(f"{tag} snow at dawn")["task_id"]

    assert _ids(service, q=f"dawn {tag}") == [snow, fox]
    assert _ids(service, q=f"dawn fox {tag}") == [fox]
    assert _ids(service, q=f"{tag} -snow") == [fox]
    assert _ids(service, q=f'{tag} "at dawn" snow') == [snow]
    assert _ids(service, q=f"{tag} watermark") == [fox]


def test_text_is_looked_for_in_any_case(service: Service) -> None:
    tag = _tag()
    (task_id,) = _made(service, 1, f"{tag} A Red FOX")
    assert _ids(service, q=f"{tag.upper()} a red fox") == [task_id]


def test_the_deleted_are_not_in_it(service: Service) -> None:
    tag = _tag()
    gone, kept = _made(service, 2, tag)
    service.client.delete(f"/api/v1/generation/{gone}")
    assert _ids(service, q=tag) == [kept]
