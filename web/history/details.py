"""What the page of a generation says of it: prompt, batch, settings, copies, attempts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

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
from store.values import Membership
from web.parts.clock import created_words
from web.parts.elements import Text, adorn, box, button, icon
from web.parts.wording import (
    STATUS_WORDS,
    advice,
    raw_rows,
    title,
    unreadable_note,
)


def build_settings(document: StatusDocument, labels: Mapping[str, str], seed: int | None) -> Text:
    """Show every value, inputs by their ``labels``. Returns the text that says when."""
    rows = _rows(document.request, labels, seed)
    rows.append(("Created", created(document)))
    if document.status != "succeeded":
        rows.insert(0, ("Status", STATUS_WORDS[document.status]))
    with box("settings", "dl"):
        for name, value in rows:
            with box("", "div"):
                Text(name, tag="dt")
                shown = Text(value, tag="dd")
    return shown


def _rows(
    request: StoredRequest, labels: Mapping[str, str], seed: int | None
) -> list[tuple[str, str]]:
    if isinstance(request, UnreadableRequest):
        return raw_rows(request)
    if request.workflow != DEFAULT_WORKFLOW:
        return _input_rows(request, labels)
    return [
        ("Model", model_name(request.model)),
        ("Size", f"{request.width} × {request.height}"),
        ("Steps", str(request.steps)),
        ("CFG", f"{request.cfg:g}"),
        ("Sampler", request.sampler),
        ("Scheduler", request.scheduler),
        ("Seed", str(seed)),
    ]


def _input_rows(request: ResolvedRequest, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the inputs of any workflow; its prompts stand above."""
    texts = {request.prompt, request.negative_prompt}
    shown = [
        (labels.get(name, name), value if isinstance(value, str) else _json(value))
        for name, value in request.inputs.items()
        if value is not None and not (isinstance(value, str) and value in texts)
    ]
    return [("Workflow", request.workflow), *((name, title(said, 300)) for name, said in shown)]


def build_copies(document: StatusDocument, url: str) -> None:
    """Offer to copy the prompt, the link and the request; ``url`` is that of its status."""
    origin = url.partition("/api/")[0]
    with box("copies", role="group", aria_label="Copy"):
        Text("Copy", "label")
        copies = [
            ("Prompt", document.request.prompt),
            ("Link", f"{origin}/g/{document.task_id}"),
        ]
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
    adorn(Text(request.prompt, "prompt-text", "h1"), dir="auto")
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


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


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
