"""The deployments of workflows: each has one of its own, whose form shows its inputs.

They are copies of ``generate/comfyui``, that of txt2img: the same flow, pool and queue.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from importlib.metadata import version
from typing import Any, Final

from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from core.workflows.declaration import Workflow
from flows.errors import DeploymentMissingError
from flows.prefect.abandoned_runs import FLOW
from flows.prefect.forms import form_of
from flows.prefect.runs import (
    DEPLOYMENT,
    OVER,
    FlowRuns,
    translated,
    workflow_of_tags,
    workflow_tag,
)
from flows.prefect.stored_deployments import StoredDeployment, deployment_by_name

_log = logging.getLogger(__name__)
_COPIED: Final = {"flow_id", "entrypoint", "work_pool_name", "work_queue_name", "pull_steps"}
_FIXED: Final = {"name", "flow_id"}
_NOT_OVER: Final = [kind for kind in StateType if kind not in OVER]


Offered = Callable[[], Awaitable[Iterable[Workflow]]]
"""Returns the workflows that are offered now, txt2img aside."""
Wanted = Callable[[], Awaitable[Collection[str]]]
"""Returns the names of those whose deployments are wanted now."""


class WorkflowDeployments:
    """Keeps them as the store has the workflows. Every method raises PrefectUnavailableError.

    Those that change something also raise DeploymentMissingError while ``generate/comfyui`` is not
    there, and OtherStoreError.
    """

    def __init__(self, runs: FlowRuns) -> None:
        self._runs = runs

    async def register(self, workflow: Workflow) -> None:
        """Create or update the deployment of a workflow."""
        await self._runs.confirm_owner()
        async with translated():
            try:
                pattern = await deployment_by_name(self._runs.client, DEPLOYMENT)
            except ObjectNotFound as error:
                raise DeploymentMissingError(DEPLOYMENT) from error
            await self._write(_deployment(pattern, workflow))
        _log.info("registered the deployment of the workflow %s", workflow.name)

    async def _write(self, wanted: dict[str, Any]) -> None:
        """Create it, or change the one that has its name.

        Prefect's create is an upsert that drops the schedules which operators put on it, and the
        runs that these are to make.
        """
        client = self._runs.client
        try:
            known = await deployment_by_name(client, f"{FLOW}/{wanted['name']}")
        except ObjectNotFound:
            await client.request("POST", "/deployments/", json=wanted)
            return
        changed = {name: value for name, value in wanted.items() if name not in _FIXED}
        path = {"id": str(known.id)}
        await client.request("PATCH", "/deployments/{id}", path_params=path, json=changed)

    async def keep(self, offered: Offered, wanted: Wanted) -> None:
        """Register the missing, those of another version or without a form; remove the not needed.

        ``wanted`` says the names of the workflows that are offered, or that generations wait for.
        It is asked right before anything is removed: one may have been added since.
        """
        here = {
            one.name: one
            for one in await self._runs.generate_deployments()
            if workflow_of_tags(one.tags) is not None
        }
        for workflow in await offered():
            known = here.pop(workflow.name, None)
            if known is None or not _is_as_wanted(known, workflow):
                await self.register(workflow)
        for name, deployment in here.items():
            if not await self._is_needed(deployment) and name not in await wanted():
                await self._remove(deployment)

    async def _is_needed(self, deployment: StoredDeployment) -> bool:
        """Returns whether runs of it wait, or will be made: deleting it would delete those."""
        if deployment.schedules:
            return True
        async with translated():
            waiting = await self._runs.client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_NOT_OVER))
                ),
                limit=1,
            )
        return bool(waiting)

    async def _remove(self, deployment: StoredDeployment) -> None:
        await self._runs.confirm_owner()
        try:
            async with translated():
                await self._runs.client.delete_deployment(deployment.id)
        except ObjectNotFound:
            return
        _log.info("removed the deployment of the workflow %s", deployment.name)


def _deployment(pattern: StoredDeployment, workflow: Workflow) -> dict[str, Any]:
    copied = pattern.model_dump(mode="json", include=_COPIED)
    return {
        **copied,
        "name": workflow.name,
        "version": _version(workflow),
        "description": f"{workflow.title}\n\n{workflow.description}".strip(),
        "tags": ["easel", workflow_tag(workflow.name)],
        "parameters": {"request": {"workflow": workflow.name}},
        "parameter_openapi_schema": _form(pattern, workflow),
        "enforce_parameter_schema": True,
    }


def _form(pattern: StoredDeployment, workflow: Workflow) -> dict[str, Any]:
    """Returns the deployment's form: without one of its own if the pattern's is not as it was."""
    try:
        return form_of(pattern.parameter_openapi_schema or {}, workflow)
    except (KeyError, TypeError, AttributeError):
        return {}


def _is_as_wanted(known: StoredDeployment, workflow: Workflow) -> bool:
    """Returns whether it is of this version and has its form, for which the pattern needs one.

    Prefect keeps a schema without parameters where none was sent.
    """
    schema = known.parameter_openapi_schema or {}
    return known.version == _version(workflow) and bool(schema.get("properties"))


def _version(workflow: Workflow) -> str:
    """Returns the version of the deployment: another Easel may make another form."""
    return f"{workflow.version} (Easel {version('easel')})"
