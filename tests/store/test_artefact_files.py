"""Files of every kind, kept as they come: whole or not there, with what is found in them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
from PIL import Image

from core.artefacts import TEXT, type_of
from store.artefacts import media
from store.artefacts.files import ArtefactFiles, NewFile
from store.artefacts.media import TEXT_SHOWN_MAX
from store.errors import NoSpaceError
from store.values import Artefact

GENERATION = uuid.UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


async def kept(files: ArtefactFiles, data: bytes, name: str) -> Artefact:
    new = NewFile(type_of(data[:4096], name), chunks(data), 7, name, "9")
    return await files.keep_file(GENERATION, 1, 0, new)


def video(frames: int = 12) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = Image.new("RGB", (64, 48), (number * 20, 0, 0))
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def gif(frames: int) -> bytes:
    buffer = io.BytesIO()
    pictures = [Image.new("RGB", (32, 16), (number * 60, 0, 0)) for number in range(frames)]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    return buffer.getvalue()


def wave(seconds: int = 2) -> bytes:
    samples = bytes(range(256)) * (seconds * 8000 * 2 // 256)
    head = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt " + b"\x10\0\0\0"
    sound = (1).to_bytes(2, "little") * 2 + (8000).to_bytes(4, "little")
    sound += (16000).to_bytes(4, "little") + b"\x02\0\x10\0"
    return head + sound + b"data" + len(samples).to_bytes(4, "little") + samples


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactFiles:
    return ArtefactFiles({"folder": str(tmp_path / "kept"), "memory": "memory:///"}[request.param])


async def test_what_the_disk_has_no_room_for_is_not_begun(files: ArtefactFiles) -> None:
    asked = []

    async def watched() -> AsyncIterator[bytes]:
        asked.append(True)
        yield b"x"

    new = NewFile(TEXT, watched(), None, length=2**62)
    with pytest.raises(NoSpaceError, match="No space left"):
        await files.keep_file(GENERATION, 1, 0, new)
    assert asked == []
    assert [found async for found in files.stored()] == []


async def test_a_video_is_kept_with_its_poster(files: ArtefactFiles) -> None:
    data = video()
    found = await kept(files, data, "clip_00001_.mp4")

    assert await files.read(found.path) == data
    assert (found.sha256, found.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (found.kind, found.content_type, found.path[-4:]) == ("video", "video/mp4", ".mp4")
    assert (found.width, found.height, found.fps, found.frames) == (64, 48, 12, 12)
    assert found.duration_s == pytest.approx(1, abs=0.1)
    assert (found.name, found.node, found.seed) == ("clip_00001_.mp4", "9", 7)
    assert found.poster_path is not None
    with Image.open(io.BytesIO(await files.read(found.poster_path))) as poster:
        assert (poster.format, poster.size) == ("WEBP", (64, 48))


async def test_an_animation_and_a_gif_of_one_frame(files: ArtefactFiles) -> None:
    found = await kept(files, gif(3), "a.gif")
    assert (found.kind, found.frames, found.duration_s, found.fps) == ("animation", 3, 0.3, 10)
    assert (await kept(files, gif(1), "a.gif")).kind == "image"


async def test_a_sound_has_a_waveform(files: ArtefactFiles) -> None:
    found = await kept(files, wave(), "a_00001.wav")
    assert (found.kind, found.width, found.duration_s) == ("audio", None, 2)
    assert found.poster_path is not None


async def test_a_text_is_shown_in_part_and_kept_whole(files: ArtefactFiles) -> None:
    text = "ä\0" + "x" * TEXT_SHOWN_MAX
    new = NewFile(TEXT, chunks(text.encode()), None)
    found = await files.keep_file(GENERATION, 1, 0, new)
    assert found.text is not None
    assert "\0" not in found.text
    assert len(found.text) == TEXT_SHOWN_MAX
    assert (await files.read(found.path)).decode() == text


@pytest.mark.parametrize("data", [video()[:500], gif(3)[:40], b"glTF\x02\0\0\0"])
async def test_what_cannot_be_read_has_no_poster(files: ArtefactFiles, data: bytes) -> None:
    found = await kept(files, data, "a.bin")
    assert found.poster_path is None
    assert await files.read(found.path) == data


@pytest.mark.parametrize(
    "playlist",
    [
        b"ffconcat version 1.0\nfile film.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.mp4\n#EXT-X-ENDLIST\n",
    ],
)
@pytest.mark.parametrize("head", [b"", b"\0\0\0\x10ftypisom\0\0\0\0"])
async def test_a_file_that_names_others_is_not_followed(
    tmp_path: Path, playlist: bytes, head: bytes
) -> None:
    (tmp_path / "film.mp4").write_bytes(video())
    file = tmp_path / "list.mp4"
    file.write_bytes(head + playlist)

    found = await media.facts_of(file, type_of(b"", "list.mp4"))

    assert (found.poster, found.width, found.duration_s) == (None, None, None)


async def test_few_files_are_looked_into_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(COUNTING)
    monkeypatch.setattr(media, "_PROBE", probe)
    paths = [tmp_path / f"{number}.gif" for number in range(3 * media.PROBED_AT_ONCE)]

    await asyncio.gather(*(media.facts_of(path, type_of(gif(2), "a.gif")) for path in paths))

    seen = all_seen(tmp_path)
    assert len(seen) == len(paths)
    assert max(seen) <= media.PROBED_AT_ONCE


def all_seen(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.glob("*.seen")]


COUNTING = """
import sys, time
from pathlib import Path
path = Path(sys.argv[1])
mine = path.with_suffix(".running")
mine.touch()
most = 0
for _ in range(50):  # as long as it takes, others would come
    most = max(most, len(list(path.parent.glob("*.running"))))
    time.sleep(0.01)
path.with_suffix(".seen").write_text(str(most))
mine.unlink()
"""


async def test_without_pyav_nothing_fails(
    files: ArtefactFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "has_pyav", lambda: False)
    found = await kept(files, video(), "a.mp4")
    assert (found.kind, found.poster_path, found.width) == ("video", None, None)


async def test_a_stream_that_breaks_leaves_nothing(files: ArtefactFiles) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3_000_000)
        raise ConnectionResetError("gone")

    with pytest.raises(Exception, match="gone"):
        await files.keep_file(GENERATION, 1, 0, NewFile(type_of(b"", "a.mp4"), broken(), 1))
    assert [found async for found in files.stored()] == []
