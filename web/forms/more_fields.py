"""What text to image has besides the fields of its own form, made from its declaration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from nicegui import ui

from core.workflows.declaration import Workflow
from web.forms.drafts import OWN
from web.forms.known_models import KnownModels
from web.forms.workflow_fields import WorkflowFields
from web.forms.workflow_inputs import Offered
from web.parts.fields import Fields

_OF_PICTURES: Final[Mapping[str, tuple[str, ...]]] = {
    "init_image": ("init_image", "denoise"),
    "mask": ("mask", "mask_area", "mask_invert", "mask_padding", "mask_feather"),
    "outpaint": ("outpaint", "mask_feather"),
    "reference_images": ("reference_images",),
}
"""Inputs about pictures. Other workflows are for these: they are shown here when one is set."""


class MoreFields:
    """Fields in two places: ``root``, and ``advanced`` for what most people leave alone.

    ``on_value`` gets an input's name and what is kept of its value; ``say`` puts a word into the
    prompt.
    """

    def __init__(
        self,
        workflow: Workflow,
        root: ui.element,
        advanced: ui.element,
        on_value: Callable[[str, Any], None],
        say: Callable[[str], None],
    ) -> None:
        self._workflow = workflow
        self._root = root
        self._advanced = advanced
        self._on_value = on_value
        self._say = say
        self._offered = Offered()
        self._fields: WorkflowFields | None = None

    def offer(self, offered: Offered) -> None:
        """Fill the pickers, from the next ``show`` on."""
        self._offered = offered

    def show(self, own: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """Build the fields with these values; ``own`` are those that the form itself shows."""
        hidden = set(OWN)
        for name, belonging in _OF_PICTURES.items():
            if more.get(name) is None:
                hidden.update(belonging)
        for name, belonging in _OF_PICTURES.items():
            if more.get(name) is not None:
                hidden.difference_update(belonging)
        self._root.clear()
        self._advanced.clear()
        with self._root:
            self._fields = WorkflowFields(
                self._workflow,
                {**own, **more},
                self._on_value,
                self._offered,
                Fields("more-"),
                without=hidden,
                say=self._say,
                advanced_in=self._advanced,
            )

    def know(self, models: KnownModels | None) -> None:
        """Let the fields follow what is known of model files by now."""
        self._offered = replace(self._offered, models=models)
        if self._fields is not None:
            self._fields.know(models)

    def follow(self, own: Mapping[str, Any]) -> None:
        """Let the fields follow what the form itself shows."""
        if self._fields is not None:
            self._fields.follow(own)

    def unheard(self, name: str) -> str:
        """Returns why one of the form's own inputs changes nothing; an empty text if it does."""
        return self._fields.unheard(name) if self._fields is not None else ""

    def refuse(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        return self._fields.refuse(errors) if self._fields is not None else dict(errors)

    def is_advanced(self, path: str) -> bool:
        """Whether what a mistake is about stands in the advanced part."""
        one = self._workflow.by_name.get(path.partition(".")[0])
        return one is not None and one.advanced

    def check(self) -> None:
        """Raises ProblemError when what is in a field cannot be read."""
        if self._fields is not None:
            self._fields.check()
