"""Uploads: what is taken, what is kept of it, how it is given back, when it is gone."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import wave
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image as Pillow

from tests.api.conftest import StartService
from tests.api.service import CREATE, Service, assert_problem
from tests.comfy.data import TWIN

UPLOADS: Final = "/api/v1/uploads"
MP4: Final = b"\0\0\0 ftypisom" + bytes(5_000)
WAV: Final = b"RIFF\0\0\0\0WAVEfmt " + bytes(100)


def picture(
    format_: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **more: Any
) -> bytes:
    """Of a shade of its own, so that tests do not see each other's."""
    buffer = io.BytesIO()
    shade = tuple(uuid4().bytes[:3])
    image = Pillow.new("RGB", size, shade).convert(mode)
    image.putpixel((0, 0), image.getpixel((size[0] - 1, size[1] - 1)))  # type: ignore[arg-type]
    image.save(buffer, format_, **more)
    return buffer.getvalue()


def send(service: Service, data: bytes, name: str = "fox.png") -> httpx.Response:
    return service.client.post(UPLOADS, files={"file": (name, data, "image/png")})


def raw(service: Service, data: bytes, **more: Any) -> httpx.Response:
    return service.client.post(UPLOADS, content=data, **more)


def sent(service: Service, data: bytes, name: str = "fox.png") -> dict[str, Any]:
    response = send(service, data, name)
    assert response.status_code in (200, 201), response.text
    document: dict[str, Any] = response.json()
    return document


def kept(service: Service, document: dict[str, Any]) -> Pillow.Image:
    response = service.get(document["url"])
    assert response.status_code == 200
    image = Pillow.open(io.BytesIO(response.content))
    image.load()
    return image


def test_the_first_time_it_is_new(service: Service) -> None:
    data = picture()

    first = send(service, data)
    again = send(service, data, "other.png")

    assert (first.status_code, again.status_code) == (201, 200)
    document = first.json()
    assert document["upload_id"] == hashlib.sha256(data).hexdigest()
    assert first.headers["location"] == document["url"] == f"{UPLOADS}/{document['upload_id']}"
    assert (document["kind"], document["content_type"]) == ("image", "image/png")
    assert (document["width"], document["height"], document["duration_s"]) == (40, 20, None)
    assert document["name"] == again.json()["name"] == "fox.png"
    assert document["expires_at"] > document["created_at"]


def a_sound(seconds: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(os.urandom(16_000) * seconds)
    return buffer.getvalue()


def test_how_long_a_sound_lasts_is_told(service: Service) -> None:
    pytest.importorskip("av")
    document = sent(service, a_sound(3), "rain.wav")
    assert (document["kind"], document["duration_s"]) == ("audio", 3.0)


def test_a_video_that_cannot_be_read_lasts_nobody_knows_how_long(service: Service) -> None:
    document = sent(service, MP4 + os.urandom(50), "film.mp4")
    assert (document["kind"], document["duration_s"]) == ("video", None)


def test_what_is_kept_is_told(service: Service) -> None:
    document = sent(service, picture("JPEG"))

    content = service.get(document["url"]).content

    assert document["bytes"] == len(content)
    assert document["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "image/png"}, {"Content-Type": "x"}])
def test_a_raw_body(service: Service, headers: dict[str, str]) -> None:
    data = picture()
    response = raw(service, data, headers=headers, params={"filename": "a/b/fox.png"})

    assert response.status_code == 201
    assert response.json()["name"] == "fox.png"
    assert response.json()["upload_id"] == hashlib.sha256(data).hexdigest()


def test_a_body_without_a_length(service: Service) -> None:
    data = picture(size=(700, 500))
    pieces = (data[start : start + 1000] for start in range(0, len(data), 1000))

    assert service.client.post(UPLOADS, content=pieces).status_code == 201


def test_a_form_that_comes_byte_by_byte(service: Service) -> None:
    data = picture()
    request = httpx.Request("POST", "http://x", files={"file": ("fox.png", data)})
    body = request.read()
    response = service.client.post(
        UPLOADS,
        content=(body[at : at + 1] for at in range(len(body))),
        headers={"Content-Type": request.headers["content-type"]},
    )

    assert response.status_code == 201
    assert response.json()["upload_id"] == hashlib.sha256(data).hexdigest()
    assert response.json()["name"] == "fox.png"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_format_becomes_png(service: Service, format_: str) -> None:
    image = kept(service, sent(service, picture(format_)))

    assert (image.format, image.size) == ("PNG", (40, 20))


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        ("RGB", "RGB"),
        ("RGBA", "RGBA"),
        ("L", "RGB"),
        ("LA", "RGBA"),
        ("1", "RGB"),
        ("P", "RGB"),
        ("I;16", "RGB"),
    ],
)
def test_modes(service: Service, mode: str, becomes: str) -> None:
    assert kept(service, sent(service, picture(mode=mode))).mode == becomes


def test_sixteen_bits_of_grey_are_scaled(service: Service) -> None:
    image = Pillow.new("I;16", (3, 1))
    for at, value in enumerate((0, 32_896, 65_535)):
        image.putpixel((at, 0), value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")

    found = kept(service, sent(service, buffer.getvalue()))

    assert [found.getpixel((at, 0)) for at in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_alpha_stays_for_masks(service: Service) -> None:
    image = Pillow.new("RGBA", (4, 4), (200, 100, 50, 255))
    image.putpixel((1, 2), (10, 20, 30, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")

    found = kept(service, sent(service, buffer.getvalue()))

    assert found.getpixel((1, 2)) == (10, 20, 30, 0)
    assert found.getpixel((0, 0)) == (200, 100, 50, 255)


def test_a_palette_with_transparency_has_alpha(service: Service) -> None:
    image = Pillow.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)

    found = kept(service, sent(service, buffer.getvalue()))

    assert found.mode == "RGBA"
    assert found.getpixel((0, 0)) == (0, 0, 0, 0)


def test_it_is_turned_upright_and_says_nothing_else(service: Service) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = "zx81canary"
    image = Pillow.new("RGB", (40, 20), "black")
    image.putpixel((0, 19), (255, 255, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif, icc_profile=b"zx81canary")

    document = sent(service, buffer.getvalue() + b"zx81canary")

    content = service.get(document["url"]).content
    found = kept(service, document)
    assert (document["width"], document["height"]) == found.size == (20, 40)
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert b"zx81canary" not in content
    assert found.info == {}


def test_of_an_animation_the_first_picture_is_kept(service: Service) -> None:
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for format_ in ("GIF", "PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format_, save_all=True, append_images=frames[1:], lossless=True)
        found = kept(service, sent(service, buffer.getvalue()))
        assert getattr(found, "n_frames", 1) == 1
        assert found.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "name", "kind", "content_type"),
    [
        (MP4, "film.mp4", "video", "video/mp4"),
        (WAV, "song.wav", "audio", "audio/wav"),
        (b"glTF" + bytes(50), "x.glb", "model3d", "model/gltf-binary"),
        (b"one,two\n", "rows.csv", "file", "text/csv; charset=utf-8"),
    ],
)
def test_everything_else_is_kept_as_it_came(
    service: Service, data: bytes, name: str, kind: str, content_type: str
) -> None:
    document = sent(service, data, name)

    response = service.get(document["url"])
    assert response.content == data
    assert (document["kind"], document["content_type"]) == (kind, content_type)
    assert response.headers["content-type"] == content_type
    shown = "inline" if kind in ("video", "audio") else "attachment"
    assert response.headers["content-disposition"].startswith(f"{shown}; filename=")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_part_of_it(service: Service) -> None:
    document = sent(service, MP4 + uuid4().bytes, "film.mp4")
    url, size = document["url"], document["bytes"]

    part = service.get(url, headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, b"ftypisom")
    assert part.headers["content-range"] == f"bytes 4-11/{size}"
    assert_problem(
        service.get(url, headers={"Range": f"bytes={size}-"}), 416, "range_not_satisfiable"
    )
    etag = part.headers["etag"]
    assert service.get(url, headers={"If-None-Match": etag}).status_code == 304
    other = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert service.get(url, headers=other).status_code == 200


def test_a_head_tells_whether_it_need_be_sent(service: Service) -> None:
    data = picture()
    url = f"{UPLOADS}/{hashlib.sha256(data).hexdigest()}"
    assert service.client.head(url).status_code == 404

    document = sent(service, data)

    found = service.client.head(url)
    assert (found.status_code, found.content) == (200, b"")
    assert found.headers["content-length"] == str(document["bytes"])


def test_a_removed_one_is_gone_until_it_comes_again(service: Service) -> None:
    data = picture()
    url = sent(service, data)["url"]

    for _ in range(2):
        assert service.client.delete(url).status_code == 204
    assert_problem(service.get(url), 410, "upload_expired")
    assert service.client.head(url).status_code == 410

    assert send(service, data).status_code == 201
    assert service.get(url).status_code == 200


@pytest.mark.parametrize("odd", ["0" * 64, "0" * 63, "G" * 64, "A" * 64, str(UUID(int=7)), "x%0A"])
def test_one_that_never_was(service: Service, odd: str) -> None:
    assert_problem(service.get(f"{UPLOADS}/{odd}"), 404, "not_found")
    assert_problem(service.client.delete(f"{UPLOADS}/{odd}"), 404, "not_found")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "zx81canary.svg"),
        (b"<!doctype html><script>zx81canary</script>", "fox.png"),
        (b"zx81canary", "fox.png"),
        (b"MZ zx81canary", "setup.exe"),
        (b"%PDF-1.7 zx81canary", "paper.pdf"),
        (b"\0\1\2zx81canary", ""),
    ],
)
def test_what_is_not_taken(service: Service, data: bytes, name: str) -> None:
    for response in (send(service, data, name), raw(service, data, params={"filename": name})):
        problem = assert_problem(response, 415, "unsupported_media_type")
        assert "PNG" in problem["detail"]
        assert "zx81canary" not in response.text


def header_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (20_000, 20_000), (1, 100_000), (100_000, 1), (7_072, 7_072)]
)
def test_a_picture_with_too_many_pixels(service: Service, size: tuple[int, int]) -> None:
    assert_problem(send(service, header_of(*size)), 413, "payload_too_large")


def test_a_bomb_is_not_decoded(service: Service) -> None:
    """400 million pixels in 400 kB."""
    buffer = io.BytesIO()
    Pillow.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 500_000

    assert_problem(send(service, buffer.getvalue()), 413, "payload_too_large")


def test_a_picture_that_is_damaged(service: Service) -> None:
    noise = Pillow.effect_noise((200, 200), 90).convert("RGB")
    for format_ in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"):
        buffer = io.BytesIO()
        noise.save(buffer, format_)
        data = buffer.getvalue()
        for damaged in (data[: len(data) // 2], data[:60]):
            assert_problem(send(service, damaged), 422, "invalid_request")
    assert_problem(send(service, header_of(10, 10)), 422, "invalid_request")
    assert_problem(send(service, header_of(0, 10)), 422, "invalid_request")


def test_an_empty_file(service: Service) -> None:
    for response in (send(service, b""), raw(service, b"")):
        assert_problem(response, 422, "invalid_request")


@pytest.mark.parametrize(
    ("form", "at"),
    [
        ({"picture": ("fox.png", b"x")}, ["picture"]),
        ([("file", ("a.png", picture())), ("file", ("b.png", picture()))], ["file"]),
        ([("file", ("a.png", picture())), ("more", ("b.png", b"zx81canary"))], ["more"]),
    ],
)
def test_a_form_has_one_file(service: Service, form: Any, at: list[str]) -> None:
    problem = assert_problem(service.client.post(UPLOADS, files=form), 422, "invalid_request")
    assert [one["loc"] for one in problem["errors"]] == [at]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n" + b"A: b\r\n" * 100 + b"\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\nA: " + b"b" * 100_000, "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data; boundary=" + "x" * 1000),
        (b"--x", 'multipart/form-data; boundary=""'),
    ],
)
def test_a_form_that_is_none(service: Service, body: bytes, content_type: str) -> None:
    response = raw(service, body, headers={"Content-Type": content_type})
    assert response.status_code in (400, 422)
    assert response.json()["code"] in ("bad_request", "invalid_request")


def test_compressed_bodies_are_not_taken(service: Service) -> None:
    response = raw(service, picture(), headers={"Content-Encoding": "gzip"})
    assert_problem(response, 415, "unsupported_media_type")


def test_pages_of_other_sites_cannot_send_files(service: Service) -> None:
    response = service.client.post(
        UPLOADS, files={"file": picture()}, headers={"Origin": "https://evil.example"}
    )
    assert_problem(response, 403, "foreign_origin")


def test_what_is_too_large_for_its_kind(start_service: StartService) -> None:
    service = start_service(uploads={"file_bytes": 5_000, "video_bytes": 6_000})

    assert send(service, b"a,b\n" * 1250, "a.csv").status_code == 201
    refused = send(service, b"a,b\n" * 1250 + b"x", "b.csv")
    assert (
        "EASEL_UPLOADS__FILE_BYTES" in assert_problem(refused, 413, "payload_too_large")["detail"]
    )
    assert send(service, MP4, "film.mp4").status_code == 201
    assert_problem(send(service, MP4 + bytes(5_000), "film.mp4"), 413, "payload_too_large")
    endless = (bytes(1000) if part else MP4 for part in range(10_000))
    with suppress(httpx.WriteError):  # the connection was closed before all of it was sent
        assert_problem(service.client.post(UPLOADS, content=endless), 413, "payload_too_large")
    assert arriving(service) == []


def arriving(service: Service) -> list[Path]:
    return list((service.home / "incoming").rglob("*"))


def test_nothing_is_left_where_uploads_arrive(start_service: StartService) -> None:
    service = start_service()
    send(service, picture())
    send(service, b"zx81canary", "fox.png")
    send(service, header_of(10, 10))

    assert arriving(service) == []


def test_what_a_killed_process_left_is_removed(start_service: StartService) -> None:
    service = start_service()
    old, new = (service.home / "incoming" / f"upload-{name}" for name in ("old", "new"))
    for place in (old, new):
        place.mkdir(parents=True)
        (place / "arrived").write_bytes(b"half of it")
    os.utime(old, (1, 1))

    service = start_service()

    assert {path.name for path in (service.home / "incoming").iterdir()} == {"upload-new"}


def test_without_room_on_the_disk_nothing_is_taken(start_service: StartService) -> None:
    service = start_service(reserve_mb=10**9)

    response = send(service, picture())

    assert_problem(response, 503, "disk_full")
    assert response.headers["retry-after"]
    assert service.count("uploads") == 0


def test_the_same_file_sent_at_once_is_kept_once(start_service: StartService) -> None:
    service = start_service()
    data = picture(size=(300, 300))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(service, data), range(8)))

    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["upload_id"] for answer in answers}) == 1
    assert service.count("uploads") == 1
    folder = Path(service.images_folder) / "uploads"
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


def test_a_file_that_cannot_be_stored(start_service: StartService) -> None:
    service = start_service()
    blocked = Path(service.images_folder) / "uploads"
    blocked.write_text("no folder")

    data = picture()

    assert send(service, data).status_code == 503
    assert arriving(service) == []
    assert service.client.head(f"{UPLOADS}/{hashlib.sha256(data).hexdigest()}").is_error

    blocked.unlink()
    assert send(service, data).status_code == 201


def test_a_request_names_a_file_that_is_there(service: Service) -> None:
    service.worker.run(service.worker.store.workflows.add(TWIN))
    upload = sent(service, picture())["upload_id"]
    film = sent(service, MP4 + uuid4().bytes, "film.mp4")["upload_id"]
    body = {"workflow": TWIN.name, "image": f"upload:{upload}"}

    for image, code in (
        (f"upload:{'0' * 64}", "unknown_upload"),
        (f"upload:{film}", "wrong_kind"),
        (f"artefact:{UUID(int=9)}", "unknown_artefact"),
        ("fox.png", "upload_reference"),
    ):
        refused = service.client.post(CREATE, json={**body, "image": image})
        problem = assert_problem(refused, 422, "invalid_request")
        assert [(one["loc"], one["code"]) for one in problem["errors"]] == [(["image"], code)]
    accepted = service.client.post(CREATE, json=body)
    assert accepted.status_code == 202
    assert accepted.json()["request"]["image"] == f"upload:{upload}"
    assert service.client.delete(f"{UPLOADS}/{upload}").status_code == 204
    refused = service.client.post(CREATE, json=body)
    assert_problem(refused, 422, "invalid_request")
