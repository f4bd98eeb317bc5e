"""What no well-behaved client sends: bytes on a bare socket."""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import dataclass
from typing import Final

import pytest

from api import body, limits
from api.connections import Connection
from api.generations.facade import Busy
from tests.api.service import BATCHES, CREATE, SCHEDULES, Service
from tests.harness.waiting import wait_until

BODY: Final = b'{"prompt":"a zx81canary"}'


@dataclass(frozen=True)
class Answer:
    status: int
    head: str
    body: str


def _say(service: Service, *pieces: bytes) -> Answer:
    """Send bytes; read one answer, whether or not the connection stays."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        for piece in pieces:
            line.sendall(piece)
        received = b""
        while b"\r\n\r\n" not in received:
            more = line.recv(65_536)
            assert more, received
            received += more
        head, _, rest = received.partition(b"\r\n\r\n")
        fields = dict(
            field.lower().split(b": ", 1) for field in head.split(b"\r\n")[1:] if b": " in field
        )
        while len(rest) < int(fields.get(b"content-length", b"0")):
            more = line.recv(65_536)
            assert more, received
            rest += more
    return Answer(int(head.split()[1]), head.decode(), rest.decode())


def _create(*headers: bytes) -> bytes:
    start = f"POST {CREATE} HTTP/1.1".encode()
    lines = (start, b"Host: easel.localhost", b"Content-Type: application/json", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"


LENGTH: Final = f"Content-Length: {len(BODY)}".encode()
CHUNKED: Final = b"Transfer-Encoding: chunked"
REFUSED: Final = {
    "48 CL and TE": _create(LENGTH, CHUNKED) + b"0\r\n\r\n",
    "48 TE and CL": _create(CHUNKED, LENGTH) + b"0\r\n\r\n",
    "48 two lengths": _create(LENGTH, b"Content-Length: 3") + BODY,
    "48 a length below zero": _create(b"Content-Length: -5") + BODY,
    "48 a length with a plus": _create(b"Content-Length: +25") + BODY,
    "48 a transfer encoding that is none": _create(b"Transfer-Encoding: xchunked") + BODY,
    "57 a control character in a key": _create(LENGTH, b"Idempotency-Key: a\x01b") + BODY,
    "a bare line feed in a chunk's size": _create(CHUNKED) + b"zz\r\n" + BODY,
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_framing_is_refused(service: Service, said: bytes) -> None:
    before = service.count()
    answer = _say(service, said)

    assert answer.status == 400
    assert "zx81canary" not in answer.body
    assert service.count() == before


def test_46_a_length_over_the_cap_is_refused_unread(service: Service) -> None:
    answer = _say(service, _create(b"Content-Length: 50000000"))

    assert answer.status == 413
    assert '"code":"payload_too_large"' in answer.body


def test_46_a_length_with_5000_digits_is_no_crash(service: Service) -> None:
    assert _say(service, _create(b"Content-Length: " + b"1" * 5000)).status in (400, 413)


def test_47_chunks_over_the_cap_are_refused(service: Service) -> None:
    before = service.count()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = _say(service, _create(CHUNKED), *[chunk] * 20, b"0\r\n\r\n")

    assert answer.status == 413
    assert '"code":"payload_too_large"' in answer.body
    assert service.count() == before


def test_a_body_in_small_chunks_is_taken(service: Service) -> None:
    chunks = [b"1\r\n" + bytes([byte]) + b"\r\n" for byte in BODY]
    assert _say(service, _create(CHUNKED), *chunks, b"0\r\n\r\n").status == 202


def test_50_a_body_that_does_not_come_is_not_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_WITHIN_S", 0.2)
    before = service.count()
    answer = _say(service, _create(LENGTH), BODY[:5])

    assert answer.status == 408
    assert "application/problem+json" in answer.head
    assert "connection: close" in answer.head.lower()
    assert service.count() == before


def test_51_endless_headers_are_refused(service: Service) -> None:
    answer = _say(service, _create(LENGTH, b"X-Long: " + b"x" * 65_536) + BODY)
    assert answer.status == 431

    many = [f"X-{number}: {'x' * 100}".encode() for number in range(1_000)]
    assert _say(service, _create(LENGTH, *many) + BODY).status == 431


def test_52_an_endless_address_is_refused(service: Service) -> None:
    for address in (b"/api/v1/models?x=" + b"x" * 60_000, b"/api/" + b"x" * 60_000):
        answer = _say(service, b"GET " + address + b" HTTP/1.1\r\nHost: easel.localhost\r\n\r\n")
        assert answer.status == 414


@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "..%2f..%2fetc/passwd", "%2e%2e/x", "a//b"]
)
def test_66_no_path_leads_out(service: Service, path: str) -> None:
    for start in ("/api/v1/images/", "/api/v1/generation/status/", "/static-offline-docs/"):
        said = f"GET {start}{path} HTTP/1.1\r\nHost: easel.localhost\r\n\r\n"
        assert _say(service, said.encode()).status == 404


def test_a_create_whose_body_is_slow_holds_up_no_dispatch(service: Service) -> None:
    """The dispatcher waits while creates are busy: a body that does not come is none."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        line.sendall(_create(LENGTH, b"Expect: 100-continue"))
        assert line.recv(100).startswith(b"HTTP/1.1 100")  # the body is being waited for
        assert not service.app.state.opened[Busy]()


@pytest.mark.parametrize("path", [CREATE, BATCHES, SCHEDULES])
def test_a_client_that_goes_away_is_no_bug(
    service: Service, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.WARNING):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
            start = _create(LENGTH, b"Expect: 100-continue").replace(CREATE.encode(), path.encode())
            line.sendall(start)
            assert line.recv(100).startswith(b"HTTP/1.1 100")
            line.sendall(BODY[:5])
        wait_until(lambda: not service.is_busy)

    # Prefect is away in these tests, and what others created waits for it.
    assert [one for one in caplog.records if one.name != "store.outbox_runner"] == []


def _until_closed(line: socket.socket, *pieces: bytes) -> bytes:
    """Send pieces until the server closes. Returns what it said."""
    received = b""
    for piece in pieces:
        line.sendall(piece)
    while more := line.recv(65_536):
        received += more
    return received


@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: easel.localhost\r\nX-Slow: ", b"\r\n"],
    ids=["nothing", "a byte", "half a header", "an empty line"],
)
def test_a_connection_without_a_request_is_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(Connection, "headers_within_s", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        assert _until_closed(line, said) == b""


def test_a_kept_connection_has_a_deadline_for_the_next_request_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: easel.localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        line.sendall(asked)
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(Connection, "headers_within_s", 0.2)
        assert _until_closed(line, asked, asked[:20]).count(b"HTTP/1.1 200") == 1


def test_a_request_that_begins_while_another_is_answered_has_a_deadline_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: easel.localhost\r\n\r\n"
    monkeypatch.setattr(Connection, "headers_within_s", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        assert _until_closed(line, asked + asked[:20]).count(b"HTTP/1.1 200") == 1


def test_an_answer_that_takes_longer_is_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "headers_within_s", 0.1)
    answer = service.client.post(CREATE, json={"prompt": "a fox"}, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202


@pytest.mark.parametrize("path", [CREATE, BATCHES, SCHEDULES])
def test_a_body_that_comes_byte_by_byte_has_a_deadline(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """However soon each byte comes after the one before."""
    monkeypatch.setattr(limits, "BODY_WITHIN_S", 0.5)
    start = _create(LENGTH).replace(CREATE.encode(), path.encode())
    with socket.create_connection(("127.0.0.1", service.port), timeout=0.05) as line:
        line.sendall(start)
        received = b""
        for byte in BODY[:-1] * 1_000:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                received = line.recv(65_536)
                break

    assert received.startswith(b"HTTP/1.1 408")


def _old(service: Service, path: str) -> tuple[str, bytes]:
    """The head and the body that a client of HTTP/1.0 reads until the connection ends."""
    asked = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as line:
        head, _, rest = _until_closed(line, asked.encode()).partition(b"\r\n\r\n")
    return head.decode().lower(), rest


def test_http_1_0_has_no_chunks(service: Service) -> None:
    """A body of unknown length ends with the connection."""
    task_id = service.created()
    service.worker.finish(task_id)
    path = service.of(task_id, "events")

    head, events = _old(service, path)

    assert "transfer-encoding" not in head
    assert "content-length" not in head
    assert "connection: close" in head
    assert events == service.get(path).content
    assert events.startswith(b"event: ")


def test_http_1_0_has_lengths_where_they_are_known(service: Service) -> None:
    head, body = _old(service, "/healthz")

    assert f"content-length: {len(body)}" in head
    assert body == service.get("/healthz").content
