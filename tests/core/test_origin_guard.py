"""Which hosts and origins are this server's own, rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Scope

from core.origin_guard import OriginGuard

NAME = "easel.lan"
PUBLIC = "https://pictures.example.org"
Headers = list[tuple[str, str]]


def guard() -> ASGIApp:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await PlainTextResponse("in")(scope, receive, send)

    return OriginGuard(application, [NAME, "pictures.example.org"], [PUBLIC], ("/pictures/",))


async def answer(
    headers: Headers, method: str = "GET", *, kind: str = "http", port: int = 8700, **more: Any
) -> list[Message]:
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope: Scope = {"type": kind, "headers": raw, "server": ("127.0.0.1", port), "path": "/"}
    if kind == "http":
        scope["method"] = method
    await guard()({**scope, **more}, receive, send)
    return said


async def status(headers: Headers, method: str = "GET", **more: Any) -> int:
    said = await answer(headers, method, **more)
    return int(said[0]["status"])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8700",
        "127.0.0.1",
        "192.168.1.20:8700",
        "[::1]:8700",
        "[fe80::1]",
        "localhost:8700",
        "LOCALHOST",
        "localhost.",
        "easel.localhost:8700",
        "easel.lan",
        "Easel.LAN:443",
        "pictures.example.org",
    ],
)
async def test_hosts_of_this_server(host: str) -> None:
    assert await status([("Host", host)]) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8700",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "easel.lan.evil.example",
        "not-easel.lan",
        "x.easel.lan",
        "0x7f.1",
        "2130706433",
        "1::2",
    ],
)
async def test_a_foreign_host_is_told_of_the_setting(host: str) -> None:
    start, body = await answer([("Host", host)])
    assert start["status"] in {400, 403}
    found = json.loads(body["body"])
    if start["status"] == 403:
        assert found["code"] == "unknown_host"
        assert "EASEL_ALLOWED_HOSTS" in found["detail"]
        assert host.partition(":")[0] in found["detail"]


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["127.0.0.1:8700", "127.0.0.1:8700"],
        ["127.0.0.1:8700", "evil.example"],
        [""],
        ["user@localhost"],
        ["localhost:port"],
        ["localhost/path"],
        ["[::1"],
        ["localhost, evil.example"],
        ["löcalhost"],
    ],
)
async def test_not_exactly_one_host(hosts: list[str]) -> None:
    assert await status([("Host", host) for host in hosts]) == 400


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8700", "http://127.0.0.1:8700"),
        ("localhost:8700", "http://LOCALHOST:8700"),
        ("[::1]:8700", "http://[::1]:8700"),
        ("easel.lan", "https://easel.lan"),  # a proxy that terminates TLS
        ("easel.lan:443", "https://easel.lan"),
        ("easel.lan:80", "http://easel.lan"),
        ("easel.lan", "https://easel.lan:8443"),  # one that passes the name on, not the port
        ("127.0.0.1:8700", PUBLIC),  # one that rewrites Host
        ("easel.lan", f"{PUBLIC}:443"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_pages_of_this_server(host: str, origin: str, method: str) -> None:
    headers = [("Host", host), ("Origin", origin), ("Sec-Fetch-Site", "same-origin")]
    assert await status(headers, method) == 200
    assert (await answer(headers, kind="websocket"))[0]["type"] == "websocket.accept"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8700", "http://evil.example"),
        ("127.0.0.1:8700", "http://evil.example:8700"),
        ("127.0.0.1:8700", "http://127.0.0.1:3000"),
        ("127.0.0.1:8700", "http://localhost:8700"),
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("127.0.0.1:8700", "null"),
        ("127.0.0.1:8700", ""),
        ("127.0.0.1:8700", "file://"),
        ("127.0.0.1:8700", "chrome-extension://abcdef"),
        ("127.0.0.1:8700", "http://127.0.0.1:99999999"),
        ("easel.lan:8700", "http://easel.lan:3000"),
        ("easel.lan", "http://evil.easel.lan"),
        ("127.0.0.1:8700", "http://pictures.example.org"),
        ("127.0.0.1:8700", f"{PUBLIC}:3000"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
async def test_pages_of_other_sites(host: str, origin: str, method: str) -> None:
    headers = [("Host", host), ("Origin", origin)]
    start, body = await answer(headers, method)
    assert start["status"] == 403
    assert json.loads(body["body"])["code"] == "foreign_origin"
    assert "EASEL_API__PUBLIC_URL" in json.loads(body["body"])["detail"]
    closed = await answer(headers, kind="websocket")
    assert [message["type"] for message in closed] == ["websocket.close"]
    extensions = {"websocket.http.response": dict[str, Any]()}
    refused = await answer(headers, kind="websocket", extensions=extensions)
    assert (refused[0]["type"], refused[0]["status"]) == ("websocket.http.response.start", 403)


async def test_on_its_own_default_port_the_port_of_a_name_counts() -> None:
    """There is no proxy that could have dropped it."""
    headers = [("Host", "easel.lan"), ("Origin", "http://easel.lan:3000")]
    assert await status(headers, "POST", port=80) == 403


async def test_one_of_two_origins_is_enough_to_be_foreign() -> None:
    own = ("Origin", "http://127.0.0.1:8700")
    headers = [("Host", "127.0.0.1:8700"), own, ("Origin", "http://evil.example")]
    assert await status(headers, "POST") == 403


LINK = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
FRAME = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")]
PICTURE = [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_without_an_origin_the_browser_says_where_from(site: str) -> None:
    headers = [("Host", "127.0.0.1:8700"), ("Sec-Fetch-Site", site)]
    for more in ([], LINK, FRAME, PICTURE):
        for path in ("/", "/pictures/1"):
            assert await status([*headers, *more], "POST", path=path) == 403
            assert await status([*headers, *more], "DELETE", path=path) == 403
        said = await answer([*headers, *more], kind="websocket")
        assert said[0]["type"] == "websocket.close"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_other_sites_may_link_here_and_show_pictures(site: str, method: str) -> None:
    headers = [("Host", "127.0.0.1:8700"), ("Sec-Fetch-Site", site)]
    assert await status([*headers, *LINK], method) == 200
    assert await status([*headers, *PICTURE], method, path="/pictures/1") == 200
    for more in ([], FRAME, PICTURE):  # each would cost this server a page
        assert await status([*headers, *more], method) == 403
        assert await status([*headers, *more], method, path="/pictures") == 403


@pytest.mark.parametrize("site", ["same-origin", "none", None])
async def test_programs_and_own_pages(site: str | None) -> None:
    more = [("Sec-Fetch-Site", site)] if site else []
    assert await status([("Host", "127.0.0.1:8700"), *more], "POST") == 200
