"""The part of a batch's form that a workflow's declaration makes: prompts, values, and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nicegui import ui

from api.options import OptionsDocument
from core.batches.lists import Lists
from core.workflows.declaration import Input, Workflow
from web.forms.axis_field import build_axis
from web.forms.batch_drafts import Axis, BulkDraft, PromptDraft
from web.forms.grid import COMBINE
from web.forms.labels import label_of
from web.forms.prompts import PromptField
from web.forms.sets_field import within_sets
from web.forms.workflow_batch import lists_of, rows_of
from web.forms.workflow_fields import WorkflowFields
from web.forms.workflow_inputs import InputFields, Offered
from web.parts.elements import Text, box, button, show_if
from web.parts.fields import Fields, Segments, choice, enter_chooses
from web.parts.outputs import KIND_PLURALS

_CHIPS_MAX: Final = 10
"""How many inputs are offered as buttons; of more, the usual ones are, and the rest in a list."""
_USUAL: Final = ("model", "lora", "cfg", "steps", "denoise")


class InputsGrid:
    """Shows a draft and changes it through ``on_change``. Lists are a batch's alone."""

    def __init__(
        self,
        draft: PromptDraft,
        workflow: Workflow,
        offered: Offered,
        on_change: Callable[..., None],
    ) -> None:
        self._draft = draft
        self._workflow = workflow
        self._offered = offered
        self._on_change = on_change
        self._prompt_input = workflow.of_role("prompt")
        self._fields = Fields(f"grid-{workflow.name}-")
        in_sets = within_sets(offered, workflow.inputs)
        self._lists = InputFields(Fields(f"list-{workflow.name}-"), in_sets)
        self.prompt: PromptField | None = None
        if self._prompt_input is not None:
            one = self._prompt_input
            several = KIND_PLURALS[workflow.kind or "file"]
            label = label_of(one)
            self.prompt = PromptField(draft, self._fields, on_change, one.name, label, several)
        self._values = self._build_values()
        self._chips: dict[str, ui.element] = {}
        if isinstance(draft, BulkDraft):
            self._build_lists()
        with box("field combine is-away") as self._combine:
            if isinstance(draft, BulkDraft):
                Segments(
                    "How lists are combined",
                    COMBINE,
                    draft.combine,
                    lambda way: on_change(combine=way),
                )
        self._show_what_is_listed()

    # --- what the form of a batch asks for

    def offer(self, options: OptionsDocument) -> None:
        """Its pickers are filled from the workflow's own choices."""

    def offer_lists(self, lists: Lists) -> None:
        """Show the existing wildcard lists."""
        if self.prompt is not None:
            self.prompt.offer(lists)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        return self._values.refuse(self._lists.refuse(mistakes))

    def factors(self) -> dict[str, int]:
        """Returns the length of each list by its input. ProblemError when one cannot be parsed."""
        found = lists_of(self._draft, self._workflow, self._axes_now())
        return {name: len(values) for name, values in found.items() if values}

    def words(self) -> dict[str, str]:
        """Returns what the lists of inputs are called in a sum."""
        named = {one.name: f"{label_of(one)} values" for one in self._workflow.inputs}
        if self._prompt_input is not None:
            named[self._prompt_input.name] = "prompts"
        return named

    def rows(self) -> dict[str, Any]:
        """Returns the rows of the batch. ProblemError when the form cannot be read."""
        self._values.check(without={axis.field for axis in self._axes_now()})
        values = self._draft.of(self._workflow.name)
        return rows_of(self._draft, self._workflow, values, self._axes_now())

    def show(self, factors: dict[str, int]) -> None:
        """Offer the ways to combine lists only when there are several."""
        if isinstance(self._draft, BulkDraft):
            several = sum(number > 1 for number in factors.values()) > 1
            show_if(self._combine, several or self._draft.combine != "product")

    # --- parts

    def _axes_now(self) -> list[Axis]:
        if not isinstance(self._draft, BulkDraft):
            return []
        return self._draft.lists.get(self._workflow.name, [])

    def _build_values(self) -> WorkflowFields:
        """Build the fields of what is one value for all. Each item draws a seed of its own."""
        seed = self._workflow.of_role("seed")
        return WorkflowFields(
            self._workflow,
            self._draft.of(self._workflow.name),
            self._entered,
            self._offered,
            self._fields,
            without={one.name for one in (self._prompt_input, seed) if one is not None},
        )

    def _entered(self, name: str, value: Any) -> None:
        self._on_change(values=self._draft.having(self._workflow.name, name, value))

    def _build_lists(self) -> None:
        self._axes = box("axes")
        with self._axes:
            for axis in self._axes_now():
                self._build_axis(axis)
        known = [one for one in self._workflow.inputs if one is not self._prompt_input]
        many = len(known) > _CHIPS_MAX
        with box("chips", role="group", aria_label="Add a list"):
            Text("Add", "label")
            usual = [one for one in known if _is_usual(one)] if many else known
            self._chips = {one.name: self._build_chip(one) for one in usual}
        if many:
            self._build_picker({one.name: label_of(one) for one in known if one not in usual})

    def _build_picker(self, names: dict[str, str]) -> None:
        def chosen(name: str | None) -> None:
            if name is not None:
                self._add(name)
                picker.set_value(None)  # it can be added once more
                picker.run_method("updateInputValue", "", True)

        picker = enter_chooses(choice("Add another list", names, None, chosen, searched=True))

    def _build_chip(self, one: Input) -> ui.element:
        return button(
            label_of(one), lambda: self._add(one.name), icon_name="plus", classes="btn-small"
        )

    def _build_axis(self, axis: Axis) -> None:
        one = self._workflow.by_name.get(axis.field)
        if one is None:
            return

        def changed(new: Axis) -> None:
            self._put([new if each.field == new.field else each for each in self._axes_now()])

        label = label_of(one)
        with box("axis", role="group", aria_label=label) as row:
            with box("axis-field"):
                build_axis(self._lists, axis, one, changed)
            button(f"Remove {label}", lambda: self._remove(one, row), icon_name="close", bare=True)

    def _add(self, name: str | None) -> None:
        """Add a list; nothing else is built anew: a press or a text on its way would be lost."""
        if name is None or any(axis.field == name for axis in self._axes_now()):
            return
        axis = Axis(field=name)
        self._put([*self._axes_now(), axis])
        with self._axes:
            self._build_axis(axis)
        self._show_what_is_listed()

    def _remove(self, one: Input, row: ui.element) -> None:
        self._lists.forget(one.name)
        self._put([axis for axis in self._axes_now() if axis.field != one.name])
        row.delete()
        self._show_what_is_listed()

    def _show_what_is_listed(self) -> None:
        listed = {axis.field for axis in self._axes_now()}
        self._values.hide(listed)
        for name, chip in self._chips.items():
            show_if(chip, name not in listed)

    def _put(self, axes: list[Axis]) -> None:
        assert isinstance(self._draft, BulkDraft)  # only a batch has lists
        self._on_change(lists={**self._draft.lists, self._workflow.name: axes})


def _is_usual(one: Input) -> bool:
    """Returns whether many batches have several of it: files above all, models, LoRAs."""
    return (one.is_upload and one.required) or one.role in _USUAL
