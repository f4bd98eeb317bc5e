"""What is derived from an artefact's bytes: posters, sizes, durations, texts.

Pictures are small enough to be read in this process. Other media are looked into by a process of
its own (``probe.py``), with a time limit; whatever it cannot read has no poster, which is no error.
It reads a file as what its first bytes say, and as nothing else.
Videos and sounds need PyAV, which the extra ``easel[video]`` installs.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from PIL import Image as Pillow

from core.artefacts import HEAD_BYTES, FileType, type_of
from core.pictures import POSTER_PX, in_small
from core.text import readable
from store.errors import ArtefactStoreError

PROBE_S: Final = 60.0
"""How long a file may be looked into, in seconds."""
PROBED_AT_ONCE: Final = 2
"""How many files are looked into at the same time: each may take gigabytes, and a core."""
TEXT_SHOWN_MAX: Final = 20_000
"""The most characters of a text that its row has; the file has all of it."""
_PROBE: Final = Path(__file__).with_name("probe.py")
_DEMUXERS: Final = {
    **dict.fromkeys(("mp4", "mov", "m4a"), "mov"),
    **dict.fromkeys(("webm", "mkv"), "matroska"),
    **dict.fromkeys(("ogg", "opus"), "ogg"),
    **{name: name for name in ("avi", "wav", "flac", "mp3", "aac")},
}
"""FFmpeg's name of the format, by the extension of files of a type."""
_ANSWER_MAX: Final = 4_000_000
_NUMBER_MAX: Final = 2**31 - 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What was found in a file; ``poster`` is a WebP, None where there is none."""

    type: FileType
    poster: bytes | None = None
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    frames: int | None = None
    text: str | None = None


def small_of(data: bytes) -> Pillow.Image:
    """Returns a picture in small. Raises ArtefactStoreError."""
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            return in_small(picture)
    except Exception as error:  # Pillow's own errors have no common base
        detail = f"these {len(data)} bytes are no complete image: {error}"
        raise ArtefactStoreError(detail) from error


def thumbnail(small: Pillow.Image) -> bytes:
    """Returns the thumbnail (WebP) of a picture in small."""
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


async def facts_of(path: Path, kind: FileType) -> Facts:
    """Returns what a local file shows of itself. Never raises for what is in the file."""
    if kind.kind == "text":
        return Facts(kind, text=await asyncio.to_thread(_beginning, path))
    form = await asyncio.to_thread(_form, path, kind)
    if form is None:
        return Facts(kind)
    async with _turns():
        return _read(kind, await _probed(path, form))


def _form(path: Path, kind: FileType) -> str | None:
    """Returns what the probe is to read the file as; None for what it is not shown."""
    if kind.kind == "animation":
        return "pictures"
    if kind.kind not in ("video", "audio") or not has_pyav():
        return None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return _DEMUXERS.get(type_of(head, "").extension)


_turns_of: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _turns() -> asyncio.Semaphore:
    """Returns what bounds the probes of this process: those of each event loop that it has."""
    loop = asyncio.get_running_loop()
    return _turns_of.setdefault(loop, asyncio.Semaphore(PROBED_AT_ONCE))


@cache
def has_pyav() -> bool:
    """Whether videos and sounds can be looked into."""
    return find_spec("av") is not None


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return readable(file.read(TEXT_SHOWN_MAX + 1), TEXT_SHOWN_MAX)


async def _probed(path: Path, form: str) -> bytes:
    """Returns what the probe prints, b"" when it fails or takes too long."""
    # Without this process's folders: the working folder may hold anything.
    command = (sys.executable, "-P", str(_PROBE), str(path), form, str(POSTER_PX))
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    except OSError as error:  # the machine has no room for another process
        _log.warning("No poster of %s: %s", path.name, error)
        return b""
    try:
        async with asyncio.timeout(PROBE_S):
            answer, said = await process.communicate()
    except TimeoutError:
        _log.warning("No poster of %s: looking into it took longer than %g s", path.name, PROBE_S)
        return b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = readable(said.decode(errors="replace")).strip().splitlines()
        _log.info("No poster of %s: %s", path.name, lines[-1] if lines else process.returncode)
        return b""
    return answer if len(answer) <= _ANSWER_MAX else b""


def _read(kind: FileType, answer: bytes) -> Facts:
    line, _, poster = answer.partition(b"\n")
    found = _object(line)
    real = found.get("kind")
    if real in ("image", "video", "audio"):
        kind = replace(kind, kind=real)
    return Facts(
        kind,
        poster=poster or None,
        width=_whole(found.get("width")),
        height=_whole(found.get("height")),
        duration_s=_real(found.get("duration_s")),
        fps=_real(found.get("fps")),
        frames=_whole(found.get("frames")),
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line) if line else {}
    except ValueError:  # a library wrote something else into the answer
        return {}
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value <= _NUMBER_MAX else None


def _real(value: Any) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return round(float(value), 3)
