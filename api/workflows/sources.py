"""What is offered as workflows: by Easel, by this API's ComfyUI, or by those of the workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, get_args

from api.asking import asked
from comfy import ComfyClient, TransientComfyError
from comfy.sources import (
    SourceFile,
    SourceKind,
    WorkflowSource,
    offered,
    shipped_sources,
    workflow_file,
)
from core.text import readable
from store.store import Store
from store.values import WorkerRecord

LiveWorkers = Callable[[], Awaitable[tuple[WorkerRecord, ...]]]
ANSWER_WITHIN_S: Final = 20.0
"""How long the workers have to fetch a file."""
_ASKED_MAX: Final = 5
_SOURCE_MAX: Final = 400
_TEXT_MAX: Final = 500


class OfferedWorkflows:
    """Asks this API's ComfyUI first; where that is out of reach, the workers that reach theirs.

    ``live_workers`` returns the workers that live.
    """

    def __init__(self, store: Store, client: ComfyClient, live_workers: LiveWorkers) -> None:
        self._store = store
        self._client = client
        self._live_workers = live_workers

    async def all(self) -> tuple[tuple[WorkflowSource, ...], str | None]:
        """Returns what is offered, what Easel ships first, and why ComfyUI's is missing, if it is.

        Raises StoreUnavailableError.
        """
        shipped = shipped_sources()
        try:
            return shipped + await offered(self._client), None
        except TransientComfyError as error:
            problem = str(error)
        kept = await self._store.sources.kept(await self._reached())
        if not kept:
            return shipped, problem
        found = {one.source: one for told in kept.values() for one in _read(told)}
        return (*shipped, *found.values()), None

    async def file(self, source: str) -> SourceFile | None:
        """Returns the file of what is offered as ``source``, None if there is nothing.

        Raises TransientComfyError, StoreUnavailableError.
        """
        if len(source) > _SOURCE_MAX or not source.isprintable():
            return None
        try:
            return await workflow_file(self._client, source)
        except TransientComfyError:
            urls = await self._offering(source)
            if not urls:
                raise
        answer = await asked(self._store.sources, urls, source, ANSWER_WITHIN_S)
        if answer.problem is not None:
            raise TransientComfyError(answer.problem)
        if answer.data is None:
            return None
        return SourceFile(answer.data, answer.name, answer.title)

    async def _reached(self) -> list[str]:
        """Returns the ComfyUIs that live workers reach, but this API does not."""
        workers = await self._live_workers()
        newest = sorted(workers, key=lambda one: one.seen_at, reverse=True)
        return list(dict.fromkeys(one.comfy_url for one in newest if one.comfy_reachable))

    async def _offering(self, source: str) -> list[str]:
        """Returns the ComfyUIs to ask for it: those that offer it, else those that may have it."""
        urls = await self._reached()
        kept = await self._store.sources.kept(urls)
        having = [
            url for url in urls if any(one.source == source for one in _read(kept.get(url, ())))
        ]
        return (having or urls)[:_ASKED_MAX]


def _read(told: Any) -> Iterator[WorkflowSource]:
    """Yields what another version, too, may have written; what cannot be read is left out."""
    for one in told if isinstance(told, list) else ():
        if isinstance(one, Mapping) and one.get("kind") in get_args(SourceKind):
            texts = {
                name: readable(one[name], _TEXT_MAX) if isinstance(one.get(name), str) else ""
                for name in ("name", "title", "description", "media")
            }
            if texts["name"]:
                yield WorkflowSource(kind=one["kind"], **texts)
