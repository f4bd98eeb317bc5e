"""Artefacts of every kind: in documents, and as bytes that players and browsers can use safely."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.service import Service, assert_problem

MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(5000)


def kept(service: Service, *data: bytes) -> dict[str, Any]:
    task_id = service.created("a fox", seed=7)
    service.worker.finish(task_id, *data)
    result: dict[str, Any] = service.get(service.of(task_id, "result")).json()
    return result


@pytest.fixture(scope="module")
def video(service: Service) -> dict[str, Any]:
    result = kept(service, MP4)
    (output,) = result["outputs"]
    assert result["images"] == []
    found: dict[str, Any] = output
    return found


def test_a_video_in_a_result(video: dict[str, Any]) -> None:
    assert (video["kind"], video["content_type"], video["bytes"]) == (
        *("video", "video/mp4"),
        len(MP4),
    )
    assert video["primary"] is True
    assert (video["poster_url"], video["text"], video["seed"]) == (None, None, 7)


def test_players_ask_for_parts_of_it(service: Service, video: dict[str, Any]) -> None:
    whole = service.get(video["url"])
    assert (whole.status_code, whole.content) == (200, MP4)
    assert whole.headers["content-disposition"] == 'inline; filename="easel-7-1.mp4"'
    part = service.get(video["url"], headers={"Range": "bytes=-10"})
    assert (part.status_code, part.content) == (206, MP4[-10:])
    assert (
        service.get(video["url"], headers={"If-None-Match": whole.headers["etag"]}).content == b""
    )


def test_it_is_no_image_and_has_no_poster(service: Service, video: dict[str, Any]) -> None:
    artefact_id = video["artefact_id"]
    assert_problem(service.get(f"/api/v1/images/{artefact_id}"), 404, "not_found")
    assert_problem(service.get(f"/api/v1/artefacts/{artefact_id}/poster"), 404, "not_found")


def test_images_have_the_same_ids(service: Service) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    result = service.get(service.of(task_id, "result")).json()
    (output,), (image,) = result["outputs"], result["images"]
    assert output["artefact_id"] == image["image_id"]
    assert service.get(output["url"]).content == service.get(image["url"]).content
    assert service.get(output["poster_url"]).headers["content-type"] == "image/webp"


def test_the_history_by_kind(service: Service, video: dict[str, Any]) -> None:
    found = service.get("/api/v1/generation/history?kind=video&limit=100").json()["items"]
    assert video["artefact_id"] in [one["outputs"][0]["artefact_id"] for one in found]
    assert all(one["outputs"][0]["kind"] == "video" for one in found)
    assert service.get("/api/v1/generation/history?kind=model3d").json()["items"] == []
    assert_problem(service.get("/api/v1/generation/history?kind=x"), 422, "invalid_request")
