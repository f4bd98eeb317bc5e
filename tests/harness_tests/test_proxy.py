"""The proxy passes everything as it is, but for what its rules say."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidMessage

from tests.harness import faults
from tests.harness.emulator import EmulatorControl
from tests.harness.faults import Answer, CutReply, Rule
from tests.harness.processes import Process, environment, free_port
from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until
from tests.harness_tests.upstream import ALPHABET, BIG, METHODS, Upstream, asking, rest_of, talking

# --- without a fault


@pytest.mark.parametrize("method", METHODS)
def test_requests_and_answers_pass(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/echo?a=%20b")

    assert answer.status_code == 200
    if method == "HEAD":
        assert (answer.content, int(answer.headers["content-length"]) > 0) == (b"", True)
    else:
        assert (answer.json()["method"], answer.json()["query"]) == (method, "a=%20b")


def test_bodies_pass_of_every_size_and_framing(client: httpx.Client) -> None:
    for body in (b"", b"x", BIG):
        sha = hashlib.sha256(body).hexdigest()
        assert client.post("/echo", content=body).json()["sha"] == sha
        assert client.post("/echo", content=iter([body[:9], body[9:]])).json()["sha"] == sha
    assert client.get("/big").content == BIG
    assert client.get("/empty").status_code == 204


def test_a_client_that_waits_to_be_asked_for_the_body(proxy: FaultProxy) -> None:
    expect = "Content-Length: 4\r\nExpect: 100-continue\r\n"
    with asking(proxy, "/echo", expect) as sock:
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"body")
        assert hashlib.sha256(b"body").hexdigest().encode() in rest_of(sock)[0]


def test_a_stream_passes_while_it_is_made(client: httpx.Client, upstream: Upstream) -> None:
    with client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"one"
        upstream.go.set()
        assert b"".join(pieces) == b"two"


def test_many_at_once(client: httpx.Client, upstream: Upstream) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/echo", content=b"x"), range(40)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(upstream.heard) == 40


# --- whom a rule strikes


def test_a_rule_chooses_by_method_path_and_turn(proxy: FaultProxy, client: httpx.Client) -> None:
    first = proxy.add(Rule(Answer(503), "POST", "/echo", times=2, skip=1))
    second = proxy.add(Rule(Answer(404), path=re.compile(r"o\?b=\d+$"), times=None))
    count = proxy.add(Rule(None, times=None))

    assert [client.post("/echo?b=12").status_code for _ in range(5)] == [404, 503, 503, 404, 404]
    assert [client.get("/echo?b=x").status_code, client.post("/empty").status_code] == [200, 204]
    assert (first.hits, second.hits, count.hits) == (2, 3, 2)
    proxy.clear()
    assert client.get("/echo?b=12").status_code == 200


# --- whole connections


def test_a_client_that_leaves_is_seen_to_leave(proxy: FaultProxy, upstream: Upstream) -> None:
    with asking(proxy, "/stream") as sock:
        received = b""
        while b"one\r\n" not in received:  # who leaves something unread does not leave in order
            received += sock.recv(65536)
        assert upstream.streams == 1
    wait_until(lambda: upstream.streams == 0, "its end")


def test_a_cut_goes_through_websockets_and_requests(proxy: FaultProxy, upstream: Upstream) -> None:
    for _ in range(2):  # new ones are welcome
        with asking(proxy, "/stream") as stream, talking(proxy) as ws:
            for text in ("hello", "x" * 500_000):
                ws.send(text)
                assert ws.recv(timeout=40) == text
            wait_until(lambda: upstream.streams == 1, "the stream")
            proxy.cut()
            assert rest_of(stream)[1] == "reset"
            with pytest.raises(ConnectionClosedError):
                ws.recv(timeout=40)
        wait_until(lambda: upstream.streams == 0, "the stream's end")


def test_a_rule_for_a_websocket(proxy: FaultProxy, upstream: Upstream) -> None:
    proxy.add(Rule(faults.DropReply(), path="/ws"))
    proxy.add(Rule(CutReply(4), path="/ws"))
    with pytest.raises((ConnectionResetError, InvalidMessage)), talking(proxy):
        pass
    with talking(proxy) as ws:
        ws.send("hi")  # its echo: two bytes and a head of two
        assert ws.recv(timeout=40) == "hi"
        with pytest.raises(ConnectionClosedError):
            ws.recv(timeout=40)
    assert upstream.heard == ["/ws", "/ws"]


def test_a_blocked_port_refuses_and_comes_back(proxy: FaultProxy, client: httpx.Client) -> None:
    with asking(proxy, "/stream") as stream:
        assert stream.recv(1)
        proxy.block()
        assert rest_of(stream)[1] == "reset"
    for _ in range(2):
        with pytest.raises(httpx.ConnectError):
            client.get("/alphabet")
        proxy.block()
    proxy.unblock()
    assert client.get("/alphabet").content == ALPHABET


def test_upstream_may_go_and_come_back(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "comfy.emulator", "--port", str(port)]
    comfy = Process("comfyui", [*command, "--output-dir", str(tmp_path)], environment(), tmp_path)
    with FaultProxy(port) as proxy:
        emulator = EmulatorControl(proxy.url)
        try:
            for _ in range(2):
                assert not emulator.answers
                comfy.start()
                wait_until(lambda: emulator.answers, comfy.tail)
                with talking(proxy) as ws:
                    assert ws.recv(timeout=40)
                    comfy.kill()
                    with pytest.raises(ConnectionClosedError):
                        ws.recv(timeout=40)
        finally:
            emulator.close()
            comfy.kill()


def test_nothing_is_left_behind(upstream: Upstream) -> None:
    with ExitStack() as clients:
        with FaultProxy(upstream.port) as proxy:
            rule = proxy.add(Rule(faults.BlackHole()))
            sock = clients.enter_context(asking(proxy))
            wait_until(lambda: rule.hits, "the black hole")
            name = f"fault-proxy-{proxy.port}"  # other tests of this process may have theirs
            (thread,) = (it for it in threading.enumerate() if it.name == name)
        assert rest_of(sock) == (b"-", "reset")
    assert not thread.is_alive()
    with socket.create_server(("127.0.0.1", proxy.port), reuse_port=False):
        pass  # the port is free again
