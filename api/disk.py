"""Free disk space: an accepted generation must find some when it is finished."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1_000_000
_LOOK_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 0.2
"""Maximum seconds to wait for a disk that does not answer (a share that hangs)."""


@dataclass(frozen=True)
class Room:
    """Free bytes on the disk of ``folder``, and the required minimum."""

    folder: Path
    free: int
    wanted: int

    @property
    def is_enough(self) -> bool:
        """Returns whether the minimum is free."""
        return self.free >= self.wanted

    def __str__(self) -> str:
        """Without the folder: clients read it, and the path contains the account's name."""
        return (
            f"{self.free // MEGABYTE} MB are free on the disk of the data folder, "
            f"{self.wanted // MEGABYTE} MB must be (EASEL_STORE__RESERVE_MB)"
        )


def look(folders: Iterable[Path], reserve_mb: int) -> Room | None:
    """Returns the free space of the fullest disk of these folders; None if unknown."""
    rooms = [
        Room(folder, free, reserve_mb * MEGABYTE)
        for folder in folders
        if (free := _free(folder)) is not None
    ]
    return min(rooms, key=lambda room: room.free, default=None)


class DiskReserve:
    """Checks the disks at most once a second for all callers, and never in the event loop."""

    def __init__(self, folders: Iterable[Path], reserve_mb: int) -> None:
        self._folders = tuple(folders)
        self._reserve_mb = reserve_mb
        self._room: Room | None = None
        self._stale_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def room(self) -> Room | None:
        """Returns the free space of the fullest disk (cached 1 s); None if unknown."""
        if time.monotonic() >= self._stale_at:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="disk")
            await asyncio.wait([self._looking], timeout=_PATIENCE_S)
        return self._room

    async def _look(self) -> None:
        self._room = await asyncio.to_thread(look, self._folders, self._reserve_mb)
        self._stale_at = time.monotonic() + _LOOK_EVERY_S


def _free(folder: Path) -> int | None:
    """Returns the free bytes, of the nearest parent folder that exists."""
    for place in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
