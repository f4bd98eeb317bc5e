"""An object store for the pictures that goes away is named, by the API and by `easel doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cli.doctor import diagnosis
from core.settings import Settings
from tests.api.conftest import StartService
from tests.api.service import Comfy, Service
from tests.harness.s3 import S3Server
from tests.harness.waiting import wait_until


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setattr("api.storage.LOOK_EVERY_S", 0.1)
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def part_of(service: Service) -> dict[str, Any] | None:
    parts = service.get("/readyz").json()["parts"]
    return next((part for part in parts if part["name"] == "storage"), None)


def test_readyz_names_a_storage_that_is_away(
    start_service: StartService, comfy: Comfy, s3: S3Server
) -> None:
    service = start_service(comfy.url, images_url=s3.url)
    assert part_of(service) == {"name": "storage", "ok": True, "detail": s3.url}

    with s3.away():
        gone = wait_until(lambda: _if_ok(service, ok=False), "it to be noticed")
        assert gone["detail"].startswith(f"{s3.url}: ")
        assert service.get("/readyz").status_code == 503

    wait_until(lambda: _if_ok(service, ok=True), "it to be noticed that it is back")


def _if_ok(service: Service, *, ok: bool) -> dict[str, Any]:
    part = part_of(service)
    return part if part is not None and part["ok"] is ok else {}


def test_a_local_folder_is_no_storage_of_its_own(service: Service) -> None:
    assert part_of(service) is None


async def test_the_doctor_names_it_too(s3: S3Server) -> None:
    settings = Settings.model_validate({"store": {"images_url": s3.url}})
    [well] = await diagnosis.storage(settings)
    assert (well.ok, well.detail) == (True, s3.url)

    s3.has_bucket = False
    [gone] = await diagnosis.storage(settings)
    assert not gone.ok
    assert "NoSuchBucket" in gone.detail
    assert "EASEL_STORE__IMAGES_URL" in gone.advice

    folder = Settings.model_validate({"store": {"images_url": "/mnt/images"}})
    assert await diagnosis.storage(folder) == []
