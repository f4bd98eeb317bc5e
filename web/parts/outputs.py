"""A kept output on a page: a picture, a player, a text, or what it is with a link to its file."""

from __future__ import annotations

from typing import Any, Final

import humanize
from nicegui import ui

from api.generations.documents import OutputDocument
from core.artefacts import PICTURE_KINDS, ArtefactKind, is_shown
from web.parts.elements import Text, adorn, box, icon, image, link, local

TEXT_SHOWN: Final = 20_000
"""The most characters of a text that a page shows; its file has all of them."""
_PLAYER: Final = (16, 9)
"""The sides of a video that are not known: a place for it before it has loaded."""
KIND_WORDS: Final[dict[ArtefactKind, str]] = {
    "image": "Image",
    "animation": "Animation",
    "video": "Video",
    "audio": "Sound",
    "model3d": "3D model",
    "text": "Text",
    "file": "File",
}
KIND_PLURALS: Final[dict[ArtefactKind, str]] = {
    "image": "images",
    "animation": "animations",
    "video": "videos",
    "audio": "sounds",
    "model3d": "3D models",
    "text": "texts",
    "file": "files",
}


def is_picture(kept: OutputDocument) -> bool:
    """Whether it is shown as a picture, which may stand in a link: a player has its own buttons."""
    return kept.kind in PICTURE_KINDS and is_shown(kept.content_type)


def clock(seconds: float) -> str:
    """Returns a duration as players write it: 0:05, 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"


def badge_of(kind: ArtefactKind, duration_s: float | None, count: int = 1) -> str | None:
    """Returns what a tile says of its main output: "Video 0:05", "Sound ×2", or "×4"."""
    said = [] if kind == "image" else [KIND_WORDS[kind]]
    if duration_s is not None and kind != "image":
        said.append(clock(duration_s))
    if count > 1:
        said.append(f"×{count}")
    return " ".join(said) or None


def kept_output(kept: OutputDocument, alt: str, classes: str = "") -> None:
    """Show an output. ``classes`` are those of a picture that can be zoomed."""
    if is_picture(kept):
        _image(kept.url, alt, kept, classes)
    elif kept.kind == "video" and is_shown(kept.content_type):
        _video(kept, alt)
    elif kept.kind == "audio" and is_shown(kept.content_type):
        _sound(kept, alt)
    elif kept.text is not None:
        _text(kept, alt)
    else:
        _file(kept, alt)


def _image(url: str, alt: str, kept: OutputDocument, classes: str) -> None:
    size: dict[str, Any] = {"width": kept.width, "height": kept.height} if classes else {}
    shown = image(url, alt, **size)
    if classes:
        shown.classes(classes)


def _video(kept: OutputDocument, alt: str) -> None:
    width, height = kept.width or _PLAYER[0], kept.height or _PLAYER[1]
    player = _player("video", kept, alt, width=width, height=height, playsinline=True)
    if kept.poster_url is not None:
        adorn(player, poster=local(kept.poster_url))
    player.style(f"aspect-ratio: {width} / {height}")


def _sound(kept: OutputDocument, alt: str) -> None:
    with box("sound"):
        if kept.poster_url is not None:
            image(kept.poster_url, "").classes("sound-wave")
        Text(kept.name, "sound-name")
        _player("audio", kept, alt)


def _player(tag: str, kept: OutputDocument, alt: str, **attributes: Any) -> ui.element:
    return box(
        f"player is-{tag}",
        tag,
        src=local(kept.url),
        controls=True,
        preload="metadata",
        aria_label=f"{KIND_WORDS[kept.kind]}: {alt}",
        **attributes,
    )


def _text(kept: OutputDocument, alt: str) -> None:
    said = kept.text or ""
    with box("text-output"):
        shown = Text(said[:TEXT_SHOWN], "text-shown", "pre")
        adorn(shown, dir="auto", tabindex=0, role="region", aria_label=f"Text: {alt}")
        if len(said) >= TEXT_SHOWN:
            Text("This is the beginning; the file has all of it.", "muted small", "p")


def _file(kept: OutputDocument, alt: str) -> None:
    with box("empty"):
        if kept.poster_url is not None:
            image(kept.poster_url, alt).classes("file-poster")
        else:
            icon("file").classes("file-icon")
        Text(KIND_WORDS[kept.kind], "empty-title", "h2")
        facts = [kept.name, humanize.naturalsize(kept.bytes)]
        adorn(Text(" · ".join(filter(None, facts)), "muted", "p"), dir="auto")
        link("Download", local(kept.url), icon_name="save", download=True)
