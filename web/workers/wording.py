"""The texts of the page of workers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from api.workers.documents import WorkerDocument
from core.wording import ago

NONE: Final = "No worker yet"
START_ONE: Final = "Start Easel with `easel up`, or a worker with `easel worker` beside ComfyUI."
STATES: Final = {True: "Ready", False: "Away"}
_MEGAPIXEL_STEPS: Final = 20
"""Steps of the picture of one megapixel whose time is told."""


def state_words(one: WorkerDocument, now: datetime) -> str:
    """Returns for example "Ready", or "Away: it was stopped, 2 hours ago"."""
    if one.reachable:
        return STATES[True]
    return f"{STATES[False]}: {one.detail or 'it does not answer'}, {ago(one.seen_at, now)}"


def work_words(one: WorkerDocument) -> str:
    """Returns how busy it is: "2 in progress · 12 queued that it can do"."""
    said = [f"{one.running:,} in progress"] if one.running else []
    said += [f"{one.waiting:,} queued that it can do"] if one.waiting else []
    return " · ".join(said) or ("Nothing to do" if one.reachable else "")


def about_words(one: WorkerDocument) -> str:
    """Returns what is known of its ComfyUI: "ComfyUI 0.33.0 · last used flux1-dev.safetensors"."""
    said = [f"ComfyUI {one.comfyui_version}" if one.comfyui_version else "ComfyUI"]
    if one.last_model:
        said.append(f"last used {one.last_model}")
    if one.seconds_per_cost:
        seconds = one.seconds_per_cost * _MEGAPIXEL_STEPS
        said.append(f"{seconds:.1f} s for a megapixel in {_MEGAPIXEL_STEPS} steps")
    return " · ".join(said)
