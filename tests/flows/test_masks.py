"""Masks mean one thing inside, however a client wrote them: white is what is to be changed."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from comfy.workflows.layout import Box, Size
from flows.masks import NormalMask, normal_mask
from flows.plain_pictures import PIXELS_MAX, UnusablePictureError

Pixels = list[list[int]]


@st.composite
def changes(draw: st.DrawFn) -> Pixels:
    """How much of each pixel is to be changed, 0 … 255, row by row; not all of it black."""
    width, height = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    row = st.lists(st.integers(0, 255), min_size=width, max_size=width)
    found = st.lists(row, min_size=height, max_size=height)
    return draw(found.filter(lambda rows: any(map(any, rows))))


def file_of(picture: Pillow.Image, format_: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_)
    return buffer.getvalue()


def grey_of(pixels: Pixels) -> Pillow.Image:
    picture = Pillow.new("L", (len(pixels[0]), len(pixels)))
    picture.putdata([value for row in pixels for value in row])
    return picture


def as_written(pixels: Pixels, how: str) -> bytes:
    """A file that says of each pixel how much of it is to be changed."""
    grey = grey_of(pixels)
    match how:
        case "rgb":
            return file_of(grey.convert("RGB"))
        case "opaque":
            return file_of(grey.convert("RGBA"))
        case "sixteen bits":
            wide = Pillow.new("I;16", grey.size)
            wide.putdata([value * 257 for row in pixels for value in row])
            return file_of(wide)
        case "transparent":
            picture = Pillow.new("RGBA", grey.size, "white")
            picture.putalpha(grey.point(lambda value: 255 - value))
            return file_of(picture)
        case "grey and transparent":
            picture = Pillow.new("LA", grey.size, 0)
            picture.putalpha(grey.point(lambda value: 255 - value))
            return file_of(picture)
        case _:
            return file_of(grey)


def pixels_of(made: NormalMask, data: bytes) -> Pixels:
    """What a graph reads of the mask: all of its channels say the same."""
    with Pillow.open(io.BytesIO(data if made.png is None else made.png)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", made.size)
        red, green, blue = (list(one.tobytes()) for one in picture.split())
    assert red == green == blue
    width = made.size.width
    return [red[at : at + width] for at in range(0, len(red), width)]


HOW = ["grey", "rgb", "opaque", "sixteen bits", "transparent", "grey and transparent"]


@pytest.mark.parametrize("how", HOW)
@given(pixels=changes())
def test_white_is_changed_however_it_is_written(how: str, pixels: Pixels) -> None:
    data = as_written(pixels, how)

    made = normal_mask(data, invert=False)

    assert pixels_of(made, data) == pixels
    assert (made.png is None) == (how == "rgb")


@pytest.mark.parametrize("how", HOW)
@given(pixels=changes())
def test_an_inverted_one_means_the_opposite(how: str, pixels: Pixels) -> None:
    data = as_written(pixels, how)

    made = normal_mask(data, invert=True)

    assert pixels_of(made, data) == [[255 - value for value in row] for row in pixels]


@given(pixels=changes(), invert=st.booleans())
def test_what_was_made_is_not_made_again(pixels: Pixels, invert: bool) -> None:
    made = normal_mask(as_written(pixels, "grey"), invert=invert)
    assert made.png is not None

    again = normal_mask(made.png, invert=False)

    assert again == NormalMask(made.size, made.box, None)


@given(pixels=changes())
def test_the_box_has_all_that_is_not_black(pixels: Pixels) -> None:
    box = normal_mask(as_written(pixels, "grey"), invert=False).box

    assert box is not None
    inside = {
        (x, y) for y in range(box.y, box.y + box.height) for x in range(box.x, box.x + box.width)
    }
    changed = {(x, y) for y, row in enumerate(pixels) for x, value in enumerate(row) if value}
    assert changed <= inside
    assert {x for x, _ in changed} >= {box.x, box.x + box.width - 1}
    assert {y for _, y in changed} >= {box.y, box.y + box.height - 1}


def test_a_black_one_has_no_box() -> None:
    made = normal_mask(file_of(Pillow.new("L", (8, 4))), invert=False)
    assert (made.size, made.box) == (Size(8, 4), None)

    assert normal_mask(file_of(Pillow.new("L", (8, 4))), invert=True).box == Box(0, 0, 8, 4)


def test_a_palette_with_a_transparent_colour() -> None:
    picture = Pillow.new("P", (2, 1), 1)
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.putpixel((0, 0), 0)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)

    made = normal_mask(buffer.getvalue(), invert=False)

    assert pixels_of(made, buffer.getvalue()) == [[255, 0]]


@pytest.mark.parametrize("format_", ["BMP", "GIF", "WEBP"])
def test_other_formats(format_: str) -> None:
    picture = Pillow.new("RGB", (16, 16))
    picture.paste((255, 255, 255), (4, 6, 8, 16))

    assert normal_mask(file_of(picture, format_), invert=False).box is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        file_of(Pillow.new("RGB", (64, 64), "red"))[:90],
        file_of(Pillow.new("RGB", (8, 8)), "TIFF"),
    ],
)
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(UnusablePictureError, match="no image"):
        normal_mask(data, invert=False)


def a_bomb(width: int, height: int) -> bytes:
    """A small file that says that it has this size."""
    data = bytearray(file_of(Pillow.new("L", (1, 1))))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (16_000, 16_000), (10**9, 10**9)])
def test_one_that_is_too_large_is_not_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(UnusablePictureError, match=f"{PIXELS_MAX} pixels"):
        normal_mask(a_bomb(*size), invert=False)
