"""Batches brought somewhere, as their flow runs would."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from api.batches.facade import Manifest
from api.context import Context
from core.batches.request import BatchRequest
from store.store import Store
from tests.store.making import OUT_OF_MEMORY, a_picture, running


async def begun(context: Context, release: int = 0, **request: Any) -> UUID:
    """A batch that is under way, with so many of its items released."""
    asked = {"name": "foxes", "defaults": {"prompt": "a {red|silver} fox"}, "count": 3, **request}
    created = await context.batches.create(Manifest(BatchRequest.model_validate(asked)))
    batch_id = created.document.batch_id
    transitions = context.facade.store.batch_transitions
    await transitions.start(
        batch_id, flow_run_id=uuid4(), deployment_id=None, holder=uuid4(), window_ends_at=None
    )
    if release:
        await transitions.release(batch_id, release)
    return batch_id


async def succeed(store: Store, generation_id: UUID) -> None:
    claim = await running(store, generation_id)
    kept = await store.files.keep(generation_id, claim.attempt, 0, a_picture())
    await store.transitions.succeed(claim, [kept])


async def fail(store: Store, generation_id: UUID) -> None:
    await store.transitions.fail(await running(store, generation_id), OUT_OF_MEMORY)


async def ids(context: Context, batch_id: UUID) -> list[UUID]:
    """Its generations, in the manifest's order."""
    return [item.task_id for item in (await context.batches.items(batch_id, 100, None)).items]
