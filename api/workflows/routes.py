"""The routes under ``/api/v1/workflows``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from api.body import read_body
from api.dependencies import opened
from api.documents import answer
from api.headers import IfMatch, IfNoneMatch, is_unchanged
from api.openapi import UNCHANGED, Omittable, problems
from api.workflows.documents import (
    FORMAT,
    FORMAT_VERSION,
    ChoicesDocument,
    ImportDocument,
    SourcesDocument,
    WorkflowChange,
    WorkflowDocument,
    WorkflowsDocument,
)
from api.workflows.facade import WorkflowFacade, etag_of
from api.workflows.files import sent_file
from api.workflows.importing import Wish
from core.settings import Settings
from core.workflows.declaration import NAME_PATTERN, WorkflowName

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"])

Name = Annotated[
    str,
    Path(
        description="A workflow's name.",
        max_length=100,
        json_schema_extra={"pattern": NAME_PATTERN},
    ),
]
_EXPORTED: Final[dict[str, Any]] = {
    FORMAT: FORMAT_VERSION,
    "name": "plain-colour",
    "title": "A plain colour",
    "inputs": [
        {
            "name": "width",
            "type": "integer",
            "role": "width",
            "default": 512,
            "minimum": 16,
            "maximum": 4096,
            "targets": [{"node": "1", "field": "width"}],
        }
    ],
    "outputs": [{"node": "2", "kind": "image", "name": "image", "primary": True}],
    "graph": {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 255},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "ComfyUI"},
        },
    },
}
_INPUT: Final = r"^[^=]+\..+=[a-z][a-z0-9_]{0,63}$"
_ANY: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}}


def _change_schema() -> dict[str, Any]:
    """Returns the schema of a change; inputs and outputs are those of the document."""
    listed = {
        name: {**_ANY, "description": f"All {name}, as `GET /api/v1/workflows/{{name}}` has them."}
        for name in ("inputs", "outputs")
    }
    properties = {
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": {"type": "string", "maxLength": 2000},
        **listed,
        "mapping": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "examples": [{"title": "A plain colour", "description": "For backgrounds."}],
    }


def _takes(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _takes_file() -> dict[str, Any]:
    """Returns what an import may be: JSON, whatever else carries a workflow, or a form."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    found = _takes({"type": "object", "examples": [_EXPORTED]})
    found["requestBody"]["content"] |= {
        "application/octet-stream": {"schema": binary},
        "multipart/form-data": {"schema": form},
    }
    return found


def _etag(found: WorkflowDocument) -> str:
    return etag_of(found.version, found.state)


class ImportQuery(BaseModel):
    """What is wanted of a file."""

    model_config = ConfigDict(extra="forbid")

    name: Omittable[WorkflowName] = Field(
        default=None, description="The name to give it, in place of the one in the file."
    )
    title: Omittable[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=None, description="The title to give it."
    )
    filename: Omittable[Annotated[str, Field(max_length=1000)]] = Field(
        default=None, description="The file's name, if the body is the file itself."
    )
    input: list[Annotated[str, Field(pattern=_INPUT, max_length=500)]] = Field(
        default=[],
        max_length=100,
        description="Fields to declare as inputs: `6.text=prompt` is the field `text` of node 6.",
    )
    dry_run: bool = Field(default=False, description="Only tell what would be imported.")


@router.get(
    "",
    summary="All workflows",
    response_model=WorkflowsDocument,
    responses=problems("not_available"),
)
async def page(request: Request) -> Response:
    """What a request can name in `workflow`, with the inputs that each takes."""
    return answer(await opened(request, WorkflowFacade).all())


@router.post(
    "",
    status_code=201,
    summary="Import a workflow",
    responses={
        201: {"model": ImportDocument, "description": "It is there."},
        200: {"model": ImportDocument, "description": "What `dry_run` would import."},
        **problems(
            *("bad_request", "malformed_json", "workflow_exists", "payload_too_large"),
            *("unsupported_media_type", "invalid_request", "invalid_workflow", "paid_nodes"),
            *("unknown_source", "no_catalogue", "not_available"),
        ),
    },
    openapi_extra=_takes_file(),
)
async def add(request: Request, query: Annotated[ImportQuery, Query()]) -> Response:
    """The file is any that carries a workflow of ComfyUI, or one that an Easel exported.

    JSON in API or UI form, or a PNG, WebP, JPEG, MP4, WebM, FLAC, Ogg or MP3 that ComfyUI saved;
    as the body, or as `file` of a form; or `{"source": "shipped:NAME"}` of what `…/sources`
    lists. Nothing of it is executed or fetched; the inputs are proposed. The name of one that was
    removed is free again.
    """
    limit = opened(request, Settings).api.max_workflow_bytes
    sent = await sent_file(request, limit, query.filename)
    wish = Wish(query.name, query.title, inputs=tuple(query.input))
    made = await opened(request, WorkflowFacade).add(sent, wish, dry_run=query.dry_run)
    if query.dry_run:
        return answer(made)
    headers = {"Location": made.declaration.url, "ETag": _etag(made.declaration)}
    return answer(made, 201, headers)


@router.get(
    "/sources",
    summary="What can be imported by name",
    response_model=SourcesDocument,
    responses=problems("not_available"),
)
async def sources(request: Request) -> Response:
    """What Easel ships declarations for; then what ComfyUI offers, if it answers: the workflows
    saved on its page, official templates, blueprints."""
    return answer(await opened(request, WorkflowFacade).sources())


@router.get(
    "/{name}",
    summary="One workflow",
    response_model=WorkflowDocument,
    responses={304: UNCHANGED, **problems("not_found", "invalid_request", "not_available")},
)
async def get(request: Request, name: Name, if_none_match: IfNoneMatch = None) -> Response:
    """Its inputs, outputs, what it requires and whether ComfyUI has that."""
    found = await opened(request, WorkflowFacade).get(name)
    headers = {"ETag": _etag(found), "Cache-Control": "no-cache"}
    if is_unchanged(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    return answer(found, headers=headers)


@router.get(
    "/{name}/schema",
    summary="What a request for it may be",
    responses={
        200: {
            "content": {"application/json": {"schema": {"type": "object"}}},
            "description": "A JSON Schema.",
        },
        **problems("not_found", "invalid_request", "not_available"),
    },
)
async def schema(request: Request, name: Name) -> Response:
    """The JSON Schema of the body of `POST /api/v1/generation/create` for this workflow."""
    found = await opened(request, WorkflowFacade).schema(name)
    return Response(to_json(found), media_type="application/json")


@router.get(
    "/{name}/choices",
    summary="What its inputs can choose from",
    response_model=ChoicesDocument,
    responses=problems("not_found", "invalid_request", "no_catalogue", "not_available"),
)
async def choices(request: Request, name: Name) -> Response:
    """Model files, samplers and whatever else ComfyUI has now, for inputs with `choices_from`."""
    return answer(await opened(request, WorkflowFacade).choices(name))


@router.get(
    "/{name}/export",
    summary="Its file",
    responses={
        200: {
            "content": {"application/json": {"schema": {"type": "object"}}},
            "description": "A file that `POST /api/v1/workflows` takes.",
        },
        **problems("not_found", "invalid_request", "not_available"),
    },
)
async def export(request: Request, name: Name) -> Response:
    """The declaration with its graph, for another Easel."""
    body = await opened(request, WorkflowFacade).export(name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
    return Response(body, media_type="application/json", headers=headers)


@router.put(
    "/{name}",
    summary="Change it",
    response_model=WorkflowDocument,
    responses=problems(
        *("malformed_json", "not_found", "workflow_built_in", "precondition_failed"),
        *("payload_too_large", "unsupported_media_type", "invalid_request", "invalid_workflow"),
        *("precondition_required", "not_available"),
    ),
    openapi_extra=_takes(_change_schema()),
)
async def change(request: Request, name: Name, if_match: IfMatch = None) -> Response:
    """A new version of it; what is left out stays. `If-Match` says of which version.

    Generations keep the version that they were accepted with; schedules take the newest.
    """
    limit = opened(request, Settings).api.max_body_bytes
    wanted, _ = await read_body(request, WorkflowChange, limit)
    changed = await opened(request, WorkflowFacade).change(name, wanted, if_match)
    return answer(changed, headers={"ETag": _etag(changed)})


@router.delete(
    "/{name}",
    status_code=204,
    summary="Offer it no more",
    responses=problems("not_found", "invalid_request", "workflow_built_in", "not_available"),
)
async def delete(request: Request, name: Name) -> Response:
    """Generations, batches and schedules that use it go on. Its name is free again."""
    await opened(request, WorkflowFacade).hide(name)
    return Response(status_code=204)
