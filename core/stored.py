"""Stored documents: validated when read, since another version may have written them."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer
from pydantic_core import to_json

from core.invalid import problems_of

_Model = TypeVar("_Model", bound=BaseModel)
_REASONS_SHOWN = 3


class Unreadable(BaseModel):
    """A stored document that this version cannot read. It is shown as it was stored.

    ``reason`` names the invalid fields; it repeats no value.
    """

    model_config = ConfigDict(frozen=True)

    stored: Any
    reason: str

    @model_serializer
    def _as_stored(self) -> Any:
        return self.stored


def read_stored(model: type[_Model], stored: Any) -> _Model:
    """Returns the document as ``model``, validated as JSON: strictly, but lists become tuples.

    Raises pydantic's ValidationError.
    """
    return model.model_validate_json(to_json(stored))


def reason_of(error: ValidationError) -> str:
    """Returns why a document cannot be read, in one line."""
    found = problems_of(error)
    said = [f"{'.'.join(map(str, loc))}: {why}" for loc, _, why in found[:_REASONS_SHOWN]]
    more = len(found) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")
