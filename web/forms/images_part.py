"""The size and number of images in the studio's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement

from api.models.documents import DefaultsDocument
from core.workflows.limits import BATCH_SIZE_MAX
from web.forms.drafts import Draft
from web.forms.sizes import RATIOS, parts_of
from web.parts.elements import Text, adorn, box, button
from web.parts.fields import typed_number


class ImagesPart:
    """Aspect ratio, sides and number of images. ``draft`` and ``native`` return what is current."""

    def __init__(
        self, draft: Callable[[], Draft], native: Callable[[], DefaultsDocument | None]
    ) -> None:
        self._draft = draft
        self._native = native
        self.fields: dict[str, ValidationElement[Any]] = {}
        self._build_size()

    def show_count(self) -> None:
        """Show the number of images."""
        self._count_text.text = str(self._draft().count)

    def show_size(self) -> None:
        """Show ratio and sides."""
        draft = self._draft()
        self._width.value, self._height.value = draft.size(self._native())
        self._size_name.text = (
            f"{RATIOS[draft.ratio]} {draft.ratio}" if draft.ratio in RATIOS else "Own size"
        )
        for ratio, made in self._ratios.items():
            adorn(made, aria_pressed=str(ratio == draft.ratio).lower())

    def _build_size(self) -> None:
        with box("field"):
            with box("field-head"):
                Text("Size", "label")
                self._size_name = Text("", "muted")
            with box("ratios", role="group", aria_label="Aspect ratio"):
                self._ratios = {ratio: self._build_ratio(ratio) for ratio in RATIOS}
            with box("sides"):
                self._width = self._build_side("Width", "width")
                button("Swap width and height", self._swap_size, icon_name="swap", bare=True)
                self._height = self._build_side("Height", "height")
        with box("field field-row"):
            Text("Images", "label")
            with box("stepper", role="group", aria_label="Number of images"):
                button("Fewer", lambda: self._count(-1), icon_name="minus", bare=True)
                self._count_text = adorn(Text("1", "count"), aria_live="polite")
                button("More", lambda: self._count(1), icon_name="plus", bare=True)

    def _build_side(self, label: str, name: str) -> ui.number:
        field = ui.number(label=label, step=8)
        field.props("outlined dense stack-label")
        field.on_value_change(self._type_size)
        self.fields[name] = field
        return field

    def _build_ratio(self, ratio: str) -> ui.element:
        label = f"{RATIOS[ratio]} {ratio}"
        made = box("segment", "button", type="button", aria_label=label, title=label)
        across, down = parts_of(ratio)
        with made:
            box("ratio-shape", "span", aria_hidden="true").style(f"--ratio: {across / down:.3f}")
            Text(ratio)
        return made.on("click", lambda: self._choose_ratio(ratio), args=[])

    def _type_size(self) -> None:
        width, height = typed_number(self._width.value), typed_number(self._height.value)
        if (width, height) == self._draft().size(self._native()):
            return
        self._width.error = self._height.error = None
        self._draft().resize(width, height, self._native())
        self.show_size()

    def _choose_ratio(self, ratio: str) -> None:
        self._width.error = self._height.error = None
        self._draft().change(ratio=ratio, width=None, height=None)
        self.show_size()

    def _swap_size(self) -> None:
        width, height = self._draft().size(self._native())
        self._draft().resize(height, width, self._native())
        self.show_size()

    def _count(self, by: int) -> None:
        self._draft().change(count=max(1, min(BATCH_SIZE_MAX, self._draft().count + by)))
        self.show_count()
