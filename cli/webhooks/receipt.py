"""What the trial receiver prints of an event: a line that says all, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from core import json as strict_json
from core.text import readable

Detail = tuple[str, str]
"""A label and what it is for."""
SHOWN_MAX: Final = 300
"""The most characters of one text."""
IMAGES_MAX: Final = 8
"""The most links of one event."""
_TEXTS: Final = (
    ("task", "task_id"),
    ("batch", "batch_id"),
    ("name", "name"),
    ("status", "status"),
    ("says", "message"),
)


def event_of(body: bytes) -> Mapping[str, Any]:
    """Returns the event that a body holds; one without anything if it holds none."""
    try:
        event = strict_json.parse(body)
    except (strict_json.MalformedJsonError, strict_json.UnusableJsonError):
        return {}
    return event if isinstance(event, dict) else {}


def type_of(event: Mapping[str, Any]) -> str:
    """Returns the type of an event as it is printed."""
    return one_line(event.get("type")) or "no event of Easel's"


def details(event: Mapping[str, Any]) -> Iterator[Detail]:
    """Yields what an event says of its generation or batch."""
    data = event.get("data")
    if not isinstance(data, dict):
        return
    for label, name in _TEXTS:
        if text := one_line(data.get(name)):
            yield label, text
    if counts := _counts(data):
        yield "items", counts
    error = data.get("error")
    if isinstance(error, dict) and (why := one_line(error.get("detail"))):
        yield "error", why
    yield from _images(data.get("images"))


def one_line(value: Any) -> str:
    """Returns a text of the sender's, made safe to print; empty for what is no text."""
    return " ".join(readable(value, SHOWN_MAX).split()) if isinstance(value, str) else ""


def _counts(data: Mapping[str, Any]) -> str:
    counts = data.get("counts")
    if not isinstance(counts, dict):
        return ""
    some = {one_line(name): count for name, count in counts.items() if isinstance(count, int)}
    return ", ".join(f"{count} {name}" for name, count in some.items() if count)[:SHOWN_MAX]


def _images(images: Any) -> Iterator[Detail]:
    if not isinstance(images, list):
        return
    links = [one_line(each.get("url")) for each in images if isinstance(each, dict)]
    for link in links[:IMAGES_MAX]:
        yield "image", link
    if len(links) > IMAGES_MAX:
        yield "image", f"… and {len(links) - IMAGES_MAX} more"
