"""The routes under ``/api/v1/models``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.body import read_body
from api.dependencies import opened
from api.documents import answer
from api.models.documents import ModelFileDocument, ModelsDocument, ModelSetting
from api.models.facade import ModelFacade
from api.openapi import Omittable, body_schema, problems
from comfy.catalogue import FOLDERS, NAME_MAX
from core.settings import Settings

router = APIRouter(prefix="/api/v1/models", tags=["options"])

_FOLDER: Final = f"^({'|'.join(FOLDERS)})$"
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": body_schema(ModelSetting)}},
    }
}


class ModelsQuery(BaseModel):
    """Which files are wanted."""

    model_config = ConfigDict(extra="forbid")

    folder: Omittable[Annotated[str, Field(pattern=_FOLDER)]] = Field(
        default=None, description="Only `models` of this folder."
    )


@router.get(
    "",
    summary="Models that ComfyUI has",
    response_model=ModelsDocument,
    responses=problems("invalid_request", "no_catalogue", "not_available"),
)
async def models(request: Request, query: Annotated[ModelsQuery, Query()]) -> Response:
    """From ComfyUI's own node catalogue; `models` is what workers found out of each file. New
    files show within a minute, or when asked for; their families a little later."""
    listing = await opened(request, ModelFacade).all_as_json(query.folder)
    return Response(listing, media_type="application/json")


@router.put(
    "/{folder}/{name:path}",
    summary="Say what a file is",
    response_model=ModelFileDocument,
    responses=problems(
        *("malformed_json", "not_found", "payload_too_large", "unsupported_media_type"),
        *("invalid_request", "not_available"),
    ),
    openapi_extra=_BODY,
)
async def put(
    request: Request,
    folder: Annotated[str, Path(description="One of ComfyUI's model folders.", max_length=255)],
    name: Annotated[str, Path(description="As `models` has it.", max_length=NAME_MAX)],
) -> Response:
    """Counts before all that the file says itself, whichever ComfyUI has it. The body replaces
    what was said before; null takes it back."""
    wanted, _ = await read_body(request, ModelSetting, opened(request, Settings).api.max_body_bytes)
    return answer(await opened(request, ModelFacade).set(folder, name, wanted))
