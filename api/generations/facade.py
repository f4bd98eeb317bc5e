"""What the API can do, as functions: called by the routes and by the pages of web."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from pydantic import ValidationError

from api.body import field_problems, summary
from api.catalogue import CatalogueCache
from api.dependencies import opened
from api.disk import DiskReserve
from api.errors import ProblemError
from api.generations.documents import (
    AttemptsDocument,
    HistoryDocument,
    HistoryItem,
    ImageDocument,
    Links,
    OutputDocument,
    ResultDocument,
    StatusDocument,
    attempt_document,
    image_document,
    kept_fields,
    output_document,
    status_fields,
    timings,
)
from api.generations.estimates import GLANCE_S, Estimates, Figures
from api.generations.renderings import Renderings, rendered_of
from api.models.cache import ModelsCache
from api.nodes import NodesCache
from api.storage import StorageWatch
from comfy import BUILT_IN, Catalogue, ComfyClient, UnresolvableError
from comfy.workflows.builtin.models import Wanted, default_model
from comfy.workflows.known import Known
from core.callbacks.addresses import AllowedAddresses
from core.callbacks.callback import Callback
from core.callbacks.rules import CallbackRules
from core.requests import (
    DEFAULT_WORKFLOW,
    ENVELOPE,
    GenerationRequest,
    ResolvedRequest,
    read_request_of,
    workflow_of,
)
from core.status import is_final
from core.uploads import referred_in
from core.workflows.declaration import Workflow
from flows.pictures import resolved_with_files
from flows.prefect.pauses import PauseWatch
from flows.reconcile.dispatcher import Dispatcher
from flows.workflows import workflow_named, workflow_names
from store.changes import Subscription
from store.errors import ArtefactStoreError, ConflictError, FilesGoneError
from store.generations.acceptance import Accepted, IdempotencyKey
from store.generations.queries import HistoryPage, Place
from store.store import Store
from store.values import Artefact, Generation, HistoryFilter, Neighbours

RETRY_AFTER_S = 1
"""``Retry-After`` for clients that poll, in seconds."""
DISK_RETRY_AFTER_S = 30
"""``Retry-After`` while the disk is full, in seconds."""


@dataclass(frozen=True)
class KeptAnswer:
    """The answer to a create with an idempotency key: ``body`` is JSON, as stored.

    It is sent unchanged, whichever version stored it. ``replayed``: it was sent before.
    """

    task_id: UUID
    body: dict[str, Any]
    replayed: bool


@dataclass(eq=False)
class Busy:
    """Counts the creates in progress: the dispatcher yields to them."""

    creates: int = 0

    def __call__(self) -> bool:
        """Returns whether there are any."""
        return self.creates > 0


class Facade:
    """The generations as clients see them. Raises ProblemError and the store's errors."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        pauses: PauseWatch,
        catalogue: CatalogueCache,
        links: Links,
        disk: DiskReserve,
        default_model: str | None,
        allowed: AllowedAddresses,
        nodes: NodesCache,
        models: ModelsCache,
        wildcards: Path,
        comfy: ComfyClient,
        file_bytes_max: int,
    ) -> None:
        self.store = store
        self.links = links
        self.disk = disk
        self.storage = StorageWatch(store.files)
        self.catalogue = catalogue
        self.nodes = nodes
        self.models = models
        figures = Figures(store)
        self.estimates = Estimates(figures, dispatcher, pauses)
        self._glance = Estimates(figures, dispatcher, pauses, usable_s=GLANCE_S)
        self.renderings = Renderings(
            store, links, comfy, self.estimates.live_workers, file_bytes_max
        )
        self._dispatcher = dispatcher
        self.configured_model = default_model
        self._allowed = allowed
        self._wildcards = wildcards

    @property
    def default_model(self) -> str | None:
        """The model of requests from a text that name none."""
        return default_model(self.known)

    def default_model_of(self, workflow: Workflow) -> str | None:
        """The model of such a request: the first that can do what the workflow is for."""
        asked = {one.name: True for one in workflow.inputs if one.required}
        return default_model(self.known, Wanted.of(asked))

    # --- create

    async def read_request(self, fields: Mapping[str, Any]) -> GenerationRequest:
        """Returns what a client asks for, checked against its workflow. Raises ProblemError 422."""
        return (await self._checked(fields))[0]

    async def _checked(self, fields: Mapping[str, Any]) -> tuple[GenerationRequest, Workflow]:
        name = workflow_of(fields)
        workflow = None if name is None else await self.workflow(name)
        names = [] if workflow is not None else await workflow_names(self.store)
        try:
            request = read_request_of(GenerationRequest, fields, workflow, names)
            assert workflow is not None  # a request without one is refused
            return request, workflow
        except ValidationError as error:
            known = [*ENVELOPE, *(workflow.by_name if workflow is not None else ())]
            found = field_problems(error, fields, known)
            detail = summary(found, error.error_count())
            raise ProblemError("invalid_request", detail, errors=found) from error

    @property
    def default_workflow(self) -> Workflow:
        """The workflow of requests that name none."""
        return BUILT_IN[DEFAULT_WORKFLOW]

    async def workflow(self, name: str) -> Workflow | None:
        """Returns the workflow that new requests get by this name, None if there is none."""
        return await workflow_named(self.store, name)

    async def create(self, request: GenerationRequest) -> StatusDocument:
        """Accept a request: it is committed when this returns, and starts by itself."""
        return await self.create_of(request.model_dump(exclude_unset=True))

    async def create_of(self, fields: Mapping[str, Any]) -> StatusDocument:
        """The same for a client's JSON object. Raises ProblemError 422."""
        return await self._first_document(await self._accept(fields))

    async def create_once(self, fields: Mapping[str, Any], key: str, body: bytes) -> KeptAnswer:
        """Accept a client's JSON object, once for a key: later ones get the answer of the first.

        Raises ProblemError 422, IdempotencyMismatchError, DeletedError.
        """
        idempotency = IdempotencyKey(key, hashlib.sha256(body).hexdigest())
        # Before every check that may refuse: an accepted create stays accepted, also when its
        # workflow has changed since.
        accepted = await self.store.acceptance.replay(idempotency)
        if accepted is None:
            accepted = await self._accept(fields, idempotency)
        answer = accepted.answer
        if answer is None:  # none that this version can read: how it goes is the next best
            answer = (await self.document(accepted.generation)).model_dump(mode="json")
        return KeptAnswer(accepted.generation.id, answer, accepted.replayed)

    async def _accept(
        self, fields: Mapping[str, Any], key: IdempotencyKey | None = None
    ) -> Accepted:
        request, workflow = await self._checked(fields)
        await self.check_room()
        callback = request.wanted_callback
        await self._check_callback(callback)
        await self._check_files(request.inputs, workflow)
        resolved = await self._resolve(request, workflow)
        await self._check_files(resolved.inputs, workflow)
        try:
            accepted = await self.store.acceptance.accept(
                resolved, key, self._first_answer, callback=callback
            )
        except FilesGoneError:  # expired since they were looked at
            await self._check_files(resolved.inputs, workflow)
            raise
        return accepted

    async def _check_files(self, inputs: Mapping[str, Any], workflow: Workflow) -> None:
        """Raises ProblemError 422 for a reference to a file that is not there."""
        found = await self.store.uploads.problems(referred_in(workflow.inputs, inputs))
        if found:
            raise ProblemError("invalid_request", summary(found, len(found)), errors=found)

    async def check_room(self) -> None:
        """Raises ProblemError 503 when the disk is nearly full."""
        room = await self.disk.room()
        if room is not None and not room.is_enough:
            raise ProblemError(
                "disk_full", f"{room}", headers={"Retry-After": str(DISK_RETRY_AFTER_S)}
            )

    async def callback_rules(self) -> CallbackRules:
        """Returns what callbacks must fulfil now. Reads the names of the stored ones."""
        return CallbackRules(self._allowed, await self.store.callbacks.names())

    async def callback_names(self) -> list[str]:
        """Returns the names of the stored callbacks, in order."""
        return sorted(await self.store.callbacks.names())

    async def _check_callback(self, callback: Callback | None) -> None:
        """Raises ProblemError 422. Only a callback by its name costs a query."""
        if callback is None:
            return
        by_name = callback.name is not None
        rules = await self.callback_rules() if by_name else CallbackRules(self._allowed)
        found = rules.problem(callback)
        if found is not None:
            raise ProblemError("invalid_request", str(found), errors=[found])

    async def _resolve(self, request: GenerationRequest, workflow: Workflow) -> ResolvedRequest:
        """Returns the request with all defaults. Unknown names make it ask ComfyUI once more."""
        try:
            return await self._resolved(request, workflow)
        except UnresolvableError as error:
            catalogue = await self.catalogue.refreshed()
            await self.models.take_over()
            if workflow.graph is not None or "missing_nodes" in {
                one.code for one in error.problems
            }:
                await self.nodes.refreshed()
        try:
            return await self._resolved(request, workflow)
        except UnresolvableError as error:
            raise _unresolvable(error, catalogue) from error

    async def _resolved(self, request: GenerationRequest, workflow: Workflow) -> ResolvedRequest:
        return await resolved_with_files(self.store, request, workflow, self.known, self._wildcards)

    @property
    def known(self) -> Known:
        """What requests are resolved by now: what all ComfyUIs in use have."""
        return Known(
            catalogue=self.catalogue.current,
            judge=self.nodes.judge,
            models=self.models.current,
            default_model=self.configured_model,
        )

    def _first_answer(self, generation: Generation, ahead: int) -> dict[str, Any]:
        document = StatusDocument.model_construct(
            **status_fields(generation, self.links, ahead=ahead, eta_s=None, waiting=None)
        )
        return document.model_dump(mode="json")

    async def _first_document(self, accepted: Accepted) -> StatusDocument:
        generation = accepted.generation
        return StatusDocument.model_construct(
            **status_fields(
                generation,
                self.links,
                ahead=accepted.ahead,
                eta_s=await self._glance.after_running(accepted.cost_ahead + generation.cost),
                waiting=await self._glance.why_queued(generation),
            )
        )

    # --- read

    async def status(self, generation_id: UUID) -> StatusDocument:
        """Returns the generation as it is now."""
        return await self.document(await self.store.generations.get(generation_id))

    async def document(self, generation: Generation) -> StatusDocument:
        """Returns the status document of a generation that is already loaded."""
        is_queued = generation.status == "queued"
        place = await self.store.generations.place(generation) if is_queued else None
        return StatusDocument.model_construct(**await self._fields(generation, place))

    async def statuses(self, ids: Collection[UUID]) -> dict[UUID, StatusDocument]:
        """Returns those of these generations that exist as they are now, by id."""
        return await self.documents(await self.store.generations.of_ids(ids))

    async def documents(self, of: Collection[Generation]) -> dict[UUID, StatusDocument]:
        """Returns the status documents of generations that are already loaded, by id."""
        places = await self._places(of)
        return {
            one.id: StatusDocument.model_construct(**await self._fields(one, places.get(one.id)))
            for one in of
        }

    async def _places(self, of: Collection[Generation]) -> dict[UUID, Place]:
        """Returns the places of those that are queued; one that was just taken is first."""
        queued = [one.id for one in of if one.status == "queued"]
        return dict.fromkeys(queued, Place(0, 0.0)) | await self.store.generations.places(queued)

    async def _fields(self, generation: Generation, place: Place | None) -> dict[str, Any]:
        ahead, eta_s, waiting = None, None, generation.waiting
        if place is not None:
            ahead = place.ahead
            eta_s = await self.estimates.after_running(place.cost_ahead + generation.cost)
            waiting = waiting or await self.estimates.why_queued(generation)
        elif generation.status == "running":
            eta_s = await self.estimates.remaining(generation)
        return status_fields(generation, self.links, ahead=ahead, eta_s=eta_s, waiting=waiting)

    async def generation(self, generation_id: UUID) -> Generation:
        """Returns the generation as stored. Raises NotFoundError, DeletedError."""
        return await self.store.generations.get(generation_id)

    async def page(self, wanted: HistoryFilter, limit: int, cursor: str | None) -> HistoryPage:
        """Returns a page of history without documents, which would need each queue position."""
        return await self.store.generations.history(wanted, limit, cursor)

    async def artefacts_of(self, ids: list[UUID]) -> dict[UUID, tuple[Artefact, ...]]:
        """Returns what is kept of several generations."""
        return await self.store.generations.artefacts_of(ids)

    async def kept_of_rendered(self, generation: Generation, number: int) -> Artefact | None:
        """Returns what has become of an output that was announced as rendered, once it is kept."""
        rendered = rendered_of(generation, number)
        if generation.status != "succeeded" or rendered is None or rendered.position is None:
            return None
        kept = await self.store.generations.artefacts(generation.id)
        return next((one for one in kept if one.position == rendered.position), None)

    async def neighbours(
        self, generation_id: UUID, hidden: tuple[UUID, ...], wanted: HistoryFilter
    ) -> Neighbours:
        """Returns the wanted generations before and after this one, except ``hidden``."""
        return await self.store.generations.neighbours(generation_id, hidden, wanted)

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """Subscribe to all changes of generations from now on."""
        return self.store.changes.subscribe()

    async def result(self, generation_id: UUID) -> ResultDocument:
        """Returns the outputs. ProblemError 409 unless it succeeded, 410 if they have expired."""
        generation = await self.store.generations.get(generation_id)
        if not is_final(generation.status):
            raise ProblemError(
                "not_ready",
                f"the generation is {generation.status}; ask again when it has ended",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        if generation.status == "cancelled":
            raise ProblemError(
                "generation_cancelled", "the generation was cancelled; retry it to get its outputs"
            )
        if generation.status == "failed":
            raise _failed(generation)
        kept = await self.store.generations.artefacts(generation_id)
        if not kept:  # expired, at the latest since it was read
            raise _expired(await self.store.generations.get(generation_id))
        assert generation.request is not None  # only deleted ones have none
        return ResultDocument.model_construct(
            task_id=generation.id,
            **kept_fields(kept, self.links),
            request=generation.request,
            timings=timings(generation),
        )

    async def images(self, generation_id: UUID) -> list[ImageDocument]:
        """Returns the stored pictures."""
        kept = await self.store.generations.artefacts(generation_id)
        return [found for each in kept if (found := image_document(each, self.links))]

    async def outputs(self, generation_id: UUID) -> list[OutputDocument]:
        """Returns the kept outputs of every kind."""
        kept = await self.store.generations.artefacts(generation_id)
        return [output_document(each, self.links) for each in kept]

    async def history(
        self, wanted: HistoryFilter, limit: int, cursor: str | None
    ) -> HistoryDocument:
        """Returns a page, newest first."""
        page = await self.store.generations.history(wanted, limit, cursor)
        kept = await self.store.generations.artefacts_of([item.id for item in page.items])
        places = await self._places(page.items)
        items = [
            HistoryItem.model_construct(
                **await self._fields(generation, places.get(generation.id)),
                **kept_fields(kept[generation.id], self.links),
            )
            for generation in page.items
        ]
        return HistoryDocument.model_construct(
            items=items, next_cursor=page.next_cursor, previous_cursor=page.previous_cursor
        )

    async def item_at(self, generation_id: UUID, snapshot: Mapping[str, Any]) -> HistoryItem:
        """Returns a generation as it was at an event, with the outputs of one that succeeded.

        Its place in the queue and the time to go are left out: they change with others.
        """
        then = (await self.store.generations.get(generation_id)).as_at(snapshot)
        succeeded = then.status == "succeeded"
        kept = await self.store.generations.artefacts(generation_id) if succeeded else ()
        return HistoryItem.model_construct(
            **status_fields(then, self.links, ahead=None, eta_s=None, waiting=None),
            **kept_fields(kept, self.links),
        )

    async def attempts(self, generation_id: UUID) -> AttemptsDocument:
        """Returns all attempts."""
        await self.store.generations.get(generation_id)
        tries = await self.store.generations.attempts(generation_id)
        return AttemptsDocument.model_construct(
            attempts=[attempt_document(attempt, self.links) for attempt in tries]
        )

    async def wait(self, generation_id: UUID, seconds: float) -> StatusDocument:
        """Returns the status document when the generation has ended, or after ``seconds``."""
        with self.store.changes.subscribe(generation_id) as subscription:
            generation = await self.store.generations.get(generation_id)
            if is_final(generation.status):
                return await self.document(generation)
            try:
                async with asyncio.timeout(seconds):
                    async for changed in subscription.changes():
                        if is_final(changed.status):
                            return await self.document(changed)
            except TimeoutError:
                pass
        return await self.status(generation_id)

    # --- change

    async def cancel(self, generation_id: UUID) -> StatusDocument:
        """Request a cancel. ProblemError 409 when it has ended."""
        try:
            generation = await self.store.transitions.request_cancel(generation_id)
        except ConflictError as error:
            detail = f"{error}; only one that has not ended can be cancelled"
            raise ProblemError("already_ended", detail) from error
        self._dispatcher.wake()
        return await self.document(generation)

    async def retry(self, generation_id: UUID) -> StatusDocument:
        """Start a new attempt. ProblemError 409 unless it failed or was cancelled."""
        try:
            generation = await self.store.transitions.retry(generation_id)
        except ConflictError as error:
            detail = f"{error}; only one that failed or was cancelled can be retried"
            raise ProblemError("not_retryable", detail) from error
        self._dispatcher.wake()
        return await self.document(generation)

    async def delete(self, generation_id: UUID) -> None:
        """Cancel it if it still runs, and remove it with its artefacts, for good."""
        await self.store.transitions.delete(generation_id)
        self._dispatcher.wake()
        try:  # a repeat after a crash removes what was left
            await self.store.files.remove_generation(generation_id)
        except ArtefactStoreError as error:
            raise ProblemError("not_available", str(error), headers={"Retry-After": "5"}) from error


# Async on purpose: FastAPI runs plain functions in a thread, which costs more than the call.
async def _facade(request: Request) -> Facade:
    return opened(request, Facade)


FacadeOf = Annotated[Facade, Depends(_facade)]


def no_model_known() -> ProblemError:
    """Returns the problem of requests that name no model while ComfyUI's are unknown."""
    return ProblemError(
        "no_catalogue",
        "ComfyUI has not been reached yet, so no model is known. "
        "Name one with `model`, or start ComfyUI.",
        headers={"Retry-After": "5"},
    )


def _unresolvable(error: UnresolvableError, catalogue: Catalogue | None) -> ProblemError:
    problems = list(error.problems)
    for one in problems:
        if one.code == "no_model" and catalogue is None:
            return no_model_known()
        if one.code == "paid_nodes":
            return ProblemError("paid_nodes", one.message, errors=problems)
    return ProblemError("invalid_request", str(problems[0]), errors=problems)


def _expired(generation: Generation) -> ProblemError:
    at, ended = generation.expired_at, generation.finished_at
    when = f" on {at:%Y-%m-%d at %H:%M} UTC" if at else ""
    age = (
        f", {(at - ended).total_seconds() / 86_400:.1f} days after its end" if at and ended else ""
    )
    return ProblemError(
        "pictures_expired",
        f"the artefacts were removed{when}{age} (EASEL_RETENTION__PICTURES_DAYS)",
    )


def _failed(generation: Generation) -> ProblemError:
    error = generation.error
    if error is None:
        return ProblemError("generation_failed", "the generation failed; retry it")
    return ProblemError(
        "generation_failed",
        error.detail,
        node_id=error.node_id,
        node_class=error.node_class,
        node_message=error.node_message,
    )
