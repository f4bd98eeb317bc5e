"""The store that a work pool belongs to, kept as a Prefect variable.

Two stores on one pool would take each other's runs. A variable outlives redeploys and what is
edited in Prefect's UI; its name has the pool's id, so it says nothing of another pool of that name.
Prefect creates a variable of one name once, which decides between two stores that start together.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.errors import OtherStoreError

_STORE: Final = "store"


def variable_name(pool_id: UUID) -> str:
    """Returns the name of the variable that says whose the pool is."""
    return f"easel_pool_{pool_id.hex}"


async def is_owner(client: PrefectClient, pool_id: UUID, store: UUID) -> bool:
    """Returns whether the pool of that id belongs to ``store``; False also if Prefect lost it.

    One request, where ``claim_pool`` has to ask for the pool's id first.
    """
    variable = await client.read_variable_by_name(variable_name(pool_id))
    return variable is not None and _store_in(variable.value) == store


async def claim_pool(
    client: PrefectClient, pool: str, store: UUID, *, take_over_from: UUID | None = None
) -> UUID | None:
    """Make sure that the pool belongs to ``store``: a pool of no store is claimed.

    Taken from ``take_over_from`` if it belongs to that one. Returns the pool's id; None, having
    done nothing, while there is no such pool. Raises OtherStoreError.
    """
    try:
        pool_id = (await client.read_work_pool(pool)).id
    except ObjectNotFound:
        return None
    name = variable_name(pool_id)
    value = {_STORE: str(store), "pool": pool}
    variable = await client.read_variable_by_name(name)
    if variable is None:
        try:
            await client.create_variable(VariableCreate(name=name, value=value, tags=["easel"]))
        except ObjectAlreadyExists:  # another process was quicker
            variable = await client.read_variable_by_name(name)
    owner = _store_in(variable.value) if variable is not None else store
    if owner is None or (owner == take_over_from and owner != store):
        await client.update_variable(VariableUpdate(name=name, value=value))
    elif owner != store:
        raise OtherStoreError(pool, owner, store)
    return pool_id


def _store_in(value: Any) -> UUID | None:
    """Returns the store that a variable names; None if it was edited into something else."""
    try:
        return UUID(value[_STORE])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
