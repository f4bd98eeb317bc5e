"""The form of a batch that was created elsewhere, from what is stored of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from api.generations.documents import CallbackDocument
from core.batches.request import COUNT_MAX, BatchOptions
from core.requests import DEFAULT_WORKFLOW, ResolvedRequest, StoredRequest
from core.workflows.declaration import Workflow
from web.forms.batch_drafts import AXES, NUMBERS, Axis, BulkDraft
from web.forms.drafts import OWN
from web.forms.more_values import OF_PICTURES
from web.forms.workflow_batch import axis_of
from web.forms.workflow_fields import entered

ITEMS_READ: Final = 5_000
"""Number of items that a form is made of: no batch of more is started again from its form."""
_PROMPTS_MAX: Final = 500
_OF_MODEL: Final = ("vae", "text_encoders", "guidance")


def draft_of(
    options: BatchOptions,
    requests: Iterable[StoredRequest | None],
    callback: CallbackDocument | None,
) -> BulkDraft | None:
    """Returns the form that makes such a batch again; None when no grid can say its rows.

    The prompts are those that were made: what wildcards stood in them is not stored.
    A callback by URL cannot be said again: the form takes names only.
    """
    made = [request for request in requests if isinstance(request, ResolvedRequest)]
    found = _lists(made)
    several = [values for values in found.values() if len(values) > 1]
    product = math.prod(len(values) for values in several)
    prompts, negatives = found["prompt"], found["negative_prompt"]
    lines = len(prompts) == 1 or not any("\n" in prompt for prompt in prompts)
    times = Counter(_combination(request) for request in made)
    count = next(iter(times.values()), 0)
    if len(times) != product or set(times.values()) != {count} or count > COUNT_MAX:
        return None  # rows of a file, or lists that were paired up
    more = _more(made)
    if (
        more is None
        or not lines
        or len(negatives) > 1
        or len(prompts) > _PROMPTS_MAX
        or not _is_plain(made)
    ):
        return None
    draft = _with_options(options)
    draft.prompt, draft.each_line = "\n".join(prompts), len(prompts) > 1
    draft.negative, draft.models = negatives[0], found["model"]
    draft.sizes = [f"{width} × {height}" for width, height in found["size"]]
    draft.axes = [_axis(name, found[name]) for name in AXES if name in found]
    draft.count, draft.wildcards = count, False
    draft.values = {DEFAULT_WORKFLOW: more} if more else {}
    if callback is not None and callback.name is not None:
        draft.callback, draft.callback_events = callback.name, list(callback.events)
    return draft


def workflow_draft_of(
    workflow: Workflow,
    options: BatchOptions,
    requests: Iterable[StoredRequest | None],
    callback: CallbackDocument | None,
) -> BulkDraft | None:
    """As ``draft_of``, for a batch of another workflow than txt2img."""
    made = [request for request in requests if isinstance(request, ResolvedRequest)]
    if not made or any(request.metadata or request.workflow != workflow.name for request in made):
        return None
    found = {
        one.name: _distinct(request.inputs.get(one.name) for request in made)
        for one in workflow.inputs
        if one.type != "seed"  # each item has drawn its own
    }
    times = Counter(_key([request.inputs.get(name) for name in found]) for request in made)
    count = next(iter(times.values()))
    product = math.prod(len(values) for values in found.values())
    if len(times) != product or set(times.values()) != {count} or count > COUNT_MAX:
        return None  # rows of a file, or lists that were paired up
    draft = _with_options(options)
    draft.workflow, draft.count, draft.wildcards = workflow.name, count, False
    if not _put_values(draft, workflow, found):
        return None
    if callback is not None and callback.name is not None:
        draft.callback, draft.callback_events = callback.name, list(callback.events)
    return draft


def _put_values(draft: BulkDraft, workflow: Workflow, found: dict[str, list[Any]]) -> bool:
    """Put the values into the draft. Returns False when the form cannot say them."""
    prompt = workflow.of_role("prompt")
    values: dict[str, Any] = {}
    axes: list[Axis] = []
    for name, those in found.items():
        one = workflow.by_name[name]
        if one is prompt:
            prompts = [str(each or "") for each in those]
            lines = len(prompts) == 1 or not any("\n" in text or not text for text in prompts)
            if not lines or len(prompts) > _PROMPTS_MAX:
                return False
            draft.prompt, draft.each_line = "\n".join(prompts), len(prompts) > 1
        elif len(those) == 1:
            if (value := entered(one, those[0])) is not None:
                values[name] = value
        else:
            axis = axis_of(one, those) if None not in those else None
            if axis is None:
                return False
            axes.append(axis)
    draft.values, draft.lists = {workflow.name: values}, {workflow.name: axes}
    return True


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Returns each value once, in their order: lists and groups among them."""
    return list({_key(value): value for value in values}.values())


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _with_options(options: BatchOptions) -> BulkDraft:
    share = options.stop_at_failure_share
    return BulkDraft(
        way="grid",
        name=options.name or "",
        count=options.count,
        seed=options.seed,
        wildcards=options.wildcards,
        max_in_flight=options.max_in_flight,
        stop_after_failures=options.stop_after_failures,
        stop_at_percent=None if share is None else round(100 * share),
        not_after=options.not_after or "",
        timezone=options.timezone,
    )


def _combination(request: ResolvedRequest) -> tuple[Any, ...]:
    """Returns what the form's lists give a generation."""
    size = request.width, request.height
    how = request.steps, request.cfg, request.sampler, request.scheduler
    return request.prompt, request.model, size, *how


def _is_plain(made: Sequence[ResolvedRequest]) -> bool:
    """Returns whether the requests have nothing that the form has no field for."""
    return all(request.batch_size == 1 and not request.metadata for request in made)


def _more(made: Sequence[ResolvedRequest]) -> dict[str, Any] | None:
    """Returns what all of them have besides the form's own fields; None where they differ.

    What was found for the model, and differs with it, is found again.
    """
    each = [
        {name: value for name, value in one.inputs.items() if name not in OWN and value is not None}
        for one in made
    ]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in each for name in one):
        values = [one.get(name) for one in each]
        if all(value == values[0] for value in values):
            found[name] = values[0]
        elif name not in _OF_MODEL:
            return None
    return None if found.keys() & OF_PICTURES else found


def _lists(made: Sequence[ResolvedRequest]) -> dict[str, list[Any]]:
    """Returns the values of each field, each once, in their order. Seeds were drawn."""
    found: dict[str, list[Any]] = {
        "size": [*dict.fromkeys((request.width, request.height) for request in made)]
    }
    names = ("prompt", "negative_prompt", "model", "steps", "cfg", "sampler", "scheduler")
    for name in names:
        found[name] = [*dict.fromkeys(getattr(request, name) for request in made)]
    return found


def _axis(name: str, values: list[Any]) -> Axis:
    if name in NUMBERS:
        return Axis(field=name, text=", ".join(f"{value:g}" for value in values))
    return Axis(field=name, chosen=values)
