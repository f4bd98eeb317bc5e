"""Workflows by name: the built-in ones of the code, and the imported ones of the store."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import ValidationError

from comfy import BUILT_IN
from comfy.workflows import missing_value
from core.problems import unreadable
from core.requests import DEFAULT_WORKFLOW, ResolvedRequest, checked_inputs
from core.stored import Unreadable, reason_of
from core.workflows.declaration import NAME_PATTERN, Workflow
from store.errors import NotFoundError, UnreadableRequestError
from store.store import Store


async def workflow_named(store: Store, name: str, *, hidden: bool = False) -> Workflow | None:
    """Returns the workflow that new requests get by this name, None if there is none.

    A user's own that had its name before Easel brought one goes first. ``hidden``: also one that
    was removed, for what was set up before; a built-in one goes first then.
    """
    if name == DEFAULT_WORKFLOW or re.fullmatch(NAME_PATTERN, name) is None:
        return BUILT_IN.get(name)
    try:
        found = await store.workflows.get(name, hidden=hidden)
    except NotFoundError:
        return BUILT_IN.get(name)
    known = BUILT_IN.get(name) if found.hidden_at is not None else None
    return known or found.workflow


async def workflow_of(store: Store, request: ResolvedRequest) -> Workflow:
    """Returns the workflow of an accepted request, as it was then.

    A built-in one is that of this version of Easel. Raises UnreadableRequestError for a workflow
    or values that only another version knows: nothing else than what was asked for is rendered.
    """
    known = BUILT_IN.get(request.workflow)
    if known is None or _may_be_stored(request):
        try:
            return await store.workflows.version(request.workflow, request.plan.version)
        except NotFoundError as error:
            if known is None:
                raise _unreadable(request, f"workflow: {error}") from error
    try:
        checked_inputs(known, request.inputs)
    except ValidationError as error:
        raise _unreadable(request, reason_of(error)) from error
    missing = missing_value(known, request.inputs)
    if missing is not None:
        raise _unreadable(request, f"{missing}: is missing")
    return known


def _may_be_stored(request: ResolvedRequest) -> bool:
    """Whether a request that has a built-in workflow's name may be of a user's own.

    A request of a built-in one has a recipe; an earlier version's has none, and is of the first.
    """
    return request.workflow != DEFAULT_WORKFLOW and not request.plan.recipe


def _unreadable(request: ResolvedRequest, reason: str) -> UnreadableRequestError:
    found = Unreadable(stored=request.model_dump(mode="json"), reason=reason)
    return UnreadableRequestError(unreadable("this request", found).detail)


async def offered_workflows(store: Store) -> list[Workflow]:
    """Returns all that are offered, the built-in ones first."""
    stored = [one.workflow for one in await store.workflows.all()]
    return [*built_in_but(one.name for one in stored), *stored]


async def workflow_names(store: Store) -> list[str]:
    """Returns the names of all that are offered, the built-in ones first."""
    stored = await store.workflows.names()
    return [*(one.name for one in built_in_but(stored)), *stored]


def built_in_but(names: Iterable[str]) -> list[Workflow]:
    """Returns the built-in workflows but those whose names a user's own have."""
    taken = frozenset(names) - {DEFAULT_WORKFLOW}
    return [one for one in BUILT_IN.values() if one.name not in taken]
