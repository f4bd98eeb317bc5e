"""ComfyUI's HTTP routes, one method each. No state, no loops: those are the session's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from comfy import answers
from comfy.answers import HistoryEntry, QueueState, Submission, SystemStats
from comfy.catalogue import CATALOGUE_CLASSES, Catalogue
from comfy.errors import (
    ComfyProtocolError,
    ComfyTimeoutError,
    ComfyUnreachableError,
    NoOutputError,
    TransientComfyError,
    WorkflowRejectedError,
)
from comfy.graph import Workflow
from comfy.messages import OutputImage

_T = TypeVar("_T")


class ComfyClient:
    """A client of one ComfyUI. Use it from one event loop, and ``aclose`` it at the end.

    ``timeout_s`` is how long one answer may take, in seconds. Every method raises
    TransientComfyError when ComfyUI cannot be reached or its answer is invalid.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 15.0) -> None:
        self.base_url = base_url.rstrip("/")
        # Proxies from the environment are ignored: ComfyUI is one of the operator's own machines.
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            timeout=httpx.Timeout(timeout_s, connect=min(5.0, timeout_s)),
            limits=httpx.Limits(max_connections=32, keepalive_expiry=5.0),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def queue(self) -> QueueState:
        """What executes and what waits. Look here before ``history``: a prompt that ends moves
        from queue to history in one step, so this order cannot miss it."""
        return _read(answers.queue_state, await self._get_json("/queue"))

    async def queue_remaining(self) -> int:
        """Returns the length of the queue: the cheapest check that ComfyUI answers."""
        body = await self._get_json("/prompt")
        return _read(lambda body: int(body["exec_info"]["queue_remaining"]), body)

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """Returns how a prompt ended; None while it waits or executes, and when it is unknown."""
        body = await self._get_json(f"/history/{prompt_id}")
        entry = body.get(prompt_id)
        if entry is None:
            return None
        return _read(lambda entry: answers.history_entry(prompt_id, entry), entry)

    async def post_prompt(
        self,
        workflow: Workflow,
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] | None = None,
    ) -> Submission:
        """Put a workflow in the queue.

        ComfyUI never de-duplicates, so post only what is known not to be there. After a
        TransientComfyError it is unknown whether the prompt was accepted. Never sends ``number``:
        two prompts with one number and one id can kill ComfyUI's worker thread.

        Raises WorkflowRejectedError when ComfyUI's validation fails.
        """
        body = {
            "prompt": workflow.to_json(),
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": dict(extra_data or {}),
        }
        response = await self._send("POST", "/prompt", json=body)
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise WorkflowRejectedError(*_read(answers.rejection, _json(response, dict)))
        submission = _read(answers.submission, _json(_ok(response), dict))
        if submission.prompt_id != prompt_id:
            raise ComfyProtocolError("ComfyUI answered with another prompt's id")
        return submission

    async def view(self, image: OutputImage) -> bytes:
        """Returns all bytes of a file. NoOutputError when ComfyUI does not have it."""
        params = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        response = await self._send("GET", "/view", params=params)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NoOutputError(f"ComfyUI has no file {image.filename}")
        _ok(response)
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != len(response.content):
            raise ComfyProtocolError(f"{image.filename} was cut short on the way")
        return response.content

    async def delete_pending(self, prompt_id: str) -> None:
        """Remove a waiting prompt from the queue. No effect on a running or unknown one."""
        await self._post("/queue", {"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str) -> None:
        """Interrupt this prompt if it is the running one; it ends at its next step or node."""
        await self._post("/interrupt", {"prompt_id": prompt_id})

    async def forget(self, prompt_id: str) -> None:
        """Remove an ended prompt from the history, so that its id can be submitted again."""
        await self._post("/history", {"delete": [prompt_id]})

    async def free(self) -> None:
        """Ask ComfyUI to unload its models and drop its caches, as soon as it is idle."""
        await self._post("/free", {"unload_models": True, "free_memory": True})

    async def catalogue(self) -> Catalogue:
        """Returns the models, samplers and schedulers this ComfyUI has now.

        Requests the few node classes that list them, not all: the whole ``/object_info``
        keeps ComfyUI's one event loop busy for 0.2 s.
        """
        info: dict[str, Any] = {}
        for class_type in CATALOGUE_CLASSES:
            info |= await self._get_json(f"/object_info/{class_type}")
        return Catalogue.from_object_info(info)

    async def system_stats(self) -> SystemStats:
        """Returns version and devices."""
        return _read(answers.system_stats, await self._get_json("/system_stats"))

    async def _get_json(self, path: str) -> dict[str, Any]:
        return _json(_ok(await self._send("GET", path)), dict)

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        _ok(await self._send("POST", path, json=body))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, its transport errors translated.

        A GET whose connection breaks before the answer is sent once more: after a restart of
        ComfyUI the first use of an idle connection fails, which is normal.
        """
        try:
            return await self._http.request(method, path, **more)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as exc:
            if method != "GET" or _is_cut_short(exc):
                raise _translated(exc) from exc
        except httpx.HTTPError as exc:
            raise _translated(exc) from exc
        try:
            return await self._http.request(method, path, **more)
        except httpx.HTTPError as exc:
            raise _translated(exc) from exc


def _is_cut_short(exc: httpx.HTTPError) -> bool:
    """Whether the answer began and broke off; httpx has one class for that and for no answer."""
    return isinstance(exc, httpx.RemoteProtocolError) and "message body" in str(exc)


def _translated(exc: httpx.HTTPError) -> TransientComfyError:
    words = str(exc) or type(exc).__name__
    if _is_cut_short(exc):
        return ComfyProtocolError(f"ComfyUI's answer was cut short: {words}")
    if isinstance(exc, httpx.TimeoutException) and not isinstance(exc, httpx.ConnectTimeout):
        return ComfyTimeoutError(f"ComfyUI did not answer in time: {words}")
    if isinstance(exc, httpx.TransportError):
        return ComfyUnreachableError(f"ComfyUI cannot be reached: {words}")
    return ComfyProtocolError(f"ComfyUI's answer could not be read: {words}")


def _ok(response: httpx.Response) -> httpx.Response:
    if response.status_code != httpx.codes.OK:
        raise ComfyProtocolError(
            f"ComfyUI answered {response.status_code} to {response.request.url.path}"
        )
    return response


def _json(response: httpx.Response, kind: Callable[[], _T]) -> _T:
    """Returns the body, which must be JSON of this kind (a list or an object)."""
    path = response.request.url.path
    try:
        body = response.json()
    except (ValueError, RecursionError) as exc:
        raise ComfyProtocolError(f"ComfyUI's answer to {path} is not JSON") from exc
    if not isinstance(body, type(kind())):
        raise ComfyProtocolError(f"ComfyUI's answer to {path} is of the wrong kind")
    return body


def _read(reader: Callable[[Any], _T], body: Any) -> _T:
    """Read an answer; one that does not have ComfyUI's shape becomes a ComfyProtocolError."""
    try:
        return reader(body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise ComfyProtocolError(f"ComfyUI's answer has an unexpected shape: {exc!r}") from exc
