"""Videos: written and read with PyAV."""

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from .encoder import encoder
from .sounds import encode_sound, loaded_sound
from .values import Clip, Inputs, Picture, Pictures, Result, Run, Sound

VideoFormat = Literal["mp4", "mkv", "webm"]
FORMATS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}
X264 = ("libx264", "aac", {"preset": "ultrafast", "crf": "28"})
VP9 = ("libvpx-vp9", "libopus", {"deadline": "realtime", "cpu-used": "8", "crf": "40", "b:v": "0"})
RATES = {"aac": 44_100, "libopus": 48_000}
MOST_READ = 8
"""Frames of a video that are really looked at: the rest are these again."""
MOST_FRAMES = 20_000


def video_file(clip: Clip, form: VideoFormat, tags: dict[str, str]) -> bytes:
    """Returns a video with these tags in its container. Raises RuntimeError without PyAV."""
    av = encoder("video")
    codec, sound_codec, options = VP9 if form == "webm" else X264
    buffer = io.BytesIO()
    flags = {"movflags": "use_metadata_tags"} if form == "mp4" else {}
    with av.open(buffer, "w", format=FORMATS[form], options=flags) as container:
        container.metadata.update(tags)
        rate = Fraction(clip.fps).limit_denominator(1000)
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = (max(2, side // 2 * 2) for side in clip.pictures[0].size)
        stream.pix_fmt = "yuv420p"
        speech = None
        if clip.sound is not None:
            speech = container.add_stream(sound_codec, rate=RATES[sound_codec], layout="mono")
        _encode(av, container, stream, clip.pictures)
        if clip.sound is not None:
            seconds = len(clip.pictures) / clip.fps
            encode_sound(av, container, speech, replace(clip.sound, seconds=seconds))
    return buffer.getvalue()


def _encode(av: Any, container: Any, stream: Any, pictures: Pictures) -> None:
    size = (stream.width, stream.height)
    known: dict[int, Any] = {}
    for number, picture in enumerate(pictures):
        if id(picture) not in known:
            known[id(picture)] = _fitting(picture, size)
        frame = av.VideoFrame.from_image(known[id(picture)])
        frame.pts = number
        frame.time_base = 1 / stream.codec_context.framerate
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _fitting(picture: Picture, size: tuple[int, int]) -> Picture:
    rgb = picture.convert("RGB")
    return rgb if rgb.size == size else rgb.crop((0, 0, *size))


def loaded_video(path: Path) -> Clip:
    """The clip of a file; its first frames stand for all. Raises RuntimeError without PyAV, and
    PyAV's own errors for what is no video."""
    av = encoder("video")
    pictures: list[Image.Image] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 24)
        seconds = (container.duration or 0) / 1_000_000
        count = stream.frames or round(seconds * fps)
        has_sound = bool(container.streams.audio)
        for frame in container.decode(stream):
            pictures.append(frame.to_image())
            if len(pictures) == MOST_READ:
                break
    if not pictures:
        raise ValueError(f"no frame in {path.name}")
    count = min(max(count, len(pictures)), MOST_FRAMES)
    whole = [pictures[number % len(pictures)] for number in range(count)]
    return Clip(whole, fps, loaded_sound(path) if has_sound else None)


def create(_: Run, inputs: Inputs) -> Result:
    """CreateVideo."""
    return Result((Clip(inputs["images"], inputs["fps"], inputs.get("audio")),))


def parts(run: Run, inputs: Inputs) -> Result:
    """GetVideoComponents."""
    clip: Clip = inputs["video"]
    sound = clip.sound or Sound(run.key, len(clip.pictures) / clip.fps)
    values = (clip.pictures, sound, clip.fps, 8, "auto")
    return Result(values[: len(run.node_class.output)])


def cut(_: Run, inputs: Inputs) -> Result:
    """Video Slice: from a second on, for so many seconds (0: to the end)."""
    clip: Clip = inputs["video"]
    first = min(max(0, round(inputs["start_time"] * clip.fps)), len(clip.pictures) - 1)
    count = round(inputs["duration"] * clip.fps) or len(clip.pictures)
    return Result((replace(clip, pictures=clip.pictures[first : first + max(1, count)]),))


VIDEOS: dict[str, Callable[[Run, Inputs], Result]] = {
    "CreateVideo": create,
    "GetVideoComponents": parts,
    "Video Slice": cut,
}
