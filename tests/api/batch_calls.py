"""Calls about batches, and what is looked for in their answers."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import httpx

from tests.api.service import (
    BATCHES,
    CHECKPOINTS,
    Service,
    assert_problem,
)

SD15, SDXL = CHECKPOINTS
CANARY: Final = "zx81canary"
CSV: Final = {"Content-Type": "text/csv"}
JSONL: Final = {"Content-Type": "application/x-ndjson"}
JSON: Final = {"Content-Type": "application/json"}
KEY: Final = {"Idempotency-Key": "order-42"}
ABSURD_MB: Final = 10**9
A_LIMIT: Final = 10_000


def post(
    service: Service, body: str | bytes, headers: dict[str, str], **query: Any
) -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return service.client.post(BATCHES, content=content, headers=headers, params=query)


def post_json(
    service: Service, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    return service.client.post(BATCHES, json=body, headers=headers)


def accepted(response: httpx.Response) -> UUID:
    assert response.status_code == 202, response.text
    return UUID(response.json()["batch_id"])


def requests(service: Service, batch_id: UUID) -> list[dict[str, Any]]:
    return [item["request"] for item in service.items(batch_id)]


def places(response: httpx.Response) -> list[tuple[list[str | int], str]]:
    found = assert_problem(response, 422, "invalid_manifest")
    assert CANARY not in response.text
    return [(entry["loc"], entry["code"]) for entry in found["errors"]]
