"""Deployments as Prefect's server has them, read without the checks of Prefect's client.

The client refuses the whole answer for one schedule that it does not understand, though the server
keeps it: an RRULE in the time zone ``Factory``, for example. Whatever reads that deployment would
fail then, the worker too. Here a schedule's timing is read as it is.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

_PAGE: Final = 100


class StoredSchedule(BaseModel):
    """A schedule; ``schedule`` is its timing as the server answers it, of any kind."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    schedule: Any = None
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)
    slug: str | None = None


class StoredLimit(BaseModel):
    """A global concurrency limit: a deployment's own, or one that several share."""

    model_config = ConfigDict(frozen=True)

    name: str
    limit: int


class StoredDeployment(BaseModel):
    """What Easel uses of a deployment."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    version: str | None = None
    flow_id: UUID
    entrypoint: str | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    paused: bool = False
    schedules: tuple[StoredSchedule, ...] = ()
    global_concurrency_limit: StoredLimit | None = None
    concurrency_options: dict[str, Any] | None = None


_DEPLOYMENTS: Final = TypeAdapter(list[StoredDeployment])


async def deployment_by_id(client: PrefectClient, deployment_id: UUID) -> StoredDeployment:
    """Returns a deployment. Raises ObjectNotFound, and ValueError for an answer that is none."""
    return await _one(client, "/deployments/{id}", id=str(deployment_id))


async def deployment_by_name(client: PrefectClient, name: str) -> StoredDeployment:
    """Returns the deployment ``flow/name``. Raises as ``deployment_by_id`` does."""
    flow, _, deployment = name.partition("/")
    path = "/deployments/name/{flow_name}/{deployment_name}"
    quoted = {"flow_name": quote(flow, safe=""), "deployment_name": quote(deployment, safe="")}
    return await _one(client, path, **quoted)


async def deployments_of_flow(client: PrefectClient, flow: str) -> list[StoredDeployment]:
    """Returns every deployment of a flow. Raises ValueError for an answer that is none."""
    found: list[StoredDeployment] = []
    while True:
        wanted = {"flows": {"name": {"any_": [flow]}}, "offset": len(found), "limit": _PAGE}
        answer = await client.request("POST", "/deployments/filter", json=wanted)
        page = _DEPLOYMENTS.validate_python(answer.json())
        found += page
        if len(page) < _PAGE:
            return found


async def _one(client: PrefectClient, path: Any, **names: str) -> StoredDeployment:
    try:
        answer = await client.request("GET", path, path_params=names)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            raise ObjectNotFound(http_exc=error) from error
        raise
    return StoredDeployment.model_validate(answer.json())
