"""Easel's API as the command line uses it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from cli.events import ServerEvent, read_events

_PREFIX: Final = "/api/v1"
_SILENCE_S: Final = 45.0
"""Longest silence of an event stream; the API sends a comment every 15 s."""
_TRIES: Final = 3
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ApiUnreachableError(Exception):
    """No answer from the API."""


class ApiRefusedError(Exception):
    """The API answered with a problem; ``problem`` is its document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or f"the API answered {status}"))
        self.status = status
        self.problem = problem


class ApiClient:
    """Speaks to one API. Use as an async context manager.

    Every method raises ApiUnreachableError and ApiRefusedError.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(30, connect=5),
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=urlsplit(url).hostname not in _LOCAL,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Create a generation; its status document. A lost answer cannot create a second one."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in range(_TRIES - 1):
            try:
                return await self._json("POST", "/generation/create", json=request, headers=headers)
            except ApiUnreachableError as error:
                if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
                    raise
            await asyncio.sleep(0.3)
        return await self._json("POST", "/generation/create", json=request, headers=headers)

    async def status(self, task_id: str) -> dict[str, Any]:
        """The status document."""
        return await self._json("GET", f"/generation/status/{task_id}")

    async def result(self, task_id: str) -> dict[str, Any]:
        """The result document."""
        return await self._json("GET", f"/generation/result/{task_id}")

    async def cancel(self, task_id: str) -> None:
        """Ask for a generation's end. Quiet when it has ended."""
        try:
            await self._json("POST", f"/generation/{task_id}/cancel")
        except ApiRefusedError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    async def has_history(self) -> bool:
        """Whether any generation was ever created (and not deleted)."""
        page = await self._json("GET", "/generation/history", params={"limit": 1})
        return bool(page["items"])

    async def image(self, image_id: str) -> bytes:
        """A picture's bytes."""
        # Not the document's own address: that one may be reachable for others only.
        return (await self._send("GET", f"/images/{image_id}")).content

    async def events(self, task_id: str, last_id: str | None) -> AsyncGenerator[ServerEvent, None]:
        """The generation's events, from behind ``last_id``, until the API ends the stream."""
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(_SILENCE_S, connect=5)
        path = f"{_PREFIX}/generation/{task_id}/events"
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    raise _refused(response)
                async for event in read_events(response.aiter_lines()):
                    yield event
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error

    async def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        response = await self._send(method, path, **more)
        try:
            body: dict[str, Any] = response.json()
        except ValueError as error:
            raise ApiUnreachableError(
                f"{self.url} answers, but not as Easel does. Is it another program's address?"
            ) from error
        return body

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, f"{_PREFIX}{path}", **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(self.url, error) from error
        if not response.is_success:
            raise _refused(response)
        return response


def _unreachable(url: str, error: Exception) -> ApiUnreachableError:
    return ApiUnreachableError(f"no answer from {url} ({str(error) or type(error).__name__})")


def _refused(response: httpx.Response) -> ApiRefusedError:
    try:
        body = response.json()
    except ValueError:
        body = None
    return ApiRefusedError(response.status_code, body if isinstance(body, dict) else {})
