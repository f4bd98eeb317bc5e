"""Easel's API as the command line uses it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from functools import partial
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

from cli.batch_body import BatchBody
from core.urls import basic_authorization, without_userinfo

_PREFIX: Final = "/api/v1"
_CHUNK_BYTES: Final = 1_048_576
_SILENCE_S: Final = 45.0
"""Longest silence of an event stream; the API sends a comment every 15 s."""
_TRIES: Final = 3
_PAUSE_S: Final = 0.3
_ACCEPTANCE_S: Final = 300.0
"""Longest wait for the answer to a batch's create: it comes when every row was checked."""
ITEMS_PAGE: Final = 100
"""Most items of a batch on a page."""
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

    ``user:password@`` in its URL is for what asks for it in front of the API.
    Every method raises ApiUnreachableError and ApiRefusedError.
    """

    def __init__(self, url: str) -> None:
        self.url = without_userinfo(url).rstrip("/")
        """Its address, which may be shown."""
        authorization = basic_authorization(url)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={} if authorization is None else {"Authorization": authorization},
            timeout=httpx.Timeout(30, connect=5),
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=urlsplit(url).hostname not in _LOCAL,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Create a generation. Returns its status. A lost answer cannot create a second one."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_have_arrived),
            wait=wait_fixed(_PAUSE_S),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        )
        ask = partial(self._json, "POST", "/generation/create", json=request, headers=headers)
        return await retrying(ask)

    async def status(self, task_id: str) -> dict[str, Any]:
        """Returns the status document."""
        return await self._json("GET", f"/generation/status/{task_id}")

    async def result(self, task_id: str) -> dict[str, Any]:
        """Returns the result document."""
        return await self._json("GET", f"/generation/result/{task_id}")

    async def cancel(self, task_id: str) -> None:
        """Cancel a generation. Does nothing when it has ended."""
        try:
            await self._json("POST", f"/generation/{task_id}/cancel")
        except ApiRefusedError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    async def delete(self, task_id: str) -> None:
        """Delete a generation for good; one that runs is cancelled first."""
        await self._send("DELETE", f"/generation/{task_id}")

    async def history(self, limit: int) -> list[dict[str, Any]]:
        """Returns the newest generations that were not deleted."""
        page = await self._json("GET", "/generation/history", params={"limit": limit})
        items: list[dict[str, Any]] = page["items"]
        return items

    async def workflow(self, name: str) -> dict[str, Any]:
        """Returns a workflow's document."""
        return await self._json("GET", f"/workflows/{quote(name, safe='')}")

    async def workflows(self) -> list[dict[str, Any]]:
        """Returns the documents of all workflows."""
        page = await self._json("GET", "/workflows")
        items: list[dict[str, Any]] = page["items"]
        return items

    async def workflow_sources(self) -> dict[str, Any]:
        """Returns what is offered as workflows, and the problem where ComfyUI is away."""
        return await self._json("GET", "/workflows/sources")

    async def add_workflow(self, file: bytes, query: Mapping[str, Any]) -> dict[str, Any]:
        """Import a workflow's file. Returns what became of it."""
        headers = {"Content-Type": "application/octet-stream"}
        timeout = httpx.Timeout(30, connect=5, read=_ACCEPTANCE_S)
        return await self._json(
            "POST", "/workflows", content=file, params=query, headers=headers, timeout=timeout
        )

    async def workflow_to_change(self, name: str) -> tuple[dict[str, Any], str]:
        """Returns a workflow's document and its ``ETag``."""
        response = await self._send("GET", f"/workflows/{quote(name, safe='')}")
        return self._read(response), response.headers.get("ETag", "")

    async def change_workflow(
        self, name: str, wanted: Mapping[str, Any], etag: str
    ) -> dict[str, Any]:
        """Change a workflow that is still as it was read. Returns its document."""
        path = f"/workflows/{quote(name, safe='')}"
        return await self._json("PUT", path, json=wanted, headers={"If-Match": etag})

    async def workflow_file(self, name: str) -> bytes:
        """Returns a workflow as the file that can be imported."""
        return (await self._send("GET", f"/workflows/{quote(name, safe='')}/export")).content

    async def remove_workflow(self, name: str) -> None:
        """Remove a workflow from what is offered."""
        await self._send("DELETE", f"/workflows/{quote(name, safe='')}")

    async def models(self, folder: str | None = None) -> list[dict[str, Any]]:
        """Returns the model files of all folders, or of one, with what is known of each."""
        query = {} if folder is None else {"folder": folder}
        found: list[dict[str, Any]] = (await self._json("GET", "/models", params=query))["models"]
        return found

    async def set_model(self, folder: str, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Say what a model file is. Returns what is known of it then."""
        path = f"/models/{quote(folder, safe='')}/{quote(name)}"
        return await self._json("PUT", path, json=wanted)

    async def download(self, output: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of an output, as its document (``outputs_of``) names it."""
        # Not the document's own URL: it may not be reachable from here.
        path = f"{_PREFIX}/artefacts/{output['artefact_id']}"
        if "kind" not in output:
            path = f"{_PREFIX}/images/{output['artefact_id']}"
        try:
            async with self._http.stream("GET", path) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refused(response, self.url)
                async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                    yield chunk
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error

    async def has_upload(self, upload_id: str) -> bool:
        """Returns whether the API has the file with this SHA-256 already."""
        try:
            await self._send("HEAD", f"/uploads/{upload_id}")
        except ApiRefusedError as error:
            if error.status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
                return False
            raise
        return True

    async def upload(self, pieces: AsyncIterator[bytes], name: str) -> str:
        """Send a file. Returns its id. One that is sent again is the same upload."""
        query = {"filename": name}
        found = await self._json("POST", "/uploads", content=pieces, params=query)
        upload_id: str = found["upload_id"]
        return upload_id

    async def create_batch(self, body: BatchBody) -> tuple[dict[str, Any], bool]:
        """Create a batch. Returns its document, and whether its key was known before.

        The caller handles a lost answer: a repeat cannot create a second batch.
        """
        response = await self._send_batch(body, {}, {"Idempotency-Key": body.key})
        return self._read(response), response.headers.get("Idempotency-Replayed") == "true"

    async def plan_batch(self, body: BatchBody) -> dict[str, Any]:
        """Returns what the batch would make; nothing is created."""
        return self._read(await self._send_batch(body, {"dry_run": "true"}, {}))

    async def batch(self, batch_id: str) -> dict[str, Any]:
        """Returns a batch's document."""
        return await self._json("GET", f"/batches/{batch_id}")

    async def batch_items(
        self, batch_id: str, statuses: Collection[str], cursor: str | None = None
    ) -> dict[str, Any]:
        """Returns a page of the items with these statuses, in the manifest's order."""
        query: dict[str, Any] = {"limit": ITEMS_PAGE, "status": sorted(statuses)}
        if cursor is not None:
            query["cursor"] = cursor
        return await self._json("GET", f"/batches/{batch_id}/items", params=query)

    async def change_batch(self, batch_id: str, change: str) -> dict[str, Any]:
        """``resume`` or ``retry-failed``; the batch's document. Refused (409) at the wrong time."""
        return await self._json("POST", f"/batches/{batch_id}/{change}")

    async def _send_batch(
        self, body: BatchBody, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> httpx.Response:
        return await self._send(
            "POST",
            "/batches",
            content=body.chunks(),
            params={**body.query, **query},
            headers={"Content-Type": body.content_type, **headers},
            timeout=httpx.Timeout(30, connect=5, read=_ACCEPTANCE_S),
        )

    async def events(
        self, task_id: str, last_id: str | None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Yields the generation's events after ``last_id``, until the API ends the stream."""
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(_SILENCE_S, connect=5)
        path = f"{_PREFIX}/generation/{task_id}/events"
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    raise _refused(response, self.url)
                async for event in EventSource(response).aiter_sse():
                    if event.data:  # a comment counts as an event without data once there was an id
                        yield event
        except (httpx.HTTPError, SSEError) as error:
            raise _unreachable(self.url, error) from error

    async def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return self._read(await self._send(method, path, **more))

    def _read(self, response: httpx.Response) -> dict[str, Any]:
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
            raise _refused(response, self.url)
        return response


def outputs_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the outputs in a result or an item; from an older API, its images."""
    if "outputs" in document:
        return list(document["outputs"])
    return [{**image, "artefact_id": image["image_id"]} for image in document["images"]]


def _may_have_arrived(error: BaseException) -> bool:
    """Returns whether the request may have arrived: not if the connection was refused."""
    unconnected = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
    return isinstance(error, ApiUnreachableError) and not unconnected


def _unreachable(url: str, error: Exception) -> ApiUnreachableError:
    return ApiUnreachableError(f"no answer from {url} ({str(error) or type(error).__name__})")


def _refused(response: httpx.Response, url: str) -> ApiRefusedError:
    try:
        body = response.json()
    except ValueError:
        body = None
    problem = body if isinstance(body, dict) else {}
    if response.status_code == httpx.codes.UNAUTHORIZED and not problem.get("detail"):
        problem = {"detail": login_words(response, url)}
    return ApiRefusedError(response.status_code, problem)


def login_words(response: httpx.Response, url: str, setting: str = "--api or EASEL_API_URL") -> str:
    """Returns what to do about a 401 of something in front of the API, such as a proxy."""
    scheme = response.headers.get("WWW-Authenticate", "").partition(" ")[0]
    if scheme.lower() != "basic":
        kind = f" by {scheme}" if scheme else ""
        return f"{url} asks for a login{kind} (HTTP 401), which this command does not know"
    example = url.replace("://", "://USER:PASSWORD@", 1)
    if "Authorization" in response.request.headers:
        return (
            f"{url} does not accept this user name and password (HTTP 401): correct them in the "
            f"address, {example}, of {setting}"
        )
    return (
        f"{url} asks for a user name and a password (HTTP 401): put them into the address, "
        f"{example}, of {setting}"
    )
