"""A grid's labelled sheet: what is on it, and how large it gets."""

from __future__ import annotations

import io
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from PIL import Image as Pillow

from api.batches.grid_sheet import PIXELS_MAX, SIDE_MAX_PX
from tests.api.service import BATCHES, Service, png

DEFAULTS: Final = {"prompt": "a fox"}


def sheet_of(service: Service, batch_id: UUID, number: int = 1) -> httpx.Response:
    return service.get(f"{BATCHES}/{batch_id}/contact-sheet", params={"sheet": number})


def one_finished(service: Service, **fields: Any) -> UUID:
    batch_id = service.created_batch(**{"defaults": DEFAULTS, **fields})
    [child] = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(child, png(color="red"))
    return batch_id


def assert_bounded(response: httpx.Response) -> None:
    assert response.status_code == 200, response.text[:500]
    with Pillow.open(io.BytesIO(response.content)) as sheet:
        assert max(sheet.size) <= SIDE_MAX_PX, sheet.size
        assert sheet.width * sheet.height <= PIXELS_MAX, sheet.size


@pytest.mark.parametrize(
    "fields",
    [
        {"grid": {"seed": [*range(400)]}},
        {"grid": {"prompt": [f"a fox {number}" for number in range(400)]}},
        {"grid": {"steps": [2, 3], "cfg": [4.0, 5.0]}, "count": 100},
        {"grid": {"steps": [2], "cfg": [4.0], "seed": [*range(400)]}},
        {"grid": {"prompt": ["fox " * 2000] * 20, "negative_prompt": ["owl " * 2000] * 20}},
    ],
    ids=["wide", "tall", "alike", "tables", "long"],
)
def test_a_sheet_is_of_bounded_size(service: Service, fields: dict[str, Any]) -> None:
    assert_bounded(sheet_of(service, one_finished(service, **fields)))


def test_bad_cells_do_not_make_a_sheet_larger(service: Service) -> None:
    widths = [512, *range(513, 519), *range(521, 527)]
    body = {"defaults": DEFAULTS, "grid": {"width": widths}, "count": 400}
    response = service.client.post(f"{BATCHES}?skip_bad=true", json=body)
    assert response.status_code == 202, response.text
    batch_id = UUID(response.json()["batch_id"])
    [child] = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(child)
    assert_bounded(sheet_of(service, batch_id))


def test_every_image_of_a_row_without_a_table_is_on_a_sheet(service: Service) -> None:
    batch_id = service.created_batch(defaults=DEFAULTS, grid={"steps": [2, 3]}, count=201)
    for child in service.worker.begin_batch(batch_id, 101):
        service.worker.finish(child)

    assert [sheet_of(service, batch_id, number).status_code for number in (1, 2)] == [200, 200]


def test_any_script_is_drawn(service: Service) -> None:
    prompts = ["лиса", "狐狸", "ثعلب", "🦊", "a\u0301\u202e\ufeff", "\u3164x"]
    assert_bounded(sheet_of(service, one_finished(service, grid={"prompt": prompts})))
