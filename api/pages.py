"""Queries for pages: how many items, and where to go on."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.openapi import Omittable

Cursor = Annotated[
    str,
    Field(max_length=100, json_schema_extra={"minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"}),
]
"""A page's place. What no page gave is answered 400 ``invalid_cursor``, whatever its form."""


class PageQuery(BaseModel):
    """Which page. A name that is not here is refused: a misspelt filter shows everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100, description="Items on a page.")
    cursor: Omittable[Cursor] = Field(
        default=None,
        description="`next_cursor` of the page before, or `previous_cursor` of the one after.",
    )
