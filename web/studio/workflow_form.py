"""The studio's form for any workflow but txt2img, made from its declaration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from core.requests import flat
from core.workflows.declaration import Input, Role, Workflow
from web.forms import drafts
from web.forms.upload_field import UploadField
from web.forms.workflow_drafts import WorkflowDraft
from web.forms.workflow_inputs import Names, build_group, build_input
from web.parts.elements import Text, adorn, box, icon
from web.parts.fields import Fields, Fold, folded

_FIRST: Final[tuple[Role, ...]] = ("prompt", "negative_prompt")
_SIZE: Final[tuple[Role, ...]] = ("width", "height")


class WorkflowForm:
    """The fields of one workflow. What is entered is in ``draft`` at once."""

    def __init__(
        self,
        workflow: Workflow,
        draft: WorkflowDraft,
        names: Names,
        on_generate: Callable[[], Awaitable[None]],
    ) -> None:
        self.workflow = workflow
        self._draft = draft
        self._names = names
        self._fields = Fields(f"{workflow.name}-")
        self._uploads: dict[str, UploadField] = {}
        self._fold: Fold | None = None
        with box("form-fields"):
            if workflow.description:
                Text(workflow.description[:500], "muted small", "p")
            self._build_fields()
        with box("generate-bar"):
            made = box("btn btn-primary generate", "button", type="button", data_generate="")
            made.on("click", on_generate, args=[])
            with made:
                icon("spark")
                Text("Generate")
                Text("Ctrl ⏎", "hint", "kbd")

    def request_fields(self) -> dict[str, Any]:
        """Returns the request as a client would send it."""
        values = self._draft.of(self.workflow.name)
        known = {name: one for name, one in values.items() if name in self.workflow.by_name}
        return flat({"workflow": self.workflow.name, "inputs": known})

    def refuse(self, errors: dict[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        left = self._fields.refuse(errors)
        for name in [name for name in left if name in self._uploads]:
            self._uploads[name].refuse(left.pop(name))
        advanced = {one.name for one in self.workflow.inputs if one.advanced}
        if self._fold is not None and errors.keys() & advanced:
            adorn(self._fold.root, open=True)
        return left

    def accepted(self) -> None:
        """Note that a generation was created from the form."""
        one = self.workflow.of_role("prompt")
        if one is not None:
            drafts.remember(str(self._draft.of(self.workflow.name).get(one.name) or ""))

    def _build_fields(self) -> None:
        inputs = self.workflow.inputs
        first = [one for role in _FIRST if (one := self.workflow.of_role(role)) is not None]
        files = [one for one in inputs if one.is_upload and not one.advanced]
        size = [one for role in _SIZE if (one := self.workflow.of_role(role)) is not None]
        seed = [one for one in inputs if one.role == "seed"]
        for one in (*first, *files):
            self._build(one)
        if size:
            with box("pair"):
                for one in size:
                    self._build(one)
        for one in seed:
            self._build(one)
        told = {one.name for one in (*first, *files, *size, *seed)}
        rest = [one for one in inputs if one.name not in told]
        self._build_groups([one for one in rest if not one.advanced])
        if advanced := [one for one in rest if one.advanced]:
            self._fold = folded("Advanced")
            with self._fold:
                self._build_groups(advanced)

    def _build_groups(self, inputs: list[Input]) -> None:
        for group in dict.fromkeys(one.group for one in inputs):
            members = [one for one in inputs if one.group == group]
            if group is None:
                for one in members:
                    self._build(one)
                continue
            with build_group(group):
                for one in members:
                    self._build(one)

    def _build(self, one: Input) -> None:
        def changed(value: Any) -> None:
            self._draft.set(self.workflow.name, one.name, _entered(one, value))

        value = self._draft.of(self.workflow.name).get(one.name)
        made = build_input(one, value, changed, self._fields, self._names)
        if made is not None:
            self._uploads[one.name] = made


def _entered(one: Input, value: Any) -> Any:
    """Returns what is kept of a value: None for what the workflow has by itself."""
    is_same = type(value) is type(one.default) and value == one.default
    return None if is_same or (value == "" and not one.default) else value
