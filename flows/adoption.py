"""A run that was started from Prefect: resolved as a client's request is, and made a generation."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

import comfy
from comfy import Catalogue, ComfyClient
from comfy.workflows.known import Known
from core.callbacks.rules import CallbackRules
from core.invalid import problems_of
from core.problems import FieldProblem
from core.requests import FlowRequest, read_request_of
from core.uploads import referred_in
from core.workflows.declaration import Workflow
from flows.errors import CallbackRefusedError
from flows.models import kept_models
from flows.nodes import kept_judge
from flows.pictures import resolved_with_files
from flows.prefect.runs import workflow_of_tags
from flows.retries import patiently
from flows.workflows import workflow_named, workflow_names
from store.errors import FilesGoneError, NotFoundError
from store.generations import acceptance
from store.store import Store


async def adopt(
    store: Store,
    client: ComfyClient,
    request: FlowRequest,
    default_model: str | None,
    flow_run_id: UUID,
    *,
    paid_nodes: bool = False,
    wildcards: Path | None = None,
) -> UUID:
    """Make the row of a run that was started from Prefect. Returns its id, which is the run's.

    ``paid_nodes``: whether it may call paid services; ``wildcards``: the folder of lists. Raises
    CallbackRefusedError, ``comfy.UnresolvableError``: then there is no row.
    """
    callback = request.wanted_callback
    if callback is not None:
        refused = (await callback_rules(store)).problem(callback)
        if refused is not None and not await _is_kept(store, flow_run_id):
            raise CallbackRefusedError(refused)
    asked, workflow = await checked(store, request)
    known = await what_is_known(store, client, default_model, paid_nodes=paid_nodes)
    try:
        resolved = await resolved_with_files(store, asked, workflow, known, wildcards, patient=True)
    except comfy.UnresolvableError:
        if await _is_kept(store, flow_run_id):
            return flow_run_id
        raise
    referred = list(referred_in(workflow.inputs, resolved.inputs))
    missing = await patiently(store.uploads.problems, referred)
    if missing and not await _is_kept(store, flow_run_id):
        raise comfy.UnresolvableError(tuple(missing))
    adopting = partial(acceptance.adopt, store.database, flow_run_id, resolved)
    try:
        await patiently(adopting, flow_run_id, callback)
    except FilesGoneError as error:  # expired since they were looked at
        missing = await patiently(store.uploads.problems, referred)
        raise comfy.UnresolvableError(tuple(missing)) from error
    return flow_run_id


def of_its_deployment(request: FlowRequest, tags: Collection[str]) -> FlowRequest:
    """Returns the request of a run that was started by hand, for its deployment's workflow."""
    name = workflow_of_tags(tags)
    if name is None or "workflow" in request.model_fields_set:
        return request
    return request.model_copy(update={"workflow": name})


async def what_is_known(
    store: Store, client: ComfyClient, default_model: str | None, *, paid_nodes: bool
) -> Known:
    """Returns what requests are resolved by: what the ComfyUIs of all registered workers have.

    What is not kept of this worker's own one, it is asked. Raises TransientComfyError,
    StoreUnavailableError.
    """
    own, registered = client.base_url, await store.registry.comfy_urls()
    urls = (own, *sorted(registered - {own}))
    kept = [Catalogue.from_json(await store.registry.catalogue(url)) for url in urls]
    known = [kept[0] or await client.catalogue(), *filter(None, kept[1:])]
    return Known(
        catalogue=Catalogue.union(known),
        judge=await kept_judge(store, *urls, paid_nodes=paid_nodes),
        models=await kept_models(store, *urls),
        default_model=default_model,
    )


async def checked(store: Store, request: FlowRequest) -> tuple[FlowRequest, Workflow]:
    """Returns the request with its inputs checked, and its workflow.

    Raises ``comfy.UnresolvableError``.
    """
    workflow = await patiently(partial(workflow_named, hidden=True), store, request.workflow)
    names = [] if workflow is not None else await patiently(workflow_names, store)
    try:
        asked = read_request_of(FlowRequest, request.model_dump(), workflow, names)
    except ValidationError as error:
        found = tuple(FieldProblem(*problem) for problem in problems_of(error))
        raise comfy.UnresolvableError(found) from error
    assert workflow is not None  # an unknown one is refused
    return asked, workflow


async def callback_rules(store: Store) -> CallbackRules:
    """Returns what the callbacks of a run that was started from Prefect must fulfil.

    They can only be named; where a stored one leads is looked at when it is sent.
    """
    return CallbackRules(names=await patiently(store.callbacks.names))


async def _is_kept(store: Store, generation_id: UUID) -> bool:
    """Returns whether the row is there: a run may be taken again, long after it was adopted."""
    try:
        await patiently(store.generations.get, generation_id)
    except NotFoundError:
        return False
    return True
