"""Callbacks of batches: taken from each form, checked row by row, and shown nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from api.batches.manifest_body import Flags, _decisive
from core.batches.request import FileOptions
from tests.api.batch_calls import CANARY, CSV, JSONL, accepted, places, post, post_json
from tests.api.service import BATCHES, Service, assert_problem

URL: Final = f"https://shop.example/easel?token={CANARY}"
ENDS: Final = ["generation.succeeded", "generation.failed", "generation.cancelled"]
BATCH_ENDS: Final = ["batch.succeeded", "batch.failed", "batch.cancelled"]


@pytest.fixture
def shop(service: Service) -> Iterator[str]:
    """A stored callback."""
    service.worker.run(service.worker.store.callbacks.add("shop", URL))
    yield "shop"
    service.worker.run(service.worker.store.callbacks.remove("shop"))


def stored(service: Service, batch_id: UUID) -> tuple[Any, list[Any]]:
    """The callback of the batch, and those of its items."""
    with service.database() as database:
        (own,) = database.execute(
            "SELECT callback FROM batches WHERE id = ?", (batch_id.hex,)
        ).fetchone()
        items = database.execute(
            "SELECT callback FROM batch_items WHERE batch_id = ? ORDER BY position", (batch_id.hex,)
        ).fetchall()
    return own and json.loads(own), [one and json.loads(one) for (one,) in items]


def test_a_batch_and_its_items_have_callbacks_of_their_own(service: Service, shop: str) -> None:
    response = post_json(
        service,
        callback_url=URL,
        callback_events=["batch.running", "generation.failed"],
        defaults={"prompt": "a fox", "callback": shop},
        items=[{}, {"callback_url": f"{URL}&row=2", "count": 2}, {"callback": None}],
    )

    batch_id = accepted(response)
    events = ["batch.running", "generation.failed"]
    named = {"url": None, "name": shop, "events": ENDS}
    bare = {"url": f"{URL}&row=2", "name": None, "events": ENDS}
    assert stored(service, batch_id) == (
        {"url": URL, "name": None, "events": events},
        [named, bare, bare, None],
    )
    shown = [response.text, service.get(f"{BATCHES}/{batch_id}/items").text]
    assert CANARY not in "".join([*shown, service.get(f"{BATCHES}/{batch_id}").text])


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_has_them_in_columns_and_its_batch_in_the_query(
    service: Service, shop: str, kind: str
) -> None:
    if kind == "csv":
        head = "prompt,callback_url,callback,callback_events\n"
        body = f"{head}a,{URL},,\nb,,{shop},generation.failed generation.running\nc,,,\n"
    else:
        events = ["generation.failed", "generation.running"]
        rows = [
            {"prompt": "a", "callback_url": URL},
            {"prompt": "b", "callback": shop, "callback_events": events},
            {"prompt": "c"},
        ]
        body = "".join(f"{json.dumps(row)}\n" for row in rows)
    response = post(
        service,
        body,
        CSV if kind == "csv" else JSONL,
        callback=shop,
        callback_events="batch.failed,generation.cancelled",
    )

    assert stored(service, accepted(response)) == (
        {"url": None, "name": shop, "events": ["batch.failed", "generation.cancelled"]},
        [
            {"url": URL, "name": None, "events": ENDS},
            {"url": None, "name": shop, "events": ["generation.failed", "generation.running"]},
            None,
        ],
    )
    assert CANARY not in response.text


def test_a_url_in_the_query_is_taken_and_not_shown(service: Service) -> None:
    response = post(service, "prompt\na fox\n", CSV, callback_url=URL)

    own, items = stored(service, accepted(response))
    assert (own, items) == ({"url": URL, "name": None, "events": BATCH_ENDS}, [None])
    assert CANARY not in f"{response.text}{response.headers}"


def test_each_row_with_a_bad_callback_is_told(service: Service, shop: str) -> None:
    body = (
        "prompt,callback_url,callback,callback_events\n"
        f"a,{URL},,\n"
        f"b,http://127.0.0.1/{CANARY},,\n"
        f"c,ftp://{CANARY}/,,\n"
        "d,,shpo,\n"
        f"e,{URL},{shop},\n"
        "f,,,generation.failed\n"
        f"g,,{shop},batch.failed\n"
    )
    response = post(service, body, CSV)

    assert places(response) == [
        (["row", 3, "callback_url"], "address_not_allowed"),
        (["row", 4, "callback_url"], "value_error"),
        (["row", 5, "callback"], "unknown_callback"),
        (["row", 6, "callback"], "value_error"),
        (["row", 7, "callback_events"], "value_error"),
        (["row", 8, "callback_events"], "literal_error"),
    ]
    assert places(post(service, body, CSV, dry_run="true")) == places(response)
    messages = [one["message"] for one in response.json()["errors"]]
    assert "EASEL_WEBHOOKS__ALLOW='[\"127.0.0.1\"]'" in messages[0]
    assert "differs" in messages[2] or "shop" in messages[2]


def test_a_row_with_a_bad_callback_can_be_skipped(service: Service) -> None:
    body = f"prompt,callback_url\na,{URL}\nb,http://127.0.0.1/{CANARY}\n"
    response = post(service, body, CSV, skip_bad="true")

    accepted(response)
    [skipped] = response.json()["skipped"]
    assert (skipped["row"], skipped["column"]) == (3, "callback_url")
    assert CANARY not in response.text


def test_the_callback_of_the_batch_itself_cannot_be_skipped(service: Service) -> None:
    """No row is to blame for it."""
    before = service.batch_counts()
    for query in ({}, {"skip_bad": "true"}, {"dry_run": "true"}):
        for name, value, code in (
            ("callback", "nosuch", "unknown_callback"),
            ("callback_url", f"http://10.0.0.1/{CANARY}", "address_not_allowed"),
        ):
            response = post(service, "prompt\na fox\n", CSV, **{**query, name: value})
            assert places(response) == [(["row", 0, name], code)]
            assert response.json()["detail"].startswith(f"{name}: ")
    assert service.batch_counts() == before


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"callback_url": f"ftp://{CANARY}/"}, "callback_url"),
        ({"callback_url": f"https://{CANARY}@shop.example/"}, "callback_url"),
        ({"callback": f"{CANARY}/"}, "callback"),
        ({"callback": "shop", "callback_events": CANARY}, "callback_events"),
        ({"callback": "shop", "callback_events": ""}, "callback_events"),
        ({"callback_events": "batch.failed"}, "callback_events"),
        ({"callback": "shop", "callback_url": URL}, "callback"),
    ],
)
def test_a_wrong_callback_in_the_query_is_told_there(
    service: Service, query: dict[str, str], at: str
) -> None:
    response = post(service, "prompt\na fox\n", CSV, **query)

    found = assert_problem(response, 422, "invalid_request")
    assert [one["loc"][:2] for one in found["errors"]] == [["query", at]]
    assert CANARY not in response.text


def test_beside_json_the_callback_belongs_into_the_body(service: Service) -> None:
    response = service.client.post(
        BATCHES, params={"callback_url": URL}, json={"items": [{"prompt": "a fox"}]}
    )

    found = assert_problem(response, 422, "invalid_request")
    assert found["detail"] == "callback_url belongs into the JSON body"


def test_a_repeat_with_another_callback_is_another_request(service: Service) -> None:
    """What would be answered otherwise is a batch that another receiver hears of."""
    key = {**CSV, "Idempotency-Key": str(uuid4())}
    first = post(service, "prompt\na fox\n", key, callback_url=URL)
    assert accepted(post(service, "prompt\na fox\n", key, callback_url=URL)) == accepted(first)

    for query in ({}, {"callback_url": f"{URL}2"}, {"callback": "shop"}):
        again = post(service, "prompt\na fox\n", key, **query)
        assert_problem(again, 422, "idempotency_mismatch")


def test_a_key_of_an_earlier_version_is_known() -> None:
    said = _decisive(Flags(), FileOptions(name="foxes", max_in_flight=3))

    assert said == '{"name":"foxes","count":1,"seed":null,"wildcards":true}False'


def test_events_in_a_query_are_documented_as_one_value(service: Service) -> None:
    create = service.get("/openapi.json").json()["paths"][BATCHES]["post"]
    described = {one["name"]: one for one in create["parameters"]}

    assert {"callback_url", "callback", "callback_events"} <= set(described)
    events = described["callback_events"]
    assert (events["style"], events["explode"]) == ("form", False)
    assert events["schema"]["type"] == "array"
