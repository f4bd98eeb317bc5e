"""What operators see of a batch on its run's page in the Prefect UI."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_table_artifact,
)

from flows.artifacts import ArtifactUpdates
from flows.prefect.runs import batch_tag
from flows.retries import patiently
from flows.runtime import Runtime
from store.values import Batch, BatchItem

FAILURES_SHOWN: Final = 200


async def show_batch(batch: Batch, api_url: str) -> None:
    """What the batch is, and where to look at it."""
    options = batch.options.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    rows = [{"setting": name, "value": str(value)} for name, value in options.items()]
    rows.append({"setting": "generations", "value": str(batch.total)})
    rows.append({"setting": "seed", "value": str(batch.seed)})
    rows.append({"setting": "batch", "value": str(batch.id)})
    rows.append({"setting": "its runs have the tag", "value": batch_tag(batch.id)})
    await acreate_table_artifact(rows, description=f"Batch {batch.name}")
    await acreate_link_artifact(
        f"{api_url}/b/{quote(str(batch.id))}", link_text="The batch in Easel", description="Page"
    )


async def show_end(updates: ArtifactUpdates, runtime: Runtime, batch: Batch) -> None:
    """The failures with their reasons, and the contact sheet."""
    failures = await patiently(
        runtime.store.batches.items, batch.id, FAILURES_SHOWN, None, ("failed", "cancelled")
    )
    if failures.items:
        updates.start(_show_failures(failures.items))
    if await patiently(runtime.store.batches.artefacts, batch.id, 1):
        sheet = f"{runtime.api_url}/api/v1/batches/{batch.id}/contact-sheet"
        updates.start(acreate_image_artifact(sheet, description=f"Contact sheet of {batch.name}"))


async def _show_failures(items: tuple[BatchItem, ...]) -> None:
    """By id, not by prompt: a generation may be deleted while its batch's run is kept."""
    rows = [
        {
            "item": str(item.position + 1),
            "row": str(item.row),
            "outcome": item.generation.status,
            "reason": item.generation.error.detail if item.generation.error else "",
            "generation": str(item.generation.id),
        }
        for item in items
        if item.generation is not None
    ]
    await acreate_table_artifact(rows, description="What failed, and why")
