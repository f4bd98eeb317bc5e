"""The pages' texts: states, waiting times, and what to do about errors."""

from __future__ import annotations

import json
from typing import Final

from pydantic import ValidationError

from api.errors import ProblemError
from api.generations.documents import StatusDocument
from api.workflows.titles import title_of
from core.callbacks.callback import CALLBACK_FIELDS
from core.fields import PROMPT_MAX, SEED_MAX
from core.invalid import problems_of
from core.problems import MISFIT, Problem
from core.requests import DEFAULT_WORKFLOW, StoredRequest
from core.status import Status
from core.stored import Unreadable
from core.wording import brief, place_in_queue
from core.workflows.limits import BATCH_SIZE_MAX, CFG_MAX, SIZE_MAX, SIZE_MIN, SIZE_STEP, STEPS_MAX
from store.errors import ArtefactStoreError, DeletedError, NotFoundError, StoreError

STATUS_WORDS: Final[dict[Status, str]] = {
    "queued": "Queued",
    "running": "Rendering",
    "cancelling": "Cancelling",
    "succeeded": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
WAITING_WORDS: Final = {
    "waiting_for_comfyui": "Waiting for ComfyUI",
    "comfyui_busy": "ComfyUI is busy",
    "waiting_for_worker": "Waiting for a worker",
    "no_capable_worker": "No worker can do it now",
    "waiting_for_prefect": "Waiting for Prefect",
    "paused": "Paused in Prefect",
    "disk_full": "The disk is full",
    "storage_away": "Waiting for the image storage",
}
_ADVICE: Final = {
    "out_of_memory": "Choose a smaller size or fewer images at once, then generate again.",
    "node_failed": "Press Retry. If it fails again, try another sampler or model.",
    "comfyui_unreachable": "Start ComfyUI again, then press Retry. Your settings are kept.",
    "timed_out": "Use fewer steps or a smaller size, or press Retry when ComfyUI is less busy.",
    "input_refused": "Use a smaller file, or let ComfyUI take larger ones, then press Retry.",
    "upload_expired": "Its file is not there any more: choose it again, then generate.",
    "paid_nodes": "Allow paid services where the worker runs, start it again, then press Retry.",
    "paid_unknown": (
        "Look in your account of the service whether it was charged. Retry submits it, and maybe "
        "charges it, again."
    ),
    "prompt_lost": "ComfyUI was restarted while it rendered this. Press Retry.",
    "interrupted": "It was stopped in ComfyUI itself. Press Retry to run it again.",
    "no_output": "Press Retry. If it happens again, check ComfyUI's log.",
    "unusable_file": "Check what serves ComfyUI's files: a custom node, or a proxy.",
    "unsupported_comfyui": "Update ComfyUI to 0.3.45 or later, then press Retry.",
    "not_available": "Free space on the disk where Easel keeps its images, then press Retry.",
    "run_failed": "Press Retry. The flow run in Prefect shows what happened.",
    "unreadable_document": "Generate it again, or go back to the version of Easel that stored it.",
}


def advice(problem: Problem, model: str) -> str:
    """Returns what to do about a failed generation, in plain words."""
    if problem.code == "workflow_rejected":
        return (
            f"ComfyUI did not accept it. If the model “{model}” was moved or removed, put it back "
            "or choose another model."
        )
    if problem.detail.startswith(MISFIT):
        return "Reuse the settings, choose another model and generate again."
    return _ADVICE.get(problem.code, "Press Retry, or change the settings and generate again.")


def headline(document: StatusDocument) -> str:
    """Returns the state in a few words, with the queue position."""
    if document.status == "queued":
        if document.waiting is not None:
            return WAITING_WORDS.get(document.waiting.code, "Waiting")
        if document.queue_position is None:
            return STATUS_WORDS["queued"]
        place = place_in_queue(document.queue_position)
        return f"{place[:1].upper()}{place[1:]}"
    if document.status == "running" and document.waiting is not None:
        return WAITING_WORDS.get(document.waiting.code, "Waiting")
    return STATUS_WORDS[document.status] if document.expired_at is None else "Image removed"


def removed(document: StatusDocument) -> str:
    """Returns the text in place of images that were removed because of their age."""
    if document.expired_at is None or document.finished_at is None:
        return "The image was removed"
    days = (document.expired_at - document.finished_at).days
    return f"The image was removed after {days} {'day' if days == 1 else 'days'}"


def percent_of(document: StatusDocument | None) -> float | None:
    """Returns how far it is; None while that is unknown."""
    if document is None or document.waiting is not None or document.progress is None:
        return None
    return document.progress.percent if document.status == "running" else None


def queue_line(running: StatusDocument | None, queued: int) -> str:
    """Returns what is rendered and how many wait: "Rendering 37% · 2 queued"."""
    said = []
    if running is not None:
        percent = percent_of(running)
        said.append(headline(running) + (f" {percent:.0f}%" if percent is not None else ""))
    if queued:
        said.append(f"{queued:,} queued")
    return " · ".join(said)


def tab_title(running: StatusDocument | None, queued: int) -> str:
    """Returns the studio's title in the browser's tab: "37% · Easel"."""
    percent = percent_of(running)
    if percent is not None:
        return f"{percent:.0f}% · Easel"
    waiting = queued + (running is not None)
    return f"({waiting}) Easel" if waiting else "Easel"


def progress_line(document: StatusDocument) -> str:
    """Returns step and remaining time; nothing while it waits for something else."""
    said: list[str] = []
    progress = document.progress
    if document.waiting is not None:
        return ""
    if document.status == "running" and progress is not None:
        if progress.step is not None and progress.steps:
            said.append(f"Step {progress.step} of {progress.steps}")
        elif progress.node:
            said.append(progress.node)
    if document.eta_s is not None and document.status == "queued":
        said.append(f"done in {brief(document.eta_s)}")
    if document.eta_s is not None and document.status == "running":
        said.append(f"{brief(document.eta_s)} left")
    return " · ".join(said)


def explain(error: Exception) -> str:
    """Returns a toast's text about an error: the problem's ``detail`` if there is one."""
    if isinstance(error, ProblemError):
        return sentence(error.problem.detail)
    if isinstance(error, ValidationError):
        return _invalid(error)
    if isinstance(error, DeletedError):
        return "It was deleted."
    if isinstance(error, NotFoundError):
        return "It does not exist any more."
    if isinstance(error, ArtefactStoreError):
        return "The image cannot be read now. Try again."
    if isinstance(error, StoreError):
        return sentence(str(error))
    return "Something went wrong in Easel. Nothing of yours is lost; Easel's log has the details."


def sentence(text: str) -> str:
    """Returns a problem's detail as a sentence: with a capital letter and a stop.

    A name of a file at its beginning stays as it is.
    """
    ended = text if text.endswith((".", "!", "?", "”")) else f"{text}."
    first = text.partition(" ")[0].rstrip(".,:;")
    is_name = any(sign in first for sign in "._/\\")
    return ended if is_name else f"{ended[:1].upper()}{ended[1:]}"


FIELD_RULES: Final = {
    "negative_prompt": f"The negative prompt may have {PROMPT_MAX:,} characters at most.",
    "steps": f"Steps must be a whole number from 1 to {STEPS_MAX}.",
    "cfg": f"CFG must be a number from 0 to {CFG_MAX:g}.",
    "width": f"The width must be from {SIZE_MIN} to {SIZE_MAX}, in steps of {SIZE_STEP}.",
    "height": f"The height must be from {SIZE_MIN} to {SIZE_MAX}, in steps of {SIZE_STEP}.",
    "seed": f"The seed must be a whole number from 0 to {SEED_MAX}; −1 draws one.",
    "batch_size": f"From 1 to {BATCH_SIZE_MAX} images at once.",
}
"""What may stand in a field, as a sentence."""
_EMPTY: Final = frozenset({"string_too_short", "too_short", "value_error", "missing"})


def field_errors(error: ValidationError | ProblemError) -> dict[str, str]:
    """Returns what is wrong with each field of a request; ``""`` is the request as a whole."""
    found: dict[str, str] = {}
    if isinstance(error, ProblemError):
        for problem in error.problem.errors:
            found.setdefault(str(problem.loc[-1]) if problem.loc else "", problem.message)
        return found or {"": error.problem.detail}
    for loc, kind, message in problems_of(error):
        name = ".".join(str(part) for part in loc)
        found.setdefault(name, field_error(name, kind, message))
    return found


def field_error(name: str, kind: str, message: str) -> str:
    """Returns what is wrong with a field, in words for people."""
    if name == "prompt":
        return (
            "Describe the image first."
            if kind in _EMPTY
            else f"The prompt may have {PROMPT_MAX:,} characters at most."
        )
    where = f"{name}: {message}" if name and "." not in name else sentence(message)
    return FIELD_RULES.get(name) or where


def _invalid(error: ValidationError) -> str:
    return next(iter(field_errors(error).values()))


EXPECTED_ERRORS: Final = (ProblemError, ValidationError, StoreError)
"""Errors in a page that are not bugs."""


def title(prompt: str, most: int = 80) -> str:
    """Returns the beginning of a prompt, on one line."""
    line = " ".join(prompt.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def subject(request: StoredRequest, most: int = 80) -> str:
    """Returns what a generation is called: its prompt's beginning; without one, what was done."""
    return title(request.prompt, most) or title_of(request.workflow)


def operation(request: StoredRequest) -> str:
    """Returns what was done besides drawing a text; empty where the subject says it already."""
    is_said = request.workflow == DEFAULT_WORKFLOW or not title(request.prompt)
    return "" if is_said else title_of(request.workflow)


def unreadable_note(found: Unreadable) -> str:
    """Returns why the settings of an image are shown as stored."""
    return (
        "Another version of Easel stored these settings, and this version cannot read them "
        f"({found.reason}). They are shown as they were stored."
    )


def raw_rows(found: Unreadable) -> list[tuple[str, str]]:
    """Returns a stored document that cannot be read, as names and values.

    A callback is left out: its URL may hold a secret.
    """
    if not isinstance(found.stored, dict):
        return [("As stored", json.dumps(found.stored, ensure_ascii=False))]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in found.stored.items()
        if name not in CALLBACK_FIELDS and not name.startswith("$")  # its plan
    ]
