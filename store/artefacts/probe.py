"""Looks into one media file, in a process of its own: it may crash, hang or eat memory alone.

Run by ``media.py`` as a script, so it imports nothing of Easel. Arguments: the file, its format
("pictures", or the name of FFmpeg's demuxer), the longer side of the poster in pixels. It prints a
line of JSON, then the poster (WebP), if any.
"""

from __future__ import annotations

import io
import json
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

from PIL import Image, ImageDraw

PIXELS_MAX: Final = 8192 * 8192
FRAMES_MAX: Final = 5_000
"""Of an animation's frames, so many are looked at for its duration."""
MEMORY_MAX: Final = 6 * 1024**3
BARS: Final = 192
RATE: Final = 8_000
_BACKGROUND: Final = (24, 24, 27)
_INK: Final = (161, 161, 170)


def main() -> None:
    """Print what is found."""
    path, form, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
    _limit_memory()
    facts, picture = _animation(path) if form == "pictures" else _media(path, form)
    poster = _poster(picture, side) if picture is not None else b""
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + poster)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


def _poster(picture: Image.Image, side: int) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((side, side), reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def _animation(path: str) -> tuple[dict[str, Any], Image.Image | None]:
    """Read a GIF, an animated PNG or WebP: PyAV cannot read all of them."""
    Image.MAX_IMAGE_PIXELS = None  # checked here
    with Image.open(path, formats=("GIF", "PNG", "WEBP")) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            return {}, None
        frames = getattr(picture, "n_frames", 1)
        first = picture.convert("RGB")
        facts: dict[str, Any] = {"width": picture.width, "height": picture.height, "frames": frames}
        if frames <= 1:
            return {**facts, "kind": "image"}, first
        lasts_ms = _lasts_ms(picture, frames)
        if lasts_ms:
            facts |= {"duration_s": lasts_ms / 1000, "fps": frames * 1000 / lasts_ms}
        return facts, first


def _lasts_ms(picture: Image.Image, frames: int) -> float:
    seen, lasts = min(frames, FRAMES_MAX), 0.0
    for number in range(seen):
        picture.seek(number)
        lasts += float(picture.info.get("duration") or 0)
    return lasts * frames / seen


def _media(path: str, form: str) -> tuple[dict[str, Any], Image.Image | None]:
    import av  # an extra of Easel

    # Never as what it looks like: a playlist would have other files, or addresses, read.
    options = {"protocol_whitelist": "file"}
    with av.open(path, format=form, options=options, metadata_errors="replace") as container:
        lasts_s = container.duration / av.time_base if container.duration else None
        if container.streams.video:
            return _video(container, lasts_s)
        if container.streams.audio:
            return _audio(container, lasts_s)
    return {}, None


def _video(container: Any, lasts_s: float | None) -> tuple[dict[str, Any], Image.Image | None]:
    stream = container.streams.video[0]
    fps = float(stream.average_rate) if stream.average_rate else None
    frames = stream.frames or (round(lasts_s * fps) if lasts_s and fps else None)
    facts: dict[str, Any] = {"kind": "video", "width": stream.width, "height": stream.height}
    facts |= {"duration_s": lasts_s, "fps": fps, "frames": frames}
    if not 0 < stream.width * stream.height <= PIXELS_MAX:
        return facts, None
    return facts, next(container.decode(stream)).to_image()


def _audio(container: Any, lasts_s: float | None) -> tuple[dict[str, Any], Image.Image | None]:
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    peaks, samples = [], 0
    for frame in container.decode(audio=0):
        for part in resampler.resample(frame):
            values = array("h", bytes(part.planes[0])[: 2 * part.samples])
            if values:
                peaks.append(max(*values, -min(values)))
                samples += len(values)
    return {"kind": "audio", "duration_s": lasts_s or samples / RATE}, _waveform(peaks)


def _waveform(peaks: Sequence[int]) -> Image.Image | None:
    if not peaks:
        return None
    width, height, step = BARS * 2, 144, 2
    picture = Image.new("RGB", (width, height), _BACKGROUND)
    brush = ImageDraw.Draw(picture)
    for bar in range(BARS):
        start = bar * len(peaks) // BARS
        loudest = max(peaks[start : max(start + 1, (bar + 1) * len(peaks) // BARS)])
        half = max(1, round(loudest / 32768 * (height / 2 - 8)))
        left = bar * step
        brush.rectangle((left, height // 2 - half, left, height // 2 + half), fill=_INK)
    return picture


if __name__ == "__main__":
    main()
