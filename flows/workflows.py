"""Workflows by name: the built-in ones of the code, and the imported ones of the store."""

from __future__ import annotations

from comfy import BUILT_IN
from core.requests import ResolvedRequest
from core.workflows.declaration import Workflow
from store.errors import NotFoundError
from store.store import Store


async def workflow_named(store: Store, name: str, *, hidden: bool = False) -> Workflow | None:
    """Returns the workflow that new requests get by this name, None if there is none.

    ``hidden``: also one that was removed, for what was set up before.
    """
    known = BUILT_IN.get(name)
    if known is not None:
        return known
    try:
        return (await store.workflows.get(name, hidden=hidden)).workflow
    except NotFoundError:
        return None


async def workflow_of(store: Store, request: ResolvedRequest) -> Workflow:
    """Returns the workflow of an accepted request, as it was then. Raises NotFoundError.

    A built-in one is that of this version of Easel.
    """
    known = BUILT_IN.get(request.workflow)
    return known or await store.workflows.version(request.workflow, request.plan.version)


async def workflow_names(store: Store) -> list[str]:
    """Returns the names of all that are offered, the built-in ones first."""
    return [*BUILT_IN, *await store.workflows.names()]
