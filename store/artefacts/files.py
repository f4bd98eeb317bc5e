"""The artefacts' bytes: on one storage interface (obstore), a local folder or an object store."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4, uuid5

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import LocalStore, ObjectStore, from_url

from core.artefacts import FileType
from core.failpoints import reach
from core.ids import parse_generation_id
from store.artefacts.durable import (
    TEMPORARY,
    StreamedFile,
    flush_folders,
    move_to,
    remove_empty,
    write,
)
from store.artefacts.media import facts_of, small_of, thumbnail
from store.completion import finished
from store.errors import ArtefactStoreError, NoSpaceError, StorageAwayError
from store.values import Artefact

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig
    from PIL.Image import Image

P = ParamSpec("P")
T = TypeVar("T")

_SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_POSTER: Final = ".thumbnail.webp"
_NOWHERE: Final = "easel-looks-here"
"""A prefix that nothing is stored under."""
_LISTED_TOGETHER: Final = 500
_RETRY: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
"""A call that an object store does not answer must end soon: a process that ends waits for it. The
worker and the API try again by themselves. (One request may take 30 s, obstore's default.)"""
_PART_BYTES: Final = 8_388_608
"""Bytes of each part of a large file that is sent to an object store."""
_PARTS_AT_ONCE: Final = 2
_CALLS_AT_ONCE: Final = 32
"""Calls of the store at once: it may be far away, and each waits in a thread."""
SLICE_BYTES: Final = 2_097_152
"""Bytes of a file that one reader holds in memory: most pictures are one slice."""
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_AWAY: Final = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO}
)
"""What a folder of a network share answers while its server does not."""
_REASON_MAX: Final = 300


@dataclass(frozen=True)
class NewPicture:
    """A picture that is to be kept, whole. ``name`` and ``node`` say where it came from.

    ``small`` is it in small, as ``core.pictures`` makes it; without it, it is decoded for that.
    """

    data: bytes
    width: int
    height: int
    content_type: str
    seed: int | None
    name: str = ""
    node: str | None = None
    small: Image | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class NewFile:
    """A file of any other kind that is to be kept, read in chunks, once.

    ``length`` is how many bytes come, where it is known.
    """

    type: FileType
    chunks: AsyncIterator[bytes]
    seed: int | None
    name: str = ""
    node: str | None = None
    length: int | None = None


@dataclass(frozen=True)
class StoredFile:
    """A file in the store, and the generation that its path names."""

    generation_id: UUID
    path: str
    bytes: int
    last_modified: datetime

    @property
    def is_temporary(self) -> bool:
        """Whether its save was not finished: a save ends with a rename."""
        return self.path.endswith(TEMPORARY)


def _object_store(url: str) -> ObjectStore:
    try:
        return from_url(url, retry_config=_RETRY)
    except GenericError:  # it shows the whole URL, with a key that may be in it
        scheme = url.partition("://")[0]
        raise ArtefactStoreError(f"artefacts cannot be stored at a URL of {scheme}://") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise ArtefactStoreError(f"artefacts cannot be stored in {folder}: {why}") from error


class ArtefactFiles:
    """Keeps artefacts and their posters under names derived from the attempt.

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
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="artefacts")

    async def keep(
        self, generation_id: UUID, attempt: int, position: int, new: NewPicture
    ) -> Artefact:
        """Write a picture and its thumbnail durably.

        Raises NoSpaceError when the disk is full or read-only, StorageAwayError when an object
        store takes nothing now, else ArtefactStoreError, also for bytes that are not a picture.
        """
        stem = _stem(generation_id, attempt, position)
        path = f"{stem}.{_SUFFIXES.get(new.content_type, 'bin')}"
        poster_path = f"{stem}{_POSTER}"
        small = new.small
        if small is None:
            small = await asyncio.to_thread(small_of, new.data)
        # The picture goes to the disk while its poster is being made. All have ended, successfully
        # or not, before this returns: no write outlives a failure.
        written = await asyncio.gather(
            self._write(path, new.data),
            self._write_thumbnail(poster_path, small),
            asyncio.to_thread(_sha256, new.data),
            return_exceptions=True,
        )
        for failure in written:
            if isinstance(failure, BaseException):
                raise failure
        await self._flush(path)  # both names are in one folder
        return Artefact(
            id=_artefact_id(generation_id, attempt, position),
            generation_id=generation_id,
            position=position,
            kind="image",
            name=new.name,
            node=new.node,
            path=path,
            poster_path=poster_path,
            width=new.width,
            height=new.height,
            content_type=new.content_type,
            bytes=len(new.data),
            sha256=str(written[2]),
            seed=new.seed,
            created_at=datetime.now(UTC),
        )

    async def keep_file(
        self, generation_id: UUID, attempt: int, position: int, new: NewFile
    ) -> Artefact:
        """Write a file of any size durably, and its poster if there is one.

        It is written as it comes, so that memory holds a chunk of it. Raises as ``keep`` does, and
        what the chunks raise; then nothing of it stays.
        """
        stem = _stem(generation_id, attempt, position)
        async with self._streamed(stem) as streamed:
            try:
                await streamed.fill(new.chunks, new.length)
            except OSError as error:
                raise self._kind(error)(f"cannot write {stem}: {_first_line(error)}") from error
            reach("save.after_temporary")
            facts = await facts_of(streamed.path, new.type)
            poster_path = f"{stem}{_POSTER}" if facts.poster else None
            if poster_path is not None and facts.poster is not None:
                await self._put(poster_path, facts.poster)
            path = f"{stem}.{facts.type.extension}"
            await self._name(streamed.path, path)
        return Artefact(
            id=_artefact_id(generation_id, attempt, position),
            generation_id=generation_id,
            position=position,
            kind=facts.type.kind,
            name=new.name,
            node=new.node,
            path=path,
            poster_path=poster_path,
            width=facts.width,
            height=facts.height,
            duration_s=facts.duration_s,
            fps=facts.fps,
            frames=facts.frames,
            text=facts.text,
            content_type=facts.type.content_type,
            bytes=streamed.bytes,
            sha256=streamed.sha256,
            seed=new.seed,
            created_at=datetime.now(UTC),
        )

    @asynccontextmanager
    async def _streamed(self, stem: str) -> AsyncIterator[StreamedFile]:
        """Yields a temporary file: where it is to stay, or for an object store on this machine."""
        name = f"{stem}.{uuid4().hex}{TEMPORARY}"
        with ExitStack() as stack:
            if self._folder is not None:
                path, mode = self._folder / name, self._mode
            else:
                folder = stack.enter_context(TemporaryDirectory(prefix="easel-"))
                # Two folders of its own below it: who may read is set for both above the file.
                path, mode = Path(folder, "kept", "file", Path(name).name), stat.S_IRWXU
            try:
                yield StreamedFile(path, mode)
            finally:
                await finished(asyncio.to_thread(path.unlink, missing_ok=True))

    async def _name(self, temporary: Path, path: str) -> None:
        """Give a finished file the name it is kept under."""
        try:
            if self._folder is None:
                await finished(self._call(_send, self._store, path, temporary))
            else:
                now = temporary.relative_to(self._folder).as_posix()
                await finished(self._call(obstore.rename, self._store, now, path))
                reach("save.after_rename")
                await asyncio.to_thread(flush_folders, self._folder, temporary.parent)
        except (BaseError, OSError) as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    async def put_file(self, path: str, file: Path) -> None:
        """Keep a local file under ``path``, whole or not at all. It is gone from where it was.

        Raises as ``keep`` does. However large it is, memory holds only a part of it.
        """
        try:
            if self._folder is None:
                await finished(self._call(_send, self._store, path, file))
                await asyncio.to_thread(file.unlink, missing_ok=True)
            else:
                await finished(asyncio.to_thread(move_to, file, self._folder / path, self._mode))
                await asyncio.to_thread(flush_folders, self._folder, (self._folder / path).parent)
        except (BaseError, OSError) as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    async def listed(self, place: str) -> AsyncIterator[ObjectMeta]:
        """Yields what is stored below a place, in no order. Raises ArtefactStoreError."""
        try:
            async for found in self._list(place):
                yield found
        except (BaseError, OSError) as error:
            raise ArtefactStoreError(f"cannot list {place}: {error}") from error

    async def read(self, path: str) -> bytes:
        """The bytes of a kept file. Raises ArtefactStoreError."""
        try:
            return await self._call(_read, self._store, path)
        except (BaseError, OSError, ValueError) as error:  # ValueError: invalid path
            raise ArtefactStoreError(f"cannot read {path}: {error}") from error

    async def stream(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Returns the bytes from ``start`` to before ``end`` in slices of ``SLICE_BYTES``.

        Raises ArtefactStoreError when the first slice cannot be read whole; the stream does when a
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
            raise ArtefactStoreError(f"cannot read {path} from {start}: {error}") from error
        if len(found) < end - start:
            raise ArtefactStoreError(f"{path} ends at {start + len(found)}, before {end}")
        return found

    async def remove(self, kept: Iterable[Artefact]) -> None:
        """Remove artefacts and posters; missing files are ignored. Raises ArtefactStoreError."""
        for artefact in kept:
            for path in artefact.paths:
                await self._remove(path)
            await self._prune(artefact.path)

    async def remove_generation(self, generation_id: UUID) -> None:
        """Remove all files of a generation: every attempt, half-written files too.

        Missing files are ignored. Raises ArtefactStoreError.
        """
        place = _place(generation_id)
        try:
            async for found in self._list(place):
                await self._remove(found["path"])
        except (BaseError, OSError) as error:
            raise ArtefactStoreError(f"cannot list {place}: {error}") from error
        await self._prune(f"{place}/any")

    async def remove_file(self, path: str) -> None:
        """Remove one file; a missing one is ignored. Raises ArtefactStoreError."""
        await self._remove(path)
        await self._prune(path)

    async def remove_attempt(self, generation_id: UUID, attempt: int) -> None:
        """Remove all files of one attempt, whole or half-written. Raises ArtefactStoreError."""
        place = _place(generation_id)
        try:
            async for found in self._list(place):
                if found["path"].startswith(f"{place}/{attempt}-"):
                    await self._remove(found["path"])
        except (BaseError, OSError) as error:
            raise ArtefactStoreError(f"cannot list {place}: {error}") from error
        await self._prune(f"{place}/any")

    async def look(self) -> None:
        """Make sure that the storage answers and has its bucket. Raises StorageAwayError."""
        try:
            await self._call(next, obstore.list(self._store, _NOWHERE, chunk_size=1), None)
        except (BaseError, OSError) as error:
            raise StorageAwayError(_first_line(error)) from error

    async def size(self, path: str) -> int | None:
        """Returns a file's size in bytes, None if it is not there. Raises ArtefactStoreError."""
        try:
            return (await self._call(obstore.head, self._store, path))["size"]
        except FileNotFoundError:
            return None
        except (BaseError, OSError, ValueError) as error:
            raise ArtefactStoreError(f"cannot look at {path}: {error}") from error

    async def stored(self) -> AsyncIterator[StoredFile]:
        """Yields every file of a generation, in no order, a page in memory at a time.

        Files with names that are not Easel's are skipped. Raises ArtefactStoreError.
        """
        try:
            async for found in self._list(None):
                owner = _owner(found["path"])
                if owner is not None:
                    yield StoredFile(owner, found["path"], found["size"], found["last_modified"])
        except (BaseError, OSError) as error:
            raise ArtefactStoreError(f"cannot list the artefacts: {error}") from error

    async def _remove(self, path: str) -> None:
        try:
            await self._call(obstore.delete, self._store, path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise ArtefactStoreError(f"cannot remove {path}: {error}") from error

    async def _prune(self, path: str) -> None:
        """Remove the generation's folder when it is empty (object stores have none)."""
        if self._folder is not None:
            folder = (self._folder / path).parent
            await asyncio.to_thread(remove_empty, folder)

    async def _put(self, path: str, data: bytes) -> None:
        await self._write(path, data)
        await self._flush(path)

    async def _write(self, path: str, data: bytes) -> None:
        """Write a file, whole or not at all. On a local disk its name is yet to be flushed."""
        try:
            if self._folder is None:
                # Atomic, as the object store documents it. Completed even when cancelled, as below.
                await finished(self._call(obstore.put, self._store, path, data))
            else:
                await self._write_local(self._folder, path, data)
        except (BaseError, OSError) as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    async def _write_thumbnail(self, path: str, small: Image) -> None:
        await self._write(path, await asyncio.to_thread(thumbnail, small))

    async def _flush(self, path: str) -> None:
        """Flush the name of a file that was written, and of all others in its folder."""
        if self._folder is None:
            return
        folder = (self._folder / path).parent
        try:
            await asyncio.to_thread(flush_folders, self._folder, folder)
        except OSError as error:
            raise self._kind(error)(f"cannot write {path}: {_first_line(error)}") from error

    def _kind(self, error: Exception) -> type[ArtefactStoreError]:
        """Returns how a failed write counts.

        An object store has no failure that ends a picture: access that was withdrawn or a bucket
        that was removed can be given back, as a network can.
        """
        if _is_for_want_of_space(error):
            return NoSpaceError
        is_away = self._folder is None or _is_of(error, _AWAY)
        return StorageAwayError if is_away else ArtefactStoreError

    async def _write_local(self, folder: Path, path: str, data: bytes) -> None:
        """Temporary name, flush, rename: with ``_flush`` whole or absent, even after a power cut.

        obstore's own local put renames too, but it does not flush to the disk, and it never lists
        what it leaves behind when it is killed.
        """
        temporary = f"{path}.{uuid4().hex}{TEMPORARY}"  # two may keep the same picture at once
        try:
            # Each is completed even when cancelled: else a file might appear after the clean-up.
            await finished(asyncio.to_thread(write, folder / temporary, data, self._mode))
            reach("save.after_temporary")
            await finished(self._call(obstore.rename, self._store, temporary, path))
            reach("save.after_rename")
        except BaseException:
            await asyncio.to_thread((folder / temporary).unlink, missing_ok=True)
            raise

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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _send(store: ObjectStore, path: str, file: Path) -> None:
    """Send a local file to an object store, in parts if it is large: whole there, or absent."""
    obstore.put(store, path, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)


def _stem(generation_id: UUID, attempt: int, position: int) -> str:
    return f"{_place(generation_id)}/{attempt}-{position}"


def _artefact_id(generation_id: UUID, attempt: int, position: int) -> UUID:
    return uuid5(generation_id, f"image-{attempt}-{position}")


__all__ = ["SLICE_BYTES", "ArtefactFiles", "NewFile", "NewPicture", "StoredFile"]
