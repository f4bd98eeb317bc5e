"""Width and height of any workflow: by aspect ratio, by number, or swapped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from core.workflows.declaration import Input
from web.forms.labels import label_of
from web.forms.situation import Situation
from web.forms.sizes import RATIOS, SIDE_MAX, parts_of, sizes_near
from web.forms.workflow_inputs import build_number
from web.parts.elements import Text, adorn, box, button
from web.parts.fields import Fields

OnSide = Callable[[str, Any], None]
_STEP: Final = 16


class SizeField:
    """Two inputs as one field. ``on_side`` gets the input's name and what was entered."""

    def __init__(
        self, width: Input, height: Input, values: dict[str, Any], on_side: OnSide, fields: Fields
    ) -> None:
        self._inputs = (width, height)
        self._on_side = on_side
        self._sizes = sizes_of(width, height)
        with box("field"):
            with box("field-head"):
                Text("Size", "label")
                self._name = Text("", "muted")
            self._ratios: dict[str, Any] = {}
            if self._sizes:
                with box("ratios", role="group", aria_label="Aspect ratio"):
                    self._ratios = {ratio: self._build_ratio(ratio) for ratio in RATIOS}
            with box("sides"):
                self._width = self._build_side(width, values, fields)
                button("Swap width and height", self._swap, icon_name="swap", bare=True)
                self._height = self._build_side(height, values, fields)
        self._show()

    def suit(self, form: Situation) -> None:
        """Show which size is used where none is entered."""
        for one, made in zip(self._inputs, (self._width, self._height), strict=True):
            if (own := form.left_open(one.name)) is not None:
                adorn(made, placeholder=own)

    def _build_side(self, one: Input, values: dict[str, Any], fields: Fields) -> Any:
        def changed(value: Any) -> None:
            self._on_side(one.name, value)
            self._show()

        value = values.get(one.name, one.default)
        return fields.add(one.name, build_number(one, label_of(one), value, changed))

    def _build_ratio(self, ratio: str) -> Any:
        label = f"{RATIOS[ratio]} {ratio}"
        fits = self._fits(self._sizes[ratio])
        made = box(
            "segment", "button", type="button", aria_label=label, title=label, disabled=not fits
        )
        across, down = parts_of(ratio)
        with made:
            box("ratio-shape", "span", aria_hidden="true").style(f"--ratio: {across / down:.3f}")
            Text(ratio)
        return made.on("click", lambda: self._put(self._sizes[ratio]), args=[])

    def _fits(self, size: tuple[int, int]) -> bool:
        return max(size) <= SIDE_MAX and all(
            (one.minimum is None or side >= one.minimum)
            and (one.maximum is None or side <= one.maximum)
            for one, side in zip(self._inputs, size, strict=True)
        )

    def _put(self, size: tuple[int, int]) -> None:
        self._width.value, self._height.value = size

    def _swap(self) -> None:
        width, height = self._width.value, self._height.value
        self._width.value, self._height.value = height, width

    def _show(self) -> None:
        if not hasattr(self, "_height"):
            return  # still being built
        size = (self._width.value, self._height.value)
        chosen = next((ratio for ratio, known in self._sizes.items() if known == size), None)
        own = "" if size == (None, None) else "Own size"
        self._name.text = f"{RATIOS[chosen]} {chosen}" if chosen else own
        for ratio, made in self._ratios.items():
            adorn(made, aria_pressed=str(ratio == chosen).lower())


def sizes_of(width: Input, height: Input) -> dict[str, tuple[int, int]]:
    """Returns the size that each ratio's button sets.

    There are none for a workflow that does not say its own size, or says one, or a step, beyond
    what images have.
    """
    wide, high = _side(width.default), _side(height.default)
    steps = [math.ceil(min(one.multiple_of or 1, SIDE_MAX + 1)) for one in (width, height)]
    step = math.lcm(_STEP, *steps)
    return sizes_near(wide, high, step) if wide and high and step <= SIDE_MAX else {}


def _side(default: Any) -> int | None:
    return default if isinstance(default, int) and 0 < default <= SIDE_MAX else None
