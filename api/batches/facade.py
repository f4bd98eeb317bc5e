"""What the API can do with batches, as functions: called by the routes and by the pages of web."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import ValidationError

from api.batches.contact_sheet import PER_SHEET, ContactSheet
from api.batches.documents import (
    AcceptedBatchDocument,
    BatchDocument,
    BatchesDocument,
    BatchItemDocument,
    BatchItemsDocument,
    BatchUrls,
    CountsDocument,
    PlanDocument,
    RowProblemDocument,
    RowWarningDocument,
)
from api.batches.grid_sheet import GridSheet
from api.batches.results_zip import results_zip
from api.batches.tables import CELLS_MAX, Table, tables
from api.body import PROBLEMS_SHOWN, parse, summary, validate
from api.errors import ProblemError
from api.generations.documents import (
    WaitingDocument,
    callback_document,
    kept_fields,
    warning_document,
)
from api.generations.facade import Facade, no_model_known
from comfy import Catalogue
from core.batches.columns import Columns
from core.batches.grid import Grid
from core.batches.lists import Lists, read_lists
from core.batches.manifest import Kind, name_of_file, read_manifest, shown_name
from core.batches.request import BatchRequest, FileOptions, FlowBatchRequest
from core.invalid import problems_of
from core.problems import FieldProblem
from core.requests import unknown_workflow
from core.status import BATCH_ACTIVE, Status
from core.workflows.declaration import Workflow
from flows.batches.acceptance import AcceptedBatch, Source, accept_batch, plan_batch
from flows.batches.notices import RowNotice
from flows.batches.rules import window_end
from flows.errors import BatchRefusedError, FlowsError
from flows.prefect.runs import BATCH_QUEUE, BULK_QUEUE, FlowRuns
from flows.reconcile.reconciler import Reconciler
from flows.workflows import workflow_names
from store.batches.figures import BatchFigures
from store.batches.queries import ItemPage
from store.batches.transitions import PAUSED, PAUSED_IN_PREFECT, SKIPPED_KEPT
from store.cursors import write_cursor
from store.errors import ConflictError
from store.generations.acceptance import IdempotencyKey
from store.values import Batch, BatchItem, Membership, Neighbours, Waiting

READ_AT_ONCE: Final = 2
"""Manifests read at the same time; others wait. Each takes a processor and up to 150 MB."""
_ALLOWED: Final = {
    "already_ended": "only one that has not ended can be changed",
    "not_retryable": "only one that failed or was cancelled can be retried",
}
_PAUSED: Final = Waiting(PAUSED, "The batch is paused. Resume it to continue.")


@dataclass(frozen=True)
class Manifest:
    """What a client sent: a request, and perhaps a file with its rows; or a request in a file."""

    request: FlowBatchRequest | None
    file: Path | None = None
    kind: Kind = "csv"
    skip_bad: bool = False
    file_name: str = ""
    """What the client calls the file, if it says so."""

    @classmethod
    def of_json(cls, file: Path, *, skip_bad: bool = False) -> Manifest:
        """Returns the manifest of a file that holds a request in JSON."""
        return cls(None, file, skip_bad=skip_bad)

    @classmethod
    def of_file(
        cls,
        options: FileOptions,
        file: Path,
        kind: Kind,
        *,
        skip_bad: bool = False,
        file_name: str = "",
    ) -> Manifest:
        """Returns the manifest of a file of rows, with its options."""
        return cls(BatchRequest.of_file(options), file, kind, skip_bad, file_name)

    @property
    def default_name(self) -> str:
        """Returns the name of a batch whose request names none: the file's, else the time."""
        return (
            shown_name(name_of_file(self.file_name))
            or f"batch of {datetime.now(UTC):%Y-%m-%d %H:%M}"
        )


@dataclass(frozen=True)
class NamedSheet:
    """A sheet of images, and the name of the file to save it in."""

    file_name: str
    sheet: ContactSheet | GridSheet


@dataclass(frozen=True)
class TablesPage:
    """Tables of some of the manifest's rows, their items, and each row's sheet as a URL."""

    tables: tuple[Table, ...]
    items: tuple[BatchItem, ...]
    sheets: Mapping[int, str]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True)
class CreatedBatch:
    """The answer to a create: the document, and whether it is a replay."""

    document: AcceptedBatchDocument
    replayed: bool


class BatchFacade:
    """The batches as clients see them. Raises ProblemError and the store's errors."""

    def __init__(
        self, facade: Facade, reconciler: Reconciler, runs: FlowRuns, wildcards: Path
    ) -> None:
        self._facade = facade
        self._reconciler = reconciler
        self._runs = runs
        self._wildcards = wildcards
        self._store = facade.store
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self.received_bytes = 0
        """Bytes of the manifests that clients are sending, or that lie on the disk to be read."""

    # --- create

    async def plan(self, manifest: Manifest) -> PlanDocument:
        """Returns what would be made, and how long it would take (a dry run)."""
        async with self._reading:
            source = await self._source(manifest)
            try:
                plan = await plan_batch(source, self._store)
            except BatchRefusedError as error:
                raise _refused(error, source.known.catalogue) from error
        return PlanDocument(
            total=plan.total,
            seed=plan.seed,
            models=dict(plan.models),
            estimated_s=await self._facade.estimates.seconds(plan.cost),
            samples=list(plan.samples),
            skipped=_skipped(plan.skipped),
            warnings=[_row_warning(one) for one in plan.notices],
        )

    async def create(
        self, manifest: Manifest, name: str | None = None, key: IdempotencyKey | None = None
    ) -> CreatedBatch:
        """Accept a batch: it is committed when this returns, and starts by itself."""
        if key is not None:
            known = await self._store.batches.of_key(key.key, key.body_sha256)
            if known is not None:
                skipped = await self._store.batches.skipped(known.id)
                return CreatedBatch(await self._accepted(known, skipped), replayed=True)
        await self._facade.check_room()
        async with self._reading:
            made = await self._accept(manifest, name, key)
        self._reconciler.wake()
        skipped_now = _skipped(made.skipped)
        return CreatedBatch(await self._accepted(made.batch, skipped_now), replayed=False)

    async def _accept(
        self, manifest: Manifest, name: str | None, key: IdempotencyKey | None
    ) -> AcceptedBatch:
        source = await self._source(manifest)
        name = shown_name(name or source.request.name) or manifest.default_name
        try:
            return await accept_batch(self._store, source, uuid4(), name, key=key)
        except BatchRefusedError as error:
            raise _refused(error, source.known.catalogue) from error
        except ConflictError as error:
            raise ProblemError(
                "idempotency_in_flight", str(error), headers={"Retry-After": "2"}
            ) from error

    async def _source(self, manifest: Manifest) -> Source:
        request, rows = manifest.request, None
        workflow = None
        if manifest.file is not None and request is None:
            # In a thread: many thousand rows take long enough to delay other requests.
            request = await asyncio.to_thread(_request_in, manifest.file)
        assert request is not None  # a manifest has a request or a file that holds one
        workflow = await self._workflow(request)
        if manifest.file is not None and manifest.request is not None:
            rows = read_manifest(manifest.file, manifest.kind, Columns(workflow))
        await self._facade.catalogue.refreshed()
        if workflow.graph is not None:
            await self._facade.nodes.refreshed()
        return Source(
            request=request,
            workflow=workflow,
            rows=rows,
            lists=await self.lists(),
            known=self._facade.known,
            skip_bad=manifest.skip_bad,
            rules=await self._facade.callback_rules(),
        )

    async def _workflow(self, request: FlowBatchRequest) -> Workflow:
        """Returns the workflow of a batch. Raises ProblemError for one that cannot be.

        Also for a field of its defaults or grid that the workflow does not have.
        """
        name = request.workflow_name
        workflow = await self._facade.workflow(name) if isinstance(name, str) else None
        try:
            if workflow is None:
                raise unknown_workflow(str(name), await workflow_names(self._store))
            request.check_names(Columns(workflow))
        except ValidationError as error:
            found = [FieldProblem(*problem) for problem in problems_of(error)][:PROBLEMS_SHOWN]
            detail = summary(found, error.error_count())
            raise ProblemError("invalid_request", detail, errors=found) from error
        return workflow

    async def _accepted(
        self, batch: Batch, skipped: Sequence[RowProblemDocument | dict[str, Any]]
    ) -> AcceptedBatchDocument:
        figures = await self._store.batches.figures([batch])
        return AcceptedBatchDocument.model_construct(
            **await self._fields(batch, figures[batch.id]), skipped=list(skipped)
        )

    # --- read

    async def status(self, batch_id: UUID) -> BatchDocument:
        """Returns the batch as it is now."""
        return await self.document(await self._store.batches.get(batch_id))

    async def document(self, batch: Batch) -> BatchDocument:
        """Returns the document of a batch that is already loaded."""
        [document] = await self._documents([batch])
        return document

    async def document_at(self, batch_id: UUID, snapshot: Mapping[str, Any]) -> BatchDocument:
        """Returns a batch as it was at an event, with the counts of now.

        Why it waits and the time to go are left out.
        """
        batch = (await self._store.batches.get(batch_id)).as_at(snapshot)
        figures = await self._store.batches.figures([batch])
        fields = await self._fields(batch, figures[batch.id])
        return BatchDocument.model_construct(**fields | {"waiting": None, "eta_s": None})

    async def page(self, limit: int, cursor: str | None) -> BatchesDocument:
        """Returns a page, newest first."""
        page = await self._store.batches.page(limit, cursor)
        items = await self._documents(page.items)
        return BatchesDocument.model_construct(
            items=items, next_cursor=page.next_cursor, previous_cursor=page.previous_cursor
        )

    async def statuses(self, ids: Collection[UUID]) -> list[BatchDocument]:
        """Returns those of these batches that exist, as they are now."""
        return await self._documents(await self._store.batches.of_ids(ids))

    async def newest(self, limit: int) -> tuple[Batch, ...]:
        """Returns the newest batches, without documents."""
        return (await self._store.batches.page(limit, None)).items

    async def membership(self, generation_id: UUID) -> Membership | None:
        """Returns the batch of a generation; None when it was created alone."""
        return await self._store.batches.membership(generation_id)

    async def item_page(
        self, batch_id: UUID, limit: int, cursor: str | None, status: tuple[Status, ...] = ()
    ) -> ItemPage:
        """Returns a page of items, without documents."""
        return await self._store.batches.items(batch_id, limit, cursor, status)

    async def neighbours(
        self,
        batch_id: UUID,
        generation_id: UUID,
        hidden: tuple[UUID, ...],
        status: tuple[Status, ...],
    ) -> Neighbours:
        """Returns the items before and after this one, in the manifest's order."""
        return await self._store.batches.neighbours(batch_id, generation_id, hidden, status)

    def cursor_of_item(self, position: int) -> str | None:
        """Returns the cursor of the page that begins with the item at ``position`` (from 0)."""
        return write_cursor("i", position - 1) if position > 0 else None

    async def lists(self) -> Lists:
        """Returns the wildcard lists: their names, and why a file cannot be one."""
        return await asyncio.to_thread(read_lists, self._wildcards)

    async def items(
        self, batch_id: UUID, limit: int, cursor: str | None, status: tuple[Status, ...] = ()
    ) -> BatchItemsDocument:
        """Returns a page of items, in the manifest's order."""
        batch = await self._store.batches.get(batch_id)
        page = await self._store.batches.items(batch_id, limit, cursor, status)
        kept = await self._store.generations.artefacts_of(
            [item.generation_id for item in page.items]
        )
        made = [item.generation for item in page.items if item.generation is not None]
        documents = await self._facade.documents([one for one in made if one.deleted_at is None])
        items = [
            BatchItemDocument.model_construct(
                position=item.position,
                row=item.row,
                combination=_combination(batch.grid, item),
                task_id=item.generation_id,
                request=item.request,
                generation=documents.get(item.generation_id),
                **kept_fields(kept[item.generation_id], self._facade.links),
            )
            for item in page.items
        ]
        return BatchItemsDocument.model_construct(
            items=items, next_cursor=page.next_cursor, previous_cursor=page.previous_cursor
        )

    async def results(self, batch_id: UUID) -> tuple[str, AsyncIterator[bytes]]:
        """Returns a file name, and the ZIP of all pictures, generated as it is sent."""
        batch = await self._store.batches.get(batch_id)
        return f"{_file_name(batch.name)}.zip", results_zip(self._store, batch_id)

    async def contact_sheet(self, batch_id: UUID, number: int) -> NamedSheet:
        """Returns one sheet (from 1) of the batch's images.

        Of a batch with a grid, it is the ``number``-th row of the manifest in labelled tables,
        unless a row has more than ``CELLS_MAX`` cells. Of others, it has ``PER_SHEET`` finished
        images. ProblemError 404 when there is nothing on it (yet).
        """
        batch = await self._store.batches.get(batch_id)
        name = _file_name(f"{batch.name} {number}" if number > 1 else batch.name)
        labelled = await self._grid_sheet(batch, number)
        if labelled is not None:
            return NamedSheet(f"{name}.jpg", labelled)
        first = (number - 1) * PER_SHEET
        shown = await self._store.batches.artefacts(batch_id, first + PER_SHEET, main_only=True)
        on_sheet = shown[first:]
        if not on_sheet:
            raise ProblemError("not_found", "this sheet has no images (yet)")
        return NamedSheet(f"{name}.jpg", ContactSheet(self._store.files, on_sheet))

    async def tables(self, batch_id: UUID, cursor: str | None) -> TablesPage:
        """Returns a page of tables of a batch with a grid, without documents.

        Without tables if a row of the manifest has more than ``CELLS_MAX`` cells.
        """
        batch = await self._store.batches.get(batch_id)
        cells = await self._cells_of_row(batch)
        if batch.grid is None or cells is None:
            return TablesPage((), (), {}, None, None)
        page = await self._store.batches.table(
            batch_id, CELLS_MAX, cursor, rows_max=CELLS_MAX // cells
        )
        sheet = f"{self._facade.links.batches}/{batch_id}/contact-sheet?sheet="
        return TablesPage(
            tables=tuple(tables(batch.grid, page.items)),
            items=page.items,
            sheets={row: f"{sheet}{page.first_number + at}" for at, row in enumerate(page.rows)},
            next_cursor=page.next_cursor,
            previous_cursor=page.previous_cursor,
        )

    async def _grid_sheet(self, batch: Batch, number: int) -> GridSheet | None:
        """Returns a sheet of labelled tables; None if the batch has none, ProblemError 404."""
        if batch.grid is None or await self._cells_of_row(batch) is None:
            return None
        row = await self._store.batches.row_number(batch.id, number)
        if row is None:
            raise ProblemError("not_found", "the batch has no such row")
        items = await self._store.batches.items_of_row(batch.id, row, CELLS_MAX)
        kept = await self._store.generations.artefacts_of([item.generation_id for item in items])
        if not any(kept.values()):
            raise ProblemError("not_found", "this sheet has no images (yet)")
        return GridSheet(self._store.files, batch.name, tables(batch.grid, items), kept)

    async def _cells_of_row(self, batch: Batch) -> int | None:
        """Returns the cells of a row's tables; None without a grid or if they are too many.

        Cells of bad rows that were skipped count: they are shown empty. What is decided once for
        the whole batch keeps the numbers of its sheets without gaps.
        """
        if batch.grid is None or batch.grid.size > CELLS_MAX:
            return None
        cells = batch.grid.size * max(1, await self._store.batches.most_alike(batch.id))
        return cells if cells <= CELLS_MAX else None

    # --- change

    async def cancel(self, batch_id: UUID) -> BatchDocument:
        """Cancel it. ProblemError 409 when it has ended."""
        return await self._changed(self._store.batch_transitions.request_cancel(batch_id))

    async def pause(self, batch_id: UUID) -> BatchDocument:
        """Start nothing more for now. ProblemError 409 when it has ended."""
        return await self._changed(self._store.batch_transitions.pause(batch_id, _PAUSED))

    async def resume(self, batch_id: UUID) -> BatchDocument:
        """Continue. ProblemError 409 when it has ended; 503 when Prefect paused it and is away."""
        batch = await self._store.batches.get(batch_id)
        try:
            if batch.flow_run_id is not None:
                await self._runs.resume(batch.flow_run_id)
        except FlowsError as error:
            if batch.waiting is not None and batch.waiting.code == PAUSED_IN_PREFECT:
                raise ProblemError(
                    "not_available",
                    "it was paused in Prefect, which isn't answering; try again",
                    headers={"Retry-After": "5"},
                ) from error
        ends_at = window_end(batch.options, datetime.now(UTC))
        return await self._changed(self._store.batch_transitions.resume(batch_id, ends_at))

    async def retry_failed(self, batch_id: UUID) -> BatchDocument:
        """Make what failed, was cancelled or never begun. ProblemError 409 unless it ended so."""
        return await self._changed(
            self._store.batch_transitions.retry(batch_id), otherwise="not_retryable"
        )

    async def _changed(self, change: Any, otherwise: str = "already_ended") -> BatchDocument:
        try:
            batch: Batch = await change
        except ConflictError as error:
            raise ProblemError(otherwise, f"{error}; {_ALLOWED[otherwise]}") from error
        self._reconciler.wake()
        return await self.document(batch)

    # --- documents

    async def _documents(self, of: Sequence[Batch]) -> list[BatchDocument]:
        figures = await self._store.batches.figures(of)
        return [
            BatchDocument.model_construct(**await self._fields(batch, figures[batch.id]))
            for batch in of
        ]

    async def _fields(self, batch: Batch, figures: BatchFigures) -> dict[str, Any]:
        counts, rate = figures.counts, figures.rate
        active = batch.status in BATCH_ACTIVE
        waiting = batch.waiting or (await self._why(batch) if active else None)
        eta_s: float | None = None
        if active and batch.status != "paused":
            eta_s = await self._facade.estimates.seconds(figures.remaining_cost)
            if rate is not None:
                eta_s = round((batch.total - counts.ended) / rate, 1)
        return {
            "batch_id": batch.id,
            "name": batch.name,
            "status": batch.status,
            "total": batch.total,
            "counts": CountsDocument(
                **{name: getattr(counts, name) for name in CountsDocument.model_fields}
            ),
            "percent": round(100 * counts.ended / batch.total, 1) if batch.total else 0.0,
            "rate_per_minute": round(60 * rate, 2) if rate is not None else None,
            "eta_s": eta_s,
            "gpu_seconds": round(figures.gpu_seconds, 2),
            "seed": batch.seed,
            "options": batch.options,
            "grid": batch.grid,
            "schedule": batch.schedule,
            "callback": callback_document(batch.callback),
            "waiting": WaitingDocument(code=waiting.code, detail=waiting.detail)
            if waiting
            else None,
            "error": batch.error,
            "created_at": batch.created_at,
            "started_at": batch.started_at,
            "finished_at": batch.finished_at,
            "urls": self._urls(batch),
        }

    async def _why(self, batch: Batch) -> Waiting | None:
        # Until its own run begins, the batch waits in another queue than its generations.
        queue = BATCH_QUEUE if batch.status == "queued" else BULK_QUEUE
        return await self._facade.estimates.why_batch(queue, batch.flow_run_id)

    def _urls(self, batch: Batch) -> BatchUrls:
        base = f"{self._facade.links.batches}/{batch.id}"
        return BatchUrls(
            self=base,
            items=f"{base}/items",
            cancel=f"{base}/cancel",
            pause=f"{base}/pause",
            resume=f"{base}/resume",
            retry_failed=f"{base}/retry-failed",
            results=f"{base}/results.zip",
            contact_sheet=f"{base}/contact-sheet",
            flow_run=self._facade.links.flow_run(batch.flow_run_id),
        )


def _combination(grid: Grid | None, item: BatchItem) -> dict[str, Any] | None:
    if grid is None or item.combination is None or item.combination >= grid.size:
        return None
    return grid.combination(item.combination)


def _request_in(file: Path) -> BatchRequest:
    """Returns the request in a file. Raises ProblemError."""
    return validate(BatchRequest, parse(file.read_bytes()))


def _refused(error: BatchRefusedError, catalogue: Catalogue | None = None) -> ProblemError:
    if catalogue is None and {one.code for one in error.problems} == {"no_model"}:
        return no_model_known()
    shown = error.problems[:PROBLEMS_SHOWN]
    more = error.total - 1
    detail = str(error.problems[0]) + (f" (and {more} more)" if more else "")
    return ProblemError(
        "invalid_manifest",
        f"{detail}. Nothing was created.",
        errors=list(shown),
    )


def _row_warning(of: RowNotice) -> RowWarningDocument:
    told = warning_document(of.notice)
    return RowWarningDocument(**dict(told), row=of.row, count=of.count)


def _skipped(found: Sequence[FieldProblem]) -> list[RowProblemDocument]:
    return [RowProblemDocument.of(one) for one in found[:SKIPPED_KEPT]]


def _file_name(name: str) -> str:
    kept = "".join(one if one.isalnum() or one in " -_." else "-" for one in name).strip(" .")
    return kept[:80] or "batch"
