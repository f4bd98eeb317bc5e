"""A kept output on a page: a picture as it is, of anything else its poster, or what it is."""

from __future__ import annotations

from typing import Any, Final

from api.generations.documents import OutputDocument
from core.artefacts import ArtefactKind
from web.parts.elements import Text, box, image, link, local

_WORDS: Final[dict[ArtefactKind, str]] = {
    "image": "Image",
    "animation": "Animation",
    "video": "Video",
    "audio": "Sound",
    "model3d": "3D model",
    "text": "Text",
    "file": "File",
}


def kept_output(kept: OutputDocument, alt: str, classes: str = "") -> None:
    """Show an output. What is no picture has a link that downloads it."""
    if kept.kind in ("image", "animation"):
        _image(kept.url, alt, kept, classes)
        return
    if kept.poster_url is not None:
        _image(kept.poster_url, alt, kept, classes)
        return
    with box("empty"):
        Text(_WORDS[kept.kind], "empty-title", "h2")
        if kept.text is not None:
            Text(kept.text[:2_000], "detail", "p")
        link("Download", local(kept.url), icon_name="save", download=True)


def _image(url: str, alt: str, kept: OutputDocument, classes: str) -> None:
    size: dict[str, Any] = {"width": kept.width, "height": kept.height} if classes else {}
    shown = image(url, alt, **size)
    if classes:
        shown.classes(classes)
