"""Documents as answers: the base of all documents of the API."""

from __future__ import annotations

from typing import Annotated

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

NextCursor = Annotated[
    str | None, Field(description="Pass it as `cursor` for the next page; null on the last.")
]
PreviousCursor = Annotated[
    str | None,
    Field(description="Pass it as `cursor` for the page before; null where the list begins."),
]


class Document(BaseModel):
    """A body that clients read. Its field descriptions are the API's reference."""

    model_config = ConfigDict(frozen=True)


def answer(
    document: BaseModel, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Returns a document as JSON: serialized once by pydantic, not validated a second time."""
    return Response(
        document.model_dump_json(),
        status_code=status_code,
        media_type="application/json",
        headers=headers,
    )
