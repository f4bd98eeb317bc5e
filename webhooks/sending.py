"""Sends one event to its receiver: one connection, one request, the beginning of one answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, cast

import httpcore

from core.callbacks.url import Receiver
from core.text import readable
from store.callbacks.values import ANSWER_MAX, DeliveryTry
from webhooks.connecting import Connect, connect_to, connected, encrypted, reason_of
from webhooks.errors import AddressRefusedError, NoAnswerError, WebhooksError
from webhooks.guard import Guard
from webhooks.reply import Reply
from webhooks.retry_after import retry_after_s

ANSWER_S: Final = 2.0
"""Seconds after the status for the beginning of the answer's body, within the whole try's."""
_ANSWER_BYTES: Final = 4 * ANSWER_MAX
"""What so many characters have at most, in UTF-8."""


async def always() -> bool:
    """Returns true: what is sent by hand is wanted."""
    return True


class Sender:
    """Sends to receivers that the guard permits; ``timeout_s`` is for one try in all.

    Nothing of the environment has a part in it: no proxy, no ``.netrc``. Redirects are answers like
    others.
    """

    def __init__(
        self,
        guard: Guard,
        tls: ssl.SSLContext,
        timeout_s: float,
        *,
        connect: Connect = connect_to,
    ) -> None:
        self._guard = guard
        self._tls = tls
        self._timeout_s = timeout_s
        self._connect = connect

    async def send(
        self,
        receiver: Receiver,
        headers: Mapping[str, str],
        body: bytes,
        still_wanted: Callable[[], Awaitable[bool]] = always,
    ) -> Reply | None:
        """POST a body and return what came of it; None if it was not wanted any more.

        ``still_wanted`` is asked when the connection stands, right before anything is sent. Its
        errors are raised; those of the receiver are in the reply.
        """
        loop = asyncio.get_running_loop()
        began_at, began = datetime.now(UTC), loop.time()
        answer = _Answer()
        error: str | None = None
        is_refused = False
        try:
            async with asyncio.timeout_at(began + self._timeout_s) as limit:
                stream = await self._open(receiver, limit)
                try:
                    if not await still_wanted():
                        return None
                    await _post(stream, _request(receiver, headers, body), answer, limit)
                finally:
                    await stream.aclose()
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except WebhooksError as problem:
            error = str(problem)
            is_refused = isinstance(problem, AddressRefusedError)
        ended = loop.time() if answer.status is None else answer.at
        tried = DeliveryTry(
            at=began_at,
            milliseconds=round(1000 * (ended - began)),
            status=answer.status,
            answer=None if answer.status is None else answer.text,
            error=error if answer.status is None else None,
        )
        return Reply(tried, answer.retry_after_s, is_refused)

    async def _open(
        self, receiver: Receiver, limit: asyncio.Timeout
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._guard.addresses(receiver)
        until = limit.when()
        assert until is not None
        stream = await connected(self._connect, addresses, receiver.port, until)
        if receiver.scheme == "http":
            return stream
        try:
            return await encrypted(stream, receiver, self._tls)
        except BaseException:
            await stream.aclose()
            raise


class _Answer:
    """What of an answer has come so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.at = 0.0
        self.retry_after_s: float | None = None
        self.body = bytearray()

    def begin(self, response: httpcore.Response) -> None:
        self.status = response.status
        self.at = asyncio.get_running_loop().time()
        named = (value for name, value in response.headers if name.lower() == b"retry-after")
        if (value := next(named, None)) is not None:
            self.retry_after_s = retry_after_s(value.decode("latin-1"), datetime.now(UTC))

    @property
    def text(self) -> str:
        return readable(self.body[:_ANSWER_BYTES].decode(errors="replace"), ANSWER_MAX)


async def _post(
    stream: httpcore.AsyncNetworkStream,
    request: httpcore.Request,
    answer: _Answer,
    limit: asyncio.Timeout,
) -> None:
    """Send the request, and read of the answer what is shown. Raises NoAnswerError."""
    connection = httpcore.AsyncHTTP11Connection(request.url.origin, stream)
    try:
        response = await connection.handle_async_request(request)
        answer.begin(response)
        limit.reschedule(min(limit.when() or 0.0, answer.at + ANSWER_S))
        chunks = cast("AsyncGenerator[bytes, None]", aiter(response.stream))  # type: ignore[arg-type]
        async with aclosing(chunks):  # which closes the connection too
            async for chunk in chunks:
                answer.body += chunk
                if len(answer.body) >= _ANSWER_BYTES:
                    return
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NoAnswerError(f"no answer in HTTP: {reason_of(error)}") from error


def _request(receiver: Receiver, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
    named = {
        "host": receiver.shown,
        **headers,
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": str(len(body)),
    }
    host = f"[{receiver.host}]" if ":" in receiver.host else receiver.host
    return httpcore.Request(
        "POST",
        httpcore.URL(
            scheme=receiver.scheme.encode(),
            host=host.encode(),
            port=receiver.port,
            target=receiver.target.encode(),
        ),
        headers=[(name.encode(), value.encode()) for name, value in named.items()],
        content=body,
    )
