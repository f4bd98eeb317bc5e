"""Files as inputs: which ones a graph refers to, and how they come into ComfyUI.

A graph refers to them as ``upload:<id>`` and ``artefact:<id>``. In ComfyUI they have names that
follow from their bytes, so that the graph that is submitted is the same at every try, and what is
there already is not sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from comfy import Graph, InputFile, WorkflowRejectedError
from comfy.inputs import texts_of, with_names
from core.failpoints import reach
from core.uploads import Reference, comfy_name
from flows.errors import InputGoneError
from flows.pictures import BYTES_MAX
from flows.plain_pictures import (
    HEAD_BYTES,
    UnusablePictureError,
    is_read_alike,
    opened,
    plain,
    png_of,
)
from flows.retries import patiently
from store.errors import ArtefactStoreError, NotFoundError
from store.store import Store
from store.uploads.values import Upload
from store.values import Artefact


class InputSession(Protocol):
    """What these steps need of ComfyUI; ``comfy.ComfySession`` has it."""

    async def has_input(self, file: InputFile) -> bool:
        """Returns whether ComfyUI has the file whole."""
        ...

    async def put_input(self, file: InputFile, data: AsyncIterator[bytes]) -> None:
        """Put a file into ComfyUI's input folder."""
        ...


@dataclass(frozen=True)
class Source:
    """A file that a graph refers to. ``path`` is where it is stored; None: it is there no more.

    ``data`` is what goes to ComfyUI in place of the file as it is stored; None: the file itself.
    """

    reference: Reference
    file: InputFile
    path: str | None
    data: bytes | None = None


@dataclass(frozen=True)
class Inputs:
    """The files that a graph refers to, by what it says of them.

    Of those that are ``gone`` not even the name is known any more. Only a POST needs them: a prompt
    that ComfyUI has already goes on.
    """

    sources: Mapping[str, Source]
    gone: tuple[Reference, ...] = ()

    def named(self, graph: Graph) -> Graph:
        """Returns the graph with ComfyUI's names in place of the references."""
        if not self.sources:
            return graph
        names = {text: source.file.name for text, source in self.sources.items()}
        return with_names(graph, names.get)

    def are_named_in(self, error: WorkflowRejectedError) -> bool:
        """Whether ComfyUI refused the graph because of one of them."""
        said = str(error)
        return any(source.file.filename in said for source in self.sources.values())


async def find_inputs(store: Store, graph: Graph) -> Inputs:
    """Returns the files that the graph refers to.

    One that was removed still has its name: ComfyUI may have it.
    """
    found = (Reference.parse(text) for text in sorted(texts_of(graph)))
    references = [one for one in found if one is not None]
    if not references:
        return Inputs({})
    ids = [one.id for one in references if one.source == "upload"]
    uploads = await patiently(store.uploads.of_ids, ids)
    sources: dict[str, Source] = {}
    gone: list[Reference] = []
    for one in references:
        if one.source == "artefact":
            source = await _artefact(store, one)
        else:
            source = _upload(one, uploads.get(one.id))
        if source is None:
            gone.append(one)
        else:
            sources[str(one)] = source
    return Inputs(sources, tuple(gone))


def _upload(reference: Reference, upload: Upload | None) -> Source | None:
    if upload is None:
        return None
    file = InputFile(upload.comfy_name, upload.bytes)
    return Source(reference, file, upload.path if upload.removed_at is None else None)


async def _artefact(store: Store, reference: Reference) -> Source | None:
    try:
        made = await patiently(store.generations.artefact, reference.artefact_id)
    except NotFoundError:
        return None
    data = await _plain_data(store, made) if made.kind == "image" else None
    if data is not None:
        name = comfy_name(hashlib.sha256(data).hexdigest(), "png")
        return Source(reference, InputFile(name, len(data)), made.path, data)
    name = comfy_name(made.sha256, made.path.rpartition(".")[2])
    return Source(reference, InputFile(name, made.bytes), made.path)


async def _plain_data(store: Store, made: Artefact) -> bytes | None:
    """Returns a picture that ComfyUI's versions read differently as all read it; else None.

    The same picture gives the same bytes at every try. One that cannot be read goes as it is.
    """
    if made.content_type != "image/png" or made.bytes > BYTES_MAX:
        return None
    try:
        head = await _bytes_of(store, made.path, min(HEAD_BYTES, made.bytes))
        if is_read_alike(head):
            return None
        data = await _bytes_of(store, made.path, made.bytes)
        return await asyncio.to_thread(lambda: png_of(plain(opened(data))))
    except (ArtefactStoreError, UnusablePictureError):
        return None


async def _bytes_of(store: Store, path: str, size: int) -> bytes:
    return b"".join([piece async for piece in await store.files.stream(path, 0, size)])


async def put_inputs(store: Store, session: InputSession, inputs: Inputs) -> None:
    """Make sure that ComfyUI has the files. May be repeated.

    Raises InputGoneError for one that was removed, InputRefusedError for one that ComfyUI does not
    take, TransientComfyError, ArtefactStoreError.
    """
    if inputs.gone:
        raise InputGoneError(inputs.gone[0])
    for source in inputs.sources.values():
        if await session.has_input(source.file):
            continue
        if not await _is_there(store, source):
            raise InputGoneError(source.reference)
        reach("inputs.before_put")
        await session.put_input(source.file, await _data_of(store, source))
        reach("inputs.after_put")


async def _is_there(store: Store, source: Source) -> bool:
    if source.path is None:
        return False
    return source.data is not None or await store.files.size(source.path) == source.file.size


async def _data_of(store: Store, source: Source) -> AsyncIterator[bytes]:
    if source.data is not None:
        return _once(source.data)
    assert source.path is not None  # others are gone
    return await store.files.stream(source.path, 0, source.file.size)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def has_lost_one(session: InputSession, inputs: Inputs) -> bool:
    """Returns whether ComfyUI does not have one of them now. Raises TransientComfyError."""
    for source in inputs.sources.values():
        if not await session.has_input(source.file):
            return True
    return False
