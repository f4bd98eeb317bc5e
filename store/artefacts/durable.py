"""Files in a local folder: whole or absent, even after a power cut."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final
from uuid import uuid4

from store.completion import finished

TEMPORARY: Final = ".tmp"
"""How the name of a file ends that is not whole yet."""
_FILE_BITS: Final = 0o666
_WRITTEN_TOGETHER: Final = 1_048_576
"""Bytes of a stream that are written at once, and held in memory until then."""


def write(path: Path, data: bytes, mode: int) -> None:
    """Write a new file and flush it; ``mode`` is who may read it, as of a folder."""
    with open_new(path, mode) as file:
        _write_all(file, data)
        os.fsync(file.fileno())


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part, and says so the next time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def open_new(path: Path, mode: int) -> FileIO:
    """Returns a new file, opened for writing without a buffer.

    The folder may vanish meanwhile: the remove that empties it removes it.
    """
    for tries_left in (2, 1, 0):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (path.parent.parent, path.parent):
                _let_read(folder, mode)
            file = path.open("xb", buffering=0)
            _let_read(path, mode & _FILE_BITS)
        except FileNotFoundError:
            if not tries_left:
                raise
        else:
            return file
    raise AssertionError("unreachable")


class StreamedFile:
    """A stream written to a new local file; its size and SHA-256 are told on the way."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self.bytes = 0
        self._mode = mode
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written."""
        return self._digest.hexdigest()

    async def fill(self, chunks: AsyncIterator[bytes], length: int | None = None) -> None:
        """Write all of it and flush it. Raises OSError, and what the stream raises.

        Each write is completed even when this is cancelled: else it might come after a clean-up.
        What is longer than the disk has room for is not begun: while it waits, and is tried again
        and again, it would fill the disk for everybody else.
        """
        file = await finished(asyncio.to_thread(open_new, self.path, self._mode))
        try:
            await asyncio.to_thread(_check_room, self.path.parent, length or 0)
            pending = bytearray()
            async for chunk in chunks:
                pending += chunk
                if len(pending) >= _WRITTEN_TOGETHER:
                    await finished(asyncio.to_thread(self._write, file, bytes(pending)))
                    pending.clear()
            await finished(asyncio.to_thread(self._write, file, bytes(pending)))
            await finished(asyncio.to_thread(os.fsync, file.fileno()))
        finally:
            await finished(asyncio.to_thread(file.close))

    def _write(self, file: FileIO, data: bytes) -> None:
        _write_all(file, data)
        self._digest.update(data)
        self.bytes += len(data)


def _check_room(folder: Path, length: int) -> None:
    """Raise OSError if the disk has less room than that. Some network shares do not tell theirs."""
    _, used, free = shutil.disk_usage(folder)
    if free < length and used + free > 0:
        said = f"{os.strerror(errno.ENOSPC)}: {length} bytes are to be written, {free} are free"
        raise OSError(errno.ENOSPC, said)


def _let_read(path: Path, mode: int) -> None:
    """Set who may read, whatever this process's umask is. Windows has no such permissions."""
    if os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == mode:
        return
    with suppress(PermissionError):  # a folder that another account of the same machine made
        path.chmod(mode)


def move_to(source: Path, target: Path, mode: int) -> None:
    """Move a file, flushed, under its name at once; from another disk by a copy."""
    for tries_left in (2, 1, 0):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for folder in (target.parent.parent, target.parent):
                _let_read(folder, mode)
            temporary = target.with_name(f"{target.name}.{uuid4().hex}{TEMPORARY}")
            try:
                shutil.move(source, temporary)
                _let_read(temporary, mode & _FILE_BITS)
                _flush_file(temporary)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return
        except FileNotFoundError:  # the folder went with the file before: see ``open_new``
            if not tries_left or not source.exists():
                raise


def _flush_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folders(top: Path, folder: Path) -> None:
    """Flush a folder and those above it up to ``top``: they may be as new as the file."""
    _flush(folder)
    while folder != top:
        folder = folder.parent
        _flush(folder)


def _flush(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder for flushing
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty(folder: Path) -> None:
    """Remove a folder and the one above it, where they are empty."""
    for place in (folder, folder.parent):
        try:
            place.rmdir()
        except OSError:
            return
