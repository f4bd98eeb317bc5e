"""The images' bytes: on one storage interface (obstore), a local folder or an object store."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import re
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4, uuid5

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import LocalStore, ObjectStore, from_url
from PIL import Image as Pillow

from core.failpoints import reach
from core.ids import parse_generation_id
from store.database import finished
from store.errors import ImageStoreError, NoSpaceError, StorageAwayError
from store.values import Image

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig

P = ParamSpec("P")
T = TypeVar("T")

THUMBNAIL_PX: Final = 384
"""The longer side of a thumbnail, in pixels."""
_SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_TEMPORARY: Final = ".tmp"
_FILE_BITS: Final = 0o666
_NOWHERE: Final = "easel-looks-here"
"""A prefix that nothing is stored under."""
_LISTED_TOGETHER: Final = 500
_RETRY: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
"""A call that an object store does not answer must end soon: a process that ends waits for it. The
worker and the API try again by themselves. (One request may take 30 s, obstore's default.)"""
_CALLS_AT_ONCE: Final = 32
"""Calls of the image store at once: it may be far away, and each waits in a thread."""
SLICE_BYTES: Final = 2_097_152
"""Bytes of a file that one reader holds in memory: most pictures are one slice."""
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_AWAY: Final = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO}
)
"""What a folder of a network share answers while its server does not."""
_REASON_MAX: Final = 300


@dataclass(frozen=True)
class NewImage:
    """A picture as it came from ComfyUI."""

    data: bytes
    width: int
    height: int
    content_type: str
    seed: int


@dataclass(frozen=True)
class StoredFile:
    """A file in the image store, and the generation that its path names."""

    generation_id: UUID
    path: str
    bytes: int
    last_modified: datetime

    @property
    def is_temporary(self) -> bool:
        """Whether its save was not finished: a save ends with a rename."""
        return self.path.endswith(_TEMPORARY)


def _object_store(url: str) -> ObjectStore:
    try:
        return from_url(url, retry_config=_RETRY)
    except GenericError:  # it shows the whole URL, with a key that may be in it
        scheme = url.partition("://")[0]
        raise ImageStoreError(f"images cannot be stored at a URL of {scheme}://") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise ImageStoreError(f"images cannot be stored in {folder}: {why}") from error


class ImageFiles:
    """Keeps pictures and their thumbnails under names derived from the attempt.

    A save that is repeated after a crash therefore writes the same file, not another one.
    """

    def __init__(self, url: str) -> None:
        self._folder = None if "://" in url else Path(url)
        if self._folder is not None:
            _make(self._folder)
            self._store: ObjectStore = LocalStore(prefix=self._folder, mkdir=True)
            # A folder that its user shares with others has files that those can read.
            self._mode = stat.S_IMODE(self._folder.stat().st_mode) | stat.S_IRWXU
        else:
            self._store = _object_store(url)
        self.remote = None if self._folder is not None else _without_secrets(url)
        """The object store's URL; None for a local folder."""
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="images")

    async def keep(self, generation_id: UUID, attempt: int, position: int, new: NewImage) -> Image:
        """Write a picture and its thumbnail durably.

        Raises NoSpaceError when the disk is full or read-only, StorageAwayError when an object
        store takes nothing now, else ImageStoreError, also for bytes that are not a picture.
        """
        thumbnail, digest = await asyncio.to_thread(_derive, new.data)
        stem = f"{_place(generation_id)}/{attempt}-{position}"
        path = f"{stem}.{_SUFFIXES.get(new.content_type, 'bin')}"
        thumbnail_path = f"{stem}.thumbnail.webp"
        puts = (self._put(path, new.data), self._put(thumbnail_path, thumbnail))
        # Both have ended, successfully or not, before this returns: no write outlives a failure.
        for failure in await asyncio.gather(*puts, return_exceptions=True):
            if failure is not None:
                raise failure
        return Image(
            id=uuid5(generation_id, f"image-{attempt}-{position}"),
            generation_id=generation_id,
            position=position,
            path=path,
            thumbnail_path=thumbnail_path,
            width=new.width,
            height=new.height,
            content_type=new.content_type,
            bytes=len(new.data),
            sha256=digest,
            seed=new.seed,
            created_at=datetime.now(UTC),
        )

    async def put_file(self, path: str, file: Path) -> None:
        """Keep a local file under ``path``, whole or not at all. It is gone from where it was.

        Raises as ``keep`` does. However large it is, memory holds only a part of it.
        """
        try:
            if self._folder is None:
                await finished(self._call(obstore.put, self._store, path, file))
                await asyncio.to_thread(file.unlink, missing_ok=True)
            else:
                await finished(asyncio.to_thread(_move, file, self._folder / path, self._mode))
                await asyncio.to_thread(_flush_folders, self._folder, (self._folder / path).parent)
        except (BaseError, OSError) as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    async def listed(self, place: str) -> AsyncIterator[ObjectMeta]:
        """Yields what is stored below a place, in no order. Raises ImageStoreError."""
        try:
            async for found in self._list(place):
                yield found
        except (BaseError, OSError) as error:
            raise ImageStoreError(f"cannot list {place}: {error}") from error

    async def read(self, path: str) -> bytes:
        """The bytes of a kept file. Raises ImageStoreError."""
        try:
            return await self._call(_read, self._store, path)
        except (BaseError, OSError, ValueError) as error:  # ValueError: invalid path
            raise ImageStoreError(f"cannot read {path}: {error}") from error

    async def stream(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Returns the bytes from ``start`` to before ``end`` in slices of ``SLICE_BYTES``.

        Raises ImageStoreError when the first slice cannot be read whole; the stream does when a
        later one cannot.

        Each slice is a request of its own. obstore's stream over one request takes 280 ms for
        64 MB of a local disk instead of 20, and of an object store it ends with the request's
        timeout (30 s), which a slow client would run into.
        """
        first = await self._slice(path, start, end) if start < end else b""
        return self._go_on(first, path, start, end)

    async def _go_on(self, part: bytes, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        yield part
        while (start := start + len(part)) < end:
            part = await self._slice(path, start, end)
            yield part

    async def _slice(self, path: str, start: int, end: int) -> bytes:
        end = min(end, start + SLICE_BYTES)
        try:
            found = await self._call(_read_range, self._store, path, start, end)
        except (BaseError, OSError, ValueError) as error:
            raise ImageStoreError(f"cannot read {path} from {start}: {error}") from error
        if len(found) < end - start:
            raise ImageStoreError(f"{path} ends at {start + len(found)}, before {end}")
        return found

    async def remove(self, kept: Iterable[Image]) -> None:
        """Remove pictures and thumbnails; missing files are ignored. Raises ImageStoreError."""
        for image in kept:
            for path in (image.path, image.thumbnail_path):
                await self._remove(path)
            await self._prune(image.path)

    async def remove_generation(self, generation_id: UUID) -> None:
        """Remove all files of a generation: every attempt, half-written files too.

        Missing files are ignored. Raises ImageStoreError.
        """
        place = _place(generation_id)
        try:
            async for found in self._list(place):
                await self._remove(found["path"])
        except (BaseError, OSError) as error:
            raise ImageStoreError(f"cannot list {place}: {error}") from error
        await self._prune(f"{place}/any")

    async def remove_file(self, path: str) -> None:
        """Remove one file; a missing one is ignored. Raises ImageStoreError."""
        await self._remove(path)
        await self._prune(path)

    async def remove_attempt(self, generation_id: UUID, attempt: int) -> None:
        """Remove all files of one attempt, whole or half-written. Raises ImageStoreError."""
        place = _place(generation_id)
        try:
            async for found in self._list(place):
                if found["path"].startswith(f"{place}/{attempt}-"):
                    await self._remove(found["path"])
        except (BaseError, OSError) as error:
            raise ImageStoreError(f"cannot list {place}: {error}") from error
        await self._prune(f"{place}/any")

    async def look(self) -> None:
        """Make sure that the storage answers and has its bucket. Raises StorageAwayError."""
        try:
            await self._call(next, obstore.list(self._store, _NOWHERE, chunk_size=1), None)
        except (BaseError, OSError) as error:
            raise StorageAwayError(_first_line(error)) from error

    async def size(self, path: str) -> int | None:
        """Returns a file's size in bytes, None if there is no such file. Raises ImageStoreError."""
        try:
            return (await self._call(obstore.head, self._store, path))["size"]
        except FileNotFoundError:
            return None
        except (BaseError, OSError, ValueError) as error:
            raise ImageStoreError(f"cannot look at {path}: {error}") from error

    async def stored(self) -> AsyncIterator[StoredFile]:
        """Yields every file of a generation, in no order, a page in memory at a time.

        Files with names that are not Easel's are skipped. Raises ImageStoreError.
        """
        try:
            async for found in self._list(None):
                owner = _owner(found["path"])
                if owner is not None:
                    yield StoredFile(owner, found["path"], found["size"], found["last_modified"])
        except (BaseError, OSError) as error:
            raise ImageStoreError(f"cannot list the images: {error}") from error

    async def _remove(self, path: str) -> None:
        try:
            await self._call(obstore.delete, self._store, path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise ImageStoreError(f"cannot remove {path}: {error}") from error

    async def _prune(self, path: str) -> None:
        """Remove the generation's folder when it is empty (object stores have none)."""
        if self._folder is not None:
            folder = (self._folder / path).parent
            await asyncio.to_thread(_remove_empty, folder)

    async def _put(self, path: str, data: bytes) -> None:
        try:
            if self._folder is None:
                # Atomic, as the object store documents it. Completed even when cancelled, as below.
                await finished(self._call(obstore.put, self._store, path, data))
            else:
                await self._put_local(self._folder, path, data)
        except (BaseError, OSError) as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    def _kind(self, error: Exception) -> type[ImageStoreError]:
        """Returns how a failed write counts.

        An object store has no failure that ends a picture: access that was withdrawn or a bucket
        that was removed can be given back, as a network can.
        """
        if _is_for_want_of_space(error):
            return NoSpaceError
        is_away = self._folder is None or _is_of(error, _AWAY)
        return StorageAwayError if is_away else ImageStoreError

    async def _put_local(self, folder: Path, path: str, data: bytes) -> None:
        """Temporary name, flush, rename, flush the folder: whole or absent, even after a power cut.

        obstore's own local put renames too, but it does not flush to the disk, and it never lists
        what it leaves behind when it is killed.
        """
        temporary = f"{path}.{uuid4().hex}{_TEMPORARY}"  # two may keep the same picture at once
        try:
            # Each is completed even when cancelled: else a file might appear after the clean-up.
            await finished(asyncio.to_thread(_write, folder / temporary, data, self._mode))
            reach("save.after_temporary")
            await finished(self._call(obstore.rename, self._store, temporary, path))
            reach("save.after_rename")
        except BaseException:
            await asyncio.to_thread((folder / temporary).unlink, missing_ok=True)
            raise
        await asyncio.to_thread(_flush_folders, folder, (folder / path).parent)

    async def _list(self, place: str | None) -> AsyncIterator[ObjectMeta]:
        """Yields what is stored below a place, a page in memory at a time."""
        pages = obstore.list(self._store, place, chunk_size=_LISTED_TOGETHER)
        while page := await self._call(next, pages, None):
            for found in page:
                yield found

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call one of obstore's blocking functions in a thread of Python's own.

        Its async functions answer from Rust threads, which Python before 3.14 unwinds when they
        come back to an interpreter that ends. Rust then aborts the whole process: SIGABRT in up to
        197 of 300 processes that ended right after a read.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))


def _read(store: ObjectStore, path: str) -> bytes:
    return bytes(obstore.get(store, path).bytes())


def _read_range(store: ObjectStore, path: str, start: int, end: int) -> bytes:
    return bytes(obstore.get_range(store, path, start=start, end=end))


def _place(generation_id: UUID) -> str:
    return f"{generation_id.hex[:2]}/{generation_id}"


def _owner(path: str) -> UUID | None:
    """Returns the file's owner, None when its name is not one that ``keep`` gives."""
    parts = path.split("/")
    owner = parse_generation_id(parts[1]) if len(parts) == 3 else None
    return owner if owner is not None and path.startswith(f"{_place(owner)}/") else None


def _is_for_want_of_space(error: Exception) -> bool:
    """Whether the disk is full, the quota used up, or the disk read-only."""
    return _is_of(error, _NO_SPACE)


def _is_of(error: Exception, numbers: frozenset[int]) -> bool:
    """Returns whether the system's error is one of these.

    obstore only passes on the text of the system's error, such as ``(os error 28)``.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in numbers
    return any(int(found) in numbers for found in re.findall(r"\(os error (\d+)\)", str(error)))


def _first_line(error: Exception) -> str:
    """Returns obstore's error without the dump of its source that follows it."""
    lines = str(error).strip().splitlines()
    return lines[0][:_REASON_MAX] if lines else type(error).__name__


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _derive(data: bytes) -> tuple[bytes, str]:
    """Returns a picture's thumbnail (WebP) and SHA-256. Raises ImageStoreError."""
    buffer = io.BytesIO()
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            small = picture.convert("RGB")
            small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), reducing_gap=2.0)
            small.save(buffer, "WEBP", quality=80, method=2)
    except Exception as error:  # Pillow's own errors have no common base
        raise ImageStoreError(f"these {len(data)} bytes are no complete image: {error}") from error
    return buffer.getvalue(), hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write and flush; ``mode`` is who may read it, as of a folder.

    The folder may vanish meanwhile: the remove that empties it removes it.
    """
    for tries_left in (2, 1, 0):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (path.parent.parent, path.parent):
                _let_read(folder, mode)
            with path.open("xb") as file:
                _let_read(path, mode & _FILE_BITS)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return
        except FileNotFoundError:
            if not tries_left:
                raise


def _move(source: Path, target: Path, mode: int) -> None:
    """Move a file, flushed, under its name at once; from another disk by a copy."""
    for tries_left in (2, 1, 0):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for folder in (target.parent.parent, target.parent):
                _let_read(folder, mode)
            temporary = target.with_name(f"{target.name}.{uuid4().hex}{_TEMPORARY}")
            try:
                shutil.move(source, temporary)
                _let_read(temporary, mode & _FILE_BITS)
                _flush_file(temporary)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return
        except FileNotFoundError:  # the folder went with the file before: see ``_write``
            if not tries_left or not source.exists():
                raise


def _flush_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _let_read(path: Path, mode: int) -> None:
    """Set who may read, whatever this process's umask is. Windows has no such permissions."""
    if os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == mode:
        return
    with suppress(PermissionError):  # a folder that another account of the same machine made
        path.chmod(mode)


def _flush(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder for flushing
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folders(top: Path, folder: Path) -> None:
    """Flush a folder and those above it up to ``top``: they may be as new as the file."""
    _flush(folder)
    while folder != top:
        folder = folder.parent
        _flush(folder)


def _remove_empty(folder: Path) -> None:
    for place in (folder, folder.parent):
        try:
            place.rmdir()
        except OSError:
            return


__all__ = ["SLICE_BYTES", "THUMBNAIL_PX", "ImageFiles", "NewImage", "StoredFile"]
