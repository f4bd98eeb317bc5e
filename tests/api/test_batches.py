"""Batches over HTTP: asked for in three forms, followed, changed, taken home."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image as Pillow

from core.batches import BATCH_ITEMS_MAX, BatchOptions
from core.ids import item_id
from core.problems import problem
from core.schemas import SEED_MAX
from core.status import BATCH_ACTIVE, BatchStatus
from store.acceptance import IdempotencyKey
from store.cursors import write_cursor
from tests.api.conftest import StartService, until_catalogue
from tests.api.service import (
    BATCHES,
    CHECKPOINTS,
    HISTORY,
    Comfy,
    Service,
    assert_problem,
    closed_port,
    png,
    wait_until,
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


# --- create


def test_a_batch_is_accepted_and_nothing_of_it_is_begun(service: Service) -> None:
    before = service.count()

    response = post_json(
        service,
        name="foxes by style",
        defaults={"prompt": "a red fox", "steps": 12},
        grid={"cfg": [4.5, 6.5]},
        count=3,
        seed=42,
        max_in_flight=2,
    )

    batch_id = accepted(response)
    document = response.json()
    assert response.headers["location"] == document["urls"]["self"]
    assert response.headers["location"] == f"{service.url}{BATCHES}/{batch_id}"
    assert response.headers["retry-after"] == "1"
    assert "idempotency-replayed" not in response.headers
    assert (document["name"], document["status"]) == ("foxes by style", "queued")
    assert (document["total"], document["percent"], document["seed"]) == (6, 0.0, 42)
    assert document["counts"]["waiting"] == 6
    assert sum(document["counts"].values()) == 6
    assert document["options"]["max_in_flight"] == 2
    assert (document["started_at"], document["finished_at"], document["error"]) == (None,) * 3
    assert document["skipped"] == []
    assert service.batch(batch_id)["total"] == 6
    assert service.count() == before


def test_every_address_that_it_gives_leads_somewhere(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    [first] = service.worker.begin_batch(batch_id, 1)
    service.worker.finish(first)

    urls = service.batch(batch_id)["urls"]

    for name in ("self", "items", "results", "contact_sheet"):
        assert service.get(urls[name]).status_code == 200, name
    for name in ("pause", "resume", "cancel"):
        assert service.client.post(urls[name]).status_code == 202, name
    assert_problem(service.client.post(urls["retry_failed"]), 409, "not_retryable")
    [item, _] = service.items(batch_id)
    assert service.get(item["images"][0]["url"]).content.startswith(b"\x89PNG")
    assert service.get(item["images"][0]["thumbnail_url"]).status_code == 200


HEADER: Final = "prompt,steps,model,count,metadata.order,seed"
RED_FOX: Final = '"a {red|blue} fox, at ""dawn"""'
THE_SAME: Final = {
    "a CSV file": (
        f"{HEADER}\r\n{RED_FOX},20,,2,17,\r\n\r\nan owl,,{SDXL},,,5\r\n",
        CSV,
    ),
    "a CSV file of Excel's": (
        f"\ufeff{HEADER}\n{RED_FOX},20.0,,2,17,\nan owl,,{SDXL},,,5\n",
        {"Content-Type": "text/csv; charset=UTF-8"},
    ),
    "JSON Lines": (
        json.dumps(
            {
                "prompt": 'a {red|blue} fox, at "dawn"',
                "steps": 20,
                "count": 2,
                "metadata": {"order": "17"},
            }
        )
        + "\n\n"
        + json.dumps({"prompt": "an owl", "model": SDXL, "seed": 5}),
        JSONL,
    ),
}


@pytest.mark.parametrize(("body", "headers"), THE_SAME.values(), ids=THE_SAME)
def test_a_file_makes_what_the_same_rows_in_json_make(
    service: Service, body: str, headers: dict[str, str]
) -> None:
    in_json = accepted(
        post_json(
            service,
            items=[
                {
                    "prompt": 'a {red|blue} fox, at "dawn"',
                    "steps": 20,
                    "count": 2,
                    "metadata": {"order": "17"},
                },
                {"prompt": "an owl", "model": SDXL, "seed": 5},
            ],
            seed=11,
            max_in_flight=3,
            name="animals",
        )
    )

    in_a_file = accepted(
        post(service, body, headers, seed=11, max_in_flight=3, name="animals", wildcards="true")
    )

    assert requests(service, in_a_file) == requests(service, in_json)
    file, other = service.batch(in_a_file), service.batch(in_json)
    assert (file["options"], file["name"]) == (other["options"], "animals")
    assert file["total"] == 3


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "Application/NDJSON; charset=utf-8",
    ],
)
def test_json_lines_by_any_of_its_names_are_taken(service: Service, kind: str) -> None:
    headers = {"Content-Type": kind}

    accepted(post(service, '{"prompt": "a fox"}', headers))


def test_items_say_where_they_stand_in_the_file(service: Service) -> None:
    batch_id = accepted(post(service, "prompt,count\na fox,2\n\nan owl,\n", CSV))

    items = service.items(batch_id)

    assert [(item["position"], item["row"]) for item in items] == [(0, 2), (1, 2), (2, 4)]
    assert [item["task_id"] for item in items] == [str(item_id(batch_id, n)) for n in range(3)]
    assert [item["generation"] for item in items] == [None, None, None]
    assert [item["images"] for item in items] == [[], [], []]


def test_labels_are_given_back_as_they_are(service: Service) -> None:
    label = {"order": "42", "tags": 'a,"b"\n<c>', "n": 1.5, "done": True, "none": None}
    batch_id = service.created_batch(
        defaults={"metadata": {"from": "defaults", "order": "1"}},
        items=[{"prompt": "a fox", "metadata": label}, {"prompt": "an owl"}],
    )
    [task_id] = service.worker.begin_batch(batch_id, 1)

    assert [request["metadata"] for request in requests(service, batch_id)] == [
        {"from": "defaults", **label},
        {"from": "defaults", "order": "1"},
    ]
    assert service.status(task_id)["request"]["metadata"] == {"from": "defaults", **label}


def test_a_released_item_is_a_generation_like_any_other(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    [task_id] = service.worker.begin_batch(batch_id, 1)

    first, second = service.items(batch_id)

    assert first["generation"] == service.status(task_id)
    assert first["generation"]["batch_id"] == str(batch_id)
    assert first["generation"]["request"]["priority"] == "bulk"
    assert (second["generation"], second["request"]["prompt"]) == (None, "an owl")
    history = service.get(HISTORY, params={"batch_id": str(batch_id)}).json()["items"]
    assert [item["task_id"] for item in history] == [str(task_id)]


def test_without_a_name_it_has_one_all_the_same(service: Service) -> None:
    assert service.batch(service.created_batch("a fox"))["name"].startswith("batch of ")


def test_wildcard_lists_lie_in_the_home(service: Service) -> None:
    folder = service.home / "wildcards"
    (folder / "forest").mkdir(parents=True, exist_ok=True)
    (folder / "forest" / "animal.txt").write_text("# of the forest\nlynx\n\n", encoding="utf-8")

    batch_id = service.created_batch("a __forest/animal__")

    assert requests(service, batch_id)[0]["prompt"] == "a lynx"
    unknown = post_json(service, items=[{"prompt": f"a __nix__ {CANARY}"}])
    assert places(unknown) == [(["row", 1, "prompt"], "wildcard")]
    literally = service.created_batch("a __nix__", wildcards=False)
    assert requests(service, literally)[0]["prompt"] == "a __nix__"


def test_a_list_that_cannot_be_read_is_no_bug_of_ours(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    (service.home / "wildcards").mkdir()
    (service.home / "wildcards" / "tree.txt").write_bytes("Bäume".encode("latin-1"))

    response = post_json(service, items=[{"prompt": "a fox"}])

    assert response.status_code != 500, response.text
    if response.status_code != 202:
        assert "tree.txt" in response.json()["detail"]


def test_ten_thousand_rows_are_one_request(service: Service) -> None:
    batches, items = service.batch_counts()
    lines = "".join(f"a fox number {n},{n % 20 + 1}\n" for n in range(10_000))

    response = service.client.post(
        BATCHES, content=f"prompt,steps\n{lines}".encode(), headers=CSV, timeout=100
    )

    batch_id = accepted(response)
    assert response.json()["total"] == 10_000
    assert service.batch_counts() == (batches + 1, items + 10_000)
    last = service.get(
        f"{BATCHES}/{batch_id}/items", params={"cursor": write_cursor("i", 9_998)}
    ).json()
    assert [item["request"]["prompt"] for item in last["items"]] == ["a fox number 9999"]


# --- a dry run


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(service: Service) -> None:
    before = service.batch_counts()
    body = f"prompt,model,count\na {{red|blue|green}} fox,,3\nan owl,{SDXL},1\n"

    response = post(service, body, CSV, dry_run="true")

    assert response.status_code == 200
    plan = response.json()
    assert (plan["total"], plan["models"]) == (4, {SD15: 3, SDXL: 1})
    assert plan["skipped"] == []
    assert 0 <= plan["seed"] <= SEED_MAX
    assert "location" not in response.headers
    assert service.batch_counts() == before
    made = accepted(post(service, body, CSV, seed=plan["seed"]))
    assert plan["samples"] == requests(service, made)


def test_a_dry_run_of_json_is_asked_for_in_the_address(service: Service) -> None:
    before = service.batch_counts()

    response = service.client.post(
        f"{BATCHES}?dry_run=true", json={"defaults": {"prompt": "a fox"}, "count": 50}
    )

    assert response.status_code == 200
    assert (response.json()["total"], len(response.json()["samples"])) == (50, 10)
    assert service.batch_counts() == before


def test_a_dry_run_refuses_what_a_create_refuses(service: Service) -> None:
    body = "prompt,steps\na fox,0\n"

    assert places(post(service, body, CSV, dry_run="true")) == places(post(service, body, CSV))


def test_a_dry_run_uses_no_key_up(service: Service) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    dry = post(service, "prompt\na fox\n", {**CSV, **key}, dry_run="true")
    assert dry.status_code == 200

    assert post(service, "prompt\nan owl\n", {**CSV, **key}).status_code == 202


# --- rows that cannot be made


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("prompt,steps\na fox,20\nan owl,x\n", [(["row", 3, "steps"], "int_parsing")]),
        (f"prompt,steps\na {CANARY},0\n", [(["row", 2, "steps"], "greater_than_equal")]),
        ("prompt,steps\n,1\n", [(["row", 2, "prompt"], "missing")]),
        (f"prompt,model\na fox,{CANARY}\n", [(["row", 2, "model"], "unknown_model")]),
        ("prompt,count\na fox,0\n", [(["row", 2, "count"], "greater_than_equal")]),
        ("prompt\na {red fox\n", [(["row", 2, "prompt"], "wildcard")]),
        (f"prompt,{CANARY[:4]}\na fox,1\n", [(["row", 1, "zx81"], "unknown_column")]),
        ("prompt,prompt\na fox,1\n", [(["row", 1, "prompt"], "duplicate_column")]),
        ("a fox\nan owl\n", [(["row", 1], "missing_header")]),
        ('prompt\n"a fox\nan owl\n', [(["row", 2], "malformed_csv")]),
        ("prompt,steps\na fox,1,2\n", [(["row", 2], "too_many_cells")]),
        ("prompt\n", [(["row", 1], "no_rows")]),
        ("", [(["row", 1], "missing_header")]),
        (
            "prompt,steps,width\na fox,0,7\n,1,512\n",
            [
                (["row", 2, "width"], "multiple_of"),
                (["row", 2, "steps"], "greater_than_equal"),
                (["row", 3, "prompt"], "missing"),
            ],
        ),
    ],
)
def test_a_bad_row_of_a_csv_file_is_named_and_nothing_created(
    service: Service, body: str, expected: list[tuple[list[str | int], str]]
) -> None:
    before = service.batch_counts()

    assert sorted(places(post(service, body, CSV)), key=str) == sorted(expected, key=str)

    assert service.batch_counts() == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"prompt": "a fox"}\n{"prompt": "a', [(["row", 2], "malformed_json")]),
        (f'{{"prompt": "a fox", "nix": "{CANARY}"}}', [(["row", 1, "nix"], "extra_forbidden")]),
        ('{"prompt": "a fox"}\n[1]', [(["row", 2], "dict_type")]),
        ('{"prompt": "a fox", "prompt": "b"}', [(["row", 1], "malformed_json")]),
        ('{"prompt": "a fox", "steps": "20"}', [(["row", 1, "steps"], "int_type")]),
        ('{"prompt": "a fox", "count": true}', [(["row", 1, "count"], "int_type")]),
        ("\n\n", [(["row", 1], "no_rows")]),
    ],
)
def test_a_bad_line_of_json_is_named_and_nothing_created(
    service: Service, body: str, expected: list[tuple[list[str | int], str]]
) -> None:
    before = service.batch_counts()

    assert places(post(service, body, JSONL)) == expected

    assert service.batch_counts() == before


def test_a_file_that_is_not_utf8_is_refused(service: Service) -> None:
    latin = "prompt\na fox\nBäume\n".encode("latin-1")

    assert places(post(service, latin, CSV)) == [(["row", 3], "not_utf8")]


def test_a_bad_item_of_json_is_named_and_nothing_created(service: Service) -> None:
    before = service.batch_counts()

    response = post_json(
        service,
        items=[
            {"prompt": "a fox"},
            {"prompt": f"a {CANARY}", "sampler": CANARY},
            {"prompt": "a fox", "metadata": {"a": {"b": CANARY}}},
        ],
    )

    assert places(response) == [
        (["row", 2, "sampler"], "unknown_sampler"),
        (["row", 3, "metadata.a"], "string_type"),
    ]
    assert "Nothing was created" in response.json()["detail"]
    assert service.batch_counts() == before


def test_of_many_bad_rows_the_first_hundred_are_named(service: Service) -> None:
    body = "prompt,steps\n" + "a fox,0\n" * 500

    found = places(post(service, body, CSV))

    assert [loc[1] for loc, _ in found] == list(range(2, 102))


def test_more_items_than_a_batch_may_have_are_refused(service: Service) -> None:
    before = service.batch_counts()

    response = post_json(service, defaults={"prompt": "a fox"}, items=[{}] * 21, count=1000)

    assert places(response) == [(["row", 21], "too_many_items")]
    assert str(BATCH_ITEMS_MAX) in response.json()["detail"]
    assert service.batch_counts() == before


def test_bad_rows_are_left_out_when_that_is_wanted(service: Service) -> None:
    body = "prompt,steps\na fox,20\nan owl,0\na hen,30\n"

    response = post(service, body, CSV, skip_bad="true")

    batch_id = accepted(response)
    assert response.json()["total"] == 2
    [skipped] = response.json()["skipped"]
    assert (skipped["row"], skipped["column"]) == (3, "steps")
    assert skipped["code"] == "greater_than_equal"
    assert [item["row"] for item in service.items(batch_id)] == [2, 4]
    nothing = post(service, "prompt,steps\nan owl,0\n", CSV, skip_bad="true")
    assert (["row", 0], "no_items") in places(nothing)


# --- what is no batch at all


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
    _option("skip_bad="),
    _option("count=0"),
    _option(f"count={CANARY}"),
    _option("count=1.5"),
    _option("max_in_flight=65"),
    _option("seed=-1"),
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


# --- Idempotency-Key


def test_the_same_key_and_manifest_are_one_batch(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    before = service.batch_counts()

    first = post(service, "prompt\na fox\n", key, name="foxes")
    second = post(service, "prompt\na fox\n", key, name="foxes")

    assert accepted(first) == accepted(second)
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert service.batch_counts() == (before[0] + 1, before[1] + 1)


def test_a_repeat_tells_again_which_rows_were_left_out(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    body = "prompt,steps\na fox,20\nan owl,0\n"

    first = post(service, body, key, skip_bad="true")
    second = post(service, body, key, skip_bad="true")

    assert second.headers["idempotency-replayed"] == "true"
    assert [row["row"] for row in first.json()["skipped"]] == [3]
    assert second.json()["skipped"] == first.json()["skipped"]


def test_the_same_key_with_another_manifest_is_refused(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    accepted(post(service, "prompt\na fox\n", key, name="foxes"))
    before = service.batch_counts()

    for body, query in (("prompt\nan owl\n", {"name": "foxes"}), ("prompt\na fox\n", {})):
        assert_problem(post(service, body, key, **query), 422, "idempotency_mismatch")

    assert service.batch_counts() == before


def test_a_repeat_may_ask_for_another_pace(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    first = accepted(post(service, "prompt\na fox\n", key, name="foxes", max_in_flight=2))

    for query in ({"max_in_flight": 8}, {"not_after": "07:00"}, {"stop_after_failures": 1}):
        again = post(service, "prompt\na fox\n", key, name="foxes", **query)
        assert accepted(again) == first
    for query in ({"count": 2}, {"seed": 1}, {"wildcards": "false"}, {"skip_bad": "true"}):
        other = post(service, "prompt\na fox\n", key, name="foxes", **query)
        assert_problem(other, 422, "idempotency_mismatch")
    assert service.batch(first)["options"]["max_in_flight"] == 2


def test_a_manifest_that_was_refused_uses_no_key_up(service: Service) -> None:
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    assert places(post(service, "prompt,steps\na fox,0\n", key))

    accepted(post(service, "prompt,steps\na fox,1\n", key))


def test_a_key_of_a_generation_is_free_for_a_batch(service: Service) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    single = service.client.post("/api/v1/generation/create", json={"prompt": "a fox"}, headers=key)
    assert single.status_code == 202

    accepted(post_json(service, key, items=[{"prompt": "a fox"}]))


async def test_twenty_at_once_make_one_batch(service: Service) -> None:
    before = service.batch_counts()
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"items": [{"prompt": f"fox {n}"} for n in range(300)]}
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post(BATCHES, json=body, headers=headers) for _ in range(20))
        )

    made = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["batch_id"] for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 202:
            assert_problem(answer, 409, "idempotency_in_flight")
            assert "retry-after" in answer.headers
    assert service.batch_counts() == (before[0] + 1, before[1] + 300)


def test_a_key_is_known_after_a_restart(start_service: StartService, comfy: Comfy) -> None:
    service = start_service(comfy.url)
    until_catalogue(service)
    batch_id = accepted(post_json(service, KEY, items=[{"prompt": "a fox"}], seed=7))

    again = start_service(comfy.url)  # before the catalogue is there, too
    second = post_json(again, KEY, items=[{"prompt": "a fox"}], seed=7)

    assert accepted(second) == batch_id
    assert second.headers["idempotency-replayed"] == "true"
    mismatch = post_json(again, KEY, items=[{"prompt": "a fox"}], seed=8)
    assert_problem(mismatch, 422, "idempotency_mismatch")
    assert again.batch_counts() == (1, 1)


def test_a_key_whose_create_was_killed_yesterday_is_free_again(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    service.worker.half_accept(IdempotencyKey(KEY["Idempotency-Key"], "a" * 64))
    with service.database() as connection:
        connection.execute("UPDATE batches SET created_at = datetime('now', '-1 day')")

    again = start_service(comfy.url)
    until_catalogue(again)

    body: dict[str, Any] = {"items": [{"prompt": "a fox"}]}
    wait_until(lambda: post_json(again, KEY, **body).status_code == 202)
    assert again.batch_counts() == (1, 1)


# --- pages


def test_batches_are_listed_newest_first(service: Service) -> None:
    made = [str(service.created_batch("a fox", name=f"batch {n}")) for n in range(5)]
    seen: list[dict[str, Any]] = []
    cursor: str | None = None

    for _ in range(3):
        query: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = service.get(BATCHES, params=query).json()
        assert len(page["items"]) == 2
        seen += page["items"]
        cursor = page["next_cursor"]

    assert [item["batch_id"] for item in seen][:5] == made[::-1]
    assert [item["name"] for item in seen][:2] == ["batch 4", "batch 3"]
    assert seen[0] == service.batch(UUID(made[4]))


def test_a_batch_that_is_being_accepted_is_not_shown(
    start_service: StartService, comfy: Comfy
) -> None:
    service = start_service(comfy.url)
    half = service.worker.half_accept(IdempotencyKey("k", "a" * 64))

    assert service.get(BATCHES).json() == {"items": [], "next_cursor": None}
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


# --- change


def change(service: Service, batch_id: UUID, name: str) -> httpx.Response:
    return service.client.post(f"{BATCHES}/{batch_id}/{name}")


def changed(service: Service, batch_id: UUID, name: str) -> dict[str, Any]:
    response = change(service, batch_id, name)
    assert response.status_code == 202, response.text
    document: dict[str, Any] = response.json()
    assert document["batch_id"] == str(batch_id)
    return document


def test_a_batch_is_paused_and_resumed(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    service.worker.begin_batch(batch_id, 1)

    paused = changed(service, batch_id, "pause")
    assert (paused["status"], paused["waiting"]["code"]) == ("paused", "paused")
    assert changed(service, batch_id, "pause")["status"] == "paused"
    assert service.batch(batch_id)["status"] == "paused"

    assert changed(service, batch_id, "resume")["status"] == "running"
    assert changed(service, batch_id, "resume")["status"] == "running"
    assert service.worker.release(batch_id, 1)


def test_a_batch_that_was_never_begun_is_cancelled(
    start_service: StartService, comfy: Comfy
) -> None:
    """Though another one waits before it, and Prefect is away."""
    service = start_service(comfy.url)
    until_catalogue(service)
    before, batch_id = service.created_batch("an owl"), service.created_batch("a fox")

    assert changed(service, batch_id, "cancel")["status"] in ("cancelling", "cancelled")

    wait_until(lambda: service.batch(batch_id)["status"] == "cancelled")
    assert service.batch(before)["status"] == "queued"
    assert service.count() == 0


def test_a_cancelled_batch_begins_nothing_more(service: Service) -> None:
    batch_id = service.created_batch("a fox", "an owl")
    [begun] = service.worker.begin_batch(batch_id, 1)
    service.worker.start(begun)  # so that it lasts: its worker has to hear of it

    assert changed(service, batch_id, "cancel")["status"] == "cancelling"
    assert changed(service, batch_id, "cancel")["status"] == "cancelling"

    assert service.worker.release(batch_id, 0)
    assert len([item for item in service.items(batch_id) if item["generation"]]) == 1
    assert_problem(change(service, batch_id, "pause"), 409, "already_ended")
    assert_problem(change(service, batch_id, "resume"), 409, "already_ended")
    assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")


def test_what_failed_is_made_again(service: Service) -> None:
    batch_id = service.created_batch("0", "1", "2")
    children = service.worker.begin_batch(batch_id, 2)
    service.worker.finish(children[0])
    service.worker.fail(service.worker.start(children[1]))
    service.worker.end_batch(batch_id, "failed")

    again = changed(service, batch_id, "retry-failed")

    assert (again["status"], again["error"], again["finished_at"]) == ("queued", None, None)
    assert (again["counts"]["waiting"], again["counts"]["failed"]) == (2, 0)
    assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")


CHANGES: Final = {"cancel", "pause", "resume"}
ENDS: Final[tuple[BatchStatus, ...]] = ("succeeded", "failed", "cancelled")


@pytest.mark.parametrize("ended", ENDS)
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_has_ended_cannot_be_changed(service: Service, ended: BatchStatus, name: str) -> None:
    batch_id = service.created_batch("a fox")
    service.worker.end_batch(batch_id, ended)
    before = service.batch(batch_id)

    found = assert_problem(change(service, batch_id, name), 409, "already_ended")

    assert ended in found["detail"]
    assert service.batch(batch_id) == before


def test_only_what_ended_badly_is_retried(service: Service) -> None:
    active, made = service.created_batch("a fox"), service.created_batch("a fox")
    service.worker.end_batch(made, "succeeded")

    for batch_id in (active, made):
        assert_problem(change(service, batch_id, "retry-failed"), 409, "not_retryable")
    assert service.batch(active)["status"] in BATCH_ACTIVE


# --- pictures


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
    assert [line["error"] for line in results] == [None, "KSampler failed", None, None]
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
        ('a"b/../c\r\nX: y', "a-b-..-c--X- y.zip", "a-b-..-c--X-%20y.zip"),
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


@pytest.mark.parametrize("query", ["sheet=0", "sheet=-1", "sheet=1001", "sheet=x", "nix=1"])
def test_a_sheet_that_cannot_be_is_refused(service: Service, query: str) -> None:
    batch_id = service.created_batch("a fox")

    response = service.get(f"{BATCHES}/{batch_id}/contact-sheet?{query}")

    assert_problem(response, 422, "invalid_request")


def test_every_option_may_be_said_in_the_address(service: Service) -> None:
    said = {
        "name": "all of them",
        "count": "2",
        "seed": "5",
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
