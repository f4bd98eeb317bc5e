"""ComfyUI's HTTP routes, one method each. No state, no loops: those are the session's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from comfy import answers
from comfy.address import Address
from comfy.answers import HistoryEntry, QueueState, Submission, SystemStats
from comfy.catalogue import CATALOGUE_CLASSES, Catalogue
from comfy.download import SLOWEST, Download, downloaded
from comfy.errors import (
    ComfyProtocolError,
    ComfyTimeoutError,
    InputRefusedError,
    NoOutputError,
    UnusableFileError,
    WorkflowRejectedError,
)
from comfy.graph import Graph
from comfy.inputs import InputFile, UploadForm, name_said, size_said
from comfy.messages import OutputFile
from comfy.nodes import NodeCatalogue
from comfy.paid import Hiding
from comfy.transport import is_cut_short, translated
from core.text import readable, readable_json

JSON_BYTES_MAX: Final = 32 * 1024 * 1024
"""The longest JSON that is read: a full queue with the graphs of all its prompts has some MB."""
_NO_ROUTE: Final = (
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
)
"""How an older ComfyUI, or a proxy that lets known routes only pass, refuses a route."""
_UNENCODED: Final = ("", "identity")
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Reply:
    """A whole answer."""

    path: str
    status: int
    body: bytes


class _UnreadableBodyError(Exception):
    """The body is too long, or compressed."""


class ComfyClient:
    """A client of one ComfyUI. Use it from one event loop, and ``aclose`` it at the end.

    ``ca_file`` holds certificates (PEM) to trust beside the system's. ``timeout_s`` is how long
    ComfyUI may be silent within one answer, in seconds; a whole answer may take twice as long, a
    picture what its size takes at ``SLOWEST``. ``hiding`` takes a key out of every answer but
    files. Every method raises TransientComfyError when ComfyUI
    cannot be reached or its answer is invalid. Answers are limited in length, and their texts are
    readable (``core.text``).
    """

    def __init__(
        self,
        url: str | Address,
        *,
        timeout_s: float = 15.0,
        ca_file: Path | None = None,
        hiding: Hiding | None = None,
    ) -> None:
        address = url if isinstance(url, Address) else Address.of(url, ca_file)
        self.base_url = address.url
        self._timeout_s = timeout_s
        self._hiding = hiding or Hiding()
        # Proxies from the environment are ignored: ComfyUI is one of the operator's own machines.
        # Nothing is to be compressed: a limit on what arrives would not limit what it unpacks to.
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            headers={**address.headers, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(timeout_s, connect=min(5.0, timeout_s)),
            limits=httpx.Limits(max_connections=32, keepalive_expiry=5.0),
            verify=address.tls(),
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
        # The texts of outputs may be long; what reads the entry makes its texts readable.
        body = await self._get_json(f"/history/{prompt_id}", clean=False)
        entry = body.get(prompt_id)
        if entry is None:
            return None
        return _read(lambda entry: answers.history_entry(prompt_id, entry), entry)

    async def post_prompt(
        self,
        graph: Graph,
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] | None = None,
        connected: Callable[[], Awaitable[None]] | None = None,
        sending: Callable[[], None] | None = None,
    ) -> Submission:
        """Put a graph in the queue.

        ``connected`` is called when there is a connection, ``sending`` right before anything of it
        is sent, and again before its body. What they raise ends the request, of which ComfyUI has
        heard no more than the headers then.

        ComfyUI never de-duplicates, so post only what is known not to be there. After a
        TransientComfyError it is unknown whether the prompt was accepted. Never sends ``number``:
        two prompts with one number and one id can kill ComfyUI's worker thread.

        The answer may bear another id than ``prompt_id``: versions before 0.3.45 ignore it.

        Raises WorkflowRejectedError when ComfyUI's validation fails.
        """
        body = {
            "prompt": graph.to_json(),
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": dict(extra_data or {}),
        }
        hooks = (connected or _at_once, sending or _ignore)
        extensions = {"trace": _when_sent(*hooks)}
        reply = await self._json_reply("POST", "/prompt", json=body, extensions=extensions)
        if reply.status == httpx.codes.BAD_REQUEST:
            raise WorkflowRejectedError(*_read(answers.rejection, _json(reply, dict)))
        return _read(answers.submission, _json(_ok(reply), dict))

    async def view(self, file: OutputFile, bytes_max: int) -> bytes:
        """Returns all bytes of a file, which are to fit into memory.

        Raises NoOutputError when ComfyUI does not have it, and UnusableFileError when it has more
        than ``bytes_max``, or is somewhere else.
        """
        try:
            reply = await self._send(
                "GET",
                "/view",
                bytes_max=bytes_max,
                within_s=self._timeout_s + bytes_max / SLOWEST,
                params=_view_params(file),
            )
        except _UnreadableBodyError as exc:
            raise UnusableFileError(f"{file.filename} {exc}") from None
        _check_view(reply.status, file)
        return reply.body

    @asynccontextmanager
    async def download(self, file: OutputFile, bytes_max: int) -> AsyncIterator[Download]:
        """Read a file of any size in chunks, within the ``async with``. It is begun already.

        Raises as ``view`` does, while it is read too.
        """
        async with AsyncExitStack() as stack:
            try:
                response, download = await self._begin(stack, file, bytes_max)
            except httpx.HTTPError as exc:
                raise translated(exc) from exc
            _check_view(response.status_code, file)
            assert download is not None  # its status is 200
            yield download

    async def _begin(
        self, stack: AsyncExitStack, file: OutputFile, bytes_max: int
    ) -> tuple[httpx.Response, Download | None]:
        """Begin a download; once more when an idle connection turns out to be broken."""

        def begun() -> AbstractAsyncContextManager[tuple[httpx.Response, Download | None]]:
            return downloaded(self._http, _view_params(file), bytes_max, self._timeout_s)

        try:
            return await stack.enter_async_context(begun())
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as exc:
            if is_cut_short(exc):
                raise
        return await stack.enter_async_context(begun())

    async def input_size(self, file: InputFile) -> int | None:
        """Returns the size in bytes of what ComfyUI has under an input's name, None for nothing.

        Only its first byte is asked for.
        """
        request = self._http.stream(
            "GET", "/view", params=file.view_params, headers={"Range": "bytes=0-0"}
        )
        try:
            async with asyncio.timeout(2 * self._timeout_s), request as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                    raise ComfyProtocolError(f"ComfyUI answered {response.status_code} to /view")
                return size_said(response.headers)
        except httpx.HTTPError as exc:
            raise translated(exc) from exc
        except TimeoutError:
            raise ComfyTimeoutError("ComfyUI took too long to answer /view") from None

    async def put_input(self, file: InputFile, data: AsyncIterator[bytes]) -> None:
        """Put a file into ComfyUI's input folder, in place of what has its name there.

        ``data`` has ``file.size`` bytes; memory holds a part of them only. Raises
        InputRefusedError when ComfyUI does not take it: it is too large for its settings.
        """
        form = UploadForm(file)
        reply = await self._json_reply(
            "POST",
            "/upload/image",
            within_s=2 * self._timeout_s + file.size / SLOWEST,
            content=form.body(data),
            headers=form.headers,
        )
        if reply.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            raise InputRefusedError(
                f"ComfyUI does not take an input of {file.size} bytes; it takes 100 MiB unless it "
                "is started with --max-upload-size"
            )
        said = _read(name_said, _json(_ok(reply), dict))
        if said != file.name:
            raise ComfyProtocolError(f"ComfyUI kept the input under another name: {said}")

    async def cancel(self, prompt_id: str) -> bool:
        """Take a prompt out of the queue or interrupt it, whichever it needs, in one step.

        Under ComfyUI's own lock, so another prompt is never interrupted. Returns False when this
        ComfyUI has no such route (before 0.26): then ``delete_pending`` and ``interrupt``.
        """
        # With `/api` also behind a base URL that ends in it: every route exists under it again.
        path = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
        reply = await self._json_reply("POST", path)
        if reply.status in _NO_ROUTE:
            return False
        _read(lambda body: bool(body["cancelled"]), _json(_ok(reply), dict))
        return True

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

    async def catalogue(self, info: Mapping[str, Any] | None = None) -> Catalogue:
        """Returns this ComfyUI's version, and the models, embeddings, samplers, schedulers of now.

        Without ``info``, which is what ``object_info`` returned, it requests the few node classes
        that list them, not all: that would keep ComfyUI's one event loop busy for 0.2 s.
        """
        if info is None:
            info = {}
            for class_type in CATALOGUE_CLASSES:
                # As it was sent: a name that was changed could not be submitted.
                info |= await self._get_json(f"/object_info/{class_type}", clean=False)
        embeddings: list[Any] = _json(
            _ok(await self._json_reply("GET", "/embeddings")), list, clean=False
        )
        return Catalogue.from_object_info(info, embeddings, await self._version())

    async def _version(self) -> str:
        """Returns ComfyUI's version, empty where it does not say it."""
        try:
            return (await self.system_stats()).version
        except ComfyProtocolError:
            return ""

    async def object_info(self) -> dict[str, Any]:
        """Returns what ComfyUI says of all its node classes, which keeps it busy for 0.2 s.

        Files as choices are those of now.
        """
        return await self._get_json("/object_info", clean=False)

    async def node_catalogue(self) -> NodeCatalogue:
        """Returns all node classes of this ComfyUI, by ``object_info``."""
        return await asyncio.to_thread(NodeCatalogue.from_object_info, await self.object_info())

    async def document(self, path: str) -> Any:
        """Returns what a route says that not every ComfyUI has, any JSON; None without it."""
        body = await self.document_bytes(path)
        if body is None:
            return None
        try:
            return readable_json(json.loads(body.decode("utf-8", "replace")))
        except (ValueError, RecursionError):
            raise ComfyProtocolError(f"ComfyUI's answer to {path} is not JSON") from None

    async def document_bytes(self, path: str) -> bytes | None:
        """Returns a file that ComfyUI offers, None if it does not have it."""
        reply = await self._json_reply("GET", path)
        if reply.status in (*_NO_ROUTE, httpx.codes.BAD_REQUEST):
            return None
        return _ok(reply).body

    async def system_stats(self) -> SystemStats:
        """Returns version and devices."""
        return _read(answers.system_stats, await self._get_json("/system_stats"))

    async def _get_json(self, path: str, *, clean: bool = True) -> dict[str, Any]:
        return _json(_ok(await self._json_reply("GET", path)), dict, clean=clean)

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        _ok(await self._json_reply("POST", path, json=body))

    async def _json_reply(
        self, method: str, path: str, *, within_s: float | None = None, **more: Any
    ) -> _Reply:
        within_s = 2 * self._timeout_s if within_s is None else within_s
        try:
            reply = await self._send(
                method, path, bytes_max=JSON_BYTES_MAX, within_s=within_s, **more
            )
        except _UnreadableBodyError as exc:
            raise ComfyProtocolError(f"ComfyUI's answer to {path} {exc}") from None
        return replace(reply, body=self._hiding(reply.body))

    async def _send(
        self, method: str, path: str, *, bytes_max: int, within_s: float, **more: Any
    ) -> _Reply:
        """One request, its transport errors translated.

        A GET whose connection breaks before the answer is sent once more: after a restart of
        ComfyUI the first use of an idle connection fails, which is normal.
        """
        try:
            return await self._exchange(method, path, bytes_max, within_s, more)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as exc:
            if method != "GET" or is_cut_short(exc):
                raise translated(exc) from exc
        except httpx.HTTPError as exc:
            raise translated(exc) from exc
        try:
            return await self._exchange(method, path, bytes_max, within_s, more)
        except httpx.HTTPError as exc:
            raise translated(exc) from exc

    async def _exchange(
        self, method: str, path: str, bytes_max: int, within_s: float, more: dict[str, Any]
    ) -> _Reply:
        """Raises httpx's errors, and ComfyTimeoutError when the whole takes too long."""
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.stream(method, path, **more) as response,
            ):
                return _Reply(path, response.status_code, await _body(response, bytes_max))
        except TimeoutError:
            raise ComfyTimeoutError(
                f"ComfyUI's answer to {path} took longer than {within_s:g} s"
            ) from None


async def _at_once() -> None:
    """Nothing is to be done before."""


def _ignore() -> None:
    """Nobody wants to know."""


def _when_sent(
    connected: Callable[[], Awaitable[None]], sending: Callable[[], None]
) -> Callable[[str, Any], Awaitable[None]]:
    """Returns what hears from httpx how far a request is: until then a connection is made."""

    async def trace(event: str, _: Any) -> None:
        if event.endswith("send_request_headers.started"):
            await connected()
            sending()
        elif event.endswith("send_request_body.started"):
            sending()

    return trace


async def _body(response: httpx.Response, bytes_max: int) -> bytes:
    """Returns the body as it arrives. An error that leaves here keeps nothing of it alive."""
    if response.headers.get("Content-Encoding", "").lower() not in _UNENCODED:
        raise _UnreadableBodyError("is compressed, though it was asked not to be")
    too_long = f"is larger than {bytes_max / 1e6:.1f} MB"
    if int(response.headers.get("Content-Length") or 0) > bytes_max:
        raise _UnreadableBodyError(too_long)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > bytes_max:
            del body, chunk
            raise _UnreadableBodyError(too_long)
    return bytes(body)


def _view_params(file: OutputFile) -> dict[str, str]:
    return {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}


def _check_view(status: int, file: OutputFile) -> None:
    """Raise unless ComfyUI sends the file."""
    if status == httpx.codes.NOT_FOUND:
        raise NoOutputError(f"ComfyUI has no file {file.filename}")
    if httpx.codes.is_redirect(status):
        raise UnusableFileError(f"ComfyUI sends {file.filename} from another address")
    if status != httpx.codes.OK:
        raise ComfyProtocolError(f"ComfyUI answered {status} to /view")


def _ok(reply: _Reply) -> _Reply:
    if reply.status != httpx.codes.OK:
        raise ComfyProtocolError(f"ComfyUI answered {reply.status} to {reply.path}")
    return reply


def _json(reply: _Reply, kind: Callable[[], _T], *, clean: bool = True) -> _T:
    """Returns the body, which must be JSON of this kind (a list or an object)."""
    try:
        body = json.loads(reply.body.decode("utf-8", "replace"))
        body = readable_json(body) if clean else body
    except (ValueError, RecursionError):
        # Not chained: the cause would keep the body alive.
        raise ComfyProtocolError(f"ComfyUI's answer to {reply.path} is not JSON") from None
    if not isinstance(body, type(kind())):
        raise ComfyProtocolError(f"ComfyUI's answer to {reply.path} is of the wrong kind")
    return body


def _read(reader: Callable[[Any], _T], body: Any) -> _T:
    """Read an answer; one that does not have ComfyUI's shape becomes a ComfyProtocolError."""
    try:
        return reader(body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise ComfyProtocolError(
            readable(f"ComfyUI's answer has an unexpected shape: {exc!r}", 300)
        ) from exc
