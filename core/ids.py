"""Identities. One id is used end to end, so work can be found again after a crash anywhere."""

from __future__ import annotations

import uuid

OUTPUT_SUBFOLDER = "easel"
"""The folder below ComfyUI's output folder that receives every picture made for Easel."""


def new_generation_id() -> uuid.UUID:
    """Returns a fresh generation id (the API calls it ``task_id``): random, never reused."""
    return uuid.uuid4()


def parse_generation_id(text: str) -> uuid.UUID | None:
    """Returns the id if it is a canonical lowercase UUID, None for any other spelling.

    ``uuid.UUID`` also reads braces, URNs and uppercase; one generation must have one spelling.
    """
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None


def prompt_id(generation_id: uuid.UUID, attempt: int) -> str:
    """Returns the ComfyUI ``prompt_id`` of one attempt.

    Derived, not random: a retried *task* finds its own prompt, a new *attempt* gets a new one.
    ComfyUI 0.24 requires a canonical lowercase UUID (400 ``invalid_prompt_id`` otherwise).
    """
    return str(uuid.uuid5(generation_id, f"attempt-{attempt}"))


def item_id(batch_id: uuid.UUID, position: int) -> uuid.UUID:
    """Returns the id of the generation that makes an item (counted from 0) of a batch.

    Derived, so that a batch that is killed and resumed makes each of its items once.
    """
    return uuid.uuid5(batch_id, f"item-{position}")


def filename_prefix(prompt_id: str) -> str:
    """Returns a prompt's ``SaveImage`` prefix: unique, so the picture can be found by its name.

    It also keeps ComfyUI from answering with an old file: an identical graph is served from
    its cache, but a graph with another prefix runs ``SaveImage`` again.
    """
    return f"{OUTPUT_SUBFOLDER}/{prompt_id}"


def output_filename(prompt_id: str, number: int, ending: str = "_.png") -> str:
    """Returns the name that a save node gives the ``number``-th (from 1) file of a prompt.

    ``SaveImage`` ends it with an underscore and the extension; some others leave the first out.
    """
    return f"{prompt_id}_{number:05}{ending}"
