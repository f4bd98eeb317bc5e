"""Identities. One id travels the whole way, so a crash anywhere can find its own work again."""

from __future__ import annotations

import uuid

OUTPUT_SUBFOLDER = "easel"
"""The folder below ComfyUI's output folder that receives every picture made for Easel."""


def new_generation_id() -> uuid.UUID:
    """A fresh generation id (the API calls it ``task_id``): random, never reused."""
    return uuid.uuid4()


def parse_generation_id(text: str) -> uuid.UUID | None:
    """The id written as a canonical lowercase UUID, or None for any other spelling.

    ``uuid.UUID`` also reads braces, URNs and uppercase; one generation must have one spelling.
    """
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None


def prompt_id(generation_id: uuid.UUID, attempt: int) -> str:
    """The ComfyUI ``prompt_id`` of one attempt.

    Derived, not drawn: a retried *task* meets its own prompt again, a new *attempt* gets a new one.
    ComfyUI 0.24 wants a canonical lowercase UUID (400 ``invalid_prompt_id`` otherwise).
    """
    return str(uuid.uuid5(generation_id, f"attempt-{attempt}"))


def item_id(batch_id: uuid.UUID, position: int) -> uuid.UUID:
    """The id of the generation that does an item (counted from 0) of a batch.

    Derived, so that a batch that was killed and goes on makes each of its items once.
    """
    return uuid.uuid5(batch_id, f"item-{position}")


def filename_prefix(prompt_id: str) -> str:
    """The ``SaveImage`` prefix of a prompt: unique, so the picture can be found again by its name.

    It also keeps ComfyUI from answering with an old file: an identical graph is served from
    its cache, but a graph with another prefix runs ``SaveImage`` again.
    """
    return f"{OUTPUT_SUBFOLDER}/{prompt_id}"


def output_filename(prompt_id: str, number: int) -> str:
    """The name ComfyUI's ``SaveImage`` gives to the ``number``-th (from 1) picture of a prompt."""
    return f"{prompt_id}_{number:05}_.png"
