"""Batches brought somewhere, as their flow runs would."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from api.batches.facade import Manifest
from api.context import Context
from comfy.errors import OutOfMemoryComfyError
from core.batches.request import BatchRequest
from flows.testing import InProcessWorker
from store.store import Store

OUT_OF_MEMORY: Final = OutOfMemoryComfyError(
    "5", "KSampler", "The GPU ran out of memory.", "torch.OutOfMemoryError"
)


async def begun(context: Context, release: int = 0, **request: Any) -> UUID:
    """A batch that is under way, with so many of its items released."""
    asked = {"name": "foxes", "defaults": {"prompt": "a {red|silver} fox"}, "count": 3, **request}
    created = await context.batches.create(Manifest(BatchRequest.model_validate(asked)))
    batch_id = created.document.batch_id
    await InProcessWorker(context.facade.store).begin_batch(batch_id, release)
    return batch_id


async def succeed(store: Store, generation_id: UUID) -> None:
    await InProcessWorker(store).finish(generation_id)


async def fail(store: Store, generation_id: UUID) -> None:
    worker = InProcessWorker(store)
    await worker.fail(await worker.start(generation_id), OUT_OF_MEMORY)


async def ids(context: Context, batch_id: UUID) -> list[UUID]:
    """Its generations, in the manifest's order."""
    return [item.task_id for item in (await context.batches.items(batch_id, 100, None)).items]
