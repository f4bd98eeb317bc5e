"""What is no batch at all is refused, whatever its form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from core.batches.request import BATCH_ITEMS_MAX
from tests.api.batch_calls import (
    A_LIMIT,
    ABSURD_MB,
    CANARY,
    CSV,
    JSON,
    JSONL,
    KEY,
    accepted,
    post,
    post_json,
    requests,
)
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import (
    BATCHES,
    Comfy,
    Service,
    assert_problem,
    closed_port,
)


@dataclass(frozen=True)
class Bad:
    """A create that is refused, and how. ``at`` is the place that is named."""

    name: str
    body: bytes = b"prompt\na fox\n"
    headers: dict[str, str] = field(default_factory=lambda: CSV)
    query: str = ""
    status: int = 422
    code: str = "invalid_request"
    at: list[str | int] | None = None


def _option(query: str) -> Bad:
    at: list[str | int] = ["query", query.partition("=")[0]]
    return Bad(f"option {query}", query=query, at=at)


def _json(name: str, at: list[str | int] | None, **body: Any) -> Bad:
    return Bad(f"JSON {name}", json.dumps(body).encode(), JSON, at=at)


def _malformed(name: str, body: bytes) -> Bad:
    return Bad(f"JSON {name}", body, JSON, status=400, code="malformed_json")


def _unsupported(name: str, **headers: str) -> Bad:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Bad(name, headers=named, status=415, code="unsupported_media_type")


BAD: Final = (
    _option(f"nix={CANARY}"),
    _option("Count=1"),
    _option(f"prompt={CANARY}"),
    _option("items=[]"),
    _option("defaults={}"),
    _option("dry_run=perhaps"),
    _option("dry_run=true&dry_run=false"),
    _option("count=2&count=2"),
    _option("skip_bad="),
    _option("count=0"),
    _option(f"count={CANARY}"),
    _option("count=1.5"),
    _option("max_in_flight=65"),
    _option("seed=-2"),
    _option("stop_at_failure_share=2"),
    _option("stop_at_failure_share=nan"),
    _option("not_after=25:00"),
    _option("timezone=Europe/Atlantis"),
    _option("timezone=../etc/passwd"),
    _option(f"name={'x' * 201}"),
    _option("name=%00"),
    Bad("JSON with an option in the address", b"{}", JSON, "count=3"),
    _json("with an unknown field", ["nix"], nix=CANARY),
    _json("with a prompt at the wrong place", ["prompt"], prompt=CANARY),
    _json("with no items", ["items"], items=[]),
    _json("with an item that is none", ["items", 0], items=[CANARY]),
    _json("with too many items", ["items"], items=[{}] * (BATCH_ITEMS_MAX + 1)),
    _json("with an unknown default", None, defaults={"nix": CANARY}),
    _json("with a count of text", ["count"], count="3"),
    _json(
        "with lists of other lengths", ["grid"], combine="zip", grid={"steps": [1], "cfg": [1, 2]}
    ),
    Bad("JSON of very many values", b'{"items": [' + b"{}," * 600_000 + b"{}]}", JSON),
    Bad("JSON empty", b"", JSON),
    Bad("JSON a list", b"[]", JSON),
    Bad("JSON NaN", b'{"stop_at_failure_share": NaN}', JSON),
    _malformed("truncated", b'{"items": ['),
    _malformed("with a key twice", b'{"count": 1, "count": 2}'),
    _malformed("in UTF-16", "{}".encode("utf-16")),
    _unsupported("no content type"),
    _unsupported("plain text", content_type="text/plain"),
    _unsupported("a form", content_type="multipart/form-data; boundary=x"),
    _unsupported("a spreadsheet", content_type="application/vnd.ms-excel"),
    _unsupported("two content types", content_type="text/csv, application/json"),
    _unsupported("CSV in UTF-16", content_type="text/csv; charset=utf-16"),
    _unsupported("a broken charset", content_type="text/csv; charset*=utf-8''%ff; charset*0*=a"),
    _unsupported("two broken charsets", content_type="text/csv; charset*0*=a; charset*=b"),
    _unsupported("CSV in Latin-1", content_type="text/csv; charset=iso-8859-1"),
    Bad(
        "compressed",
        gzip.compress(b"prompt\na fox\n"),
        {**CSV, "Content-Encoding": "gzip"},
        status=415,
        code="unsupported_media_type",
    ),
    Bad("an empty key", headers={**CSV, "Idempotency-Key": ""}, status=400, code="bad_request"),
    Bad(
        "a key of 256",
        headers={**CSV, "Idempotency-Key": "k" * 256},
        status=400,
        code="bad_request",
    ),
    Bad("an endless address", query=f"name={'x' * 65_000}", status=414, code="bad_request"),
)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name[:50])
def test_a_bad_create_is_refused_and_creates_nothing(service: Service, bad: Bad) -> None:
    before = service.batch_counts()

    response = service.client.post(f"{BATCHES}?{bad.query}", content=bad.body, headers=bad.headers)

    found = assert_problem(response, bad.status, bad.code)
    assert CANARY not in response.text
    if bad.at is not None:
        assert bad.at in [entry["loc"] for entry in found["errors"]]
    assert service.batch_counts() == before


@pytest.fixture(scope="module")
def narrow(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It takes small manifests only."""
    home = tmp_path_factory.mktemp("narrow")
    comfy, away = service.settings.comfy.url, f"{closed_port()}/api"
    assert comfy is not None
    with Service(service._backstage, home, comfy, away, max_manifest_bytes=A_LIMIT) as narrow:
        until_catalogue(narrow)
        yield narrow


def _of_length(length: int) -> bytes:
    return b"prompt\n" + b"a fox\n" * ((length - 7) // 6) + b"\n" * ((length - 7) % 6)


def test_the_longest_manifest_is_taken(narrow: Service) -> None:
    body = _of_length(A_LIMIT)
    assert len(body) == A_LIMIT

    accepted(post(narrow, body, CSV))


@pytest.mark.parametrize("headers", [CSV, JSON, JSONL])
def test_a_longer_manifest_is_too_large(narrow: Service, headers: dict[str, str]) -> None:
    before = narrow.batch_counts()

    response = post(narrow, _of_length(A_LIMIT + 1), headers)

    assert_problem(response, 413, "payload_too_large")
    assert str(A_LIMIT) in response.json()["detail"]
    assert narrow.batch_counts() == before


def test_a_manifest_that_does_not_say_its_length_is_too_large_too(narrow: Service) -> None:
    before = narrow.batch_counts()

    def pieces() -> Iterator[bytes]:
        yield b"prompt\n"
        for _ in range(A_LIMIT // 600 + 1):
            yield b"a fox\n" * 100

    response = narrow.client.post(BATCHES, content=pieces(), headers=CSV)

    assert_problem(response, 413, "payload_too_large")
    assert narrow.batch_counts() == before


def test_a_manifest_in_pieces_is_taken(narrow: Service) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (
            b"pro",
            b"mpt\na f",
            "öx 🦊\nan".encode()[:4],
            "öx 🦊\nan".encode()[4:],
            b" owl",
        )

    batch_id = accepted(narrow.client.post(BATCHES, content=pieces(), headers=CSV))

    assert [one["prompt"] for one in requests(narrow, batch_id)] == ["a föx 🦊", "an owl"]


def test_a_full_disk_refuses_a_batch_like_any_create(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    first = post_json(service, KEY, items=[{"prompt": "a fox"}])
    assert first.status_code == 202

    full = start_service(comfy.url, reserve_mb=ABSURD_MB)
    until_catalogue(full)
    refused = post_json(full, items=[{"prompt": CANARY}])

    found = assert_problem(refused, 503, "disk_full")
    assert refused.headers["retry-after"] == "30"
    assert "EASEL_STORE__RESERVE_MB" in found["detail"]
    assert full.batch_counts() == (1, 1)
    again = post_json(full, KEY, items=[{"prompt": "a fox"}])
    assert accepted(again) == accepted(first)
    plan = full.client.post(f"{BATCHES}?dry_run=true", json={"items": [{"prompt": "a fox"}]})
    assert plan.status_code == 200


def test_while_comfyui_was_never_reached_only_named_models_are_taken(
    start_service: StartService,
) -> None:
    service = start_service(closed_port())

    refused = post_json(service, items=[{"prompt": "a fox"}] * 3)

    assert_problem(refused, 503, "no_catalogue")
    assert "retry-after" in refused.headers
    assert service.batch_counts() == (0, 0)
    accepted(post_json(service, items=[{"prompt": "a fox", "model": "any.safetensors"}]))


def test_json_is_shorter_than_a_file_of_rows_may_be(service: Service) -> None:
    body = b'{"defaults": {"prompt": "' + b"x" * 10_000_000 + b'"}}'

    response = service.client.post(BATCHES, content=body, headers=JSON)

    assert "JSON Lines" in assert_problem(response, 413, "payload_too_large")["detail"]


def test_manifests_on_the_disk_are_bounded_all_together(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batches.manifest_body.RECEIVED_MAX", 100)

    response = post(service, b"prompt\n" + b"a fox\n" * 20, CSV)
    assert_problem(response, 503, "not_available")
    assert response.headers["retry-after"]
    # What was received is not counted for ever.
    for _ in range(20):
        assert post(service, b"prompt\na fox\n", CSV).status_code == 202
