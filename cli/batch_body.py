"""The body of a batch's create: given whole, or streamed from the file it was made of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.console import CommandError

_CHUNK: Final = 65_536


@dataclass(frozen=True)
class BatchBody:
    """A request for a batch as it is sent. ``sha256`` is the file's, in hex.

    ``data`` is the whole body; None when the file itself is to be streamed.
    """

    file: Path
    sha256: str
    content_type: str
    query: Mapping[str, str]
    key: str
    data: bytes | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the bytes, read again each time. CommandError if the file is not the hashed one.

        Raised before the end of the body is sent, so that the API accepts nothing of it.
        """
        if self.data is not None:
            yield self.data
            return
        digest = hashlib.sha256()
        with await asyncio.to_thread(self.file.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != self.sha256:
            raise CommandError(
                f"{self.file} was changed while it was read. Nothing was created: run it again."
            )
