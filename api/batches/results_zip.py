"""All pictures of a batch in one ZIP, streamed: memory holds one picture at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from uuid import UUID

from zipstream.ng import ZIP_STORED, ZipStream

from core.picture_names import picture_stem
from store.errors import ImageStoreError
from store.store import Store
from store.values import BatchItem, Image

RESULTS: Final = "results.jsonl"
"""The request and the outcome of each item, one per line, in the manifest's order."""
_PAGE: Final = 100


async def results_zip(store: Store, batch_id: UUID) -> AsyncIterator[bytes]:
    """Yields the bytes of the archive. Pictures are not compressed again.

    A picture that cannot be read any more is left out, and ``results.jsonl`` says so.
    """
    archive = ZipStream(compress_type=ZIP_STORED)
    lines: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.batches.items(batch_id, _PAGE, cursor)
        kept = await store.generations.images_of([item.generation_id for item in page.items])
        for item in page.items:
            names: list[str] = []
            for image in kept[item.generation_id]:
                try:
                    data = await store.files.read(image.path)
                except ImageStoreError:
                    continue  # deleted meanwhile
                names.append(_name(item, image))
                archive.add(data, arcname=names[-1])
                for chunk in _queued(archive):
                    yield chunk
            lines.append(json.dumps(_result(item, names), ensure_ascii=False) + "\n")
        cursor = page.next_cursor
        if cursor is None:
            break
    archive.add("".join(lines), arcname=RESULTS)
    for chunk in archive.finalize():
        yield chunk


def _queued(archive: ZipStream) -> Iterator[bytes]:
    chunks: Iterator[bytes] = archive.all_files()
    yield from chunks


def _name(item: BatchItem, image: Image) -> str:
    prompt = item.request.prompt if item.request is not None else ""
    suffix = image.path.rpartition(".")[2]
    return f"{picture_stem(item.position, image.position, prompt)}.{suffix}"


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
