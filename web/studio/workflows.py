"""The workflow that the studio's form is for: its picker, and the form that belongs to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from nicegui import ui
from pydantic import ValidationError

from api.errors import ProblemError
from api.options import OptionsDocument, read_options
from core.invalid import problems_of
from core.requests import DEFAULT_WORKFLOW, GenerationRequest, ResolvedRequest
from core.workflows.declaration import Role, Workflow
from web.forms import drafts
from web.forms.generation import Form
from web.forms.wording import mistake_at
from web.forms.workflow_choice import WorkflowPicker, models_of, offered_of
from web.forms.workflow_drafts import WorkflowDraft, by_role, carried
from web.forms.workflow_switch import Loaded, WorkflowLoader
from web.parts.elements import box, show_if
from web.parts.layout import Web, errors_as_toasts, toast_error
from web.parts.wording import field_errors
from web.studio.workflow_form import WorkflowForm

_CARRIED_FIELDS: Final[tuple[tuple[Role, str], ...]] = (
    ("prompt", "prompt"),
    ("negative_prompt", "negative"),
)
LOOK_EVERY_S: Final = 3.0
"""How often it is looked whether more is known of the model files."""


class Workflows:
    """The forms of the studio, one of which is shown. ``form`` is that of txt2img."""

    def __init__(self, web: Web, on_generate: Callable[[], Awaitable[None]]) -> None:
        self._web = web
        self._on_generate = on_generate
        self._draft = WorkflowDraft.load()
        self._loader = WorkflowLoader(web)
        self._coming: WorkflowDraft | None = None
        self._wanted: str | None = None
        self._other: WorkflowForm | None = None
        self._picker = WorkflowPicker(self._choose)
        with box("form-part") as self._own:
            self.form = Form(web.facade.default_workflow, on_generate)
        self._is_started = False
        self._seen = web.facade.models.current
        self._place = box("form-part is-away")

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers. What comes later than the page is followed by what depends on it."""
        self.form.offer(options)
        if self._is_started:
            ui.timer(0, errors_as_toasts(self._offer_more), once=True)

    def follow(self) -> None:
        """Fill what is filled when ComfyUI answers: the page does not wait for it."""
        if self._web.facade.nodes.judge is None:
            ui.timer(0, errors_as_toasts(self._offer_more), once=True)
        ui.timer(LOOK_EVERY_S, errors_as_toasts(self._look), immediate=False)

    async def _look(self) -> None:
        """Show what workers have found out of model files since the page was built."""
        if self._web.facade.models.current is self._seen or self.form.options is None:
            return
        self._seen = self._web.facade.models.current
        own = self._web.facade.default_workflow
        known = await models_of(self._web, own)
        self.form.offer_known(await read_options(self._web.facade), known)
        if self._other is not None and self._other.workflow.graph is None:
            self._other.know(known)

    async def _offer_more(self) -> None:
        self.form.offer_more(await offered_of(self._web, self._web.facade.default_workflow))

    async def start(self, wanted: str | None) -> None:
        """Offer the workflows that there are, and show the form of the chosen one.

        ``wanted`` is chosen in place of the one that the visitor left.
        """
        self._is_started = True
        if self._web.facade.nodes.judge is not None:
            await self._offer_more()
        offered = await self._web.workflows.all()
        if wanted is not None:
            self._choose_first(wanted, {one.name for one in offered.items})
        await self._show((self._coming or self._draft).chosen)
        self._picker.offer(offered.items, self._draft.chosen)

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its forms; what is shown is this tab's from now on."""
        self.form.belongs_to(tab)
        before = WorkflowDraft.load_of(tab)
        if before is not None and self._wanted is not None:
            before.chosen = self._wanted
        if before is None or before.model_dump() == self._draft.model_dump():
            self._draft.belongs_to(tab)
            return
        self._coming = before
        ui.timer(0, errors_as_toasts(self._show_coming), once=True)

    async def request(self) -> GenerationRequest:
        """Returns the request of the shown form. Raises ValidationError, ProblemError."""
        if self._other is None:
            return self.form.request()
        return await self._web.facade.read_request(self._other.request_fields())

    def refuse(self, error: ValidationError | ProblemError) -> bool:
        """Show what is wrong at the fields. Returns whether all of it could be shown there."""
        if self._other is None:
            return self.form.refuse(_by_input(error, self._web.facade.default_workflow))
        return not self._other.refuse(_by_input(error, self._other.workflow))

    def accepted(self, request: ResolvedRequest) -> None:
        """Note that a generation was created from the form."""
        if self._other is None:
            self.form.accepted(request)
        else:
            self._other.accepted(request)

    async def use(self, request: ResolvedRequest) -> tuple[bool, WorkflowDraft | None]:
        """Show the form of a generation's workflow.

        Returns False if another workflow was chosen meanwhile, and what its inputs' values
        replaced in the form of another workflow than txt2img.
        """
        return await self.fill(request.workflow, request.inputs)

    async def fill(
        self, workflow: str, values: Mapping[str, Any]
    ) -> tuple[bool, WorkflowDraft | None]:
        """Show the form of a workflow with these values. Returns the same as ``use``."""
        replaced: list[WorkflowDraft | None] = []

        def take_over(loaded: Workflow) -> None:
            if loaded.name == DEFAULT_WORKFLOW:
                return
            before = self._draft.before(loaded.name, values)
            if before is not None:
                drafts.remember(_prompt_of(loaded, before))
            replaced.append(before)
            self._draft.put(loaded.name, values)

        is_shown = await self._show(workflow, take_over)
        return is_shown, next(iter(replaced), None)

    async def put_back(self, before: WorkflowDraft) -> None:
        """Show the form of a workflow with its earlier values again."""
        name = before.chosen
        await self._show(name, lambda _loaded: self._draft.put(name, before.of(name)))

    async def _show_coming(self) -> None:
        if self._coming is not None:
            await self._show(self._coming.chosen)

    def _choose_first(self, wanted: str, offered: Collection[str]) -> None:
        if wanted in offered:
            self._wanted = wanted
            (self._coming or self._draft).change(chosen=wanted)
        else:
            toast_error("There is no such workflow any more.")

    async def take(self, workflow: str, name: str, reference: str) -> bool:
        """Show a workflow's form with this file for one of its inputs.

        Returns False if another workflow was chosen meanwhile.
        """

        def take_over(loaded: Workflow) -> None:
            if loaded.name != self._draft.chosen:
                self._carry(loaded)
            self._draft.set(workflow, name, reference)

        return await self._show(workflow, take_over)

    async def _choose(self, name: str) -> None:
        await self._show(name, self._carry)

    async def _show(self, name: str, take_over: Callable[[Workflow], None] | None = None) -> bool:
        """Show a workflow's form, that of txt2img if it is gone.

        What is shown stays until all of the other is known; ``take_over`` changes the drafts then.
        Returns False if another workflow was chosen meanwhile.
        """
        loaded = await self._loader.load(name)
        if loaded is None:
            return False
        workflow = loaded.workflow
        if self._coming is not None:
            self._draft, self._coming = self._coming, None
        if take_over is not None:
            take_over(workflow)
        self._draft.change(chosen=workflow.name)
        self._build(loaded)
        self._picker.show(workflow.name)
        return True

    def _build(self, loaded: Loaded) -> None:
        is_own = loaded.workflow.name == DEFAULT_WORKFLOW
        self._place.clear()
        self._other = None
        if not is_own:
            with self._place:
                self._other = WorkflowForm(
                    loaded.workflow, self._draft, loaded.offered, self._on_generate
                )
        show_if(self._own, is_own)
        show_if(self._place, not is_own)

    def _carry(self, workflow: Workflow) -> None:
        """Take along what means the same in the workflow that is chosen now."""
        name, roles = workflow.name, self._roles()
        if name == DEFAULT_WORKFLOW:
            self._carry_home(roles)
        else:
            self._draft.put(name, {**self._draft.of(name), **carried(workflow, roles)})

    def _roles(self) -> dict[Role, Any]:
        if self._other is not None:
            return by_role(self._other.workflow, self._draft.of(self._other.workflow.name))
        draft = self.form.draft
        values: dict[Role, Any] = {"prompt": draft.prompt, "negative_prompt": draft.negative}
        if draft.seed_mode == "keep":
            values["seed"] = draft.seed
        if draft.ratio is None:
            values |= {"width": draft.width, "height": draft.height}
        return {role: value for role, value in values.items() if value not in (None, "")}

    def _carry_home(self, roles: dict[Role, Any]) -> None:
        draft = self.form.draft
        values = {field: roles[role] for role, field in _CARRIED_FIELDS if role in roles}
        if "seed" in roles:
            values |= {"seed": roles["seed"], "seed_mode": "keep"}
        if "width" in roles and "height" in roles:
            values |= {"ratio": None, "width": roles["width"], "height": roles["height"]}
        draft.change(**values)
        self.form.refresh()


def _prompt_of(workflow: Workflow, draft: WorkflowDraft) -> str:
    one = workflow.of_role("prompt")
    return "" if one is None else str(draft.of(workflow.name).get(one.name) or "")


def _by_input(error: ValidationError | ProblemError, workflow: Workflow) -> dict[str, str]:
    """Returns what is wrong with each input; ``""`` is the request as a whole."""
    if isinstance(error, ValidationError):
        own = {name: text for name, text in field_errors(error).items() if "." not in name}
        told = [(loc, kind, message) for loc, kind, message in problems_of(error)]
    else:
        own = {}
        told = [(one.loc, one.code, one.message) for one in error.problem.errors]
    found: dict[str, str] = {}
    for loc, kind, message in told:
        path = ".".join(str(part) for part in loc if part != "inputs")
        found.setdefault(path, own.get(path) or mistake_at(workflow, path, kind, message))
    detail = error.problem.detail if isinstance(error, ProblemError) else ""
    return found or {"": detail}
