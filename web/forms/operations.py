"""What is often done next with an image: which workflow does it, and with which values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.workflows.documents import WorkflowDocument
from core.requests import ResolvedRequest, StoredRequest
from core.workflows.declaration import Input


@dataclass(frozen=True)
class Operation:
    """``input`` takes the image, of the built-in ``workflow``. ``taken`` are the inputs that get
    the values which the image was made with. ``forgets`` are inputs that meant another image;
    ``adds``: the image comes to those that are in the form. ``each`` is what it is called for
    several images, one after the other; None where that makes no sense."""

    label: str
    about: str
    workflow: str
    input: str
    taken: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()
    adds: bool = False
    icon: str | None = None
    each: str | None = None


@dataclass(frozen=True)
class Filled:
    """The form of a workflow with the values that an image goes on with."""

    workflow: str
    title: str
    values: Mapping[str, Any]


_PROMPTS: Final = ("prompt", "negative_prompt")
_MODEL: Final = (
    *("model", "steps", "cfg", "guidance", "sampler", "scheduler"),
    *("loras", "clip_skip", "vae", "text_encoders"),
)
"""The model, and what suits it alone."""
_DRAWN: Final = (*_PROMPTS, *_MODEL)
_UPSCALE: Final = "upscale"
_EDIT: Final = "edit"
_SOURCES: Final = ("txt2img", "img2img", "inpaint", "outpaint", _EDIT)
"""Built-in workflows whose inputs have the same names and meanings."""
_DETAIL_MODEL: Final = "detail_model"

UPSCALE: Final = Operation(
    label="Upscale",
    about="Enlarges it, with more detail if you like.",
    workflow=_UPSCALE,
    input="init_image",
    taken=("prompt", _DETAIL_MODEL),
    icon="expand",
    each="Upscale each",
)
EDIT: Final = Operation(
    label="Edit",
    about="Changes it as you say in words.",
    workflow=_EDIT,
    input="reference_images",
    taken=_MODEL,
    icon="edit",
)
START: Final = Operation(
    label="Use as start image",
    about="Another image from this one and a prompt.",
    workflow="img2img",
    input="init_image",
    taken=_DRAWN,
    each="Use each as start image",
)
INPAINT: Final = Operation(
    label="Inpaint",
    about="Draws a part of it anew: what a mask shows.",
    workflow="inpaint",
    input="init_image",
    taken=_DRAWN,
    forgets=("mask",),
)
EXTEND: Final = Operation(
    label="Outpaint",
    about="Goes on beyond its sides.",
    workflow="outpaint",
    input="init_image",
    taken=_DRAWN,
    each="Outpaint each",
)
REFERENCE: Final = Operation(
    label="Use as reference",
    about="Adds it to the images that an edit speaks of.",
    workflow=_EDIT,
    input="reference_images",
    adds=True,
)
OPERATIONS: Final = (UPSCALE, EDIT, START, INPAINT, EXTEND, REFERENCE)
IN_SIGHT: Final = 2
"""So many of them, the first ones, have a button of their own; the rest is in a sheet."""


def possible(known: Iterable[WorkflowDocument]) -> list[Operation]:
    """Returns the operations whose workflows there are."""
    inputs = {one.name: {each.name for each in one.inputs} for one in known if one.built_in}
    return [one for one in OPERATIONS if one.input in inputs.get(one.workflow, ())]


def filled(
    operation: Operation,
    workflow: WorkflowDocument,
    references: Sequence[str],
    request: StoredRequest | None,
    draft: Mapping[str, Any],
) -> Filled:
    """Returns the form for images that the request made, if one did; ``draft`` is what it has now.

    What the form has besides stays: the scale, how much is drawn anew, what is to be edited.
    """
    known = {one.name: one for one in workflow.inputs}
    found = {n: v for n, v in _made_with(request, operation).items() if n in operation.taken}
    gone = {*found, *operation.forgets, operation.input}
    kept = {name: value for name, value in draft.items() if name not in gone}
    taken = {name: v for name, v in found.items() if v is not None and name in known}
    before = draft.get(operation.input) if operation.adds else None
    chosen = _chosen(known[operation.input], before, references)
    return Filled(operation.workflow, workflow.title, {**kept, **taken, operation.input: chosen})


def _made_with(request: StoredRequest | None, operation: Operation) -> dict[str, Any]:
    """Returns what the request says of the operation's inputs; None for what it leaves out."""
    if not isinstance(request, ResolvedRequest):
        return {}
    values = request.inputs
    if operation.workflow == _EDIT:  # another model, and words that say what to change
        return {name: values.get(name) for name in _MODEL} if request.workflow == _EDIT else {}
    if request.workflow in _SOURCES:
        found = {name: values.get(name) for name in _DRAWN}
        return {**found, _DETAIL_MODEL: values.get("model")}
    if request.workflow == _UPSCALE:
        model = values.get(_DETAIL_MODEL)
        return {"prompt": values.get("prompt"), "model": model, _DETAIL_MODEL: model}
    named = {role: request.plan.input_of(role) for role in _PROMPTS}
    return {role: values.get(name) for role, name in named.items() if name is not None}


def _chosen(one: Input, before: object, references: Sequence[str]) -> Any:
    """Returns the input's value: a list takes all, those that it has first."""
    if one.type != "list":
        return references[0]
    had = [each for each in before if isinstance(each, str)] if isinstance(before, list) else []
    found = list(dict.fromkeys((*had, *references)))
    return found[-one.max_length :] if one.max_length else found
