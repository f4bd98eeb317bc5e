"""Artefacts as files: named after their prompt and seed, written atomically, never overwritten."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

from core.artefacts import extension_for

SLUG_MAX: Final = 60


class DamagedError(OSError):
    """A file arrived different from the stored one, twice."""


def slug(prompt: str) -> str:
    """Returns the prompt as a file name: letters and digits of any script, joined by hyphens."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", prompt).lower().replace("_", " "))
    text = "-".join(words).encode()[:SLUG_MAX].decode(errors="ignore").strip("-")
    return text or "picture"


def suffix(content_type: str, name: str = "") -> str:
    """Returns the file extension for a content type; ``name`` is what ComfyUI called the file."""
    return f".{extension_for(content_type, name)}"


def names(stem: str, ending: str, first: int | None = None) -> Iterator[str]:
    """Yields names, best first: ``stem.png``, ``stem-2.png``, …, or from ``stem-<first>``."""
    if first is None:
        yield f"{stem}{ending}"
    for number in count(2 if first is None else first):
        yield f"{stem}-{number}{ending}"


async def save(
    folder: Path,
    candidates: Iterator[str],
    download: Callable[[], AsyncIterator[bytes]],
    sha256: str,
    *,
    once: bool = False,
) -> Path:
    """Write what is downloaded under the first name that is not taken, a chunk at a time.

    With ``once``, an existing file with the same bytes counts as written. A download that arrives
    different is repeated once. Raises OSError, DamagedError, and what the download raises.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    temporary = folder / f".easel-{uuid.uuid4().hex}.part"
    try:
        for _try in range(2):
            if await _write(temporary, download()) == sha256:
                return await asyncio.to_thread(_named, temporary, folder, candidates, sha256, once)
        raise DamagedError(f"{next(candidates, 'a file')} arrived damaged")
    finally:
        await asyncio.to_thread(temporary.unlink, missing_ok=True)


async def _write(temporary: Path, chunks: AsyncIterator[bytes]) -> str:
    """Write and flush a file. Returns its SHA-256."""
    digest = hashlib.sha256()
    with await asyncio.to_thread(temporary.open, "wb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.flush)
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest()


def _named(
    temporary: Path, folder: Path, candidates: Iterator[str], sha256: str, once: bool
) -> Path:
    for path in (folder / each for each in candidates):
        if _give_name(temporary, path) or (once and has_bytes(path, sha256)):
            return path
    raise FileExistsError(f"every name is taken in {folder}")


def _give_name(temporary: Path, path: Path) -> bool:
    """Name a finished file, unless the name is taken: a link fails where a rename would replace."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        temporary.replace(path)
    return True


def has_bytes(path: Path, sha256: str) -> bool:
    """Returns whether the file is there, with these bytes. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
