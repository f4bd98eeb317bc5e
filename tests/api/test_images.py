"""The pictures' bytes: whole, in part, or not again."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from PIL import Image as Pillow

from tests.api.service import Service, assert_problem, png

DATA: Final = png(640, 320, "teal")
SIZE: Final = len(DATA)


@dataclass(frozen=True)
class Kept:
    service: Service
    document: dict[str, Any]

    @property
    def url(self) -> str:
        url: str = self.document["url"]
        return url


@pytest.fixture(scope="module")
def kept(service: Service) -> Kept:
    task_id = service.created('"; evil="é\r\nX-Evil: 1', seed=7)
    service.worker.finish(task_id, DATA)
    (document,) = service.get(service.of(task_id, "result")).json()["images"]
    return Kept(service, document)


def test_the_whole(kept: Kept) -> None:
    response = kept.service.get(kept.url)

    assert response.status_code == 200
    assert response.content == DATA
    assert hashlib.sha256(response.content).hexdigest() == kept.document["sha256"]
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == str(SIZE)
    assert kept.document["sha256"] in headers["etag"]
    assert headers["content-disposition"] == 'inline; filename="easel-7-1.png"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "private, no-cache"


def test_the_thumbnail(kept: Kept) -> None:
    response = kept.service.get(kept.document["thumbnail_url"])

    assert response.status_code == 200
    assert response.headers["content-type"] == "image/webp"
    assert "accept-ranges" not in response.headers  # a Range is answered with all of it
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "private, no-cache"
    with Pillow.open(io.BytesIO(response.content)) as small:
        assert (small.format, small.size) == ("WEBP", (384, 192))


@pytest.mark.parametrize("which", ["url", "thumbnail_url"])
def test_what_the_client_has_is_not_sent_again(kept: Kept, which: str) -> None:
    url = kept.document[which]
    etag = kept.service.get(url).headers["etag"]

    for condition in (etag, f'"other" , {etag}', f"W/{etag}", "*"):
        response = kept.service.get(url, headers={"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    assert kept.service.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_what_the_client_has_is_confirmed_without_its_file(service: Service) -> None:
    """A page of the history asks for each thumbnail again."""
    task_id = service.created()
    (image,) = service.worker.finish(task_id)
    urls = (f"/api/v1/images/{image.id}", f"/api/v1/images/{image.id}/thumbnail")
    etags = [service.get(url).headers["etag"] for url in urls]
    for path in image.paths:
        (Path(service.images_folder) / path).unlink()
    for url, etag in zip(urls, etags, strict=True):
        assert service.get(url, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("which", ["url", "thumbnail_url"])
def test_a_deleted_picture_is_not_confirmed(service: Service, which: str) -> None:
    task_id = service.created()
    service.worker.finish(task_id)
    (document,) = service.get(service.of(task_id, "result")).json()["images"]
    etag = service.get(document[which]).headers["etag"]
    assert service.client.delete(f"/api/v1/generation/{task_id}").status_code == 204
    assert_problem(service.get(document[which], headers={"If-None-Match": etag}), 404, "not_found")


@pytest.mark.parametrize(
    ("wanted", "part", "shown"),
    [
        ("bytes=0-9", slice(0, 10), f"bytes 0-9/{SIZE}"),
        ("bytes=10-", slice(10, None), f"bytes 10-{SIZE - 1}/{SIZE}"),
        ("bytes=0-0", slice(0, 1), f"bytes 0-0/{SIZE}"),
        ("bytes=-5", slice(-5, None), f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}"),
        ("bytes=-1000000", slice(None), f"bytes 0-{SIZE - 1}/{SIZE}"),
        ("bytes=3-99999999999999999999999", slice(3, None), f"bytes 3-{SIZE - 1}/{SIZE}"),
    ],
)
def test_a_part(kept: Kept, wanted: str, part: slice, shown: str) -> None:
    response = kept.service.get(kept.url, headers={"Range": wanted})

    assert response.status_code == 206
    assert response.content == DATA[part]
    assert response.headers["content-range"] == shown
    assert response.headers["content-length"] == str(len(DATA[part]))
    assert response.headers["etag"]
    assert response.headers["content-type"] == "image/png"


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=99999999-", "bytes=-0", "bytes=9-5"])
def test_a_part_that_is_not_there(kept: Kept, wanted: str) -> None:
    response = kept.service.get(kept.url, headers={"Range": wanted})

    assert_problem(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,3-4",
        "bytes=" + ",".join(["0-1"] * 5_000),
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1-2",
        "bytes",
        "lines=0-9",
        "",
    ],
    ids=["two", "61 thousands", "none", "letters", "three", "bare", "lines", "empty"],
)
def test_what_is_no_single_part_gives_the_whole(kept: Kept, wanted: str) -> None:
    response = kept.service.get(kept.url, headers={"Range": wanted})

    assert (response.status_code, response.content) == (200, DATA)


def test_a_part_is_sent_only_of_the_file_that_the_client_has(kept: Kept) -> None:
    etag = kept.service.get(kept.url).headers["etag"]

    def answer(if_range: str) -> tuple[int, bytes]:
        headers = {"Range": "bytes=2-4", "If-Range": if_range}
        response = kept.service.get(kept.url, headers=headers)
        return response.status_code, response.content

    assert answer(etag) == (206, DATA[2:5])
    for other in ('"other"', f"W/{etag}", "Sat, 28 Nov 2026 10:00:00 GMT"):
        assert answer(other) == (200, DATA)


def test_no_such_picture(service: Service) -> None:
    for path in (f"{uuid4()}", f"{uuid4()}/thumbnail"):
        assert_problem(service.get(f"/api/v1/images/{path}"), 404, "not_found")
