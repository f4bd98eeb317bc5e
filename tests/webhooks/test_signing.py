"""Signatures are those of Standard Webhooks: the library's own verifier takes them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.harness.receiver import SECRET
from webhooks.signing import signed

OTHER = "whsec_" + base64.b64encode(b"another secret").decode()
BODY = '{"prompt": "ein roter Fuchs, größer", "seed": 1}'.encode()


def test_what_is_signed_can_be_verified() -> None:
    headers = signed([SECRET], uuid4(), datetime.now(UTC), BODY)

    assert Webhook(SECRET).verify(BODY, headers)["seed"] == 1


def test_while_a_secret_is_rotated_both_verify() -> None:
    headers = signed([OTHER, SECRET], uuid4(), datetime.now(UTC), BODY)

    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, headers)["seed"] == 1


@pytest.mark.parametrize("changed", ["body", "id", "timestamp", "secret"])
def test_what_is_changed_is_refused(changed: str) -> None:
    headers = signed([SECRET], uuid4(), datetime.now(UTC), BODY)
    body, secret = BODY, SECRET
    match changed:
        case "body":
            body = BODY.replace(b"1", b"2")
        case "id":
            headers["webhook-id"] = str(uuid4())
        case "timestamp":
            headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
        case "secret":
            secret = OTHER

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_the_id_stays_and_the_time_is_that_of_the_try() -> None:
    delivery_id, first = uuid4(), datetime(2026, 11, 29, 12, 0, 0, 999_999, tzinfo=UTC)
    later = (first + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5)))

    tries = [signed([SECRET], delivery_id, at, BODY) for at in (first, later)]

    assert {one["webhook-id"] for one in tries} == {str(delivery_id)}
    assert [int(one["webhook-timestamp"]) for one in tries] == [1795953600, 1795957200]
    assert tries[0]["webhook-signature"] != tries[1]["webhook-signature"]
    assert tries[0]["user-agent"].startswith("Easel/")
    assert tries[0]["content-type"] == "application/json"
