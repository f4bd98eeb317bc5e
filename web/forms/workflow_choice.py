"""Which workflow a form is for: the picker, and what the fields of a workflow can offer."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from api.errors import ProblemError
from api.workflows.documents import WorkflowDocument
from core.workflows.declaration import Workflow, leaves
from web.forms.history_picker import HistoryPicker
from web.forms.known_models import KnownModels
from web.forms.workflow_inputs import FOLDERS, Names, Offered
from web.parts.elements import box, show_if
from web.parts.fields import choice
from web.parts.layout import Web, errors_as_toasts

_SEARCHED_FROM: Final = 12


class WorkflowPicker:
    """Hidden while there is only one workflow. ``on_choose`` gets the name of another one.

    When that fails, the one before is shown as chosen again.
    """

    def __init__(self, on_choose: Callable[[str], Awaitable[None]]) -> None:
        self._on_choose = on_choose
        self._chosen: str | None = None
        self._root = box("workflow-picker is-away")

    def offer(self, known: list[WorkflowDocument], chosen: str) -> None:
        """Offer these, with this one chosen."""
        titles = {one.name: one.title for one in known}
        show_if(self._root, len(titles) > 1)
        self._chosen = chosen
        self._root.clear()
        if len(titles) < 2:
            return
        with self._root:
            searched = len(titles) > _SEARCHED_FROM
            on_choose = errors_as_toasts(self._choose)
            self._field = choice("Workflow", titles, chosen, on_choose, searched=searched)

    def show(self, chosen: str) -> None:
        """Show that this one is chosen."""
        self._chosen = chosen
        if hasattr(self, "_field"):
            self._field.value = chosen

    async def _choose(self, name: str | None) -> None:
        if name is None or name == self._chosen:
            return
        before, self._chosen = self._chosen, name
        try:
            await self._on_choose(name)
        except BaseException:
            if before is not None and self._chosen == name:
                self.show(before)
            raise


async def offered_of(web: Web, workflow: Workflow) -> Offered:
    """Returns what ComfyUI has now; where that is not known, names are typed in."""
    catalogue = web.facade.catalogue.current
    kept = catalogue.to_json() if catalogue is not None else {}
    names: Names = {
        path: kept.get(FOLDERS.get(one.folder or "", ""), [])
        for path, one in leaves(workflow.inputs)
    }
    with contextlib.suppress(ProblemError):
        found = await web.find_context().workflows.choices(workflow.name)
        names = {**names, **found.inputs}
    return Offered(names, HistoryPicker(web).pick, await models_of(web, workflow))


async def models_of(web: Web, workflow: Workflow) -> KnownModels | None:
    """Returns what is known of model files, for a workflow that is built for a model's family."""
    catalogue = web.facade.catalogue.current
    if workflow.graph is not None or catalogue is None:
        return None
    found = await web.find_context().models.all()
    model = web.facade.default_model_of(workflow)
    return KnownModels.of(found.models, model, catalogue.upscaler)
