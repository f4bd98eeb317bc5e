"""Switches a form to another workflow or draft: both at once, when all that is shown is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nicegui import ui

from api.workflows.documents import WorkflowDocument
from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Workflow
from web.forms.batch_drafts import PromptDraft
from web.forms.workflow_choice import offered_of
from web.forms.workflow_inputs import Offered
from web.parts.layout import Web, errors_as_toasts

DraftT = TypeVar("DraftT", bound=PromptDraft)


@dataclass(frozen=True)
class Loaded:
    """A workflow, and what its fields can offer."""

    workflow: Workflow
    offered: Offered


class WorkflowLoader:
    """Loads what a form needs. Of several that are asked for at once, only the last one counts."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._asked = 0

    async def load(self, name: str) -> Loaded | None:
        """Returns the workflow, txt2img if it is gone; None if another was asked for meanwhile."""
        self._asked += 1
        asked = self._asked
        workflow = None if name == DEFAULT_WORKFLOW else await self._web.facade.workflow(name)
        if workflow is None:
            loaded = Loaded(self._web.facade.default_workflow, Offered())
        else:
            loaded = Loaded(workflow, await offered_of(self._web, workflow))
        return loaded if asked == self._asked else None

    def drop(self) -> None:
        """Let what is being loaded not count."""
        self._asked += 1


class WorkflowSwitch(Generic[DraftT]):
    """The draft of a batch's or schedule's form, and the workflow that it is for.

    ``own_offered`` is what the fields of txt2img can offer. Draft and workflow stay what is shown
    while others are loaded. ``show`` builds the form of them; with False
    the draft is the same as before, and only what depends on the workflow is to be built.
    """

    def __init__(self, web: Web, draft: DraftT, show: Callable[[bool], None]) -> None:
        self.draft = draft
        self.workflow = web.facade.default_workflow
        self.offered = Offered()
        self.own_offered = Offered()
        self.known: list[WorkflowDocument] = []
        self._web = web
        self._loader = WorkflowLoader(web)
        self._show = show
        self._coming: DraftT | None = None

    @property
    def other(self) -> Workflow | None:
        """The workflow, if it is another one than txt2img."""
        return None if self.workflow.name == DEFAULT_WORKFLOW else self.workflow

    async def start(self) -> None:
        """Read which workflows there are, and show that of the draft."""
        self.known = (await self._web.workflows.all()).items
        self.own_offered = await offered_of(self._web, self._web.facade.default_workflow)
        if self.draft.workflow != self.workflow.name and await self.switch(self.draft):
            self._show(True)

    async def choose(self, name: str) -> bool:
        """Show another workflow. Returns False if something else was chosen meanwhile."""
        before = self.draft
        if not await self._load(self._coming or self.draft, name):
            return False
        self._show(self.draft is not before)
        return True

    async def switch(self, draft: DraftT) -> bool:
        """Take this draft and its workflow; the caller shows them, without an await before it.

        Returns False if something else was chosen meanwhile.
        """
        self._coming = None
        return await self._load(draft, draft.workflow)

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its form; what is shown is this tab's from now on."""
        before = type(self.draft).load_of(tab)
        if before is not None and before.model_dump() != self.draft.model_dump():
            self.put(before)
        else:
            self.draft.belongs_to(tab)

    def put(self, draft: DraftT) -> None:
        """Show another draft: at once if it is for the same workflow, else when that is loaded."""
        self._loader.drop()
        if draft.workflow == self.workflow.name:
            self.draft, self._coming = draft, None
            self._show(True)
            return
        self._coming = draft
        ui.timer(0, errors_as_toasts(self._show_coming), once=True)

    async def _show_coming(self) -> None:
        coming = self._coming
        if coming is not None and await self._load(coming, coming.workflow):
            self._show(True)

    async def _load(self, draft: DraftT, name: str) -> bool:
        loaded = await self._loader.load(name)
        if loaded is None:
            return False
        self.draft, self._coming = draft, None
        self.workflow, self.offered = loaded.workflow, loaded.offered
        draft.change(workflow=loaded.workflow.name)
        return True
