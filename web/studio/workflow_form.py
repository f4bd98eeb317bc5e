"""The studio's form for any workflow but txt2img, made from its declaration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from core.requests import ResolvedRequest, flat
from core.workflows.declaration import Workflow
from web.forms import drafts
from web.forms.known_models import KnownModels
from web.forms.workflow_drafts import WorkflowDraft
from web.forms.workflow_fields import WorkflowFields
from web.forms.workflow_inputs import Offered
from web.parts.elements import Text, box, icon
from web.parts.fields import Fields


class WorkflowForm:
    """The fields of one workflow. What is entered is in ``draft`` at once."""

    def __init__(
        self,
        workflow: Workflow,
        draft: WorkflowDraft,
        offered: Offered,
        on_generate: Callable[[], Awaitable[None]],
    ) -> None:
        self.workflow = workflow
        self._draft = draft
        with box("form-fields"):
            if workflow.description:
                Text(workflow.description[:500], "muted small", "p")
            self._fields = WorkflowFields(
                workflow,
                draft.of(workflow.name),
                self._changed,
                offered,
                Fields(f"{workflow.name}-"),
            )
        with box("generate-bar"):
            made = box("btn btn-primary generate", "button", type="button", data_generate="")
            made.on("click", on_generate, args=[])
            with made:
                icon("spark")
                Text("Generate")
                Text("Ctrl ⏎", "hint", "kbd")

    def request_fields(self) -> dict[str, Any]:
        """Returns the request as a client would send it.

        Raises ProblemError when what is in a field cannot be read.
        """
        self._fields.check()
        values = self._draft.of(self.workflow.name)
        known = {name: one for name, one in values.items() if name in self.workflow.by_name}
        for one in self.workflow.inputs:
            if one.required and one.fields is not None:
                known.setdefault(one.name, {})  # what is wrong is told of its fields
        return flat({"workflow": self.workflow.name, "inputs": known})

    def refuse(self, errors: dict[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        return self._fields.refuse(errors)

    def know(self, models: KnownModels | None) -> None:
        """Show what is known of model files by now."""
        self._fields.know(models)

    def accepted(self, request: ResolvedRequest) -> None:
        """Note that a generation was created from the form."""
        one = self.workflow.of_role("prompt")
        if one is not None:
            drafts.remember(str(self._draft.of(self.workflow.name).get(one.name) or ""))
        self._fields.used_seed(request.seed)

    def _changed(self, name: str, value: Any) -> None:
        self._draft.set(self.workflow.name, name, value)
