"""ComfyUI behind TLS with a certificate of one's own, and behind a password."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from comfy import ComfyClient, ComfyProtocolError, ComfySession, ComfyUnreachableError
from comfy.address import Address
from tests.harness.liar import Answer, Liar, says

DATA = Path(__file__).parents[1] / "data"
CA = DATA / "tls_ca.pem"
LOGIN = "Basic " + base64.b64encode(b"user:pass word@").decode()
ANSWERS = {
    "GET /system_stats": '{"system": {"comfyui_version": "0.24.0"}}',
    "GET /prompt": '{"exec_info": {"queue_remaining": 3}}',
}


async def _socket(request: web.Request) -> web.StreamResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for _ in answer:
        pass
    return answer


def _guarded(inner: Answer) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != LOGIN:
            return web.Response(status=401)
        return await inner(request)

    return answer


def _routes() -> dict[str, Answer]:
    return {"GET /ws": _socket, **{route: says(text) for route, text in ANSWERS.items()}}


@pytest.fixture
async def server() -> AsyncIterator[Liar]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "tls_server.pem")
    async with Liar(_routes(), ssl_context=context) as liar:
        yield liar


async def _remaining(address: Address) -> int:
    client = ComfyClient(address)
    try:
        return await client.queue_remaining()
    finally:
        await client.aclose()


async def test_a_certificate_that_nothing_vouches_for_is_refused_by_both(server: Liar) -> None:
    with pytest.raises(ComfyUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        await _remaining(Address.of(server.url))
    async with ComfySession(server.url) as session:
        assert not session.reachable
        assert "CERTIFICATE_VERIFY_FAILED" in session.reachable_detail


async def test_a_ca_file_is_trusted_by_http_and_by_the_websocket(server: Liar) -> None:
    assert await _remaining(Address.of(server.url, CA)) == 3
    async with ComfySession(server.url, ca_file=CA) as session:
        assert (session.reachable, session.reachable_detail) == (True, "connected")
    assert server.asked["GET /ws"] == 1


async def test_what_the_environment_names_is_trusted_by_both(
    server: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CA))
    assert await _remaining(Address.of(server.url)) == 3
    async with ComfySession(server.url) as session:
        assert (session.reachable, session.reachable_detail) == (True, "connected")


async def test_a_certificate_for_another_name_is_refused(server: Liar) -> None:
    with pytest.raises(ComfyUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        await _remaining(Address.of(f"https://localhost:{server.port}", CA))


async def test_user_name_and_password_log_in_and_are_not_shown() -> None:
    routes = {route: _guarded(answer) for route, answer in _routes().items()}
    async with Liar(routes) as liar:
        login = liar.url.replace("://", "://user:pass%20word%40@")
        address = Address.of(login)
        assert address.url == liar.url
        assert "pass" not in repr(address)
        assert await _remaining(address) == 3
        async with ComfySession(login) as session:
            assert (session.reachable, session.reachable_detail) == (True, "connected")
            assert session.client.base_url == liar.url
        with pytest.raises(ComfyProtocolError, match="401"):
            await _remaining(Address.of(liar.url))
