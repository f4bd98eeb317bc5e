"""Workflows by name: the built-in ones of the code, and the imported ones of the store."""

from __future__ import annotations

import re

from pydantic import ValidationError

from comfy import BUILT_IN
from comfy.workflows import missing_value
from core.problems import unreadable
from core.requests import ResolvedRequest, checked_inputs
from core.stored import Unreadable, reason_of
from core.workflows.declaration import NAME_PATTERN, Workflow
from store.errors import NotFoundError, UnreadableRequestError
from store.store import Store


async def workflow_named(store: Store, name: str, *, hidden: bool = False) -> Workflow | None:
    """Returns the workflow that new requests get by this name, None if there is none.

    ``hidden``: also one that was removed, for what was set up before.
    """
    known = BUILT_IN.get(name)
    if known is not None or re.fullmatch(NAME_PATTERN, name) is None:
        return known
    try:
        return (await store.workflows.get(name, hidden=hidden)).workflow
    except NotFoundError:
        return None


async def workflow_of(store: Store, request: ResolvedRequest) -> Workflow:
    """Returns the workflow of an accepted request, as it was then.

    A built-in one is that of this version of Easel. Raises UnreadableRequestError for a workflow
    or values that only another version knows: nothing else than what was asked for is rendered.
    """
    known = BUILT_IN.get(request.workflow)
    try:
        if known is None:
            return await store.workflows.version(request.workflow, request.plan.version)
        checked_inputs(known, request.inputs)
    except NotFoundError as error:
        raise _unreadable(request, f"workflow: {error}") from error
    except ValidationError as error:
        raise _unreadable(request, reason_of(error)) from error
    missing = missing_value(known, request.inputs)
    if missing is not None:
        raise _unreadable(request, f"{missing}: is missing")
    return known


def _unreadable(request: ResolvedRequest, reason: str) -> UnreadableRequestError:
    found = Unreadable(stored=request.model_dump(mode="json"), reason=reason)
    return UnreadableRequestError(unreadable("this request", found).detail)


async def workflow_names(store: Store) -> list[str]:
    """Returns the names of all that are offered, the built-in ones first."""
    return [*BUILT_IN, *await store.workflows.names()]
