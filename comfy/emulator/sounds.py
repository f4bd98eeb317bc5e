"""Sounds without a model: a short melody made of a key, again and again."""

import hashlib
import io
import math
import wave
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from .encoder import encoder
from .values import RATE, Inputs, Result, Run, Sound

NOTES = 8
NOTE_S = 0.25
LOWEST_HZ = 220.0
LOUDNESS = 9_000
CODECS = {"flac": ("flac", "flac"), "mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}
QUICKEST = {"flac": "0", "mp3": "9", "opus": "0"}
OPUS_RATE = 48_000
AT_ONCE = 1024 * 8
LONGEST_S = 600.0


@lru_cache(maxsize=16)
def _melody(key: str) -> "array[int]":
    """Eight notes that depend on the key, as 16-bit samples."""
    count = round(NOTE_S * RATE)
    samples: array[int] = array("h")
    for byte in hashlib.sha256(key.encode()).digest()[:NOTES]:
        step = 2 * math.pi * LOWEST_HZ * 2 ** (byte % 25 / 12) / RATE
        samples.extend(
            round(LOUDNESS * math.sin(step * place) * _fade(place, count)) for place in range(count)
        )
    return samples


def _fade(place: int, count: int) -> float:
    return min(1.0, 8 * place / count, 8 * (count - place) / count)


def samples_of(sound: Sound) -> bytes:
    """The 16-bit samples of a sound, of one channel."""
    melody = _melody(sound.key).tobytes()
    size = 2 * max(1, round(min(sound.seconds, LONGEST_S) * RATE))
    return (melody * (size // len(melody) + 1))[:size]


def sound_file(sound: Sound, kind: str, tags: dict[str, str]) -> bytes:
    """Returns a sound as `wav`, `flac`, `mp3` or `opus`. Raises RuntimeError where PyAV is needed
    and is not there."""
    if kind == "wav":
        return _wave(sound)
    av = encoder("sound")
    form, codec = CODECS[kind]
    rate = OPUS_RATE if kind == "opus" else RATE
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        container.metadata.update(tags)
        options = {"compression_level": QUICKEST[kind]}
        stream = container.add_stream(codec, rate=rate, layout="mono", options=options)
        encode_sound(av, container, stream, sound)
    return buffer.getvalue()


def encode_sound(av: Any, container: Any, stream: Any, sound: Sound) -> None:
    """Write a sound into a stream that PyAV has opened."""
    content = samples_of(sound)
    size = 2 * AT_ONCE
    resampler = av.AudioResampler(
        format=stream.codec_context.format,
        layout="mono",
        rate=stream.codec_context.sample_rate,
        frame_size=stream.codec_context.frame_size or None,
    )
    for start in range(0, len(content), size):
        part = content[start : start + size]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
        frame.planes[0].update(part.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = RATE
        frame.pts = start // 2
        for resampled in resampler.resample(frame):
            container.mux(stream.encode(resampled))
    for resampled in resampler.resample(None):
        container.mux(stream.encode(resampled))
    container.mux(stream.encode(None))


def _wave(sound: Sound) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples_of(sound))
    return buffer.getvalue()


def loaded_sound(path: Path) -> Sound:
    """The sound of a file: its length, and a melody of its own."""
    content = path.read_bytes()
    return Sound(hashlib.sha256(content).hexdigest(), seconds_of(path))


def seconds_of(path: Path) -> float:
    """How long a file plays; 2 if that cannot be known."""
    try:
        with wave.open(str(path), "rb") as file:
            return max(0.01, file.getnframes() / file.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        pass
    try:
        av = encoder("sound")
        with av.open(str(path)) as container:
            return float((container.duration or 2_000_000) / 1_000_000)
    except (RuntimeError, OSError, ValueError):
        return 2.0


def _trim(run: Run, inputs: Inputs) -> Result:
    sound: Sound = inputs["audio"]
    left = max(0.01, sound.seconds - max(0.0, inputs["start_index"]))
    return Result((Sound(run.key, min(left, inputs["duration"] or left)),))


def _both(run: Run, inputs: Inputs) -> Result:
    seconds = inputs["audio1"].seconds + inputs["audio2"].seconds
    return Result((Sound(run.key, min(seconds, LONGEST_S)),))


SOUNDS: dict[str, Callable[[Run, Inputs], Result]] = {
    "TrimAudioDuration": _trim,
    "AudioConcat": _both,
}
