"""Types of fields that requests, batches and declarations of workflows share."""

from __future__ import annotations

import secrets
import unicodedata
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from core.invalid import invalid

SEED_MAX: Final = 2**53 - 1
"""Exact in every JSON client (IEEE doubles) and every database; ComfyUI itself takes 2**64 - 1."""
SEED_RANGE: Final = f"must be 0 … {SEED_MAX}; −1 or none draws one"
PROMPT_MAX: Final = 10_000
METADATA_KEY_MAX: Final = 100
METADATA_TEXT_MAX: Final = 500

_INVISIBLE_KINDS: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode's categories of control and format characters, and of blanks."""
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0\ufe0e\ufe0f")
"""Other characters without a glyph: fillers, joiners, variation selectors."""


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain lone surrogates")
    return text


def _is_invisible(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in _INVISIBLE_KINDS or character in _INVISIBLE


def _label(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float | None):
        # Otherwise there would be an error for each of the types that it could have had.
        raise invalid("string_type", "must be a text, a number, true, false or null")
    return value


def not_blank(text: str) -> str:
    """Returns the text. Raises ValueError if nothing of it can be seen."""
    if all(_is_invisible(character) for character in text):
        raise ValueError("must not be blank")
    return text


def check_seed(seed: int) -> int:
    """Returns the seed. Raises ValueError unless it is one, or -1."""
    if not -1 <= seed <= SEED_MAX:
        raise ValueError(SEED_RANGE)
    return seed


def _drawn_or(seed: int | None) -> int | None:
    if seed is not None:
        try:
            check_seed(seed)
        except ValueError as error:
            # pydantic's own error types: clients know them from the other numbers.
            kind = "less_than_equal" if seed > SEED_MAX else "greater_than_equal"
            raise invalid(kind, str(error)) from error
    return None if seed == -1 else seed


Text = Annotated[str, AfterValidator(_clean)]
Name = Annotated[Text, Field(min_length=1, max_length=255)]
MetadataValue = Annotated[
    Annotated[Text, Field(max_length=METADATA_TEXT_MAX)] | bool | int | float | None,
    BeforeValidator(_label),
]
Seed = Annotated[
    int | None,
    AfterValidator(_drawn_or),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": -1, "maximum": SEED_MAX}, {"type": "null"}]}
    ),
]
"""A seed, or None for one that is drawn, as which -1 is read."""


def later_seed(seed: int, number: int, most: int = SEED_MAX) -> int:
    """Returns the seed ``number`` places after ``seed``; after ``most``, the largest, comes 0."""
    return (seed + number) % (most + 1)


def draw_seed() -> int:
    """Returns a fresh seed, 0 … 2**53 - 1."""
    return secrets.randbelow(SEED_MAX + 1)
