"""All artefacts of a batch in one ZIP, streamed: memory holds a slice of one at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from uuid import UUID

from zipstream.ng import ZIP_STORED, ZipStream

from core.picture_names import picture_stem
from store.completion import finished
from store.errors import ArtefactStoreError
from store.store import Store
from store.values import Artefact, BatchItem

RESULTS: Final = "results.jsonl"
"""The request and the outcome of each item, one per line, in the manifest's order."""
_PAGE: Final = 100


async def results_zip(store: Store, batch_id: UUID) -> AsyncIterator[bytes]:
    """Yields the bytes of the archive. What is kept is not compressed again.

    What cannot be read any more is left out, and ``results.jsonl`` says so.
    """
    archive = ZipStream(compress_type=ZIP_STORED)
    lines: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.batches.items(batch_id, _PAGE, cursor)
        kept = await store.generations.artefacts_of([item.generation_id for item in page.items])
        for item in page.items:
            names: list[str] = []
            for artefact in kept[item.generation_id]:
                try:
                    slices = await store.files.stream(artefact.path, 0, artefact.bytes)
                except ArtefactStoreError:
                    continue  # deleted meanwhile
                names.append(_name(item, artefact))
                async for chunk in _added(archive, slices, names[-1]):
                    yield chunk
            lines.append(json.dumps(_result(item, names), ensure_ascii=False) + "\n")
        cursor = page.next_cursor
        if cursor is None:
            break
    archive.add("".join(lines), arcname=RESULTS)
    for chunk in archive.finalize():
        yield chunk


async def _added(
    archive: ZipStream, slices: AsyncIterator[bytes], name: str
) -> AsyncIterator[bytes]:
    """Yields what one more file adds to the archive, a slice of it in memory at a time.

    The archive asks for the file's bytes in a thread, which waits for them to be read here.
    """
    loop = asyncio.get_running_loop()

    def read() -> Iterator[bytes]:
        while part := asyncio.run_coroutine_threadsafe(_next(slices), loop).result():
            yield part

    archive.add(read(), arcname=name)
    chunks: Iterator[bytes] = archive.all_files()
    while (chunk := await finished(asyncio.to_thread(next, chunks, None))) is not None:
        yield chunk


async def _next(slices: AsyncIterator[bytes]) -> bytes:
    return await anext(slices, b"")


def _name(item: BatchItem, artefact: Artefact) -> str:
    prompt = item.request.prompt if item.request is not None else ""
    suffix = artefact.path.rpartition(".")[2]
    return f"{picture_stem(item.position, artefact.position, prompt)}.{suffix}"


def _result(item: BatchItem, files: list[str]) -> dict[str, Any]:
    made = item.generation
    gone = made is not None and made.deleted_at is not None
    status = "deleted" if gone else made.status if made is not None else "waiting"
    return {
        "position": item.position,
        "row": item.row,
        "task_id": str(item.generation_id),
        "status": status,
        "error": made.error.detail if made is not None and made.error is not None else None,
        "files": files,
        "request": item.request.model_dump(mode="json") if item.request is not None else None,
    }
