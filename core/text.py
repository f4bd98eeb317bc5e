"""Texts that other programs wrote, made safe to keep, to serialize and to show."""

from __future__ import annotations

import re
from typing import Any, Final

TEXT_MAX: Final = 4_000
"""The most characters that are kept of one text."""
REPLACEMENT: Final = "\ufffd"
_LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")
"""They stand for bytes that are not UTF-8, mostly in file names; no encoding can write them."""
_STEERING: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters: databases and terminals interpret them
    "\u202a-\u202e\u2066-\u2069"  # they turn the direction of the text that follows
)
STEERING: Final = re.compile(f"[{_STEERING}]")
"""What steers a terminal: control characters but tab and line feed, overrides of direction."""
_UNREADABLE: Final = re.compile(f"[\ud800-\udfff{_STEERING}]")


def readable(text: str, longest: int = TEXT_MAX) -> str:
    """Returns the text with U+FFFD for what cannot be written or shown, cut to ``longest``."""
    text = text.replace("\r\n", "\n")
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return text if text.isprintable() else _UNREADABLE.sub(REPLACEMENT, text)


def writable(text: str) -> str:
    """Returns the text without NUL, which PostgreSQL refuses, and U+FFFD for lone surrogates."""
    return _LONE_SURROGATES.sub(REPLACEMENT, text.replace("\0", ""))


def is_readable(text: str, longest: int = TEXT_MAX) -> bool:
    """Returns whether ``readable`` leaves the text as it is."""
    return readable(text, longest) == text


def readable_json(value: Any) -> Any:
    """Returns a JSON value with each text of it, keys too, made readable.

    Raises RecursionError when it is nested too deeply.
    """
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable(key): readable_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [readable_json(inner) for inner in value]
    return value


def encodable_json(text: str) -> str:
    r"""Returns the text of a JSON document without escapes of lone surrogates.

    A pair of escapes, such as ``\ud83e\udd8a``, is one character and stays.
    """
    return _LONE_ESCAPES.sub(_replaced, text) if "\\ud" in text or "\\uD" in text else text


_LONE_ESCAPES: Final = re.compile(
    r"(\\\\"  # an escaped backslash: the u after it is a letter
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a pair
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def _replaced(found: re.Match[str]) -> str:
    return found.group(1) or REPLACEMENT
