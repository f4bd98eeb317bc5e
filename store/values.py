"""The values that rooms above receive: frozen, made from rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import RowMapping

from core.problems import Problem
from core.schemas import ResolvedRequest
from core.status import Status

DispatchAction = Literal["start", "cancel", "forget"]


@dataclass(frozen=True)
class Waiting:
    """Why a generation waits: a stable ``code`` and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class ProgressRecord:
    """How far an attempt is. ``percent`` (0 … 100) never falls within an attempt.

    ``preview`` is the number of the newest live preview.
    """

    percent: float
    step: int | None = None
    steps: int | None = None
    node: str | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    preview: int | None = None


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
    request: ResolvedRequest | None
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

    @classmethod
    def from_row(cls, row: RowMapping) -> Generation:
        """Read a row of the ``generations`` table."""
        return cls(
            id=row["id"],
            seq=row["seq"],
            change=row["change"],
            status=cast("Status", row["status"]),
            sequence=row["sequence"],
            attempt=row["attempt"],
            fence=row["fence"],
            # Written by us and validated then: no second validation for every read.
            request=_request(row["request"]),
            progress=ProgressRecord(**row["progress"]) if row["progress"] else None,
            waiting=Waiting(**row["waiting"]) if row["waiting"] else None,
            error=Problem.model_validate(row["error"]) if row["error"] else None,
            cost=row["cost"],
            flow_run_id=row["flow_run_id"],
            created_at=row["created_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            deleted_at=row["deleted_at"],
            expired_at=row["expired_at"],
        )


def _request(stored: dict[str, Any] | None) -> ResolvedRequest | None:
    return ResolvedRequest.model_construct(**stored) if stored else None


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
            error=Problem.model_validate(row["error"]) if row["error"] else None,
        )


@dataclass(frozen=True)
class Image:
    """A kept picture. ``path`` and ``thumbnail_path`` are places in the image store."""

    id: UUID
    generation_id: UUID
    position: int
    path: str
    thumbnail_path: str
    width: int
    height: int
    content_type: str
    bytes: int
    sha256: str
    seed: int
    created_at: datetime

    @classmethod
    def from_row(cls, row: RowMapping) -> Image:
        """Read a row of the ``images`` table."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Preview:
    """The newest live preview: ``number`` grows with each."""

    number: int
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Neighbours:
    """What stands beside a generation in the history: ``newer`` before it, ``older`` after."""

    newer: UUID | None
    older: UUID | None


@dataclass(frozen=True)
class Dispatch:
    """Something Prefect has still to be told."""

    id: int
    generation_id: UUID
    attempt: int
    action: DispatchAction
    priority: str
    created_at: datetime
    tries: int

    @classmethod
    def from_row(cls, row: RowMapping) -> Dispatch:
        """Read a row of the ``dispatches`` table."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Holder:
    """Who does attempts: a worker's name, the lease that says it lives, the ComfyUI it drives."""

    worker: str
    lease: UUID
    comfy_url: str


@dataclass(frozen=True)
class Claim:
    """A worker's hold on an attempt: every later write names ``attempt`` and ``fence``.

    ``submitted_before`` tells that a ComfyUI may have the prompt already, so look before a POST.
    """

    generation_id: UUID
    attempt: int
    fence: int
    prompt_id: str
    request: ResolvedRequest
    comfy_url: str
    submitted_before: bool


@dataclass(frozen=True)
class Standing:
    """What became of the things of a worker that finds itself fenced out.

    ``prompt_wanted``: somebody else does the same attempt now (or will): leave its prompt alone.
    ``run_wanted``: the same flow run goes on elsewhere: tell Prefect nothing.
    """

    prompt_wanted: bool
    run_wanted: bool


@dataclass(frozen=True)
class UnderWay:
    """A generation that has not ended, with what its current attempt depends on."""

    generation: Generation
    holder: UUID | None
    deployment_id: UUID | None


@dataclass(frozen=True)
class Stray:
    """A prompt that the ComfyUI at ``comfy_url`` may still have and nobody wants."""

    prompt_id: str
    comfy_url: str


@dataclass(frozen=True)
class WorkerRecord:
    """A worker and whether it reaches its ComfyUI."""

    name: str
    comfy_url: str
    comfy_reachable: bool
    detail: str | None
    started_at: datetime
    seen_at: datetime
