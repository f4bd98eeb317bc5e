"""A batch's pictures as files, saved as they finish, named as in ``results.zip``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from cli.bulk.follow import patiently
from cli.client import ApiClient, ApiRefusedError, outputs_of
from cli.generate.saving import DamagedError, has_bytes, names, save, suffix
from core.picture_names import picture_stem
from core.status import FINAL

_TOGETHER: Final = 4
"""Concurrent downloads."""
_REST: Final = 4
"""Each look for new pictures is followed by a pause of this many times its duration."""
_GONE: Final = frozenset({404, 410})


class BatchPictures:
    """Saves each picture once. Its counts are of this run of the command.

    ``titles`` are what the pictures of items are named after, by their positions; their prompts
    without.
    """

    def __init__(
        self, client: ApiClient, batch_id: str, folder: Path, titles: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        """Where they are now, by the artefacts' ids."""
        self.saved = 0
        self.there = 0
        """Pictures that were in the folder already."""
        self.gone = 0
        """Pictures that were deleted, or removed because of their age."""
        self.damaged: list[str] = []
        self.kinds: set[str] = set()
        """What they are: images alone are called so."""
        self._titles = titles
        self._client = client
        self._batch_id = batch_id
        self._settled: set[str] = set()
        self._room = asyncio.Semaphore(_TOGETHER)
        self._from: str | None = None
        self._first = 0
        self._made = 0
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    def tell(self, document: Mapping[str, Any]) -> None:
        """Take the batch's document: when more is made, there is something to save."""
        if document["counts"]["succeeded"] > self._made:
            self._made = document["counts"]["succeeded"]
            self._news.set()

    def tell_end(self) -> None:
        """Note that nothing more comes: ``keep_up`` looks once more, and ends."""
        self._over.set()
        self._news.set()

    async def keep_up(self) -> None:
        """Save what is made until ``tell_end``. Raises as ``sweep`` does."""
        last = False
        while not last:
            await self._news.wait()
            self._news.clear()
            last = self._over.is_set()
            began = time.monotonic()
            await self.sweep()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _REST * (time.monotonic() - began))

    async def sweep(self) -> None:
        """Save everything that is made and not saved yet.

        Raises OSError (the folder), ApiUnreachableError, ApiRefusedError.
        """
        cursor = self._from
        while True:
            ask = partial(self._client.batch_items, self._batch_id, FINAL, cursor)
            page = await patiently(ask)
            await self._save_page(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return
            self._leave_behind(page["items"], cursor)

    def _leave_behind(self, items: Sequence[Mapping[str, Any]], cursor: str) -> None:
        """Start after these items the next time, if all up to them are final."""
        behind = items[-1]["position"] + 1
        if behind - self._first == len(items):
            self._from, self._first = cursor, behind

    async def _save_page(self, items: Sequence[Mapping[str, Any]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(self._save_item(item))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _save_item(self, item: Mapping[str, Any]) -> None:
        for number, output in enumerate(outputs_of(item)):
            self.kinds.add(str(output.get("kind", "image")))
            if output["artefact_id"] not in self._settled:
                async with self._room:
                    await self._settle(item, number, output)
                self._settled.add(output["artefact_id"])

    async def _settle(
        self, item: Mapping[str, Any], number: int, output: Mapping[str, Any]
    ) -> None:
        there = await asyncio.to_thread(found_in, self.folder, self._names(item, number), output)
        if there is not None:
            self.there += 1
            self.files[output["artefact_id"]] = there
            return
        try:
            saved = await patiently(partial(self._save, item, number, output))
        except ApiRefusedError as error:
            if error.status not in _GONE:
                raise
            self.gone += 1
        except DamagedError as error:
            self.damaged.append(str(error))
        else:
            self.saved += 1
            self.files[output["artefact_id"]] = saved

    async def _save(self, item: Mapping[str, Any], number: int, output: Mapping[str, Any]) -> Path:
        # Once: the same command may run twice at the same time, into the same folder.
        download = partial(self._client.download, output)
        candidates = self._names(item, number)
        return await save(self.folder, candidates, download, output["sha256"], once=True)

    def _names(self, item: Mapping[str, Any], number: int) -> Iterator[str]:
        position = item["position"]
        title = self._titles[position] if position < len(self._titles) else None
        return picture_names(item, number, title)


def picture_names(item: Mapping[str, Any], number: int, title: str | None = None) -> Iterator[str]:
    """Yields the names to try for an item's picture, counted from 0; the first is the ZIP's.

    ``title`` is in the place of its prompt.
    """
    prompt = title or str((item["request"] or {}).get("prompt") or "")
    stem = picture_stem(item["position"], number, prompt)
    output = outputs_of(item)[number]
    return names(stem, suffix(output["content_type"], output.get("name") or ""))


def found_in(folder: Path, candidates: Iterator[str], image: Mapping[str, Any]) -> Path | None:
    """Returns the file that has the picture, under one of its names. Raises OSError."""
    for name in candidates:
        path = folder / name
        if not path.exists():
            return None
        is_as_long = path.is_file() and path.stat().st_size == image["bytes"]
        if is_as_long and has_bytes(path, image["sha256"]):
            return path
    return None
