"""The receiver of callbacks records what came, and answers as its script says."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.harness.receiver import (
    EXPIRED,
    OTHER_HOST,
    SECOND_CA,
    SECRET,
    TRUSTED,
    TRUSTED_CA,
    CallbackReceiver,
    answers,
    bombs,
    floods,
    redirects,
    resets,
)


def _post(receiver: CallbackReceiver, body: str = "{}", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(receiver.url, content=body, headers=named, trust_env=False)


def test_requests_are_recorded_and_answered_by_the_script() -> None:
    with CallbackReceiver(answers(500), answers(200, {"X-A": "b"}, b"hello")) as receiver:
        found = [_post(receiver, str(number), X_Number=str(number)) for number in range(3)]

    assert [one.status_code for one in found] == [500, 200, 200]
    assert (found[1].text, found[1].headers["x-a"]) == ("hello", "b")
    assert [one.body for one in receiver.requests] == [b"0", b"1", b"2"]
    assert receiver.requests[2].headers["x-number"] == "2"
    assert {(one.method, one.target) for one in receiver.requests} == {("POST", "/easel")}


def test_what_is_signed_is_verified_and_what_is_not_is_refused() -> None:
    now = datetime.now(UTC)
    signed = {
        "webhook_id": "some",
        "webhook_timestamp": str(int(now.timestamp())),
        "webhook_signature": Webhook(SECRET).sign("some", now, '{"a": 1}'),
    }
    with CallbackReceiver() as receiver:
        _post(receiver, '{"a": 1}', **signed)
        assert receiver.verified() == [{"a": 1}]
        _post(receiver, '{"a": 2}', **signed)
        with pytest.raises(WebhookVerificationError):
            receiver.verified()


def test_it_resets_goes_down_and_comes_back_on_its_port() -> None:
    with CallbackReceiver(resets, answers(204)) as receiver:
        with pytest.raises(httpx.ReadError):
            _post(receiver)
        receiver.down()
        with pytest.raises(httpx.ConnectError):
            _post(receiver)
        receiver.up()
        assert _post(receiver).status_code == 204
        assert receiver.connections == 2


def test_while_paused_it_takes_requests_and_answers_them_later() -> None:
    with CallbackReceiver() as receiver, ThreadPoolExecutor() as pool:
        receiver.pause()
        answer = pool.submit(_post, receiver)
        receiver.wait_for(1)
        assert not answer.done()
        receiver.resume()
        assert answer.result().status_code == 200


def test_floods_bombs_and_redirects_are_as_they_say() -> None:
    with CallbackReceiver(
        redirects("http://127.0.0.1:1/"), floods(1 << 20), bombs(10_000)
    ) as receiver:
        assert _post(receiver).headers["location"] == "http://127.0.0.1:1/"
        assert len(_post(receiver).content) == 1 << 20
        with pytest.raises(httpx.RemoteProtocolError):
            _post(receiver)


@pytest.mark.parametrize(
    ("certificate", "ca", "said"),
    [
        (TRUSTED, TRUSTED_CA, None),
        (TRUSTED, SECOND_CA, "unable to get local issuer"),
        (EXPIRED, SECOND_CA, "expired"),
        (OTHER_HOST, SECOND_CA, "not valid for '127.0.0.1'"),
    ],
    ids=["trusted", "untrusted", "expired", "other host"],
)
def test_certificates_are_as_good_as_they_say(
    certificate: Path, ca: Path, said: str | None
) -> None:
    with CallbackReceiver(certificate=certificate) as receiver:
        trust = ssl.create_default_context(cafile=ca)
        with httpx.Client(verify=trust, trust_env=False) as client:
            if said is None:
                assert client.post(receiver.url).status_code == 200
            else:
                with pytest.raises(httpx.ConnectError, match=said):
                    client.post(receiver.url)
    assert len(receiver.requests) == (1 if said is None else 0)
