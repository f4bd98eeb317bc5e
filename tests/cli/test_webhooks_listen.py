"""`easel webhooks listen` as a process: what is sent to it is verified and printed."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from cli.up.lock import Running, hold
from store.callbacks.secrets import Secrets
from store.database import Database
from tests.cli.running import Started, easel_process, started
from tests.harness.databases import a_store
from tests.harness.processes import free_port
from tests.harness.receiver import SECRET

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
WITHIN_S: Final = 60
EVENT: Final[dict[str, Any]] = {
    "type": "generation.succeeded",
    "timestamp": "2026-11-29T06:00:00Z",
    "data": {
        "task_id": "11111111-1111-4111-8111-111111111111",
        "batch_id": "22222222-2222-4222-8222-222222222222",
        "status": "succeeded",
        "error": None,
        "images": [{"url": f"https://easel.example/api/v1/images/{n}"} for n in range(10)],
    },
}


def signed(
    body: bytes, *secrets: str, age: timedelta = timedelta(), sent_as: str = ""
) -> dict[str, str]:
    at, sent_as = datetime.now(UTC) - age, sent_as or str(uuid4())
    return {
        "webhook-id": sent_as,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(s).sign(sent_as, at, body.decode()) for s in secrets),
    }


class Listener:
    def __init__(self, command: Started, url: str) -> None:
        self.command = command
        self.url = url
        self.port = int(url.rstrip("/").rpartition(":")[2])

    async def send(self, body: bytes, headers: dict[str, str]) -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.post(self.url, content=body, headers=headers)).status_code

    async def says(self, text: str) -> None:
        await self.command.until(text, WITHIN_S)

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.command.process.send_signal(number)
        return await self.command.ends(WITHIN_S)


@asynccontextmanager
async def listening(home: Path, *arguments: str, **more: str) -> AsyncIterator[Listener]:
    async with started("webhooks", "listen", *arguments, home=home, more=more) as command:
        await command.until("--callback-url", WITHIN_S)
        found = re.search(r" at (http://\S+/) ", command.said)
        assert found is not None, command.said
        yield Listener(command, found[1])


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    async with listening(tmp_path, "--port", str(free_port()), "--secret", SECRET) as listener:
        yield listener


async def test_it_says_how_to_try_it_out(tmp_path: Path) -> None:
    async with listening(tmp_path, "--port", str(port := free_port())) as listener:
        said = listener.command.said
    assert listener.url == f"http://127.0.0.1:{port}/"
    assert f"""EASEL_WEBHOOKS__ALLOW='["127.0.0.1"]' easel up --home {tmp_path}\n""" in said
    assert f'easel generate "a red fox" --callback-url {listener.url} --api http' in said
    assert len(said.splitlines()) == 3


async def test_settings_that_allow_it_already_are_kept(tmp_path: Path) -> None:
    port = str(free_port())
    allowing = {"EASEL_WEBHOOKS__ALLOW": '["127.0.0.0/8"]'}
    async with listening(tmp_path, "--port", port, **allowing) as listener:
        assert "# the settings here allow 127.0.0.1" in listener.command.said
        assert "EASEL_WEBHOOKS__ALLOW" not in listener.command.said
    others = {"EASEL_WEBHOOKS__ALLOW": '["shop.lan"]'}
    async with listening(tmp_path, "--port", port, **others) as listener:
        assert """EASEL_WEBHOOKS__ALLOW='["shop.lan", "127.0.0.1"]'""" in listener.command.said


async def test_an_easel_that_runs_already_is_told_of(tmp_path: Path) -> None:
    running = Running(1, "http://127.0.0.1:9", "http://127.0.0.1:10/api", "http://127.0.0.1:10")
    with hold(tmp_path / "easel.lock", running):
        async with listening(tmp_path, "--port", str(free_port())) as listener:
            said = listener.command.said
    assert "# in the place of the one that runs now" in said
    assert "--api http://127.0.0.1:9\n" in said


async def test_an_event_is_verified_and_printed(listener: Listener) -> None:
    body = json.dumps(EVENT).encode()
    headers = signed(body, SECRET)

    assert await listener.send(body, headers) == 204
    await listener.says("and 2 more")

    event = EVENT["data"]
    said = listener.command.said.partition("✓ verified  generation.succeeded")[2]
    assert headers["webhook-id"] in said
    assert f"task     {event['task_id']}" in said
    assert f"batch    {event['batch_id']}" in said
    assert "status   succeeded" in said
    assert event["images"][0]["url"] in said
    assert "\x1b" not in listener.command.said

    assert await listener.send(body, headers) == 204
    await listener.says("again: a repeat")


async def test_an_event_of_a_batch_tells_its_counts(listener: Listener) -> None:
    data = {"batch_id": "b", "name": "animals", "counts": {"succeeded": 3, "failed": 0}}
    body = json.dumps({"type": "batch.succeeded", "data": data}).encode()
    assert await listener.send(body, signed(body, SECRET)) == 204
    await listener.says("items    3 succeeded\n")
    assert "name     animals" in listener.command.said


@pytest.mark.parametrize(
    ("headers", "why"),  # made when they are sent: they are valid for five minutes
    [
        (dict, "Missing required headers"),
        (lambda: signed(b"{}", "whsec_AAAA"), "No matching signature found"),
        (lambda: signed(b"{ }", SECRET), "No matching signature found"),
        (lambda: signed(b"{}", SECRET, age=timedelta(minutes=6)), "Message timestamp too old"),
        (lambda: signed(b"{}", SECRET, age=-timedelta(minutes=6)), "Message timestamp too new"),
        (lambda: signed(b"{}", SECRET) | {"webhook-timestamp": "nan"}, "Invalid Signature Headers"),
        (
            lambda: signed(b"{}", SECRET) | {"webhook-signature": "v1"},
            "the signature cannot be read",
        ),
        (
            lambda: signed(b"{}", SECRET) | {"webhook-signature": "v1,a"},
            "the signature cannot be read",
        ),
    ],
)
async def test_what_is_not_verified_is_told_with_the_reason(
    listener: Listener, headers: Callable[[], dict[str, str]], why: str
) -> None:
    assert await listener.send(b"{}", headers()) == 401
    await listener.says("id  ")
    assert "✗ NOT verified  no event of Easel's" in listener.command.said
    assert why in listener.command.said


async def test_each_of_two_secrets_verifies_while_they_are_rotated(tmp_path: Path) -> None:
    """The secrets are read at each request: Easel may be started, or its secret rotated, later."""
    async with listening(tmp_path, "--port", str(free_port())) as listener:
        assert await listener.send(b"{}", signed(b"{}", SECRET)) == 401
        await listener.says("no secret is known")
        async with Database(a_store(tmp_path / "easel.db")) as database:
            secrets = Secrets(database)
            old = await secrets.rotate()
            assert await listener.send(b"{}", signed(b"{}", old)) == 204
            new = await secrets.rotate()
            assert await listener.send(b"{}", signed(b"{}", old)) == 204
            assert await listener.send(b"{}", signed(b"{}", SECRET, new)) == 204
            await secrets.retire()
            assert await listener.send(b"{}", signed(b"{}", old)) == 401
            assert await listener.send(b"{}", signed(b"{}", old, new)) == 204


async def test_what_is_sent_cannot_steer_the_terminal_or_forge_lines(listener: Listener) -> None:
    evil = "\x1b]0;x\x07\x1b[2J\n06:00:00 ✓ verified  generation.succeeded \u202e[red]"
    event = {"type": evil, "data": {"task_id": evil, "error": {"detail": evil}, "images": [evil]}}
    body = json.dumps(event | {evil: [evil]}).encode()
    assert await listener.send(body, {"webhook-id": "a\tb"}) == 401
    await listener.says("error  ")
    lines = listener.command.said.splitlines()
    assert not [line for line in lines if re.match(r"[\d:]+ ✓", line)]
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(listener.command.said)
    assert "[red]" in listener.command.said


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"type": 1, "data": {"images": 1}}'],
    ids=["empty", "null", "list", "no UTF-8", "deep", "other types"],
)
async def test_a_body_that_is_no_event_is_printed_all_the_same(
    listener: Listener, body: bytes
) -> None:
    assert await listener.send(body, {}) == 401
    await listener.says("no event of Easel's")


async def test_a_verified_body_of_odd_values_is_taken(listener: Listener) -> None:
    odd = {"type": ["x"], "data": {"counts": {"succeeded": "3"}, "images": [1, {"url": {}}]}}
    body = json.dumps(odd).encode()
    assert await listener.send(body, signed(body, SECRET)) == 204


async def test_odd_requests_are_refused_and_do_not_end_it(listener: Listener) -> None:
    async with httpx.AsyncClient(base_url=listener.url, trust_env=False) as http:
        assert (await http.get("/somewhere?x=1")).status_code == 405
        assert (await http.post("/", content=b"x" * 1_000_001)).status_code == 413
        bomb = gzip.compress(bytes(30_000_000))
        squeezed = {"content-encoding": "gzip"}
        assert (await http.post("/", content=bomb, headers=squeezed)).status_code == 413
        assert (await http.post("/", content=b"no gzip", headers=squeezed)).status_code == 400
    for odd in (b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"):
        assert b" 400 " in _answer(listener.port, odd)
    cut = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf"
    with closing(socket.create_connection(("127.0.0.1", listener.port))) as connection:
        connection.sendall(cut)

    assert await listener.send(b"{}", signed(b"{}", SECRET)) == 204
    await listener.says("✓ verified")
    assert "GET /somewhere: answered 405" in listener.command.said
    assert "Traceback" not in listener.command.said


def _answer(port: int, sent: bytes) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)) as connection:
        connection.sendall(sent)
        return connection.recv(100)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_many_connections_are_taken_and_do_not_hold_it_up(
    listener: Listener, number: signal.Signals
) -> None:
    idle = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(300)]
    try:
        for each in idle[:100]:
            each.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n")
        sending = (listener.send(b"{}", signed(b"{}", SECRET)) for _ in range(50))
        assert set(await asyncio.gather(*sending)) == {204}
        assert await listener.stop(number) == 0
    finally:
        for each in idle:
            each.close()
    assert listener.command.said.count("✓ verified") == 50
    assert "Traceback" not in listener.command.said


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = await easel_process("webhooks", "listen", "--port", str(port), home=tmp_path)
    assert ended.code == 1
    assert f"port {port} is in use" in ended.err
    assert "--port N" in ended.err


async def test_two_of_them_listen_at_two_ports(tmp_path: Path) -> None:
    async with listening(tmp_path) as one, listening(tmp_path) as other:
        assert one.port != other.port


async def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    ended = await easel_process("webhooks", "listen", "--host", "192.0.2.1", home=tmp_path)
    assert ended.code == 1
    assert "cannot listen at 192.0.2.1" in ended.err
    assert "--host" in ended.err


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!", "whsec_ä"])
async def test_a_secret_that_is_none_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    ended = await easel_process("webhooks", "listen", "--secret", secret, home=tmp_path)
    assert ended.code == 2
    assert "easel webhooks secret" in ended.err
    assert secret not in ended.err.replace("whsec_…", "")
