"""The values that the rooms above receive: frozen, built from rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

from core.artefacts import ArtefactKind
from core.batches.grid import Grid, read_grid
from core.batches.request import StoredOptions, read_options
from core.callbacks.callback import Callback, read_callback
from core.instant import LONG_AGO, Instant
from core.problems import Problem, read_problem
from core.requests import ResolvedRequest, StoredRequest, read_request
from core.status import BatchStatus, Status

_Hint = TypeVar("_Hint")


@dataclass(frozen=True)
class Waiting:
    """Why a generation waits: a stable ``code`` and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class RenderedOutput:
    """An output that ComfyUI has finished, and that is yet to be kept.

    ``filename`` is its name in the folder of that ComfyUI that Easel's prompts save to.
    ``position`` is that of its artefact, once it is kept.
    """

    kind: ArtefactKind
    filename: str
    comfy_url: str
    position: int | None = None


@dataclass(frozen=True)
class ProgressRecord:
    """How far an attempt is. ``percent`` (0 … 100) never decreases within an attempt.

    ``preview`` is the number of the newest live preview. ``rendered`` are the outputs that ComfyUI
    has finished, in the order in which it did.
    """

    percent: float
    step: int | None = None
    steps: int | None = None
    node: str | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    preview: int | None = None
    rendered: tuple[RenderedOutput, ...] = ()


_WAITING: Final = TypeAdapter(Waiting)
_PROGRESS: Final = TypeAdapter(ProgressRecord)
_FOREIGN_RUNS: Final = TypeAdapter(dict[str, int])


def _hint(adapter: TypeAdapter[_Hint], stored: Any) -> _Hint | None:
    """Returns a detail of a state, None when another version stored it in another form."""
    if stored is None:
        return None
    try:
        return adapter.validate_python(stored)
    except ValidationError:
        return None


def rendered_as_kept(progress: Any, filenames: Sequence[str]) -> tuple[RenderedOutput, ...]:
    """Returns what a stored progress announced as rendered, with the artefacts' positions.

    ``filenames`` are the artefacts' in ComfyUI, by position.
    """
    announced = _hint(_PROGRESS, progress)
    positions = {name: position for position, name in enumerate(filenames)}
    rendered = announced.rendered if announced is not None else ()
    return tuple(replace(one, position=positions.get(one.filename)) for one in rendered)


def _problem(stored: Any) -> Problem | None:
    return read_problem(stored) if stored is not None else None


_MOMENT: Final = TypeAdapter(datetime | None)
_NUMBER: Final = TypeAdapter(int)
_OF_BOTH: Final[Mapping[str, Callable[[Any], Any]]] = {
    "error": _problem,
    "flow_run_id": TypeAdapter(UUID | None).validate_python,
    "started_at": _MOMENT.validate_python,
    "finished_at": _MOMENT.validate_python,
}
_OF_GENERATION: Final[Mapping[str, Callable[[Any], Any]]] = {
    **_OF_BOTH,
    "status": TypeAdapter(Status).validate_python,
    "sequence": _NUMBER.validate_python,
    "attempt": _NUMBER.validate_python,
    "progress": partial(_hint, _PROGRESS),
}
_OF_BATCH: Final[Mapping[str, Callable[[Any], Any]]] = {
    **_OF_BOTH,
    "status": TypeAdapter(BatchStatus).validate_python,
}


def _read_snapshot(
    snapshot: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    """Returns what this version can read of a snapshot that perhaps another one stored."""
    found: dict[str, Any] = {}
    for name in readers.keys() & snapshot.keys():
        with suppress(ValidationError):
            found[name] = readers[name](snapshot[name])
    return found


@dataclass(frozen=True)
class Generation:
    """A generation as it is now. ``request`` is None only when it is deleted."""

    id: UUID
    seq: int
    change: int
    status: Status
    sequence: int
    attempt: int
    fence: int
    request: StoredRequest | None
    progress: ProgressRecord | None
    waiting: Waiting | None
    error: Problem | None
    cost: float
    flow_run_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deleted_at: datetime | None
    expired_at: datetime | None = None
    """When its pictures were removed because of their age."""
    batch_id: UUID | None = None
    callback: Callback | None = None
    """Its own, beside that of its batch."""

    @classmethod
    def from_row(
        cls, row: RowMapping, read: Callable[[Any], StoredRequest] = read_request
    ) -> Generation:
        """Read a row of the ``generations`` table; its request as ``read_request`` reads it."""
        return cls(
            id=row["id"],
            seq=row["seq"],
            change=row["change"],
            status=cast("Status", row["status"]),
            sequence=row["sequence"],
            attempt=row["attempt"],
            fence=row["fence"],
            request=read(row["request"]) if row["deleted_at"] is None else None,
            progress=_hint(_PROGRESS, row["progress"]),
            waiting=_hint(_WAITING, row["waiting"]),
            error=_problem(row["error"]),
            cost=row["cost"],
            flow_run_id=row["flow_run_id"],
            created_at=row["created_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            deleted_at=row["deleted_at"],
            expired_at=row["expired_at"],
            batch_id=row["batch_id"],
            callback=read_callback(row["callback"]),
        )

    def as_at(self, snapshot: Mapping[str, Any]) -> Generation:
        """Returns it as it was at an event, whose ``snapshot`` holds values of its row."""
        return replace(self, waiting=None, **_read_snapshot(snapshot, _OF_GENERATION))


@dataclass(frozen=True)
class NewGeneration:
    """A generation to be inserted, with its own callback."""

    id: UUID
    request: StoredRequest
    callback: Callback | None = None


@dataclass(frozen=True)
class Attempt:
    """One try at a generation."""

    number: int
    prompt_id: str
    flow_run_id: UUID | None
    worker: str | None
    created_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Status | None
    error: Problem | None

    @classmethod
    def from_row(cls, row: RowMapping) -> Attempt:
        """Read a row of the ``attempts`` table."""
        return cls(
            number=row["number"],
            prompt_id=row["prompt_id"],
            flow_run_id=row["flow_run_id"],
            worker=row["worker"],
            created_at=row["created_at"],
            submitted_at=row["submitted_at"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
            outcome=row["outcome"],
            error=_problem(row["error"]),
        )


@dataclass(frozen=True)
class Batch:
    """Many generations from one manifest: what the batch's own row holds.

    ``released`` of its ``total`` items are generations already; ``to_retry`` failed ones are to
    be retried. ``cost`` is that of all items.
    """

    id: UUID
    seq: int
    status: BatchStatus
    name: str
    options: StoredOptions
    grid: Grid | None
    seed: int
    total: int
    cost: float
    released: int
    to_retry: int
    run_number: int
    flow_run_id: UUID | None
    deployment_id: UUID | None
    holder: UUID | None
    schedule: str | None
    callback: Callback | None
    waiting: Waiting | None
    error: Problem | None
    window_ends_at: datetime | None
    body_sha256: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def from_row(cls, row: RowMapping) -> Batch:
        """Read a row of the ``batches`` table."""
        plain = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **plain,
                "options": read_options(row["options"]),
                "grid": read_grid(row["grid"]),
                "callback": read_callback(row["callback"]),
                "waiting": _hint(_WAITING, row["waiting"]),
                "error": _problem(row["error"]),
            }
        )

    def as_at(self, snapshot: Mapping[str, Any]) -> Batch:
        """Returns it as it was at an event, whose ``snapshot`` holds values of its row."""
        return replace(self, waiting=None, **_read_snapshot(snapshot, _OF_BATCH))


@dataclass(frozen=True)
class NewItem:
    """An item of a new batch: its position, its turn in the order of release, its request.

    ``combination`` is that of the batch's grid, None without one. ``callback`` is its own.
    """

    position: int
    turn: int
    row: int
    request: ResolvedRequest
    combination: int | None = None
    callback: Callback | None = None


@dataclass(frozen=True)
class BatchItem:
    """An item and its generation, which is None until the item is released.

    ``request`` is None when the generation was deleted.
    """

    position: int
    row: int
    combination: int | None
    generation_id: UUID
    request: StoredRequest | None
    generation: Generation | None
    again: bool


@dataclass(frozen=True)
class BatchCounts:
    """Counts of a batch's generations by state. ``waiting`` items are not generations yet."""

    waiting: int
    queued: int
    running: int
    cancelling: int
    succeeded: int
    failed: int
    cancelled: int
    deleted: int

    @property
    def active(self) -> int:
        """How many have not ended."""
        return self.queued + self.running + self.cancelling

    @property
    def ended(self) -> int:
        """How many have ended, successfully or not."""
        return self.succeeded + self.failed + self.cancelled + self.deleted


@dataclass(frozen=True)
class Membership:
    """What the flow run and the page of a batch's generation show of the batch."""

    batch_id: UUID
    name: str
    position: int
    total: int
    callback: Callback | None = None


@dataclass(frozen=True)
class Artefact:
    """A kept output. ``path`` and ``poster_path`` are paths in the artefacts' storage.

    ``node`` is the node that gave it, and ``name`` how the workflow or ComfyUI calls it. What is
    not known of it, or makes no sense for its kind, is None. ``text`` is the beginning of a text.
    """

    id: UUID
    generation_id: UUID
    position: int
    path: str
    content_type: str
    bytes: int
    sha256: str
    created_at: datetime
    kind: ArtefactKind = "image"
    name: str = ""
    node: str | None = None
    primary: bool = False
    poster_path: str | None = None
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    frames: int | None = None
    text: str | None = None
    seed: int | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of its files."""
        return tuple(filter(None, (self.path, self.poster_path)))

    @classmethod
    def from_row(cls, row: RowMapping) -> Artefact:
        """Read a row of the ``artefacts`` table."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


def main_of(kept: Sequence[Artefact]) -> Artefact | None:
    """Returns the main one of a generation's artefacts, None without any."""
    return next((each for each in kept if each.primary), kept[0] if kept else None)


@dataclass(frozen=True)
class Preview:
    """The newest live preview: ``number`` grows with each."""

    number: int
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of a generation in a list."""

    before: UUID | None
    after: UUID | None


@dataclass(frozen=True)
class NewEntry:
    """An entry for the outbox. ``rank``: lower ones go first.

    ``due_at`` is by the clock that ``created_at`` is by; None: it is due at once.
    """

    lane: str
    kind: str
    subject: UUID
    payload: dict[str, Any]
    rank: int
    created_at: datetime
    due_at: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """An entry of the outbox, claimed by the runner that works on it.

    ``tries`` counts how often it was postponed.
    """

    id: int
    lane: str
    kind: str
    subject: UUID
    payload: dict[str, Any]
    rank: int
    created_at: datetime
    tries: int
    claimed_by: UUID

    @classmethod
    def from_row(cls, row: RowMapping) -> Entry:
        """Read a row of the ``outbox`` table."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Holder:
    """A holder of attempts: the worker's name, the lease that shows it is alive, its ComfyUI."""

    worker: str
    lease: UUID
    comfy_url: str


@dataclass(frozen=True)
class Claim:
    """A worker's hold on an attempt: every later write names ``attempt`` and ``fence``.

    ``submitted_before``: a ComfyUI may have the prompt already, so look before a POST.
    ``flow_run_id`` is None while the attempt has no flow run. ``created_at`` is the generation's.
    ``submitted_at`` is the time of the intent to submit that was written with the claim, if it
    was: then it is the attempt's first, and the prompt may be posted. ``taken`` is when the claim
    was made, in the process that made it.
    """

    generation_id: UUID
    attempt: int
    fence: int
    prompt_id: str
    request: ResolvedRequest
    comfy_url: str
    submitted_before: bool
    flow_run_id: UUID | None = None
    deployment_id: UUID | None = None
    batch_id: UUID | None = None
    created_at: datetime | None = None
    submitted_at: datetime | None = None
    taken: Instant = field(default=LONG_AGO, compare=False)

    @property
    def intent_written(self) -> bool:
        """Whether the intent to submit was written with the claim."""
        return self.submitted_at is not None


@dataclass(frozen=True)
class Queued:
    """A generation that waits in the queue, as who chooses one sees it.

    ``turn`` is its order within its priority, ``needs`` the digest of what its ComfyUI must have.
    """

    generation_id: UUID
    attempt: int
    priority: str
    model: str | None
    turn: int
    cost: float
    flow_run_id: UUID | None
    batch_id: UUID | None
    created_at: datetime
    workflow: str | None
    needs: str | None = None

    @classmethod
    def from_row(cls, row: RowMapping) -> Queued:
        """Read the columns of the ``generations`` table that it has."""
        others = (name for name in cls.__dataclass_fields__ if name != "generation_id")
        return cls(generation_id=row["id"], **{name: row[name] for name in others})


@dataclass(frozen=True)
class Untold:
    """An attempt that has ended, and of whose work Prefect is to be told.

    ``holder`` is the lease of who ended it; while it is alive, that is its to tell.
    """

    generation_id: UUID
    attempt: int
    flow_run_id: UUID | None
    deployment_id: UUID | None
    holder: UUID | None
    outcome: Status
    error: Problem | None
    stages: tuple[Mapping[str, Any], ...]
    ended_at: datetime
    worker: str | None

    @classmethod
    def from_row(cls, row: RowMapping) -> Untold:
        """Read a row of the ``attempts`` table."""
        return cls(
            generation_id=row["generation_id"],
            attempt=row["number"],
            flow_run_id=row["flow_run_id"],
            deployment_id=row["deployment_id"],
            holder=row["holder"],
            outcome=cast("Status", row["outcome"]),
            error=_problem(row["error"]),
            stages=tuple(row["stages"]),
            ended_at=row["ended_at"],
            worker=row["worker"],
        )


@dataclass(frozen=True)
class Standing:
    """What a fenced-out worker must leave alone.

    ``prompt_wanted``: another worker has (or will have) the same attempt: keep its prompt.
    ``run_wanted``: the same flow run continues elsewhere: report nothing to Prefect.
    """

    prompt_wanted: bool
    run_wanted: bool


@dataclass(frozen=True)
class UnderWay:
    """A generation that has not ended, with what its current attempt depends on."""

    generation: Generation
    holder: UUID | None
    deployment_id: UUID | None

    @property
    def flow_run_id(self) -> UUID | None:
        """The attempt's flow run."""
        return self.generation.flow_run_id


@dataclass(frozen=True)
class Stray:
    """An unwanted prompt that the ComfyUI at ``comfy_url`` may still have."""

    prompt_id: str
    comfy_url: str


@dataclass(frozen=True)
class WorkerRecord:
    """A worker and whether it reaches its ComfyUI.

    ``holder`` is the lease that it renews while it lives. ``foreign_runs``: how many runs of other
    stores wait in its pool, by store ("unknown" for runs that do not say of which they are).
    ``slots`` is how many prompts it gives its ComfyUI at a time, ``last_model`` what it took last,
    ``seconds_per_cost`` how fast it was lately; each None while that is not known. ``stopped_at``
    is when it stopped cleanly: it may come again.
    """

    name: str
    comfy_url: str
    comfy_reachable: bool
    detail: str | None
    started_at: datetime
    seen_at: datetime
    holder: UUID | None = None
    foreign_runs: Mapping[str, int] | None = None
    slots: int | None = None
    last_model: str | None = None
    seconds_per_cost: float | None = None
    stopped_at: datetime | None = None

    @classmethod
    def from_row(cls, row: RowMapping) -> WorkerRecord:
        """Read a row of the ``workers`` table."""
        return cls(**{**row, "foreign_runs": _hint(_FOREIGN_RUNS, row["foreign_runs"])})


def foreign_runs(live: Iterable[WorkerRecord]) -> str | None:
    """Returns how many runs of other stores the workers see in the pool; None without any."""
    most: dict[str, int] = {}
    for worker in live:  # workers of one pool see the same runs
        for store, count in (worker.foreign_runs or {}).items():
            most[store] = max(count, most.get(store, 0))
    if not most:
        return None
    stores = ", ".join(f"{count} of store {store}" for store, count in sorted(most.items()))
    return (
        f"flow runs of other stores wait in the work pool ({stores}). They are neither run nor "
        "ended here: start that store's worker on its own Prefect server, or delete them in Prefect"
    )


@dataclass(frozen=True)
class HistoryFilter:
    """Which generations a page of history shows. ``q`` is a search (``store/search``)."""

    status: tuple[Status, ...] = ()
    workflow: str | None = None
    model: str | None = None
    q: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    batch_id: UUID | None = None
    kind: tuple[ArtefactKind, ...] = ()
