"""The strip at the foot of a picture that says what it is."""

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

NOTE = "emulator · not made by a model"
SMALLEST = 96
"""Narrower or lower pictures get no strip: it could not be read."""

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
    shown = _fitting(_drawable(" ".join(text.split()), size), font, room)
    draw.text((pad, top + pad * 0.8), shown, font=font, fill=(244, 241, 234))
    note = _fitting(NOTE, small, room)
    place = (pad, top + pad * 0.8 + text_height)
    draw.text(place, note, font=small, fill=(176, 172, 180))


@lru_cache(maxsize=32)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _fitting(text: str, font: Font, room: float) -> str:
    """As much of a text as fits, with an ellipsis if it is cut."""
    if font.getlength(text) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(f"{text[:middle].rstrip()}…") <= room:
            low = middle
        else:
            high = middle - 1
    return f"{text[:low].rstrip()}…"


def _drawable(text: str, size: int) -> str:
    """The text with one middle dot for each run of characters the font lacks."""
    shown: list[str] = []
    for character in text[:400]:
        if character == " " or _has_glyph(character, size):
            shown.append(character)
        elif not shown or shown[-1] != "·":
            shown.append("·")
    return "".join(shown) or "·"


@lru_cache(maxsize=4096)
def _has_glyph(character: str, size: int) -> bool:
    """Whether the font has it: a missing one is drawn like any other missing one."""
    font = _font(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        return ord(character) < 256
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffd"))
