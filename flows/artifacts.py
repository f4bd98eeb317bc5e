"""What operators see on a run's page in the Prefect UI, sent in the background."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import httpx
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.exceptions import PrefectException

from flows.captions import caption
from flows.prefect.runs import public
from store.values import Artefact, Attempt, Claim

UPDATE_EVERY_S: Final = 1.0
"""Seconds between two updates of the progress artifact: each is a request to the Prefect API."""
RENDERING: Final = "Rendering in ComfyUI"
_log = logging.getLogger(__name__)


class ArtifactUpdates:
    """Requests to Prefect, sent while the work goes on; ``finish()`` waits for the last of them.

    Made by a flow run, they are of that run, whoever starts them.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = copy_context()

    def start(self, telling: Coroutine[Any, Any, Any]) -> None:
        """Start the request; a failure is logged and has no other effect."""
        task = asyncio.create_task(_quietly(telling), context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait until all requests are done."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _quietly(telling: Coroutine[Any, Any, Any]) -> None:
    try:
        await telling
    except (httpx.HTTPError, PrefectException, OSError) as error:
        _log.warning("Request to Prefect failed: %r", error)


class ProgressArtifact:
    """The progress bar of a run. A run of less than a second has none: it would not be seen."""

    def __init__(self, updates: ArtifactUpdates, description: str = RENDERING) -> None:
        self._updates = updates
        self._description = description
        self._id: UUID | None = None
        self._busy = False
        self._in_turn = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()

    def update(self, percent: float) -> None:
        """Show a new figure; skipped when the last was less than a second ago."""
        now = asyncio.get_running_loop().time()
        if self._busy or now - self._last < UPDATE_EVERY_S:
            return
        self._busy, self._last = True, now
        self._updates.start(self._tell(percent))

    def complete(self) -> None:
        """Show 100 %, if anything was shown."""
        if self._busy or self._id is not None:
            self._updates.start(self._tell(100.0))

    async def _tell(self, percent: float) -> None:
        try:
            async with self._in_turn:
                if self._id is None:
                    self._id = await acreate_progress_artifact(
                        percent, description=self._description
                    )
                else:
                    await aupdate_progress_artifact(self._id, progress=percent)
        finally:
            self._busy = False


@dataclass(frozen=True)
class Shown:
    """An artifact: its type, its data as Prefect stores it, and its description."""

    type: Literal["table", "image", "markdown", "progress"]
    data: Any
    description: str


def request_table(claim: Claim, worker: str, status_url: str) -> Shown:
    """The request as a table, every value as it is used, and the worker that runs it."""
    rows = [{"setting": name, "value": str(value)} for name, value in public(claim.request).items()]
    rows.append({"setting": "generation", "value": str(claim.generation_id)})
    rows.append({"setting": "attempt", "value": str(claim.attempt)})
    rows.append({"setting": "worker", "value": worker})
    rows.append({"setting": "ComfyUI prompt", "value": claim.prompt_id})
    rows.append({"setting": "status", "value": status_url})
    return Shown("table", json.dumps(rows), "The request as it is rendered")


def attempts_table(attempts: Sequence[Attempt]) -> Shown:
    """The attempts before this one, and how each ended."""
    rows = [
        {
            "attempt": str(attempt.number),
            "worker": attempt.worker or "",
            "started": _moment(attempt.started_at),
            "ended": _moment(attempt.ended_at),
            "outcome": attempt.outcome or "running",
            "error": attempt.error.detail if attempt.error else "",
        }
        for attempt in attempts
    ]
    return Shown("table", json.dumps(rows), "Attempts at this generation")


def _moment(at: datetime | None) -> str:
    return at.isoformat(sep=" ", timespec="seconds") if at is not None else ""


def artefacts_shown(artefacts: Sequence[Artefact], api_url: str) -> Shown:
    """What was generated, as one artifact to look at."""
    urls = [f"{api_url}/api/v1/artefacts/{each.id}" for each in artefacts]
    if len(artefacts) == 1 and artefacts[0].kind in ("image", "animation"):
        return Shown("image", urls[0], caption(artefacts[0]))
    shown = "\n\n".join(map(_linked, artefacts, urls))
    return Shown("markdown", shown, "What was generated")


async def show(shown: Shown) -> None:
    """Make an artifact of the calling run: a request to the Prefect API."""
    match shown.type:
        case "table":
            await acreate_table_artifact(json.loads(shown.data), description=shown.description)
        case "image":
            await acreate_image_artifact(shown.data, description=shown.description)
        case "markdown":
            await acreate_markdown_artifact(shown.data, description=shown.description)
        case "progress":
            await acreate_progress_artifact(shown.data, description=shown.description)


def _linked(artefact: Artefact, url: str) -> str:
    said = caption(artefact)
    poster = f"[![{said}]({url}/poster)]({url})\n\n" if artefact.poster_path else ""
    return f"{poster}[{said}]({url})"
