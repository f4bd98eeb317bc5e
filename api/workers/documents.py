"""The documents about workers. Their field descriptions are the API's reference."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.documents import Document


class WorkerDocument(Document):
    """A registered worker, and the ComfyUI beside it."""

    name: str
    comfyui_version: str | None = Field(description="As ComfyUI said it; null while unknown.")
    reachable: bool = Field(description="Whether it runs, and reaches its ComfyUI.")
    detail: str | None = Field(description="Why it is not reachable.")
    seen_at: datetime = Field(description="When it last said that it runs, by its own clock.")
    last_model: str | None = Field(
        description="The model that it used last: ComfyUI does not say which it has loaded."
    )
    running: int = Field(description="Generations that it has taken and that have not ended.")
    waiting: int = Field(description="Generations that wait and that its ComfyUI could do.")
    seconds_per_cost: float | None = Field(
        description="Seconds for a megapixel drawn in one step, of the newest that it did."
    )


class WorkersDocument(Document):
    """Every registered worker, by name: those that run, and those that may come again."""

    workers: list[WorkerDocument]
