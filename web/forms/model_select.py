"""A searched choice of model files: beneath each name, what the file is and how that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from nicegui import ui

from api.models.documents import ModelFileDocument
from core.wording import model_name
from web.forms.wording import known_by
from web.parts.fields import CHEVRON, Picker

_OPTION: Final = """
<q-item v-bind="props.itemProps" :class="{ 'is-first': props.opt.first }">
  <q-item-section>
    <q-item-label>{{ props.opt.label }}</q-item-label>
    <q-item-label caption v-if="props.opt.said">{{ props.opt.said }}</q-item-label>
  </q-item-section>
</q-item>
"""


class ModelSelect(ui.select):
    """Those of one family stand beside each other. Fill it with ``offer``."""

    def __init__(self, label: str) -> None:
        self._said: dict[Any, str] = {}
        self._families: dict[Any, str | None] = {}
        super().__init__({}, label=label, with_input=True)
        self.props("outlined dense stack-label options-dense behavior=menu")
        self.props('popup-content-class="model-menu"')
        self.props["dropdown-icon"] = CHEVRON
        self.add_slot("option", _OPTION)
        self._picker = Picker(self)

    def offer(
        self,
        files: Iterable[ModelFileDocument],
        value: str | None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        """Offer these files, and ``others`` of which nothing is known; ``value`` is chosen."""
        known = {one.name: one for one in files}
        self._said = {name: known_by(one) for name, one in known.items()}
        self._families = {name: one.family for name, one in known.items()}
        names = {name: model_name(name) for name in known} | dict(others or {})
        if value is not None and value not in names:
            names = {value: model_name(value)} | names
            self._said[value] = "No ComfyUI has it now"
        self._picker.offer(names, value)

    def _update_options(self) -> None:
        """Give the option's slot more than a label: NiceGUI has no other way."""
        super()._update_options()
        before: str | None = None
        for place, (name, option) in enumerate(
            zip(self._values, self._props["options"], strict=True)
        ):
            family = self._families.get(name)
            option["said"] = self._said.get(name, "")
            option["first"] = place > 0 and family != before
            before = family
