"""The seed of any workflow: drawn anew each time, kept, or drawn once by the dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.fields import draw_seed
from core.workflows.declaration import Input
from web.forms.labels import label_of
from web.forms.workflow_inputs import build_number
from web.parts.elements import Text, adorn, box, button
from web.parts.fields import Fields

_MODES: Final = (("random", "Random"), ("keep", "Keep"))


class SeedField:
    """A number, or none for one that is drawn."""

    def __init__(
        self, one: Input, value: Any, on_value: Callable[[Any], None], fields: Fields
    ) -> None:
        self._input = one
        self._on_value = on_value
        self._last: int | None = None
        with box("seed"):
            with box("sides seed-number"):
                made = build_number(one, label_of(one), value, self._typed)
                self._field = fields.add(one.name, made)
                button("Draw a seed", self._draw, icon_name="dice", bare=True)
            with box("segments", role="group", aria_label="Seed"):
                self._modes = {mode: self._build_mode(mode, label) for mode, label in _MODES}
        self._show()

    def used(self, seed: int | None) -> None:
        """Note the seed of what was created: "Keep" takes it."""
        self._last = seed if seed is not None else self._last

    def _build_mode(self, mode: str, label: str) -> Any:
        made = box("segment", "button", type="button")
        with made:
            Text(label)
        return made.on("click", lambda: self._choose(mode), args=[])

    def _choose(self, mode: str) -> None:
        if mode == "random":
            self._field.value = None
        elif self._field.value is None:
            self._field.value = self._last if self._last is not None else self._drawn()

    def _draw(self) -> None:
        self._field.value = self._drawn()

    def _drawn(self) -> int:
        """Returns a seed that the input takes."""
        low, most = int(self._input.minimum or 0), self._input.maximum
        drawn = draw_seed()
        return drawn if most is None else low + drawn % (int(most) - low + 1)

    def _typed(self, value: Any) -> None:
        if value is None and self._field.value is not None:
            self._field.value = None  # -1 draws one
        self._on_value(value)
        self._show()

    def _show(self) -> None:
        if not hasattr(self, "_modes"):
            return  # still being built
        mode = "random" if self._field.value is None else "keep"
        for name, made in self._modes.items():
            adorn(made, aria_pressed=str(name == mode).lower())
