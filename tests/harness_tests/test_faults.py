"""Each fault does what its name says, once, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import faults
from tests.harness.faults import Answer, CutReply, Fault, Rule
from tests.harness.proxy import FaultProxy
from tests.harness.waiting import wait_until
from tests.harness_tests.upstream import ALPHABET, BIG, Upstream, asking, rest_of


@pytest.mark.parametrize(
    ("fault", "body", "end", "heard"),
    [
        (None, ALPHABET, "closed", True),
        (faults.Refuse(), b"-", "reset", False),
        (faults.DropReply(), b"-", "reset", True),
        (CutReply(), b"", "reset", True),
        (CutReply(5), b"abcde", "reset", True),
        (CutReply(5, reset=False), b"abcde", "closed", True),
        (faults.HalfClose(5), b"abcde", "closed", True),
        (Answer(200, b"<html>", "text/html"), b"<html>", "closed", False),
        (faults.Replace(b"bcdef", b"-"), b"a-" + ALPHABET[6:], "closed", True),
        (faults.Delay(0.05), ALPHABET, "closed", True),
        (faults.SlowReply(1000), ALPHABET, "closed", True),
    ],
    ids=str,
)
def test_a_fault_once(
    proxy: FaultProxy, upstream: Upstream, fault: Fault | None, body: bytes, end: str, heard: bool
) -> None:
    rule = proxy.add(Rule(fault))
    with asking(proxy) as sock:
        assert rest_of(sock) == (body, end)
    assert upstream.heard == ["/alphabet"] * heard
    assert rule.hits == 1
    with asking(proxy) as sock:
        assert rest_of(sock) == (ALPHABET, "closed")


def test_a_large_answer_is_cut_where_it_should_be(proxy: FaultProxy) -> None:
    proxy.add(Rule(CutReply(9_000_000)))
    with asking(proxy, "/big") as sock:
        assert rest_of(sock) == (BIG[:9_000_000], "reset")


def test_what_is_replaced_has_the_right_length(proxy: FaultProxy, client: httpx.Client) -> None:
    proxy.add(Rule(faults.Replace(b"abc", b"abcabc"), times=None))
    answer = client.get("/alphabet")

    assert (answer.content, answer.headers["content-length"]) == (b"abc" + ALPHABET, "29")
    assert client.head("/alphabet").headers["content-length"] == "26"
    assert client.get("/empty").status_code == 204


def test_what_is_replaced_comes_neither_packed_nor_in_chunks(
    proxy: FaultProxy, client: httpx.Client, upstream: Upstream
) -> None:
    proxy.add(Rule(faults.Replace(b"onetwo", b"three")))
    proxy.add(Rule(faults.Replace(b"packed", b"zipped")))
    upstream.go.set()

    assert client.get("/stream").content == b"three"
    assert client.get("/echo").json()["zipped"] is None
    assert client.get("/echo").json()["packed"]


def test_a_half_closed_client_may_still_send(proxy: FaultProxy) -> None:
    proxy.add(Rule(faults.HalfClose()))
    with asking(proxy) as sock:
        assert rest_of(sock) == (b"", "closed")
        for _ in range(2):  # into a socket that is closed this fails
            sock.sendall(b"x")
            assert sock.recv(1) == b""


def test_a_slow_reply_is_on_its_way_for_long(proxy: FaultProxy) -> None:
    proxy.add(Rule(faults.SlowReply(1e-3)))
    with asking(proxy) as sock:
        received = b""
        while not received.endswith(b"\r\n\r\na"):
            received += sock.recv(1)
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_a_delayed_request_is_held_and_comes_though_the_client_has_gone(
    proxy: FaultProxy, upstream: Upstream
) -> None:
    for_long = proxy.add(Rule(faults.Delay(3600), path="/big"))
    rule = proxy.add(Rule(faults.Delay(0.3)))
    with asking(proxy, "/big"), asking(proxy):
        wait_until(lambda: for_long.hits + rule.hits == 2, "the delays")
    wait_until(lambda: upstream.heard, "the late request")

    assert upstream.heard == ["/alphabet"]


@pytest.mark.parametrize("fault", [faults.DropReply(), faults.Delay(0)], ids=str)
def test_upstream_does_not_notice_that_the_client_leaves(
    proxy: FaultProxy, upstream: Upstream, fault: Fault
) -> None:
    proxy.add(Rule(fault))
    with asking(proxy, "/patient"):
        wait_until(lambda: upstream.heard, "the request")
    with asking(proxy) as other:  # whatever tells of the leaving was before this
        assert rest_of(other) == (ALPHABET, "closed")
    upstream.go.set()
    wait_until(lambda: len(upstream.heard) == 3, "the answer")

    assert upstream.heard[-1] == "it stayed"


def test_a_black_hole_holds_until_it_is_cleared(proxy: FaultProxy, upstream: Upstream) -> None:
    rule = proxy.add(Rule(faults.BlackHole(), path="/alphabet"))
    with asking(proxy) as held, asking(proxy, "/stream") as other:
        wait_until(lambda: rule.hits and upstream.streams, "both requests")
        held.settimeout(0.2)
        with pytest.raises(TimeoutError):
            held.recv(1)
        proxy.clear()
        held.settimeout(40)
        assert rest_of(held) == (b"-", "reset")
        upstream.go.set()
        assert rest_of(other)[1] == "closed"
    assert upstream.heard == ["/stream"]
