"""Pictures as files: named after their prompt and seed, written atomically, never overwritten."""

from __future__ import annotations

import os
import re
import unicodedata
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

SLUG_MAX: Final = 60
_SUFFIXES: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def slug(prompt: str) -> str:
    """Returns the prompt as a file name: letters and digits of any script, joined by hyphens."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", prompt).lower().replace("_", " "))
    text = "-".join(words).encode()[:SLUG_MAX].decode(errors="ignore").strip("-")
    return text or "picture"


def suffix(content_type: str) -> str:
    """Returns the file extension for a content type."""
    return _SUFFIXES.get(content_type.partition(";")[0].strip(), ".png")


def names(stem: str, ending: str, first: int | None = None) -> Iterator[str]:
    """Yields names, best first: ``stem.png``, ``stem-2.png``, …, or from ``stem-<first>``."""
    if first is None:
        yield f"{stem}{ending}"
    for number in count(2 if first is None else first):
        yield f"{stem}-{number}{ending}"


def save(folder: Path, candidates: Iterator[str], data: bytes, *, once: bool = False) -> Path:
    """Write the bytes under the first name that is not taken. Raises OSError.

    With ``once``, an existing file with the same bytes counts as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".easel-{uuid.uuid4().hex}.part"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for path in (folder / each for each in candidates):
            if _give_name(temporary, path) or (once and _has(path, data)):
                return path
        raise FileExistsError(f"every name is taken in {folder}")
    finally:
        temporary.unlink(missing_ok=True)


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


def _has(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
