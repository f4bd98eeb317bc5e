"""What the API can do with workflows, as functions: called by the routes and by web's pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, get_args

from pydantic_core import to_json

from api.errors import ProblemError
from api.headers import is_unchanged
from api.nodes import NodesCache
from api.workflows.documents import (
    ChoicesDocument,
    ImportDocument,
    LeftOut,
    MissingDocument,
    SourceDocument,
    SourcesDocument,
    WorkflowChange,
    WorkflowDocument,
    WorkflowsDocument,
    exported,
    missing_document,
    schema_of,
    workflow_document,
)
from api.workflows.files import SentFile
from api.workflows.importing import (
    Imported,
    Wish,
    checked,
    free_name,
    no_nodes_known,
    read_workflow,
    with_changes,
)
from api.workflows.sources import LiveWorkers, OfferedWorkflows
from comfy import BUILT_IN, TransientComfyError
from comfy.importing.proposal import left_out
from comfy.nodes import NodeCatalogue
from comfy.shipped import SHIPPED
from comfy.workflows import Judge
from comfy.workflows.live_values import live_choices
from comfy.workflows.readiness import State
from comfy.workflows.secrets import without_secrets
from core.wording import nearest, written
from core.workflows.declaration import Workflow
from flows.workflows import built_in_but, workflow_named, workflow_names
from store.errors import ConflictError, NotFoundError, VersionConflictError
from store.store import Store
from store.workflows import StoredWorkflow

_READ_AT_ONCE: Final = 2
"""How many files are read at once: a large one takes seconds, and some hundred MB."""
_TRIES: Final = 5


class WorkflowFacade:
    """The workflows as clients see them. Raises ProblemError and the store's errors.

    ``changed`` is called when what is offered has changed. ``live_workers`` returns the workers
    that live.
    """

    def __init__(
        self,
        store: Store,
        api_url: str,
        changed: Callable[[], None],
        nodes: NodesCache,
        live_workers: LiveWorkers,
        *,
        paid_nodes: bool,
    ) -> None:
        self._store = store
        self._base = f"{api_url}/api/v1/workflows"
        self._changed = changed
        self._nodes = nodes
        self._offered = OfferedWorkflows(store, nodes.client, live_workers)
        self._paid_nodes = paid_nodes
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def all(self) -> WorkflowsDocument:
        """Returns every workflow that is offered: the built-in ones, then the others by name."""
        stored = await self._store.workflows.all()
        every = [
            *((one, None) for one in built_in_but(one.workflow.name for one in stored)),
            *((one.workflow, one) for one in stored),
        ]
        items = await self._documents(every)
        return WorkflowsDocument.model_construct(items=items)

    async def get(self, name: str) -> WorkflowDocument:
        """Returns one. ProblemError 404 with the names nearest to an unknown one."""
        try:
            stored = await self._stored(name)
        except ProblemError:
            if name not in BUILT_IN:
                raise
            return await self._document(BUILT_IN[name], None)
        return await self._document(stored.workflow, stored)

    async def workflow(self, name: str) -> Workflow:
        """Returns its declaration. ProblemError 404."""
        found = await workflow_named(self._store, name)
        return found or (await self._stored(name)).workflow

    async def schema(self, name: str) -> dict[str, Any]:
        """Returns the JSON Schema of a request for it."""
        return schema_of(await self.workflow(name))

    async def choices(self, name: str) -> ChoicesDocument:
        """Returns what its inputs can choose from now. ProblemError 404, 503."""
        workflow = await self.workflow(name)
        judge = self._nodes.judge or await self._nodes.refreshed()
        if judge is None:
            raise no_nodes_known()
        found = live_choices(workflow, judge.catalogue)
        return ChoicesDocument(inputs={path: list(known) for path, known in found.items()})

    async def export(self, name: str) -> bytes:
        """Returns the file that another Easel can import."""
        workflow = await self.workflow(name)
        return await asyncio.to_thread(lambda: to_json(exported(workflow), indent=2))

    async def missing(self, name: str) -> MissingDocument:
        """Returns what no known ComfyUI has of what it needs. ProblemError 404."""
        workflow = await self.workflow(name)
        judge = self._nodes.judge
        if judge is None:
            return MissingDocument()
        return missing_document(await asyncio.to_thread(judge.readiness, workflow))

    async def left_out(self, name: str) -> LeftOut:
        """Returns what it could declare too; nothing while no ComfyUI was reached.

        ProblemError 404.
        """
        workflow = await self.workflow(name)
        judge = self._nodes.judge or await self._nodes.refreshed()
        if judge is None:
            return LeftOut()
        return LeftOut(*await asyncio.to_thread(left_out, workflow, judge.catalogue))

    async def stamp(self) -> tuple[dict[str, str], Judge | None]:
        """Returns a value that differs after every change of what is offered, or of its state."""
        return await self._store.workflows.versions(), self._nodes.judge

    async def add(
        self, sent: SentFile, wish: Wish, *, dry_run: bool, wanted: WorkflowChange | None = None
    ) -> ImportDocument:
        """Import a file, with what is ``wanted`` in place of what it says; a dry run keeps nothing.

        ProblemError 422, 409 for a name in use, 503 while no ComfyUI was reached.
        """
        if sent.source is not None:
            sent = await self._fetched(sent.source)
        wish = replace(
            wish, file=sent.name or wish.file, source=sent.source, source_title=sent.title
        )
        found = await self._read(sent.data, wish)
        if wanted is not None:
            workflow, told = await asyncio.to_thread(
                _changed_to, found.workflow, wanted, self._catalogue
            )
            found = replace(found, workflow=workflow, warnings=(*found.warnings, *told))
        found = replace(found, is_named=found.is_named and not wish.any_name)
        stored = None
        if dry_run:
            found = await self._with_free_name(found)
            await self._check_free(found.workflow.name)
        else:
            found, stored = await self._stored_as_free(found)
            self._changed()
        return ImportDocument.model_construct(
            declaration=await self._document(found.workflow, stored),
            dropped=list(found.dropped),
            missing=found.missing,
            mapping=found.workflow.mapping,
            warnings=list(found.warnings),
        )

    async def sources(self) -> SourcesDocument:
        """Returns what is offered: what Easel ships, then what ComfyUI has, if it answers."""
        found, problem = await self._offered.all()
        return SourcesDocument(
            items=[
                SourceDocument(
                    source=one.source,
                    kind=one.kind,
                    name=one.name,
                    title=one.title,
                    description=one.description,
                    media=one.media,
                )
                for one in found
            ],
            problem=problem,
        )

    async def _fetched(self, source: str) -> SentFile:
        try:
            found = await self._offered.file(source)
        except TransientComfyError as error:
            raise ProblemError("not_available", str(error)) from error
        if found is None:
            raise self._unknown_source(source)
        return SentFile(found.data, found.name, source, found.title)

    def _unknown_source(self, source: str) -> ProblemError:
        kind, _, name = source.partition(":")
        lists = f"GET {self._base}/sources lists what there is"
        if kind != "shipped":
            told = f"ComfyUI offers no {written(source)}; {lists}"
        elif name not in SHIPPED:
            near = nearest(name, list(SHIPPED), "workflows that it ships")
            told = f"Easel ships no {written(name)}; {near}; {lists}"
        else:
            told = (
                f"neither Easel nor ComfyUI has the template {SHIPPED[name].templates[0]}: install "
                "the package comfyui-workflow-templates-json beside Easel, or update ComfyUI"
            )
        return ProblemError("unknown_source", told)

    async def _read(self, data: bytes, wish: Wish) -> Imported:
        judge = self._nodes.judge or await self._nodes.refreshed()
        async with self._reading:
            return await asyncio.to_thread(
                read_workflow,
                data,
                wish,
                judge.catalogue if judge is not None else None,
                paid_nodes=self._paid_nodes,
            )

    @property
    def _catalogue(self) -> NodeCatalogue | None:
        judge = self._nodes.judge
        return None if judge is None else judge.catalogue

    async def _with_free_name(self, found: Imported) -> Imported:
        if found.is_named:
            return found
        taken = await self._store.workflows.names()
        name = free_name(found.workflow.name, taken)
        return replace(found, workflow=with_changes(found.workflow, self._catalogue, name=name))

    async def _stored_as_free(self, found: Imported) -> tuple[Imported, StoredWorkflow]:
        """Store it; a name that was made from the file's gives way to others."""
        for _ in range(_TRIES):
            found = await self._with_free_name(found)
            try:
                return found, await self._store.workflows.add(found.workflow)
            except ConflictError as error:
                if found.is_named:
                    raise _in_use(found.workflow.name) from error
        raise _in_use(found.workflow.name)

    async def change(
        self, name: str, wanted: WorkflowChange, if_match: str | None
    ) -> WorkflowDocument:
        """Change the given parts: a new version. ProblemError 404, 409, 412, 422, 428."""
        await self._check_not_built_in(name)
        now = (await self._stored(name)).workflow
        if if_match is None:
            raise ProblemError(
                "precondition_required", "send If-Match with the ETag of what you have read"
            )
        if not any(is_unchanged(etag, if_match) for etag in _etags_of(now.version)):
            raise _changed_since(name)
        workflow, _ = await asyncio.to_thread(_changed_to, now, wanted, self._catalogue)
        try:
            stored = await self._store.workflows.change(workflow, now.version)
        except VersionConflictError as error:
            raise _changed_since(name) from error
        except NotFoundError as error:
            raise await self._unknown(name) from error
        self._changed()
        return await self._document(workflow, stored)

    async def hide(self, name: str) -> None:
        """Offer it no more; what uses it goes on. A repeat changes nothing. ProblemError 404."""
        await self._check_not_built_in(name)
        try:
            await self._store.workflows.hide(name)
        except NotFoundError as error:
            raise await self._unknown(name) from error
        self._changed()

    def url(self, name: str) -> str:
        """Returns the URL of a workflow's document."""
        return f"{self._base}/{name}"

    async def _document(
        self, workflow: Workflow, stored: StoredWorkflow | None
    ) -> WorkflowDocument:
        [document] = await self._documents([(workflow, stored)])
        return document

    async def _documents(
        self, every: Sequence[tuple[Workflow, StoredWorkflow | None]]
    ) -> list[WorkflowDocument]:
        """Returns their documents, made in a thread: a graph of thousands of nodes takes seconds.

        Each is judged once for a version and what ComfyUI has.
        """
        judge = self._nodes.judge

        def made() -> list[WorkflowDocument]:
            return [
                workflow_document(one, self.url(one.name), stored, judge) for one, stored in every
            ]

        return await asyncio.to_thread(made)

    async def _stored(self, name: str) -> StoredWorkflow:
        try:
            return await self._store.workflows.get(name)
        except NotFoundError as error:
            raise await self._unknown(name) from error

    async def _check_free(self, name: str) -> None:
        if name in await self._store.workflows.names():
            raise _in_use(name)

    async def _check_not_built_in(self, name: str) -> None:
        """Raises ProblemError 409, but for a user's own that has the name of a built-in one."""
        if name not in BUILT_IN or name in await self._store.workflows.names():
            return
        raise ProblemError(
            "workflow_built_in",
            "it is part of Easel, and cannot be changed or removed; import one of your own",
        )

    async def _unknown(self, name: str) -> ProblemError:
        near = nearest(name, await workflow_names(self._store), "workflows")
        return ProblemError("not_found", f"there is no such workflow; {near}")


def etag_of(version: str, state: str | None = None) -> str:
    """Returns the ``ETag`` of a version; with a state that is not ``ready`` it is another one."""
    return f'"{version}"' if state in (None, "ready") else f'"{version}.{state}"'


def _etags_of(version: str) -> Iterator[str]:
    """Yields the ``ETag``s under which a version may have been read."""
    return (etag_of(version, state) for state in get_args(State))


def _changed_to(
    now: Workflow, wanted: WorkflowChange, catalogue: NodeCatalogue | None
) -> tuple[Workflow, tuple[str, ...]]:
    """Returns the changed workflow without keys and tokens, and which were left out of it."""
    given = wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return without_secrets(checked({**now.model_dump(mode="json"), **given}, catalogue, now))


def _in_use(name: str) -> ProblemError:
    return ProblemError(
        "workflow_exists",
        f"there is a workflow called {name} already; choose another name, or remove that one",
    )


def _changed_since(name: str) -> ProblemError:
    return ProblemError(
        "precondition_failed", f"{name} has been changed since you read it: read it again"
    )
