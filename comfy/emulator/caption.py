"""The strip at the foot of a picture that says what it is."""

import re
from bisect import bisect_left
from functools import lru_cache
from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

NOTE = "emulator · not made by a model"
SMALLEST = 96
"""Narrower or lower pictures get no strip: it would be unreadable."""
SHOWN_MOST = 400
"""Characters of a prompt that are used: no strip has room for more."""

_GAP = "\uffff"
"""A code point that is no character, so that no font has it."""
_GAPS = re.compile(rf"{_GAP}(?:\s*{_GAP})*")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def add_caption(canvas: Image.Image, text: str) -> None:
    """Write the prompt and the note on a dark, see-through strip, in place."""
    width, height = canvas.size
    if min(width, height) < SMALLEST:
        return
    size = max(9, min(width, height) // 34)
    pad = size * 2 // 3
    text_height, note_height = round(size * 1.3), round(size * 1.05)
    strip = text_height + note_height + pad * 2
    top = height - strip
    canvas.paste((10, 9, 16), (0, top, width, height), Image.new("L", (width, strip), 150))
    draw = ImageDraw.Draw(canvas)
    font, small = _font(size), _font(max(8, round(size * 0.74)))
    room = width - pad * 2
    shown = _fitting(" ".join(drawable(text[:SHOWN_MOST]).split()), font, room)
    draw.text((pad, top + pad * 0.8), shown, font=font, fill=(244, 241, 234))
    place = (pad, top + pad * 0.8 + text_height)
    draw.text(place, _fitting(NOTE, small, room), font=small, fill=(176, 172, 180))


def drawable(text: str) -> str:
    """Returns the text as the font can draw it.

    Accents are left out, and an ellipsis stands for what is in another script.
    """
    plain = (char for char in normalize("NFD", text) if not combining(char))
    return _GAPS.sub("…", "".join(char if _has_glyph(char) else _GAP for char in plain))


@lru_cache(maxsize=4096)
def _has_glyph(char: str) -> bool:
    """Whether the font has the character: else it draws the same box for all."""
    return char.isspace() or _shape(char) != _shape(_GAP)


def _shape(char: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(16).getmask(char)
    return mask.size, bytes(mask)


@lru_cache(maxsize=32)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _fitting(text: str, font: Font, room: float) -> str:
    """Returns as much of a text as fits, with an ellipsis if it is cut."""
    if font.getlength(text) <= room:
        return text
    lengths = range(1, len(text) + 1)
    fits = bisect_left(lengths, room, key=lambda length: font.getlength(f"{text[:length]}…"))
    return f"{text[:fits].rstrip()}…"
