"""Schedules over HTTP while Prefect is away: what is wrong is said, the rest has to wait."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from tests.api.service import SCHEDULES, Service, assert_problem

CANARY: Final = "zx81canary"
JSON: Final = {"Content-Type": "application/json"}
NIGHTLY: Final[dict[str, Any]] = {
    "name": "nightly foxes",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "batch": {"defaults": {"prompt": "a {red|silver} fox"}, "count": 8, "not_after": "07:00"},
}
HOURLY: Final[dict[str, Any]] = {
    "name": "hourly foxes",
    "interval_s": 3600,
    "batch": {"items": [{"prompt": "a fox"}]},
}


def create(service: Service, **body: Any) -> httpx.Response:
    return service.client.post(SCHEDULES, json=body)


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


# --- while Prefect is away


def assert_away(response: httpx.Response) -> None:
    found = assert_problem(response, 503, "not_available")
    assert response.headers["retry-after"] == "5"
    assert "Prefect" in found["detail"]


@pytest.mark.parametrize(
    "body",
    [
        NIGHTLY,
        HOURLY,
        without(NIGHTLY, "timezone"),
        {**NIGHTLY, "active": False, "catch_up_minutes": 0},
        {**NIGHTLY, "cron": "*/15 8-17 * * MON-FRI", "catch_up_minutes": 10_080},
        {**HOURLY, "interval_s": 10},
        {**HOURLY, "interval_s": 0.5 + 366 * 86_400 / 2},
    ],
)
def test_what_could_be_made_is_to_be_tried_again(service: Service, body: dict[str, Any]) -> None:
    assert_away(create(service, **body))


def test_everything_else_waits_for_prefect_too(service: Service) -> None:
    one = f"{SCHEDULES}/{uuid4()}"

    assert_away(service.get(SCHEDULES))
    assert_away(service.get(one))
    assert_away(service.client.patch(one, json={"active": False}))
    assert_away(service.client.delete(one))


def test_the_rest_of_the_service_does_not_wait_for_it(service: Service) -> None:
    assert_away(service.get(SCHEDULES))

    assert service.create()["status"] == "queued"
    assert service.batch(service.created_batch("a fox"))["status"] == "queued"


# --- what is refused, whether Prefect is there or not


@pytest.mark.parametrize(
    ("batch", "at"),
    [
        ({"callback_url": f"https://{CANARY}.example/"}, []),
        ({"defaults": {"callback_url": f"https://{CANARY}.example/"}}, ["defaults"]),
        ({"items": [{}, {"callback_url": f"https://{CANARY}.example/"}]}, ["items", 1]),
    ],
)
def test_a_schedule_takes_callbacks_by_their_names_alone(
    service: Service, batch: dict[str, Any], at: list[str | int]
) -> None:
    """Prefect keeps the batch, and shows it."""
    made = create(service, **{**NIGHTLY, "batch": {"defaults": {"prompt": "a fox"}, **batch}})
    changed = service.client.patch(f"{SCHEDULES}/{uuid4()}", json={"batch": batch})

    for response in (made, changed):
        [problem] = assert_problem(response, 422, "invalid_request")["errors"]
        assert problem["loc"] == ["batch", *at, "callback_url"]
        assert problem["code"] == "callback_url_here"
        assert "easel webhooks add NAME URL" in problem["message"]
        assert CANARY not in response.text


def test_the_callbacks_of_a_schedule_are_stored_before_it(service: Service) -> None:
    prompt = {"defaults": {"prompt": "a fox"}}
    for batch, at in (
        ({**prompt, "callback": "shop"}, ["row", 0, "callback"]),
        ({"defaults": {**prompt["defaults"], "callback": "shop"}}, ["row", 1, "callback"]),
    ):
        response = create(service, **{**NIGHTLY, "batch": batch})
        [problem] = assert_problem(response, 422, "invalid_manifest")["errors"]
        assert (problem["loc"], problem["code"]) == (at, "unknown_callback")
    service.worker.run(service.worker.store.callbacks.add("shop", "https://shop.example/"))
    try:
        events = ["batch.failed", "generation.failed"]
        batch = {**prompt, "callback": "shop", "callback_events": events}
        assert_away(create(service, **{**NIGHTLY, "batch": batch}))
    finally:
        service.worker.run(service.worker.store.callbacks.remove("shop"))


def test_a_url_of_null_in_a_schedule_is_none(service: Service) -> None:
    """Clients wrote it as long as it had to be null."""
    batch = {"defaults": {"prompt": "a fox", "callback_url": None}}
    assert_away(create(service, **{**NIGHTLY, "batch": batch}))


REFUSED: Final[tuple[tuple[str, dict[str, Any], list[str]], ...]] = (
    ("neither cron nor interval", without(NIGHTLY, "cron"), []),
    ("both cron and interval", {**NIGHTLY, "interval_s": 3600}, []),
    ("cron of nonsense", {**NIGHTLY, "cron": CANARY}, ["cron"]),
    ("cron of four fields", {**NIGHTLY, "cron": "0 2 * *"}, ["cron"]),
    ("cron of six fields", {**NIGHTLY, "cron": "0 0 2 * * *"}, ["cron"]),
    ("cron with an hour too many", {**NIGHTLY, "cron": "0 24 * * *"}, ["cron"]),
    ("cron on no day", {**NIGHTLY, "cron": "0 0 31 2 *"}, ["cron"]),
    ("cron by name", {**NIGHTLY, "cron": "@daily"}, ["cron"]),
    ("empty cron", {**NIGHTLY, "cron": ""}, ["cron"]),
    ("endless cron", {**NIGHTLY, "cron": "0 2 * * " + "1," * 100 + "1"}, ["cron"]),
    ("cron as a number", {**NIGHTLY, "cron": 5}, ["cron"]),
    ("unknown zone", {**NIGHTLY, "timezone": "Europe/Atlantis"}, ["timezone"]),
    ("a folder of zones", {**NIGHTLY, "timezone": "Europe"}, ["timezone"]),
    ("a path as zone", {**NIGHTLY, "timezone": "../../etc/passwd"}, ["timezone"]),
    ("zone null", {**NIGHTLY, "timezone": None}, ["timezone"]),
    ("interval too short", {**HOURLY, "interval_s": 9.9}, ["interval_s"]),
    ("interval 0", {**HOURLY, "interval_s": 0}, ["interval_s"]),
    ("interval below 0", {**HOURLY, "interval_s": -3600}, ["interval_s"]),
    ("interval too long", {**HOURLY, "interval_s": 367 * 86_400}, ["interval_s"]),
    ("interval of text", {**HOURLY, "interval_s": "3600"}, ["interval_s"]),
    ("interval true", {**HOURLY, "interval_s": True}, ["interval_s"]),
    ("unknown field", {**NIGHTLY, "nix": CANARY}, ["nix"]),
    ("no name", without(NIGHTLY, "name"), ["name"]),
    ("empty name", {**NIGHTLY, "name": ""}, ["name"]),
    ("endless name", {**NIGHTLY, "name": "n" * 101}, ["name"]),
    ("name with NUL", {**NIGHTLY, "name": f"{CANARY}\x00"}, ["name"]),
    # Prefect takes no deployment of such a name.
    ("name with a slash", {**NIGHTLY, "name": f"{CANARY}/b"}, ["name"]),
    ("name with a percent sign", {**NIGHTLY, "name": f"100 % {CANARY}"}, ["name"]),
    ("name with an ampersand", {**NIGHTLY, "name": f"cats & {CANARY}"}, ["name"]),
    ("name with brackets", {**NIGHTLY, "name": f"<{CANARY}>"}, ["name"]),
    ("active of text", {**NIGHTLY, "active": "true"}, ["active"]),
    ("catch-up below 0", {**NIGHTLY, "catch_up_minutes": -1}, ["catch_up_minutes"]),
    ("catch-up of weeks", {**NIGHTLY, "catch_up_minutes": 10_081}, ["catch_up_minutes"]),
    ("no batch", without(NIGHTLY, "batch"), ["batch"]),
    ("batch of text", {**NIGHTLY, "batch": CANARY}, ["batch"]),
    ("unknown field of the batch", {**NIGHTLY, "batch": {"nix": CANARY}}, ["batch", "nix"]),
    ("no items in the batch", {**NIGHTLY, "batch": {"items": []}}, ["batch", "items"]),
    (
        "bad window of the batch",
        {**NIGHTLY, "batch": {"not_after": "7:00"}},
        ["batch", "not_after"],
    ),
)


@pytest.mark.parametrize(
    ("body", "at"), [(body, at) for _, body, at in REFUSED], ids=[name for name, _, _ in REFUSED]
)
def test_a_bad_schedule_is_refused(service: Service, body: dict[str, Any], at: list[str]) -> None:
    response = create(service, **body)

    found = assert_problem(response, 422, "invalid_request")
    assert at in [entry["loc"] for entry in found["errors"]], found["errors"]
    assert CANARY not in response.text


def test_a_batch_that_cannot_be_made_now_is_no_schedule(service: Service) -> None:
    batch = {"items": [{"prompt": "a fox"}, {"prompt": "an owl", "steps": 0, "model": CANARY}]}

    response = create(service, **{**NIGHTLY, "batch": batch})

    found = assert_problem(response, 422, "invalid_manifest")
    assert [entry["loc"] for entry in found["errors"]] == [["row", 2, "steps"]]
    assert CANARY not in response.text


def test_a_batch_that_prefect_would_not_keep_is_too_large(service: Service) -> None:
    batch = {"items": [{"prompt": f"{n} " + "x" * 9_000} for n in range(50)]}

    assert_problem(create(service, **{**NIGHTLY, "batch": batch}), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"cron": "0 2 * * *", "interval_s": 60}, []),
        ({"cron": CANARY}, ["cron"]),
        ({"interval_s": 1}, ["interval_s"]),
        ({"timezone": "Europe/Atlantis"}, ["timezone"]),
        ({"active": "no"}, ["active"]),
        ({"catch_up_minutes": -1}, ["catch_up_minutes"]),
        ({"name": CANARY}, ["name"]),
        ({"batch": {"nix": 1}}, ["batch", "nix"]),
    ],
)
def test_a_bad_change_is_refused(service: Service, body: dict[str, Any], at: list[str]) -> None:
    response = service.client.patch(f"{SCHEDULES}/{uuid4()}", json=body)

    found = assert_problem(response, 422, "invalid_request")
    assert at in [entry["loc"] for entry in found["errors"]], found["errors"]
    assert CANARY not in response.text


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", JSON, 422, "invalid_request"),
        (b"[]", JSON, 422, "invalid_request"),
        (b'{"name": ', JSON, 400, "malformed_json"),
        (b'{"name": "a", "name": "b"}', JSON, 400, "malformed_json"),
        (json.dumps(NIGHTLY).encode(), {}, 415, "unsupported_media_type"),
        (json.dumps(NIGHTLY).encode(), {"Content-Type": "text/csv"}, 415, "unsupported_media_type"),
        (b" " * 1_000_001, JSON, 413, "payload_too_large"),
    ],
)
def test_a_body_that_is_none_is_refused(
    service: Service, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    for method, path in (("POST", SCHEDULES), ("PATCH", f"{SCHEDULES}/{uuid4()}")):
        response = service.client.request(method, path, content=content, headers=headers)
        assert_problem(response, status, code)


@pytest.mark.parametrize(
    "odd",
    [
        CANARY,
        "0F8FAD5B-D9CB-469F-A165-70867728950E",
        "0f8fad5bd9cb469fa16570867728950e",
        "%7B0f8fad5b-d9cb-469f-a165-70867728950e%7D",
        "..%2f..%2fetc%2fpasswd",
        "0",
    ],
)
def test_an_odd_id_is_nowhere(service: Service, odd: str) -> None:
    path = f"{SCHEDULES}/{odd}"

    for response in (
        service.get(path),
        service.client.patch(path, json={"active": True}),
        service.client.delete(path),
    ):
        assert_problem(response, 404, "not_found")
        assert CANARY not in response.text
