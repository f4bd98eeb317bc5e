"""What the page of a generation says of it: prompt, batch, settings, copies, attempts."""

from __future__ import annotations

import json
import shlex
from typing import Final

from api.generations.documents import (
    AttemptDocument,
    CallbackDocument,
    StatusDocument,
    callback_document,
)
from core.callbacks.callback import GENERATION_EVENTS
from core.requests import (
    DEFAULT_WORKFLOW,
    ResolvedRequest,
    StoredRequest,
    UnreadableRequest,
)
from core.wording import brief, model_name
from core.workflows.declaration import Workflow
from store.values import Membership
from web.history.values import Row, build_rows, input_rows, row
from web.parts.clock import created_words
from web.parts.elements import Text, adorn, box, button, icon
from web.parts.wording import (
    STATUS_WORDS,
    advice,
    raw_rows,
    subject,
    title,
    unreadable_note,
)

_OF_DEFAULT: Final = (
    *("prompt", "negative_prompt", "model", "width", "height", "steps", "cfg"),
    *("sampler", "scheduler", "seed", "batch_size"),
)
"""The inputs of txt2img that have their usual rows."""


def build_settings(document: StatusDocument, workflow: Workflow | None, seed: int | None) -> Text:
    """Show every value, as the workflow calls it: None if there is none. Returns the text that says
    when it was created."""
    rows = _rows(document.request, workflow, seed)
    if document.status != "succeeded":
        rows.insert(0, row("Status", STATUS_WORDS[document.status]))
    with box("settings", "dl"):
        build_rows(rows)
        with box("", "div"):
            Text("Created", tag="dt")
            return Text(created(document), tag="dd")


def _rows(request: StoredRequest, workflow: Workflow | None, seed: int | None) -> list[Row]:
    inputs = workflow.inputs if workflow is not None else ()
    if isinstance(request, UnreadableRequest):
        return [row(name, value) for name, value in raw_rows(request)]
    if request.workflow != DEFAULT_WORKFLOW:
        name = workflow.title if workflow is not None else request.workflow
        return [row("Workflow", name), *input_rows(request, inputs)]
    size = [row("Size", f"{w} × {h}") for w, h in [request.size or (0, 0)] if w]
    return [
        row("Model", model_name(request.model)),
        *size,
        row("Steps", str(request.steps)),
        row("CFG", f"{request.cfg:g}"),
        row("Sampler", request.sampler),
        row("Scheduler", request.scheduler),
        row("Seed", str(seed)),
        *input_rows(request, inputs, _OF_DEFAULT),
    ]


def build_copies(document: StatusDocument, url: str) -> None:
    """Offer to copy the prompt, the link and the request; ``url`` is that of its status."""
    origin = url.partition("/api/")[0]
    with box("copies", role="group", aria_label="Copy"):
        Text("Copy", "label")
        prompt = document.request.prompt
        copies = [("Prompt", prompt)] if prompt else []
        copies.append(("Link", f"{origin}/g/{document.task_id}"))
        if isinstance(document.request, ResolvedRequest):
            copies.append(("curl", _curl(origin, document.request)))
        for label, content in copies:
            button(
                label,
                classes="btn-small",
                data_copy=content,
                data_copy_origin=None if label == "Prompt" else origin,
            )


def heard_by(document: StatusDocument, batch: Membership | None) -> list[CallbackDocument]:
    """Returns the callbacks that hear of it: its own, and its batch's if that asks for items."""
    found = [document.callback, callback_document(batch.callback if batch is not None else None)]
    wanted = [
        one.model_copy(update={"events": [e for e in one.events if e in GENERATION_EVENTS]})
        for one in found
        if one is not None
    ]
    return [one for one in wanted if one.events]


def build_prompt(request: StoredRequest) -> None:
    """Show the request; or that this version cannot read all of it."""
    adorn(Text(request.prompt.strip() or subject(request), "prompt-text", "h1"), dir="auto")
    if isinstance(request, UnreadableRequest):
        Text(unreadable_note(request), "note", "p")
    elif request.negative_prompt:
        with box("without"):
            Text("Negative prompt", "label")
            adorn(Text(request.negative_prompt, "", "p"), dir="auto")


def build_batch(batch: Membership) -> None:
    """Link its batch."""
    with box("link of-batch", "a", href=f"/b/{batch.batch_id}"):
        icon("batch")
        adorn(
            Text(f"{batch.position + 1:,} of {batch.total:,} in “{title(batch.name, 60)}”"),
            dir="auto",
        )


def created(document: StatusDocument) -> str:
    """Returns when it was created, and how long it took."""
    return f"{created_words(document.created_at)}{_taken(document)}"


def _taken(document: StatusDocument) -> str:
    if document.started_at is None or document.finished_at is None:
        return ""
    return f" · took {brief((document.finished_at - document.started_at).total_seconds())}"


def _curl(origin: str, request: ResolvedRequest) -> str:
    body = request.model_dump(exclude={"metadata", "callback_url", "priority", "timeout_s"})
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return (
        f"curl -X POST {origin}/api/v1/generation/create "
        f"-H 'Content-Type: application/json' -d {text}"
    )


def build_attempts(attempts: list[AttemptDocument], model: str) -> None:
    """Show every try, the newest first; opened if one of them failed."""
    troubled = len(attempts) > 1 or any(attempt.error for attempt in attempts)
    with box("fold", "details", open=troubled):
        with box("fold-head", "summary"):
            icon("chevron")
            Text("1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts")
        with box("attempts", "ol"):
            for attempt in reversed(attempts):
                _build_attempt(attempt, model)


def _build_attempt(attempt: AttemptDocument, model: str) -> None:
    with box("attempt", "li"):
        with box("attempt-head"):
            word = STATUS_WORDS[attempt.outcome] if attempt.outcome else "Running"
            Text(f"{attempt.number}. {word}", "attempt-name")
            if attempt.started_at and attempt.ended_at:
                Text(brief((attempt.ended_at - attempt.started_at).total_seconds()), "muted")
            box("grow")
            if attempt.flow_run_url:
                made = box("link", "a", href=attempt.flow_run_url, target="_blank", rel="noopener")
                with made:
                    Text("Open in Prefect")
                    icon("open")
        if attempt.error is not None:
            Text(attempt.error.detail, "detail", "p")
            Text(advice(attempt.error, model), "muted", "p")
        if attempt.error is not None and attempt.worker:
            Text(f"Worker: {attempt.worker}", "muted small", "p")
