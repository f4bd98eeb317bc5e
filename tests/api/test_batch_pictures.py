"""The pictures of a batch: one archive, and contact sheets."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image as Pillow

from core.batches.request import BatchOptions
from tests.api.batch_calls import (
    CSV,
    accepted,
    post,
    requests,
)
from tests.api.service import (
    BATCHES,
    NODE_FAILED_DETAIL,
    Service,
    assert_problem,
    png,
)


def archive_of(service: Service, batch_id: UUID) -> zipfile.ZipFile:
    response = service.get(f"{BATCHES}/{batch_id}/results.zip")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    return archive


def results_of(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read("results.jsonl").decode().splitlines()]


def test_all_pictures_are_one_archive(service: Service) -> None:
    batch_id = service.created_batch(
        items=[
            {"prompt": "a red fox, at dawn", "metadata": {"order": "17"}},
            {"prompt": "ein Fuchs & ../../etc/passwd " + "x" * 100},
            {"prompt": "🦊"},
            {"prompt": "later"},
        ]
    )
    children = service.worker.begin_batch(batch_id, 3)
    red, blue, green = png(color="red"), png(color="blue"), png(color="green")
    service.worker.finish(children[0], red, blue)
    service.worker.finish(children[2], green)
    service.worker.fail(service.worker.start(children[1]))

    archive = archive_of(service, batch_id)

    assert archive.namelist() == [
        "00001-a-red-fox-at-dawn.png",
        "00001-2-a-red-fox-at-dawn.png",
        "00003.png",
        "results.jsonl",
    ]
    assert [archive.read(name) for name in archive.namelist()[:3]] == [red, blue, green]
    results = results_of(archive)
    assert [line["position"] for line in results] == [0, 1, 2, 3]
    assert [line["row"] for line in results] == [1, 2, 3, 4]
    assert [line["status"] for line in results] == ["succeeded", "failed", "succeeded", "waiting"]
    assert [line["error"] for line in results] == [None, NODE_FAILED_DETAIL, None, None]
    assert [line["files"] for line in results] == [
        archive.namelist()[:2],
        [],
        archive.namelist()[2:3],
        [],
    ]
    assert [line["request"] for line in results] == requests(service, batch_id)
    assert results[0]["request"]["metadata"] == {"order": "17"}
    assert results[0]["task_id"] == str(children[0])


def test_a_name_in_the_archive_leads_nowhere_else(service: Service) -> None:
    batch_id = service.created_batch("../../../etc/passwd", "C:\\Windows\\x", "a\nb\x1bc", "..")
    for child in service.worker.begin_batch(batch_id, 4):
        service.worker.finish(child)

    names = archive_of(service, batch_id).namelist()

    assert names == [
        "00001-etc-passwd.png",
        "00002-C-Windows-x.png",
        "00003-a-b-c.png",
        "00004.png",
        "results.jsonl",
    ]


def test_an_archive_before_anything_was_made_is_one_too(service: Service) -> None:
    batch_id = service.created_batch("a fox")

    archive = archive_of(service, batch_id)

    assert archive.namelist() == ["results.jsonl"]
    assert [line["status"] for line in results_of(archive)] == ["waiting"]


def test_an_archive_has_every_page_of_items(service: Service) -> None:
    batch_id = service.created_batch(defaults={"prompt": "a fox"}, count=230)
    children = service.worker.begin_batch(batch_id, 230)
    for place in (0, 99, 100, 229):
        service.worker.finish(children[place])

    archive = archive_of(service, batch_id)

    assert archive.namelist()[:-1] == [f"{number:05}-a-fox.png" for number in (1, 100, 101, 230)]
    assert [line["position"] for line in results_of(archive)] == list(range(230))


@pytest.mark.parametrize(
    ("name", "plain", "encoded"),
    [
        ("foxes", "foxes.zip", "foxes.zip"),
        ("Füchse 🦊", "F_chse -.zip", "F%C3%BCchse%20-.zip"),
        ('a"b/../c\r\nX: y', "a-b-..-c X- y.zip", "a-b-..-c%20X-%20y.zip"),
        ("...", "batch.zip", "batch.zip"),
        ("x" * 200, f"{'x' * 80}.zip", f"{'x' * 80}.zip"),
    ],
)
def test_an_archive_is_named_like_its_batch(
    service: Service, name: str, plain: str, encoded: str
) -> None:
    batch_id = service.created_batch("a fox", name=name)

    response = service.get(f"{BATCHES}/{batch_id}/results.zip")

    assert response.headers["content-disposition"] == (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "x" not in response.headers


def test_a_picture_that_is_gone_is_left_out_of_the_archive(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    first, second = service.worker.begin_batch(batch_id, 2)
    [lost] = service.worker.finish(first)
    service.worker.finish(second)
    (service.home / "images" / lost.path).unlink()

    archive = archive_of(service, batch_id)

    assert archive.namelist() == ["00002-an-owl.png", "results.jsonl"]
    assert [line["files"] for line in results_of(archive)] == [[], ["00002-an-owl.png"]]


def sheet_of(service: Service, batch_id: UUID, **headers: str) -> httpx.Response:
    return service.get(f"{BATCHES}/{batch_id}/contact-sheet", headers=headers)


def test_a_contact_sheet_shows_what_is_finished(service: Service) -> None:
    batch_id = service.created_batch("0", "1", "2")
    first, second, _ = service.worker.begin_batch(batch_id, 3)
    assert_problem(sheet_of(service, batch_id), 404, "not_found")

    service.worker.finish(first, png(color="red"), png(color="blue"))
    one = sheet_of(service, batch_id)
    service.worker.finish(second, png(640, 64, color="lime"))
    two = sheet_of(service, batch_id)

    assert (one.status_code, one.headers["content-type"]) == (200, "image/jpeg")
    with Pillow.open(io.BytesIO(one.content)) as picture:
        small = picture.size
        assert _is_like(picture, (small[0] // 2, small[1] // 2), (255, 0, 0))
    with Pillow.open(io.BytesIO(two.content)) as picture:
        assert picture.width > small[0]
        right = (picture.width - small[0] // 2, picture.height // 2)
        assert _is_like(picture, right, (0, 255, 0))
    assert one.headers["etag"] != two.headers["etag"]


def _is_like(picture: Pillow.Image, place: tuple[int, int], color: tuple[int, int, int]) -> bool:
    found = picture.convert("RGB").getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(one - other) < 40 for one, other in zip(found, color, strict=True))


def test_a_contact_sheet_that_is_unchanged_is_not_sent_again(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    first, second = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(first)
    etag = sheet_of(service, batch_id).headers["etag"]

    again = sheet_of(service, batch_id, **{"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)

    service.worker.finish(second)
    assert sheet_of(service, batch_id, **{"If-None-Match": etag}).status_code == 200


def test_a_contact_sheet_has_a_gap_for_a_damaged_thumbnail(service: Service) -> None:
    batch_id = service.created_batch("a fox")
    [child] = service.worker.begin_batch(batch_id, 1)
    [kept] = service.worker.finish(child)
    (service.home / "images" / kept.paths[1]).write_bytes(b"damaged")

    assert sheet_of(service, batch_id).status_code == 200


def test_a_hundred_pictures_are_on_each_sheet(service: Service) -> None:
    batch_id = service.created_batch(defaults={"prompt": "a fox"}, count=101)
    for child in service.worker.begin_batch(batch_id, 101):
        service.worker.finish(child)

    sheets = [
        service.get(f"{BATCHES}/{batch_id}/contact-sheet", params={"sheet": number})
        for number in (1, 2, 3)
    ]

    assert [sheet.status_code for sheet in sheets] == [200, 200, 404]
    widths = [Pillow.open(io.BytesIO(sheet.content)).width for sheet in sheets[:2]]
    assert widths[0] > 5 * widths[1]


@pytest.mark.parametrize("query", ["sheet=0", "sheet=-1", "sheet=20001", "sheet=x", "nix=1"])
def test_a_sheet_that_cannot_be_is_refused(service: Service, query: str) -> None:
    batch_id = service.created_batch("a fox")

    response = service.get(f"{BATCHES}/{batch_id}/contact-sheet?{query}")

    assert_problem(response, 422, "invalid_request")


def test_every_option_may_be_said_in_the_address(service: Service) -> None:
    said = {
        "name": "all of them",
        "workflow": "txt2img",
        "count": "2",
        "seed": "5",
        "vary_seed": "true",
        "wildcards": "false",
        "max_in_flight": "3",
        "stop_after_failures": "4",
        "stop_at_failure_share": "0.5",
        "not_after": "06:30",
        "timezone": "Europe/Berlin",
    }
    assert said.keys() == BatchOptions.model_fields.keys()

    batch_id = accepted(post(service, "prompt\na {b\n", CSV, **said))

    assert service.batch(batch_id)["options"] == BatchOptions.model_validate_strings(
        said
    ).model_dump(mode="json")
    assert [one["prompt"] for one in requests(service, batch_id)] == ["a {b", "a {b"]
