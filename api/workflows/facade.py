"""What the API can do with workflows, as functions: called by the routes and by web's pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from api.errors import ProblemError
from api.headers import is_unchanged
from api.nodes import NodesCache
from api.workflows.documents import (
    ImportDocument,
    WorkflowChange,
    WorkflowDocument,
    WorkflowsDocument,
    exported,
    schema_of,
    workflow_document,
)
from api.workflows.importing import checked, read_workflow
from comfy import BUILT_IN
from core.wording import nearest
from core.workflows.declaration import Workflow
from flows.workflows import workflow_named, workflow_names
from store.errors import ConflictError, NotFoundError, VersionConflictError
from store.store import Store
from store.workflows import StoredWorkflow


class WorkflowFacade:
    """The workflows as clients see them. Raises ProblemError and the store's errors.

    ``changed`` is called when what is offered has changed.
    """

    def __init__(
        self, store: Store, api_url: str, changed: Callable[[], None], nodes: NodesCache
    ) -> None:
        self._store = store
        self._base = f"{api_url}/api/v1/workflows"
        self._changed = changed
        self._nodes = nodes

    async def all(self) -> WorkflowsDocument:
        """Returns every workflow that is offered: the built-in ones, then the others by name."""
        stored = await self._store.workflows.all()
        return WorkflowsDocument.model_construct(
            items=[
                *(self._document(one, None) for one in BUILT_IN.values()),
                *(self._document(one.workflow, one) for one in stored),
            ]
        )

    async def get(self, name: str) -> WorkflowDocument:
        """Returns one. ProblemError 404 with the names nearest to an unknown one."""
        if name in BUILT_IN:
            return self._document(BUILT_IN[name], None)
        stored = await self._stored(name)
        return self._document(stored.workflow, stored)

    async def workflow(self, name: str) -> Workflow:
        """Returns its declaration. ProblemError 404."""
        found = await workflow_named(self._store, name)
        return found or (await self._stored(name)).workflow

    async def schema(self, name: str) -> dict[str, Any]:
        """Returns the JSON Schema of a request for it."""
        return schema_of(await self.workflow(name))

    async def export(self, name: str) -> bytes:
        """Returns the file that another Easel can import."""
        workflow = await self.workflow(name)
        return await asyncio.to_thread(lambda: to_json(exported(workflow), indent=2))

    async def add(self, data: bytes, name: str | None, *, dry_run: bool) -> ImportDocument:
        """Import a file; a dry run keeps nothing. ProblemError 422, or 409 for a name in use."""
        workflow = await asyncio.to_thread(read_workflow, data, name)
        stored = None
        if dry_run:
            await self._check_free(workflow.name)
        else:
            try:
                stored = await self._store.workflows.add(workflow)
            except ConflictError as error:
                raise _in_use(workflow.name) from error
            self._changed()
        return ImportDocument.model_construct(
            declaration=self._document(workflow, stored), mapping=workflow.mapping
        )

    async def change(
        self, name: str, wanted: WorkflowChange, if_match: str | None
    ) -> WorkflowDocument:
        """Change the given parts: a new version. ProblemError 404, 409, 412, 422, 428."""
        _check_not_built_in(name)
        now = (await self._stored(name)).workflow
        if if_match is None:
            raise ProblemError(
                "precondition_required", "send If-Match with the ETag of what you have read"
            )
        if not is_unchanged(etag_of(now.version), if_match):
            raise _changed_since(name)
        workflow = await asyncio.to_thread(_changed_to, now, wanted)
        try:
            stored = await self._store.workflows.change(workflow, now.version)
        except VersionConflictError as error:
            raise _changed_since(name) from error
        except NotFoundError as error:
            raise await self._unknown(name) from error
        self._changed()
        return self._document(workflow, stored)

    async def hide(self, name: str) -> None:
        """Offer it no more; what uses it goes on. A repeat changes nothing. ProblemError 404."""
        _check_not_built_in(name)
        try:
            await self._store.workflows.hide(name)
        except NotFoundError as error:
            raise await self._unknown(name) from error
        self._changed()

    def url(self, name: str) -> str:
        """Returns the URL of a workflow's document."""
        return f"{self._base}/{name}"

    def _document(self, workflow: Workflow, stored: StoredWorkflow | None) -> WorkflowDocument:
        return workflow_document(workflow, self.url(workflow.name), stored)

    async def _stored(self, name: str) -> StoredWorkflow:
        try:
            return await self._store.workflows.get(name)
        except NotFoundError as error:
            raise await self._unknown(name) from error

    async def _check_free(self, name: str) -> None:
        if name in await self._store.workflows.names():
            raise _in_use(name)

    async def _unknown(self, name: str) -> ProblemError:
        near = nearest(name, await workflow_names(self._store), "workflows")
        return ProblemError("not_found", f"there is no such workflow; {near}")


def etag_of(version: str) -> str:
    """Returns the ``ETag`` of a version."""
    return f'"{version}"'


def _changed_to(now: Workflow, wanted: WorkflowChange) -> Workflow:
    given = wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return checked({**now.model_dump(mode="json"), **given})


def _check_not_built_in(name: str) -> None:
    if name in BUILT_IN:
        raise ProblemError(
            "workflow_built_in",
            "it is part of Easel, and cannot be changed or removed; import one of your own",
        )


def _in_use(name: str) -> ProblemError:
    return ProblemError(
        "workflow_exists",
        f"there is a workflow called {name} already; choose another name, or remove that one",
    )


def _changed_since(name: str) -> ProblemError:
    return ProblemError(
        "precondition_failed", f"{name} has been changed since you read it: read it again"
    )
