"""Bodies that are manifests: JSON, or a file of rows that is streamed to the disk."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from api.batches.facade import BatchFacade, Manifest
from api.body import field_problems, media_type_of, shown, summary
from api.dependencies import opened
from api.errors import ProblemError
from core.batches.manifest import Kind, guess_kind
from core.batches.request import FileOptions
from core.callbacks.callback import CALLBACK_FIELDS
from core.problems import FieldProblem

STALLED_S: Final = 10.0
"""Timeout for the next piece of a body."""
JSON_BYTES_MAX: Final = 10_000_000
"""The longest manifest in JSON, which is held in memory as a whole; files of rows are streamed."""
RECEIVED_MAX: Final = 500_000_000
"""Bytes of all manifests on the disk: being received, read, or waiting to be read. The folder of
temporary files is in memory on many systems."""
_FLAGS: Final = frozenset({"dry_run", "skip_bad"})


class Flags(BaseModel):
    """What is wanted of a manifest, whichever form it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=False, description="Only tell what would be generated.")
    skip_bad: bool = Field(
        default=False, description="Skip rows with problems, instead of refusing all."
    )


@dataclass(frozen=True)
class ManifestBody:
    """A manifest as received, the flags, and the hash of both."""

    manifest: Manifest
    flags: Flags
    sha256: str


@dataclass(frozen=True)
class _Limit:
    """The most bytes, and what to say of more."""

    bytes: int
    reason: str


@asynccontextmanager
async def manifest_of(request: Request, limit: int) -> AsyncIterator[ManifestBody]:
    """Read a manifest; its file lives as long as the context. Raises ProblemError."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    flags, options = _query(request)
    kind = _kind(request)
    if kind == "json" and options.model_fields_set:
        raise ProblemError(
            "invalid_request", f"{min(options.model_fields_set)} belongs into the JSON body"
        )
    with (
        _Room(opened(request, BatchFacade)) as room,
        tempfile.TemporaryDirectory(prefix="easel-manifest-") as folder,
    ):
        path = Path(folder) / "manifest"
        digest = await _to_disk(request, path, _limit(kind, limit), room)
        digest.update(_decisive(flags, options).encode())
        manifest = (
            Manifest.of_json(path, skip_bad=flags.skip_bad)
            if kind == "json"
            else Manifest.of_file(options, path, kind, skip_bad=flags.skip_bad)
        )
        yield ManifestBody(manifest, flags, digest.hexdigest())


class _Room:
    """A manifest's share of what is on the disk, as a context. Raises ProblemError 503."""

    def __init__(self, batches: BatchFacade) -> None:
        self._batches = batches
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.received_bytes -= self._taken

    def take(self, size: int) -> None:
        """Take so many bytes more."""
        if self._batches.received_bytes + size > RECEIVED_MAX:
            raise ProblemError(
                "not_available",
                "many manifests are being read now; try again in a moment",
                headers={"Retry-After": "5", "Connection": "close"},
            )
        self._batches.received_bytes += size
        self._taken += size


def _limit(kind: Kind | Literal["json"], limit: int) -> _Limit:
    if kind != "json" or limit <= JSON_BYTES_MAX:
        return _Limit(limit, f"the manifest may have {limit} bytes at most")
    more = f"send its rows as JSON Lines or CSV, which may have {limit}"
    return _Limit(JSON_BYTES_MAX, f"a batch in JSON may have {JSON_BYTES_MAX} bytes; {more}")


def _query(request: Request) -> tuple[Flags, FileOptions]:
    """The flags, and the options that came as query parameters."""
    given = dict(request.query_params)
    if len(given) < len(request.query_params.multi_items()):
        twice = next(name for name in given if len(request.query_params.getlist(name)) > 1)
        problem = FieldProblem(("query", shown(twice)), "duplicate", "it is there twice")
        raise ProblemError("invalid_request", str(problem), errors=[problem])
    try:
        flags = Flags.model_validate_strings({k: v for k, v in given.items() if k in _FLAGS})
        options = FileOptions.model_validate_strings(
            {k: v for k, v in given.items() if k not in _FLAGS}
        )
    except ValidationError as error:
        found = [replace(one, loc=("query", *one.loc)) for one in field_problems(error, given)]
        detail = summary(found, error.error_count())
        raise ProblemError("invalid_request", detail, errors=found) from error
    return flags, options


def _decisive(flags: Flags, options: FileOptions) -> str:
    """Returns what besides the body decides what is made, and who hears of it.

    A repeat may change the rest.
    """
    made_of = options.model_dump_json(include={"name", "count", "seed", "wildcards"})
    heard_by = options.model_dump_json(include={*CALLBACK_FIELDS}, exclude_none=True)
    # Keys of earlier versions have a hash without it.
    return f"{made_of}{flags.skip_bad}{heard_by if heard_by != '{}' else ''}"


def _kind(request: Request) -> Kind | Literal["json"]:
    kind = media_type_of(request.headers.get("content-type", ""))
    if kind == "application/json":
        return "json"
    guessed = guess_kind(kind or "")
    if guessed is not None:
        return guessed
    raise ProblemError(
        "unsupported_media_type",
        "send the batch as application/json, text/csv or application/x-ndjson, in UTF-8",
    )


async def _to_disk(request: Request, path: Path, limit: _Limit, room: _Room) -> hashlib._Hash:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit.bytes:
        raise ProblemError("payload_too_large", limit.reason)
    digest, size = hashlib.sha256(), 0
    stream = request.stream().__aiter__()
    with path.open("wb") as file:
        while chunk := await _next(stream):
            size += len(chunk)
            if size > limit.bytes:
                raise ProblemError("payload_too_large", limit.reason)
            room.take(len(chunk))
            digest.update(chunk)
            file.write(chunk)
    return digest


async def _next(stream: AsyncIterator[bytes]) -> bytes:
    """Returns the next piece that is not empty; ``b""`` at the end."""
    try:
        async with asyncio.timeout(STALLED_S):
            async for chunk in stream:
                if chunk:
                    return chunk
    except TimeoutError as error:
        raise HTTPException(
            408, "the body did not arrive in time", headers={"Connection": "close"}
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client went away") from error
    return b""
