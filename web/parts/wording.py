"""The pages' texts: states, waiting times, and what to do about errors."""

from __future__ import annotations

import json
from typing import Final

from pydantic import ValidationError

from api.errors import ProblemError
from api.generations.documents import StatusDocument
from core.problems import Problem
from core.status import Status
from core.stored import Unreadable
from core.wording import duration
from store.errors import DeletedError, ImageStoreError, NotFoundError, StoreError

STATUS_WORDS: Final[dict[Status, str]] = {
    "queued": "In line",
    "running": "Rendering",
    "cancelling": "Stopping",
    "succeeded": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_WAITING: Final = {
    "waiting_for_comfyui": "Waiting for ComfyUI",
    "comfyui_busy": "ComfyUI is busy",
    "waiting_for_worker": "Waiting for a worker",
    "waiting_for_prefect": "Waiting for Prefect",
    "paused": "Paused in Prefect",
    "disk_full": "The disk is full",
}
_ADVICE: Final = {
    "out_of_memory": "Choose a smaller size or fewer images at once, then try again.",
    "node_failed": "Try again; if it fails again, try another sampler or model.",
    "comfyui_unreachable": "Start ComfyUI again, then press Retry. Your settings are kept.",
    "timed_out": "Use fewer steps or a smaller size, or try again when ComfyUI is less busy.",
    "prompt_lost": "ComfyUI was restarted while it worked on this. Press Retry.",
    "interrupted": "Somebody stopped it in ComfyUI itself. Press Retry to do it again.",
    "no_output": "Press Retry. If it happens again, look into ComfyUI's own log.",
    "unusable_file": "Press Retry. If it happens again, look at what serves ComfyUI's files.",
    "unsupported_comfyui": "Update ComfyUI, then press Retry.",
    "not_available": "Make room on the disk where Easel keeps its pictures, then press Retry.",
    "run_failed": "Press Retry. The flow run in Prefect tells what happened.",
    "unreadable_document": "Describe it anew, or go back to the version of Easel that stored it.",
}


def advice(problem: Problem, model: str) -> str:
    """Returns what to do about a failed generation, in plain words."""
    if problem.code == "workflow_rejected":
        return (
            f"ComfyUI did not accept it. If the model “{model}” was moved or removed, put it back "
            "or choose another one."
        )
    return _ADVICE.get(problem.code, "Press Retry, or change the settings and generate again.")


def headline(document: StatusDocument) -> str:
    """Returns the state in a few words, with the queue position."""
    if document.status == "queued":
        if document.waiting is not None:
            return _WAITING.get(document.waiting.code, "Waiting")
        if document.queue_position is None:
            return STATUS_WORDS["queued"]
        return (
            "Next in line" if document.queue_position == 0 else f"{document.queue_position} ahead"
        )
    if document.status == "running" and document.waiting is not None:
        return _WAITING.get(document.waiting.code, "Waiting")
    return STATUS_WORDS[document.status] if document.expired_at is None else "Picture removed"


def removed(document: StatusDocument) -> str:
    """Returns the text in place of pictures that were removed because of their age."""
    if document.expired_at is None or document.finished_at is None:
        return "The picture was removed"
    days = (document.expired_at - document.finished_at).days
    return f"The picture was removed after {days} {'day' if days == 1 else 'days'}"


def progress_line(document: StatusDocument) -> str:
    """Returns step, node and remaining time."""
    said = []
    progress = document.progress
    if document.status == "running" and progress is not None:
        if progress.step is not None and progress.steps:
            said.append(f"step {progress.step} of {progress.steps}")
        if progress.node:
            said.append(progress.node)
    if document.eta_s is not None and document.status in ("queued", "running"):
        said.append(f"{duration(document.eta_s)} left")
    return " · ".join(said)


def explain(error: Exception) -> str:
    """Returns a toast's text about an error: the problem's ``detail`` if there is one."""
    if isinstance(error, ProblemError):
        return error.problem.detail
    if isinstance(error, ValidationError):
        return _invalid(error)
    if isinstance(error, DeletedError):
        return "It was deleted."
    if isinstance(error, NotFoundError):
        return "It is not there any more."
    if isinstance(error, ImageStoreError):
        return "The picture cannot be read now. Try again."
    if isinstance(error, StoreError):
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
    return "Something broke on our side. Nothing of yours is lost; Easel's log has more."


def _invalid(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "prompt" and first["type"] in ("string_too_short", "too_short", "value_error"):
        return "Describe the picture first."
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


EXPECTED_ERRORS: Final = (ProblemError, ValidationError, StoreError)
"""Errors in a page that are not bugs."""


def title(prompt: str, most: int = 80) -> str:
    """Returns the beginning of a prompt, on one line."""
    line = " ".join(prompt.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def unreadable_note(found: Unreadable) -> str:
    """Returns why the settings of a picture are shown as stored."""
    return (
        "Another version of Easel stored these settings, and this version cannot read them "
        f"({found.reason}). They are shown as they were stored."
    )


def raw_rows(found: Unreadable) -> list[tuple[str, str]]:
    """Returns a stored document that cannot be read, as names and values."""
    if not isinstance(found.stored, dict):
        return [("As stored", json.dumps(found.stored, ensure_ascii=False))]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in found.stored.items()
    ]


def model_name(name: str) -> str:
    """Returns a checkpoint's file name without folder and extension."""
    return name.rpartition("/")[2].removesuffix(".safetensors").removesuffix(".ckpt")
