"""A disk that is nearly full takes nothing new, and keeps what was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.disk import DiskReserve, look
from core.settings import Settings
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import CREATE, Comfy, assert_problem

ABSURD_MB = 10**9
KEY = {"Idempotency-Key": "order-42"}


def test_a_full_disk_refuses_creates_and_says_why(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url, reserve_mb=ABSURD_MB)
    until_catalogue(service)

    refused = service.client.post(CREATE, json={"prompt": "zx81canary"}, headers=KEY)

    found = assert_problem(refused, 503, "disk_full")
    assert refused.headers["retry-after"] == "30"
    assert f"{ABSURD_MB} MB must be" in found["detail"]
    assert "EASEL_STORE__RESERVE_MB" in found["detail"]
    assert "MB are free" in found["detail"]
    assert service.count() == 0
    parts = {part["name"]: part for part in service.get("/readyz").json()["parts"]}
    assert parts["disk"]["ok"] is False
    assert _but_for_the_free(parts["disk"]["detail"]) == _but_for_the_free(found["detail"])
    assert parts["store"]["ok"] is True


def _but_for_the_free(detail: str) -> str:
    """Others write on the same disk."""
    return detail.partition(" MB")[2]


def test_what_was_promised_is_still_answered(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    body = {"prompt": "before it was full"}
    first = service.client.post(CREATE, json=body, headers=KEY)
    assert first.status_code == 202
    task_id = first.json()["task_id"]

    full = start_service(comfy.url, reserve_mb=ABSURD_MB)
    again = full.client.post(CREATE, json=body, headers=KEY)

    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert_problem(
        full.client.post(CREATE, json={"prompt": "other"}, headers=KEY), 422, "idempotency_mismatch"
    )
    assert full.get(f"/api/v1/generation/status/{task_id}").status_code == 200
    assert full.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    assert_problem(full.client.post(CREATE, json=body, headers=KEY), 410, "deleted")
    assert_problem(full.client.post(CREATE, json=body), 503, "disk_full")


def test_with_room_it_is_taken(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url, reserve_mb=1)
    until_catalogue(service)

    assert service.create()["status"] == "queued"


def test_the_images_disk_counts_only_when_it_is_here() -> None:
    here = Settings.model_validate({"home": "/data/easel", "store": {"images_url": "/mnt/images"}})
    away = Settings.model_validate({"home": "/data/easel", "store": {"images_url": "s3://bucket"}})

    assert here.local_folders == (Path("/data/easel"), Path("/mnt/images"))
    assert away.local_folders == (Path("/data/easel"),)


async def test_a_folder_that_is_not_there_yet_has_the_room_above_it(tmp_path: Path) -> None:
    there, not_yet = look([tmp_path], 0), look([tmp_path / "images" / "more"], 0)
    assert there is not None
    assert not_yet is not None
    assert there.free == pytest.approx(not_yet.free, rel=0.2)
    assert there.is_enough

    room = await DiskReserve([tmp_path], ABSURD_MB).room()
    assert room is not None
    assert not room.is_enough
    assert room.folder == tmp_path
