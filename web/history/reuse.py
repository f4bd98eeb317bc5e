"""Takes over the settings of a generation into the studio's form."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from api.options import read_options
from core.requests import DEFAULT_WORKFLOW, ResolvedRequest
from core.workflows.declaration import Role
from web.forms import drafts
from web.forms.drafts import Draft
from web.forms.onward import put_into_form
from web.forms.workflow_drafts import WorkflowDraft
from web.parts.layout import Web


async def use_all(web: Web, request: ResolvedRequest) -> None:
    """Take over all settings, and go to the studio."""
    if request.workflow != DEFAULT_WORKFLOW:
        _use_inputs(request, request.inputs)
        return
    draft, native = Draft.load(), None
    if web.facade.catalogue.current is not None:
        models = (await read_options(web.facade)).models
        native = next((m.defaults for m in models if m.name == request.model), None)
    drafts.keep_replaced(draft)
    draft.use(request, native)
    _to_studio(draft)


async def use_prompt(request: ResolvedRequest) -> None:
    """Take over the prompts alone, and go to the studio."""
    if request.workflow != DEFAULT_WORKFLOW:
        _use_roles(request, {"prompt": request.prompt, "negative_prompt": request.negative_prompt})
        return
    draft = Draft.load()
    drafts.keep_replaced(draft)
    draft.prompt, draft.negative = request.prompt, request.negative_prompt
    _to_studio(draft)


async def use_seed(request: ResolvedRequest, seed: int | None) -> None:
    """Take over the seed alone, that of the shown output, and go to the studio."""
    if request.workflow != DEFAULT_WORKFLOW:
        _use_roles(request, {"seed": seed})
        return
    draft = Draft.load()
    drafts.keep_replaced(draft)
    draft.use_seed(request)
    draft.seed = seed
    _to_studio(draft)


def _use_roles(request: ResolvedRequest, roles: dict[Role, Any]) -> None:
    names = {request.plan.input_of(role): value for role, value in roles.items()}
    known = {name: value for name, value in names.items() if name is not None}
    _use_inputs(request, {**WorkflowDraft.load().of(request.workflow), **known})


def _use_inputs(request: ResolvedRequest, values: dict[str, Any]) -> None:
    put_into_form(request.workflow, values, request.plan.input_of("prompt"))


def _to_studio(draft: Draft) -> None:
    draft.save()
    WorkflowDraft.load().change(chosen=DEFAULT_WORKFLOW)
    ui.navigate.to("/")
