"""What text to image takes besides the fields that a batch's or schedule's form has for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from core.workflows.declaration import Workflow
from web.forms.batch_drafts import PromptDraft
from web.forms.workflow_fields import WorkflowFields
from web.forms.workflow_inputs import Offered
from web.parts.elements import adorn, box
from web.parts.fields import Fields, folded

OF_PICTURES: Final = frozenset(
    {
        *("init_image", "denoise", "mask", "mask_area", "mask_invert", "mask_padding"),
        *("mask_feather", "outpaint", "reference_images"),
    }
)
"""Inputs about pictures: other workflows have forms for them."""
_NEVER: Final = OF_PICTURES | {"seed", "batch_size", "wildcards"}
"""Those, and what each row of a batch has in another way."""


class MoreValues:
    """One value for all rows, of each input that the form does not show otherwise (``own``)."""

    def __init__(
        self,
        draft: PromptDraft,
        workflow: Workflow,
        own: Collection[str],
        on_change: Callable[..., None],
    ) -> None:
        self._draft = draft
        self._workflow = workflow
        self._without = _NEVER | {*own}
        self._on_change = on_change
        self._made: WorkflowFields | None = None
        with folded("LoRAs and more", bool(draft.of(workflow.name))) as self._fold:
            self._place = box("more-values")

    def offer(self, offered: Offered) -> None:
        """Build the fields, now that it is known what they can offer."""
        self._place.clear()
        with self._place:
            self._made = WorkflowFields(
                self._workflow,
                self._draft.of(self._workflow.name),
                self._entered,
                offered,
                Fields("more-values-"),
                without=self._without,
            )

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        if self._made is None:
            return dict(mistakes)
        left = self._made.refuse(mistakes)
        if len(left) < len(mistakes):
            adorn(self._fold, open=True)
        return left

    def check(self) -> None:
        """Raises ProblemError when what is in a field cannot be read."""
        if self._made is not None:
            self._made.check()

    def _entered(self, name: str, value: Any) -> None:
        self._on_change(values=self._draft.having(self._workflow.name, name, value))
