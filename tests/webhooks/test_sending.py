"""One try, on real sockets: what a receiver does to it, and what it does not."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from core.callbacks.url import Receiver
from store.callbacks.values import ANSWER_MAX
from store.errors import StoreUnavailableError
from tests.harness.receiver import (
    EXPIRED,
    OTHER_HOST,
    SECOND_CA,
    TRUSTED,
    TRUSTED_CA,
    Behaviour,
    CallbackReceiver,
    answers,
    bombs,
    drips,
    floods,
    never_answers,
    redirects,
    resets,
    stalls_after_head,
    writes,
)
from tests.harness.waiting import wait_until
from tests.webhooks.senders import HEADERS, LOOPBACK, Names, Wires, guard, sender
from webhooks.reply import Reply
from webhooks.sending import Sender
from webhooks.services import Service
from webhooks.trust import trust

BODY: Final = b'{"type": "generation.succeeded"}'
PUBLIC: Final = "93.184.215.14"
SHORT_S: Final = 0.5
"""For receivers that never answer: the whole of it passes."""


async def sent(url: str, its_sender: Sender | None = None, *, body: bytes = BODY) -> Reply:
    reply = await (its_sender or sender()).send(Receiver.of(url), HEADERS, body)
    assert reply is not None
    return reply


async def reply_to(*script: Behaviour, timeout_s: float = 30.0) -> Reply:
    with CallbackReceiver(*script) as receiver:
        return await sent(receiver.url, sender(timeout_s=timeout_s))


async def test_an_event_is_posted_as_it_is() -> None:
    with CallbackReceiver(answers(200, body=b"thanks"), path="/a/b?c=d&e") as receiver:
        reply = await sent(receiver.url)

    [request] = receiver.requests
    assert (request.method, request.target, request.body) == ("POST", "/a/b?c=d&e", BODY)
    assert dict(request.headers) == {
        **HEADERS,
        "host": f"127.0.0.1:{receiver.port}",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(BODY)),
    }
    assert reply.is_taken
    assert (reply.tried.status, reply.tried.answer, reply.tried.error) == (200, "thanks", None)


async def test_an_ipv6_receiver_is_named_in_brackets() -> None:
    with CallbackReceiver(host="::1") as receiver:
        reply = await sent(receiver.url, sender(guard("::1")))

    assert reply.is_taken
    assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
async def test_any_2xx_is_taken(status: int) -> None:
    assert (await reply_to(answers(status))).is_taken


@pytest.mark.parametrize("status", [300, 305, 400, 401, 404, 410, 429, 500, 503, 599])
async def test_other_statuses_are_not_taken(status: int) -> None:
    reply = await reply_to(answers(status, body=b"no"))

    assert not reply.is_taken
    assert reply.is_gone == (status == 410)
    assert (reply.tried.status, reply.tried.answer) == (status, "no")
    assert str(status) in reply.reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with CallbackReceiver() as inside:
        reply = await reply_to(redirects(inside.url, status))

    assert not reply.is_taken
    assert "redirects are not followed" in reply.reason
    assert inside.connections == 0


async def test_a_reset_connection_is_a_failed_try() -> None:
    reply = await reply_to(resets)

    assert reply.tried.status is None
    assert reply.tried.error == "no answer in HTTP: Connection reset by peer"


async def test_a_receiver_that_is_down_is_a_failed_try() -> None:
    with CallbackReceiver() as receiver:
        receiver.down()
        reply = await sent(receiver.url)

    assert reply.tried.error == "no connection to 127.0.0.1: Connection refused"


async def test_a_closed_connection_is_a_failed_try() -> None:
    reply = await reply_to(writes(b""))

    assert reply.tried.error == (
        "no answer in HTTP: Server disconnected without sending a response."
    )


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x00\xff" * 100 + b"\r\n\r\n", b"220 mail\r\n\r\n"]
)
async def test_what_is_not_http_is_a_failed_try(answer: bytes) -> None:
    reply = await reply_to(writes(answer))

    assert reply.tried.status is None
    assert (reply.tried.error or "").startswith("no answer in HTTP: ")


@pytest.mark.parametrize(
    "behaviour", [never_answers, drips(), drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, 0.001)]
)
async def test_a_try_has_a_limited_time_in_all(behaviour: Behaviour) -> None:
    reply = await reply_to(behaviour, timeout_s=SHORT_S)

    assert (reply.tried.status, reply.tried.error) == (None, "no answer within 0.5 s")


@asynccontextmanager
async def unanswering() -> AsyncIterator[int]:
    """A port whose queue of connections is full: the next ones are never taken."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        try:
            yield listening.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


async def test_a_connection_that_is_never_taken_is_a_failed_try() -> None:
    async with unanswering() as port:
        reply = await sent(f"http://127.0.0.1:{port}/", sender(timeout_s=SHORT_S))

    assert (reply.tried.status, reply.tried.error) == (None, "no answer within 0.5 s")


async def test_an_address_that_is_never_taken_leaves_time_for_the_next_one() -> None:
    names = Names({"shop.lan": [["127.0.0.2", "127.0.0.1"]]})
    with CallbackReceiver() as receiver, socket.socket() as listening:
        listening.bind(("127.0.0.2", receiver.port))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        reply = await sent(
            f"http://shop.lan:{receiver.port}/",
            sender(guard(LOOPBACK, names=names), timeout_s=6.0),
        )
        for one in waiting:
            one.close()

    assert reply.is_taken


async def test_an_address_that_refuses_leaves_the_next_one() -> None:
    names = Names({"shop.lan": [["127.0.0.9", "127.0.0.1"]]})
    with CallbackReceiver() as receiver:
        reply = await sent(
            f"http://shop.lan:{receiver.port}/", sender(guard(LOOPBACK, names=names))
        )

    assert reply.is_taken
    assert receiver.requests[0].headers["host"] == f"shop.lan:{receiver.port}"


async def test_of_an_answer_of_100_megabytes_only_the_beginning_is_read() -> None:
    with CallbackReceiver(floods(100_000_000)) as receiver:
        reply = await sent(receiver.url)

    assert reply.is_taken
    assert reply.tried.answer is not None
    assert len(reply.tried.answer) == ANSWER_MAX
    assert receiver.bytes_sent < 20_000_000  # what the sockets' buffers hold, at most


async def test_headers_without_end_are_refused() -> None:
    with CallbackReceiver(bombs()) as receiver:
        reply = await sent(receiver.url)

    assert reply.tried.status is None
    assert (reply.tried.error or "").startswith("no answer in HTTP: ")
    assert receiver.bytes_sent < 20_000_000


async def test_a_status_counts_though_the_answer_then_stalls() -> None:
    replies = await asyncio.gather(
        reply_to(stalls_after_head(202), timeout_s=1000),
        reply_to(stalls_after_head(200, b"than"), timeout_s=1000),
    )

    assert all(reply.is_taken for reply in replies)
    assert [(one.tried.answer, one.tried.error) for one in replies] == [("", None), ("than", None)]


async def test_an_answer_is_made_readable() -> None:
    text = b"a\x00b\x1b[31mc\xff\xe2\x80\xaed\r\ne" + 600 * "ä".encode()

    reply = await reply_to(answers(500, body=text))

    assert reply.tried.answer is not None
    assert reply.tried.answer.startswith("a\ufffdb\ufffd[31mc\ufffd\ufffdd\ne")
    assert len(reply.tried.answer) == ANSWER_MAX


async def test_a_receiver_says_when_it_is_to_be_asked_again() -> None:
    assert (await reply_to(answers(503, {"Retry-After": "120"}))).retry_after_s == 120
    assert (await reply_to(answers(429, {"rEtRy-aFtEr": " 7 "}))).retry_after_s == 7
    assert (await reply_to(answers(503, {"Retry-After": "soon"}))).retry_after_s is None
    assert (await reply_to(answers(503))).retry_after_s is None


async def test_what_is_not_wanted_any_more_is_not_sent() -> None:
    async def never() -> bool:
        await asyncio.to_thread(wait_until, lambda: receiver.connections == 1)
        return False

    with CallbackReceiver() as receiver:
        reply = await sender().send(Receiver.of(receiver.url), HEADERS, BODY, never)

    assert reply is None
    assert receiver.requests == ()


async def test_a_store_that_is_away_is_no_fault_of_the_receiver() -> None:
    async def away() -> bool:
        raise StoreUnavailableError("away")

    with CallbackReceiver() as receiver, pytest.raises(StoreUnavailableError):
        await sender().send(Receiver.of(receiver.url), HEADERS, BODY, away)

    assert receiver.requests == ()


# --- the guard's part


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    names = Names({"shop.example": [[PUBLIC], ["127.0.0.1"]]})
    with CallbackReceiver() as receiver:
        wires = Wires(receiver.port)
        its_sender = sender(guard(names=names), connect=wires)
        first = await sent(f"http://shop.example:{receiver.port}/", its_sender)
        second = await sent(f"http://shop.example:{receiver.port}/", its_sender)

    assert wires.dialled == [(PUBLIC, receiver.port)]  # a value: the wire leads to this machine
    assert names.asked == ["shop.example", "shop.example"]  # one look at each try
    assert first.is_taken
    assert second.is_refused
    assert "shop.example (127.0.0.1)" in (second.tried.error or "")
    assert len(receiver.requests) == 1


async def test_what_is_refused_is_not_connected_to() -> None:
    with CallbackReceiver() as receiver:
        wires = Wires(receiver.port)
        its_sender = sender(guard(), connect=wires)
        replies = [
            await sent(f"http://{host}:{receiver.port}/", its_sender)
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "[::1]")
        ]

    assert all(reply.is_refused for reply in replies)
    assert all("EASEL_WEBHOOKS__ALLOW" in reply.reason for reply in replies)
    assert (wires.dialled, receiver.connections) == ([], 0)


async def test_easels_own_ports_are_not_connected_to_whatever_is_allowed() -> None:
    with CallbackReceiver() as api:
        everything = guard(
            "0.0.0.0/0", "::/0", "localhost", services=frozenset({Service("127.0.0.1", api.port)})
        )
        replies = [
            await sent(f"http://{host}:{api.port}/", sender(everything))
            for host in ("127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "[::ffff:127.0.0.1]")
        ]

    assert all(reply.is_refused for reply in replies)
    assert api.connections == 0


async def test_a_host_that_is_not_found_is_a_failed_try() -> None:
    reply = await sent("http://nowhere.example/")

    assert (reply.tried.status, reply.is_refused) == (None, False)
    assert "nowhere.example was not found" in reply.reason


async def test_the_proxies_of_the_environment_have_no_part_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with CallbackReceiver() as receiver, CallbackReceiver() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        reply = await sent(receiver.url)

    assert reply.is_taken
    assert proxy.connections == 0


async def test_neither_url_nor_body_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with CallbackReceiver(answers(500), path="/hook/its-secret") as receiver:
        reply = await sent(receiver.url)

    assert "its-secret" not in caplog.text + reply.reason
    assert "generation.succeeded" not in caplog.text


# --- TLS


@pytest.mark.parametrize(
    ("certificate", "ca", "said"),
    [
        (TRUSTED, None, "unable to get local issuer certificate"),
        (TRUSTED, SECOND_CA, "unable to get local issuer certificate"),
        (EXPIRED, SECOND_CA, "certificate has expired"),
        (OTHER_HOST, SECOND_CA, "not valid for '127.0.0.1'"),
    ],
    ids=["of nobody", "of another", "expired", "of another host"],
)
async def test_a_bad_certificate_is_refused_before_anything_is_sent(
    certificate: Path, ca: Path | None, said: str
) -> None:
    with CallbackReceiver(certificate=certificate) as receiver:
        reply = await sent(receiver.url, sender(tls=trust(ca)))

    assert reply.tried.status is None
    assert f"no trusted connection to 127.0.0.1:{receiver.port}: " in reply.reason
    assert said in reply.reason
    assert receiver.requests == ()


async def test_a_certificate_of_the_settings_file_is_trusted() -> None:
    with CallbackReceiver(certificate=TRUSTED) as receiver:
        reply = await sent(receiver.url, sender(tls=trust(TRUSTED_CA)))

    assert reply.is_taken


async def test_the_certificate_is_checked_for_the_name_not_for_the_address() -> None:
    names = Names({"elsewhere.example": [[PUBLIC]]})
    with CallbackReceiver(certificate=OTHER_HOST) as receiver:
        reply = await sent(
            f"https://elsewhere.example:{receiver.port}/",
            sender(guard(names=names), tls=trust(SECOND_CA), connect=Wires(receiver.port)),
        )

    assert reply.is_taken


async def test_a_receiver_without_tls_at_an_https_url_is_a_failed_try() -> None:
    with CallbackReceiver() as receiver:
        reply = await sent(receiver.url.replace("http:", "https:"), sender(timeout_s=SHORT_S))

    assert reply.tried.status is None
    assert receiver.requests == ()


async def test_a_handshake_that_never_ends_has_the_same_limit() -> None:
    async with unanswering_after_connect() as port:
        reply = await sent(f"https://127.0.0.1:{port}/", sender(timeout_s=SHORT_S))

    assert reply.tried.error == "no answer within 0.5 s"


@asynccontextmanager
async def unanswering_after_connect() -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_no_connection_is_left_open() -> None:
    with CallbackReceiver(answers(500), stalls_after_head(), never_answers) as receiver:
        for _ in range(3):
            await sent(receiver.url, sender(timeout_s=SHORT_S))
        async with asyncio.timeout(20):
            while receiver.open_connections:  # noqa: ASYNC110 - the other side closes in its thread
                await asyncio.sleep(0.01)
