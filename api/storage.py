"""Whether the object store that keeps the pictures answers, asked at intervals."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from store.artefacts.files import ArtefactFiles
from store.errors import ArtefactStoreError

LOOK_EVERY_S: Final = 5.0
PATIENCE_S: Final = 2.0
"""Maximum seconds that a caller waits; the look itself may take longer, as each retries."""


class StorageWatch:
    """Looks at most once in ``LOOK_EVERY_S`` for all callers."""

    def __init__(self, files: ArtefactFiles) -> None:
        self._files = files
        self._problem: str | None = None
        self._stale_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    @property
    def place(self) -> str | None:
        """Returns where the pictures are; None for a local folder, whose disk is watched."""
        return self._files.remote

    async def problem(self) -> str | None:
        """Returns why the storage cannot be used now; None when it answers."""
        if time.monotonic() >= self._stale_at:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="storage")
            await asyncio.wait([self._looking], timeout=PATIENCE_S)
            if not self._looking.done():
                return "it does not answer in time"
        return self._problem

    async def _look(self) -> None:
        try:
            await self._files.look()
            self._problem = None
        except ArtefactStoreError as error:
            self._problem = str(error)
        self._stale_at = time.monotonic() + LOOK_EVERY_S
