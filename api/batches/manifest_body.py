"""Bodies that are manifests: JSON, or a file of rows that is streamed to the disk."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Final, Literal

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from api.batches.facade import Manifest
from api.body import field_problems, parse, validate
from api.errors import ProblemError
from core.batches.manifest import Kind, guess_kind
from core.batches.request import BatchOptions, BatchRequest

STALLED_S: Final = 10.0
"""Timeout for the next piece of a body."""
_FLAGS: Final = frozenset({"dry_run", "skip_bad"})


class Flags(BaseModel):
    """What is wanted of a manifest, whichever form it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool = Field(default=False, description="Say what would be made; create nothing.")
    skip_bad: bool = Field(
        default=False, description="Leave rows that cannot be made out, instead of refusing all."
    )


@dataclass(frozen=True)
class ManifestBody:
    """A manifest as received, the flags, and the hash of both."""

    manifest: Manifest
    flags: Flags
    sha256: str


@asynccontextmanager
async def manifest_of(request: Request, limit: int) -> AsyncIterator[ManifestBody]:
    """Read a manifest; its file lives as long as the context. Raises ProblemError."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError("unsupported_media_type", "compressed bodies are not taken")
    flags, options = _query(request)
    kind = _kind(request)
    with tempfile.TemporaryDirectory(prefix="easel-manifest-") as folder:
        path = Path(folder) / "manifest"
        digest = await _to_disk(request, path, limit)
        digest.update(_decisive(flags, options).encode())
        if kind == "json":
            manifest = Manifest(await _json(path, options), skip_bad=flags.skip_bad)
        else:
            manifest = Manifest.of_file(
                BatchOptions.model_validate(options.model_dump()),
                path,
                kind,
                skip_bad=flags.skip_bad,
            )
        yield ManifestBody(manifest, flags, digest.hexdigest())


def _query(request: Request) -> tuple[Flags, BatchOptions]:
    """The flags, and the options that came as query parameters."""
    given = dict(request.query_params)
    try:
        flags = Flags.model_validate_strings({k: v for k, v in given.items() if k in _FLAGS})
        options = BatchOptions.model_validate_strings(
            {k: v for k, v in given.items() if k not in _FLAGS}
        )
    except ValidationError as error:
        found = [replace(one, loc=("query", *one.loc)) for one in field_problems(error, given)]
        raise ProblemError("invalid_request", str(found[0]), errors=found) from error
    return flags, options


def _decisive(flags: Flags, options: BatchOptions) -> str:
    """Returns what besides the body decides the generations: a repeat may change the rest."""
    made_of = options.model_dump_json(include={"name", "count", "seed", "wildcards"})
    return f"{made_of}{flags.skip_bad}"


def _kind(request: Request) -> Kind | Literal["json"]:
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    kind, charset = message.get_content_type(), message.get_content_charset("utf-8")
    if charset in ("utf-8", "utf8", "us-ascii"):
        if kind == "application/json":
            return "json"
        guessed = guess_kind(kind)
        if guessed is not None:
            return guessed
    raise ProblemError(
        "unsupported_media_type",
        "send the batch as application/json, text/csv or application/x-ndjson, in UTF-8",
    )


async def _to_disk(request: Request, path: Path, limit: int) -> hashlib._Hash:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise ProblemError("payload_too_large", f"the manifest may have {limit} bytes at most")
    digest, size = hashlib.sha256(), 0
    stream = request.stream().__aiter__()
    with path.open("wb") as file:
        while chunk := await _next(stream):
            size += len(chunk)
            if size > limit:
                raise ProblemError(
                    "payload_too_large", f"the manifest may have {limit} bytes at most"
                )
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


async def _json(path: Path, options: BatchOptions) -> BatchRequest:
    """Returns the request in the body. It holds the options too, so the query may have none."""
    if options.model_fields_set:
        raise ProblemError(
            "invalid_request", f"{min(options.model_fields_set)} belongs into the JSON body"
        )
    # In a thread: many thousand rows take long enough to delay other requests.
    return validate(BatchRequest, await asyncio.to_thread(lambda: parse(path.read_bytes())))
