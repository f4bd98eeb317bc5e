"""The documents that clients read. Their field descriptions are the API's reference."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from api.documents import Document, NextCursor, PreviousCursor
from core.artefacts import PICTURE_KINDS, ArtefactKind
from core.callbacks.callback import Callback, EventType
from core.notices import Notice
from core.problems import Problem
from core.requests import ResolvedRequest, StoredRequest, UnreadableRequest
from core.status import Status, is_final
from store.values import Artefact, Attempt, Generation, Waiting

RequestDocument = ResolvedRequest | SkipJsonSchema[UnreadableRequest]
"""The schema describes this version's requests; another version's are sent as stored."""


class ProgressDocument(Document):
    """How far the current attempt is."""

    percent: float = Field(description="0 … 100; never falls within an attempt.")
    step: int | None = Field(description="Sampler steps done.")
    steps: int | None = Field(description="Sampler steps in all.")
    node: str | None = Field(description="The ComfyUI node that executes, by its class.")
    nodes_done: int
    nodes_total: int


class WaitingDocument(Document):
    """Why the generation waits."""

    code: str = Field(
        description="`waiting_for_comfyui`, `comfyui_busy` (prompts of others come first), "
        "`waiting_for_worker`, `no_capable_worker` (none has the models and nodes that it needs), "
        "`waiting_for_prefect`, `paused` (in Prefect), `disk_full` or "
        "`storage_away` (finished outputs cannot be stored yet, its own or those before it)."
    )
    detail: str


class UrlsDocument(Document):
    """Where to go from here."""

    self: str
    result: str
    events: str
    cancel: str
    preview: str | None = Field(description="The newest live preview while it runs.")
    rendered: str | None = Field(
        description="The first image that ComfyUI has finished, until it is kept."
    )
    flow_run: str | None = Field(description="The run's page in the Prefect UI.")


class RenderedDocument(Document):
    """An output that ComfyUI has finished, and that is yet to be kept. It may vanish before."""

    number: int = Field(description="In the order in which they were finished, from 1.")
    kind: ArtefactKind
    url: str


class CallbackDocument(Document):
    """Who hears of it: the receiver's URL may hold a secret, and is shown nowhere."""

    host: str | None = Field(
        description="The host of `callback_url`, with its port if it is not the usual one; null "
        "for a stored callback."
    )
    name: str | None = Field(description="The name of a stored callback; null without.")
    events: list[EventType] = Field(description="What it hears of.")


class WorkflowOf(Document):
    """Which workflow a generation is of."""

    name: str
    version: str | None = Field(
        description="As it was when the request was accepted; a retry uses the same. Null of one "
        "that an earlier version of Easel accepted."
    )


class WarningDocument(Document):
    """What it gets in another way than it asked for; it was accepted all the same."""

    code: str = Field(
        description="Stable, such as `negative_prompt_ignored`, `weights_ignored`, `size_rounded` "
        "or `loras_from_prompt`."
    )
    loc: list[str | int] = Field(description="The place in the request, as in a problem's errors.")
    message: str


class StatusDocument(Document):
    """A generation as it is now."""

    task_id: UUID
    status: Status
    sequence: int = Field(description="Grows by one with every change, never goes back.")
    attempt: int
    progress: ProgressDocument | None
    queue_position: int | None = Field(
        description="How many generations start before this one; null unless queued."
    )
    eta_s: float | None = Field(description="Seconds to go, from measured times.")
    waiting: WaitingDocument | None = Field(description="Why it waits, when it cannot go on.")
    workflow: WorkflowOf
    request: RequestDocument = Field(
        description="Every value as it is used. One that another version of Easel stored and this "
        "one cannot read is given as it was stored."
    )
    warnings: list[WarningDocument] = Field(
        description="What it gets in another way than it asked for; empty without."
    )
    error: Problem | None
    created_at: datetime
    started_at: datetime | None = Field(description="When ComfyUI began to execute it.")
    finished_at: datetime | None
    expired_at: datetime | None = Field(
        default=None, description="When its artefacts were removed because of their age."
    )
    batch_id: UUID | None = Field(default=None, description="The batch that it belongs to.")
    callback: CallbackDocument | None = Field(
        default=None, description="Its own callback, beside that of its batch; null without."
    )
    urls: UrlsDocument


class ImageDocument(Document):
    """A kept picture: an output of kind `image`, whose `artefact_id` is its `image_id`."""

    image_id: UUID
    url: str
    thumbnail_url: str
    width: int
    height: int
    content_type: str
    bytes: int
    sha256: str
    seed: int | None


class OutputDocument(Document):
    """A kept output. What makes no sense for its kind, or is not known, is null."""

    artefact_id: UUID
    kind: ArtefactKind
    name: str = Field(description="As the workflow or ComfyUI calls it.")
    node: str | None = Field(description="The ComfyUI node that gave it.")
    primary: bool = Field(description="Whether it is the main one; one output is.")
    url: str
    poster_url: str | None = Field(
        description="A small image of it: null for texts, 3D models and other files, and for "
        "videos and sounds without `easel[video]`."
    )
    content_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_s: float | None
    fps: float | None
    frames: int | None
    text: str | None = Field(description="A text's first 20,000 characters; the file has all.")
    seed: int | None


class TimingsDocument(Document):
    """Measured seconds."""

    queued_s: float
    execution_s: float
    total_s: float


class ResultDocument(Document):
    """The outputs of a generation that succeeded."""

    task_id: UUID
    outputs: list[OutputDocument] = Field(description="Of every kind, in their order.")
    images: list[ImageDocument] = Field(description="The outputs of kind `image`.")
    request: RequestDocument
    timings: TimingsDocument


class HistoryItem(StatusDocument):
    """A generation in the history, with its outputs."""

    outputs: list[OutputDocument] = Field(description="Of every kind, in their order.")
    images: list[ImageDocument] = Field(description="The outputs of kind `image`.")


class HistoryDocument(Document):
    """A page of the history, newest first."""

    items: list[HistoryItem]
    next_cursor: NextCursor
    previous_cursor: PreviousCursor


class AttemptDocument(Document):
    """One try at a generation."""

    number: int
    flow_run_id: UUID | None
    flow_run_url: str | None
    prompt_id: str = Field(description="The prompt's id in ComfyUI.")
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Status | None
    error: Problem | None


class AttemptsDocument(Document):
    """Every try, first to newest."""

    attempts: list[AttemptDocument]


class Links:
    """Builds URLs. ``api_url`` and ``prefect_ui_url`` are what clients can reach."""

    def __init__(self, api_url: str, prefect_ui_url: str) -> None:
        self._generation = f"{api_url}/api/v1/generation"
        self._images = f"{api_url}/api/v1/images"
        self._artefacts = f"{api_url}/api/v1/artefacts"
        self.batches = f"{api_url}/api/v1/batches"
        self.schedules = f"{api_url}/api/v1/schedules"
        self._prefect_ui_url = prefect_ui_url

    def status(self, generation_id: UUID) -> str:
        """Returns the status document's URL."""
        return f"{self._generation}/status/{generation_id}"

    def image(self, image_id: UUID) -> str:
        """Returns a picture's URL."""
        return f"{self._images}/{image_id}"

    def artefact(self, artefact_id: UUID) -> str:
        """Returns an artefact's URL."""
        return f"{self._artefacts}/{artefact_id}"

    def poster(self, artefact: Artefact) -> str | None:
        """Returns the URL of an artefact's poster, None where it has none."""
        return f"{self.artefact(artefact.id)}/poster" if artefact.poster_path else None

    def flow_run(self, flow_run_id: UUID | None) -> str | None:
        """Returns the URL of a run's page in the Prefect UI."""
        return f"{self._prefect_ui_url}/runs/flow-run/{flow_run_id}" if flow_run_id else None

    def preview(self, generation: Generation) -> str | None:
        """Returns the newest preview's URL; it changes with each, so that browsers reload it."""
        number = generation.progress.preview if generation.progress else None
        if number is None or is_final(generation.status):
            return None
        return f"{self._generation}/{generation.id}/preview?number={number}"

    def rendered(self, generation: Generation, number: int) -> str:
        """Returns the URL of an output before it is kept, by its number from 1."""
        return f"{self._generation}/{generation.id}/rendered/{number}"

    def rendered_image(self, generation: Generation) -> str | None:
        """Returns the URL of the first image that is yet to be kept, None if there is none."""
        if generation.progress is None or is_final(generation.status):
            return None
        for number, output in enumerate(generation.progress.rendered, start=1):
            if output.kind in PICTURE_KINDS:
                return self.rendered(generation, number)
        return None

    def urls(self, generation: Generation) -> UrlsDocument:
        """Returns all URLs of a generation."""
        base = f"{self._generation}/{generation.id}"
        return UrlsDocument(
            self=self.status(generation.id),
            result=f"{self._generation}/result/{generation.id}",
            events=f"{base}/events",
            cancel=f"{base}/cancel",
            preview=self.preview(generation),
            rendered=self.rendered_image(generation),
            flow_run=self.flow_run(generation.flow_run_id),
        )


def progress_document(generation: Generation) -> ProgressDocument | None:
    """Returns the progress of a generation."""
    progress = generation.progress
    if progress is None:
        return None
    return ProgressDocument(
        percent=progress.percent,
        step=progress.step,
        steps=progress.steps,
        node=progress.node,
        nodes_done=progress.nodes_done,
        nodes_total=progress.nodes_total,
    )


def status_fields(
    generation: Generation,
    links: Links,
    *,
    ahead: int | None,
    eta_s: float | None,
    waiting: Waiting | None,
) -> dict[str, Any]:
    """Returns the fields of a status document."""
    return {
        "task_id": generation.id,
        "status": generation.status,
        "sequence": generation.sequence,
        "attempt": generation.attempt,
        "progress": progress_document(generation),
        "queue_position": ahead,
        "eta_s": eta_s,
        "waiting": WaitingDocument(code=waiting.code, detail=waiting.detail) if waiting else None,
        "workflow": workflow_document(generation.request),
        "request": generation.request,
        "warnings": warning_documents(generation.request),
        "error": generation.error,
        "created_at": generation.created_at,
        "started_at": generation.started_at,
        "finished_at": generation.finished_at,
        "expired_at": generation.expired_at,
        "batch_id": generation.batch_id,
        "callback": callback_document(generation.callback),
        "urls": links.urls(generation),
    }


def workflow_document(request: StoredRequest | None) -> WorkflowOf:
    """Returns which workflow a request names, and its version."""
    if not isinstance(request, ResolvedRequest):
        return WorkflowOf(name=request.workflow if request is not None else "", version=None)
    return WorkflowOf(name=request.workflow, version=request.plan.version or None)


def warning_documents(request: StoredRequest | None) -> list[WarningDocument]:
    """Returns what a request gets in another way than it asked for."""
    notices = request.plan.notices if isinstance(request, ResolvedRequest) else ()
    return [warning_document(one) for one in notices]


def warning_document(notice: Notice) -> WarningDocument:
    """Returns a notice as clients read it."""
    return WarningDocument(code=notice.code, loc=list(notice.loc), message=notice.message)


def callback_document(callback: Callback | None) -> CallbackDocument | None:
    """Returns what is shown of a callback; None without one."""
    if callback is None:
        return None
    return CallbackDocument(host=callback.host, name=callback.name, events=list(callback.events))


def kept_fields(kept: Sequence[Artefact], links: Links) -> dict[str, Any]:
    """Returns the fields of a document that has outputs: all of them, and the pictures among them.

    A reader of ``images`` only need not know that there are others.
    """
    return {
        "outputs": [output_document(each, links) for each in kept],
        "images": [found for each in kept if (found := image_document(each, links))],
    }


def output_document(artefact: Artefact, links: Links) -> OutputDocument:
    """An output."""
    return OutputDocument(
        artefact_id=artefact.id,
        kind=artefact.kind,
        name=artefact.name,
        node=artefact.node,
        primary=artefact.primary,
        url=links.artefact(artefact.id),
        poster_url=links.poster(artefact),
        content_type=artefact.content_type,
        bytes=artefact.bytes,
        sha256=artefact.sha256,
        width=artefact.width,
        height=artefact.height,
        duration_s=artefact.duration_s,
        fps=artefact.fps,
        frames=artefact.frames,
        text=artefact.text,
        seed=artefact.seed,
    )


def image_document(artefact: Artefact, links: Links) -> ImageDocument | None:
    """A picture; None for any other artefact."""
    if artefact.kind != "image" or artefact.width is None or artefact.height is None:
        return None
    url = links.image(artefact.id)
    return ImageDocument(
        image_id=artefact.id,
        url=url,
        thumbnail_url=f"{url}/thumbnail",
        width=artefact.width,
        height=artefact.height,
        content_type=artefact.content_type,
        bytes=artefact.bytes,
        sha256=artefact.sha256,
        seed=artefact.seed,
    )


def attempt_document(attempt: Attempt, links: Links) -> AttemptDocument:
    """A try."""
    return AttemptDocument(
        number=attempt.number,
        flow_run_id=attempt.flow_run_id,
        flow_run_url=links.flow_run(attempt.flow_run_id),
        prompt_id=attempt.prompt_id,
        worker=attempt.worker,
        created_at=attempt.created_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        error=attempt.error,
    )


def timings(generation: Generation) -> TimingsDocument:
    """Returns how long it waited and executed."""
    finished = generation.finished_at or generation.created_at
    started = generation.started_at or finished
    return TimingsDocument(
        queued_s=round((started - generation.created_at).total_seconds(), 3),
        execution_s=round((finished - started).total_seconds(), 3),
        total_s=round((finished - generation.created_at).total_seconds(), 3),
    )
