"""The texts of the page of workflows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from api.errors import ProblemError
from core.workflows.declaration import Input, InputType, Role
from web.parts.wording import sentence

STATE_WORDS: Final = {
    "ready": "Ready",
    "missing_nodes": "Nodes are missing",
    "missing_models": "Models are missing",
    "needs_attention": "Needs attention",
}
ROLE_WORDS: Final[Mapping[Role, str]] = {
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "cfg": "CFG",
    "vae": "VAE",
    "lora": "LoRA",
    "init_image": "Start image",
    "batch_size": "Images at once",
    "duration_s": "Seconds",
    "fps": "Frames per second",
    "length": "Frames",
}
"""Roles whose names are not their words."""
TYPE_WORDS: Final[Mapping[InputType, str]] = {
    "text": "text",
    "longtext": "long text",
    "integer": "whole number",
    "number": "number",
    "boolean": "on or off",
    "choice": "choice",
    "seed": "seed",
    "model": "model file",
    "image": "image",
    "mask": "mask",
    "video": "video",
    "audio": "sound",
    "model3d": "3D model",
    "file": "file",
    "list": "list",
    "group": "group",
}
REASON_WORDS: Final = {
    "muted": "muted",
    "bypassed": "bypassed",
    "page_only": "belongs to ComfyUI's page",
    "viewer": "ComfyUI would refuse it",
    "unused": "reaches no output",
    "constant": "its value stands where it goes",
    "group_node": "is a group",
}
KIND_WORDS: Final = {
    "shipped": "Recommended",
    "saved": "Saved in ComfyUI",
    "template": "Templates",
    "blueprint": "Blueprints",
}
"""Kinds of what is offered, in the order of their sections."""
_SHOWN: Final = 80
_NO_WORKFLOW: Final = (
    "In ComfyUI, choose Workflow, then Export, and drop that file here; or drop an image that "
    "ComfyUI saved, as it was saved."
)


def role_words(role: Role) -> str:
    """Returns what a role is called."""
    return ROLE_WORDS.get(role) or role.replace("_", " ").capitalize()


def default_words(one: Input) -> str:
    """Returns a default in few words."""
    if one.required:
        return "none: it is required"
    if one.is_upload:
        return "no file"
    if one.default is None:
        return "random" if one.type == "seed" else "as in the workflow"
    if isinstance(one.default, bool):
        return "on" if one.default else "off"
    said = one.default if isinstance(one.default, str) else json.dumps(one.default)
    line = " ".join(said.split())
    return f"{line[: _SHOWN - 1]}…" if len(line) > _SHOWN else line or "empty"


def refusal(error: ProblemError, *, is_file: bool) -> tuple[str, str]:
    """Returns why a file, or what ComfyUI offers, is not imported, and what to do about it."""
    problem = error.problem
    said = sentence(problem.errors[0].message if problem.errors else problem.detail)
    if problem.code == "invalid_workflow" and is_file:
        return said, _NO_WORKFLOW
    if problem.code in ("no_catalogue", "not_available"):
        return said, "Try again once ComfyUI answers."
    return said, ""
