"""What routes are given: the facade, the settings, ids that were read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Header, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.batches.facade import BatchFacade
from api.errors import ProblemError
from api.figures import Figures
from api.generations.facade import Facade
from api.schedules.facade import ScheduleFacade
from core.ids import parse_generation_id
from core.settings import Settings
from flows.prefect.runs import FlowRuns


@dataclass(eq=False)
class Busy:
    """How many creates are being answered: the dispatcher lets them go first."""

    creates: int = 0

    def __call__(self) -> bool:
        """Whether there are any."""
        return self.creates > 0


@dataclass(frozen=True)
class Context:
    """Everything that the application opened at its start."""

    facade: Facade
    runs: FlowRuns
    settings: Settings
    busy: Busy
    figures: Figures
    batches: BatchFacade
    schedules: ScheduleFacade


def context_of(request: Request) -> Context:
    """The application's context."""
    return cast("Context", request.app.state.context)


# Async on purpose: FastAPI sends plain functions to a thread, which costs more than they do.
async def _facade(request: Request) -> Facade:
    return context_of(request).facade


async def _id(
    task_id: Annotated[str, Path(description="A generation's id, as `create` gave it.")],
) -> UUID:
    found = parse_generation_id(task_id)
    if found is None:
        raise ProblemError("not_found", "there is no generation with this id")
    return found


FacadeOf = Annotated[Facade, Depends(_facade)]
TaskId = Annotated[UUID, Depends(_id)]
IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` of what the client has: 304 if it is unchanged.")
]


def answer(
    document: BaseModel, status_code: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A document as JSON: written once by pydantic, not validated a second time."""
    return Response(
        document.model_dump_json(),
        status_code=status_code,
        media_type="application/json",
        headers=headers,
    )


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has it already. Compared weakly (RFC 9110, 13.1.2): proxies add ``W/``."""
    named = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in named or named == ["*"]
