"""The documents of batches that clients read."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from api.documents import Document, NextCursor, PreviousCursor
from api.generations.documents import (
    CallbackDocument,
    ImageDocument,
    OutputDocument,
    RequestDocument,
    StatusDocument,
    WaitingDocument,
    WarningDocument,
)
from core.batches.grid import Grid
from core.batches.request import BatchOptions
from core.problems import FieldProblem, Problem
from core.requests import ResolvedRequest
from core.status import BatchStatus
from core.stored import Unreadable


class CountsDocument(Document):
    """How its generations stand."""

    waiting: int = Field(description="Not started: they become generations in their turn.")
    queued: int
    running: int
    cancelling: int
    succeeded: int
    failed: int
    cancelled: int
    deleted: int


class BatchUrls(Document):
    """Where to go from here."""

    self: str
    items: str
    cancel: str
    pause: str
    resume: str
    retry_failed: str
    results: str = Field(description="All images in one ZIP, with the request of each.")
    contact_sheet: str = Field(
        description="Images as one JPEG. Of a batch with a grid, its first row in labelled tables; "
        "`?sheet=2` is the next row."
    )
    flow_run: str | None = Field(description="The run's page in the Prefect UI.")


class BatchDocument(Document):
    """A batch as it is now."""

    batch_id: UUID
    name: str
    status: BatchStatus = Field(
        description="`succeeded`: everything succeeded. `failed`: it ended, and something did not."
    )
    total: int
    counts: CountsDocument
    percent: float = Field(description="Share of the generations that have ended, 0 … 100.")
    rate_per_minute: float | None = Field(description="Measured over the newest ones.")
    eta_s: float | None = Field(description="Seconds to go, from measured times.")
    gpu_seconds: float = Field(description="What ComfyUI has spent on it so far.")
    seed: int = Field(description="The same manifest with this seed gives the same images.")
    options: BatchOptions | SkipJsonSchema[Unreadable]
    grid: Grid | None = Field(
        description="What each row of the manifest was combined with. Null without a grid, for one "
        "of more than 64 KB, and for batches of versions that did not keep it."
    )
    schedule: str | None = Field(description="The schedule that began it.")
    callback: CallbackDocument | None = Field(
        default=None, description="The batch's callback; its items may have others. Null without."
    )
    waiting: WaitingDocument | None = Field(
        description="Why it does not go on: `paused`, `paused_in_prefect`, `outside_window`, "
        "`waiting_for_worker`, `waiting_for_comfyui`, `waiting_for_prefect`."
    )
    error: Problem | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    urls: BatchUrls


class BatchesDocument(Document):
    """A page of batches, newest first."""

    items: list[BatchDocument]
    next_cursor: NextCursor
    previous_cursor: PreviousCursor


class RowProblemDocument(Document):
    """A row that cannot be made."""

    row: int
    column: str | None
    code: str
    message: str

    @classmethod
    def of(cls, found: FieldProblem) -> RowProblemDocument:
        """From what reading the manifest found."""
        return cls(row=found.row, column=found.column, code=found.code, message=found.message)


class AcceptedBatchDocument(BatchDocument):
    """The answer to a create: the batch, and the rows that were left out of it."""

    skipped: list[RowProblemDocument | SkipJsonSchema[dict[str, Any]]] = Field(default=[])


class RowWarningDocument(WarningDocument):
    """What generations of a batch get in another way than they asked for."""

    row: int = Field(description="The first row that it is about.")
    count: int = Field(description="How many generations it is about.")


class PlanDocument(Document):
    """What a batch would make; nothing was created."""

    total: int
    seed: int = Field(description="Send it with the batch to get just these prompts and seeds.")
    models: dict[str, int] = Field(description="How many with each checkpoint.")
    estimated_s: float | None = Field(description="From measured times; null before there are any.")
    samples: list[ResolvedRequest] = Field(
        description="The first ones, with all defaults filled in."
    )
    skipped: list[RowProblemDocument]
    warnings: list[RowWarningDocument] = Field(
        description="What differs from what was asked for, each once; a hundred at most."
    )


class BatchItemDocument(Document):
    """An item of a batch; ``generation`` is null until it is begun."""

    position: int = Field(description="From 0, in the manifest's order.")
    row: int = Field(description="Where it stands in the manifest.")
    combination: dict[str, Any] | None = Field(
        description="What the grid gave it: a value of each axis. Null without a grid."
    )
    task_id: UUID = Field(description="Its generation's id, known from the beginning.")
    request: RequestDocument | None = Field(description="Null when the generation was deleted.")
    generation: StatusDocument | None
    outputs: list[OutputDocument] = Field(description="Of every kind, in their order.")
    images: list[ImageDocument] = Field(description="The outputs of kind `image`.")


class BatchItemsDocument(Document):
    """A page of items, in the manifest's order."""

    items: list[BatchItemDocument]
    next_cursor: NextCursor
    previous_cursor: PreviousCursor
