"""The files that a request refers to, looked at while it is resolved: sizes, and masks.

A request is resolved without I/O of its own. One that has files is resolved in a thread, which
asks the event loop for what the store has of them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import BoundedSemaphore
from typing import Any, Final, TypeVar

import comfy
from comfy.workflows.known import Known, Mask
from comfy.workflows.layout import Size
from core.artefacts import PICTURE_KINDS
from core.batches.lists import read_lists
from core.problems import FieldProblem
from core.requests import RequestFields, ResolvedRequest
from core.uploads import Reference, referred_in
from core.workflows.declaration import Workflow
from flows.masks import normal_mask
from flows.plain_pictures import UnusablePictureError, opened
from flows.retries import patiently
from store.errors import NoSpaceError, NotFoundError
from store.store import Store
from store.uploads.values import Received

BYTES_MAX: Final = 256_000_000
"""The largest file that is read into memory to look at it."""
DECODED_AT_ONCE: Final = 2
"""Files that are decoded at the same time in this process, each up to ``PIXELS_MAX``."""
LOOKING_AT_ONCE: Final = 8
"""Requests, and lots of batches, whose files are looked at at the same time in this process."""
_LOOP_LOOKED_AT_S: Final = 5.0
_KEPT: Final = 10_000

_decoding = BoundedSemaphore(DECODED_AT_ONCE)
_looking = ThreadPoolExecutor(LOOKING_AT_ONCE, thread_name_prefix="looking-at-files")
_K = TypeVar("_K")
_T = TypeVar("_T")


class UnusableFileError(ValueError):
    """A file is there no more, or no picture; ``code`` and ``reference`` say what and which."""

    def __init__(self, reference: str, code: str, said: str) -> None:
        super().__init__(said)
        self.reference = reference
        self.code = code


@dataclass(frozen=True)
class _File:
    """What the store knows of a file that is a picture."""

    path: str
    bytes: int
    size: Size | None
    name: str


class StorePictures:
    """Implements ``comfy.workflows.known.Pictures``, which documents it; use it in a thread.

    ``loop`` is the event loop of the store. ``keeps``: a mask that has to be written anew becomes
    an upload, else (a dry run) it goes on under the reference that was given. ``patient``: wait
    while the store does not answer. Raises UnusableFileError for a file that cannot be read,
    StoreUnavailableError, ArtefactStoreError.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        *,
        keeps: bool = True,
        patient: bool = False,
    ) -> None:
        self._store = store
        self._loop = loop
        self._keeps = keeps
        self._patient = patient
        self._sizes: dict[str, Size | None] = {}
        self._masks: dict[tuple[str, bool], Mask | None] = {}

    def size(self, reference: str) -> Size | None:
        """Returns a picture's size in pixels, None for a file that is not there."""
        if reference not in self._sizes:
            _keep(self._sizes, reference, self._measured(reference))
        return self._sizes[reference]

    def mask(self, reference: str, *, invert: bool) -> Mask | None:
        """Returns a mask with white for what is to be changed, None for a file that is not there.

        A batch's rows often have the same one: it is read once.
        """
        key = reference, invert
        if key not in self._masks:
            _keep(self._masks, key, self._normal(reference, invert))
        return self._masks[key]

    def _measured(self, reference: str) -> Size | None:
        file = self._waited(self._found(reference))
        if file is None or file.size is not None:
            return None if file is None else file.size
        data = self._waited(self._read(reference, file))
        with _decoding, _said_of(reference):
            return Size(*opened(data).size)

    def _normal(self, reference: str, invert: bool) -> Mask | None:
        file = self._waited(self._found(reference))
        if file is None:
            return None
        data = self._waited(self._read(reference, file))
        with _decoding, _said_of(reference):
            made = normal_mask(data, invert=invert)
        if made.png is not None and self._keeps:
            reference = self._waited(self._kept(made.png, made.size, file.name))
        return Mask(reference, made.size, made.box)

    def _waited(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Returns what the event loop has to say. Raises RuntimeError on the loop itself."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._answered(work)
        work.close()
        raise RuntimeError("files are looked at in a thread: this would wait for itself")

    def _answered(self, work: Coroutine[Any, Any, _T]) -> _T:
        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        while True:
            try:
                return answer.result(_LOOP_LOOKED_AT_S)
            except TimeoutError:
                # A loop that ended says nothing any more, and the process waits for this thread.
                if answer.done() or self._loop.is_closed():
                    raise

    async def _found(self, reference: str) -> _File | None:
        asked = Reference.parse(reference)
        if asked is None:
            return None
        find = self._upload if asked.source == "upload" else self._artefact
        return await (patiently(find, asked) if self._patient else find(asked))

    async def _upload(self, asked: Reference) -> _File | None:
        upload = (await self._store.uploads.of_ids([asked.id])).get(asked.id)
        if upload is None or upload.removed_at is not None or upload.kind != "image":
            return None
        size = _size(upload.width, upload.height)
        return _File(upload.path, upload.bytes, size, upload.name)

    async def _artefact(self, asked: Reference) -> _File | None:
        try:
            made = await self._store.generations.artefact(asked.artefact_id)
        except NotFoundError:
            return None
        if made.kind not in PICTURE_KINDS:
            return None
        return _File(made.path, made.bytes, _size(made.width, made.height), made.name)

    async def _read(self, reference: str, file: _File) -> bytes:
        if file.bytes > BYTES_MAX:
            said = f"it has {file.bytes} bytes, and {BYTES_MAX} are looked at at most"
            raise UnusableFileError(reference, "file_too_large", said)
        if await self._store.files.size(file.path) != file.bytes:
            raise UnusableFileError(
                reference, "file_gone", "its file is there no more: send it again"
            )
        pieces = await self._store.files.stream(file.path, 0, file.bytes)
        return b"".join([piece async for piece in pieces])

    async def _kept(self, png: bytes, size: Size, name: str) -> str:
        keep = partial(_keep_mask, self._store, png, size, name)
        return await (patiently(keep) if self._patient else keep())


async def _keep_mask(store: Store, png: bytes, size: Size, name: str) -> str:
    """Keep a mask as an upload, as if a client had sent it. Returns its reference."""
    digest = hashlib.sha256(png).hexdigest()
    try:
        with TemporaryDirectory(prefix="easel-mask-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "mask.png"
            await asyncio.to_thread(file.write_bytes, png)
            received = Received(
                id=digest,
                kind="image",
                content_type="image/png",
                extension="png",
                bytes=len(png),
                sha256=digest,
                file=file,
                name=name,
                width=size.width,
                height=size.height,
            )
            upload, _ = await store.uploads.keep(received)
    except OSError as error:
        raise NoSpaceError("a mask could not be written to the disk") from error
    return str(upload.reference)


def _size(width: int | None, height: int | None) -> Size | None:
    return None if width is None or height is None else Size(width, height)


def _keep(known: dict[_K, _T], key: _K, value: _T) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[key] = value


@contextmanager
def _said_of(reference: str) -> Iterator[None]:
    """Says of which file it was that it is no picture."""
    try:
        yield
    except UnusablePictureError as error:
        raise UnusableFileError(reference, "unusable_picture", str(error)) from error


async def in_looking_thread(work: Callable[[], _T]) -> _T:
    """Returns what ``work`` returns, in one of the threads that may wait for the event loop.

    The loop's own threads are not for that: what it does for a file needs one of these, and never
    gets it where all of them wait for the loop.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_looking, copy_context().run, work)


async def resolved_with_files(
    store: Store,
    request: RequestFields,
    workflow: Workflow,
    known: Known,
    wildcards: Path | None = None,
    *,
    patient: bool = False,
) -> ResolvedRequest:
    """Returns the request with all defaults, and its masks as graphs take them.

    A built-in workflow's request that needs no file never leaves the event loop. ``wildcards`` is
    the folder of lists, read if the request has its wildcards drawn. ``patient``: wait while the
    store does not answer. Raises ``comfy.UnresolvableError``, StoreUnavailableError,
    ArtefactStoreError.
    """
    if workflow.graph is None:
        has_files = any(referred_in(workflow.inputs, request.inputs))
        draws = bool(request.inputs.get("wildcards"))
        if not has_files and not draws:
            return comfy.resolve(request, workflow, known)
        loop = asyncio.get_running_loop()
        known = replace(known, pictures=StorePictures(store, loop, patient=patient))
        if draws and wildcards is not None:
            known = replace(known, lists=await asyncio.to_thread(read_lists, wildcards))
    # An imported one is judged by what ComfyUI has, which may take seconds.
    return await in_looking_thread(partial(resolved_in_thread, request, workflow, known))


def resolved_in_thread(
    request: RequestFields, workflow: Workflow, known: Known, *, suggest: bool = True
) -> ResolvedRequest:
    """Returns ``comfy.resolve`` of it; what is wrong with a file is said where it is referred to.

    Call it in a thread if it has files. Raises ``comfy.UnresolvableError``.
    """
    try:
        return comfy.resolve(request, workflow, known, suggest=suggest)
    except UnusableFileError as error:
        problems = (
            FieldProblem(one.loc, error.code, str(error))
            for one in referred_in(workflow.inputs, request.inputs)
            if str(one.reference) == error.reference
        )
        raise comfy.UnresolvableError(tuple(problems)) from error
