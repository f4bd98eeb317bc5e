"""The grid builder: a prompt, and lists of values to combine with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nicegui import ui

from api.models.documents import DefaultsDocument
from api.options import OptionsDocument
from core.batches.lists import Lists
from core.wording import model_name
from core.workflows.declaration import Workflow
from web.forms.batch_drafts import AXES, NUMBERS, Axis, BulkDraft
from web.forms.drafts import OWN
from web.forms.more_values import MoreValues
from web.forms.prompts import PromptField
from web.forms.sizes import RATIOS, size_of
from web.forms.workflow_inputs import Offered
from web.parts.elements import Text, adorn, box, button, show_if
from web.parts.fields import (
    Fields,
    Picker,
    Segments,
    choice,
    enter_chooses,
    folded,
    line,
    prompt_box,
)

COMBINE: Final = {"product": "All combinations", "zip": "Pair up"}
_EXAMPLES: Final = {"steps": "20, 30, 40", "cfg": "4.5, 7", "seed": "1, 2, 3"}


class GridForm:
    """Shows the grid of a draft and changes it through ``on_change``."""

    def __init__(
        self, draft: BulkDraft, workflow: Workflow, on_change: Callable[..., None]
    ) -> None:
        self._draft = draft
        self._on_change = on_change
        self._options: OptionsDocument | None = None
        self.fields = Fields("grid-")
        self.prompt = PromptField(draft, self.fields, on_change)
        with folded("Negative prompt", bool(draft.negative)):
            placeholder = "What to keep out…"
            negative = prompt_box("", draft.negative, placeholder, self._setter("negative"))
            adorn(self.fields.add("negative_prompt", negative), aria_label="Negative prompt")
        self._models = choice("Models", {}, [], self._choose_models, several=True, searched=True)
        self._picker = Picker(self.fields.add("model", self._models))
        self._sizes = choice("Sizes", [], [], self._choose_sizes, several=True, more=True)
        self.fields.add("size", self._sizes)
        self._axes = box("axes")
        self._more = box("chips", role="group", aria_label="Add a field")
        self._more_values = MoreValues(draft, workflow, OWN, on_change)
        with box("field combine") as self._combine:
            Segments("How lists are combined", COMBINE, draft.combine, self._setter("combine"))
        self._show_options()
        self._show_axes()

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers."""
        self._options = options
        self._show_options()
        self._show_axes()

    def offer_more(self, offered: Offered) -> None:
        """Build the fields of what else text to image takes."""
        self._more_values.offer(offered)

    def offer_lists(self, lists: Lists) -> None:
        """Show the existing wildcard lists."""
        self.prompt.offer(lists)

    def refuse(self, mistakes: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        return self._more_values.refuse(self.fields.refuse(mistakes))

    def factors(self) -> dict[str, int]:
        """Returns the length of each list. ProblemError when one cannot be parsed."""
        return self._draft.factors()

    def words(self) -> dict[str, str]:
        """Returns what the lists are called in a sum: each as it is usual."""
        return {}

    def rows(self) -> None:
        """Returns nothing: the draft itself says its rows. ProblemError for what cannot be read."""
        self._more_values.check()

    def show(self, factors: dict[str, int]) -> None:
        """Offer the ways to combine lists only when there are several."""
        several = sum(number > 1 for number in factors.values()) > 1
        show_if(self._combine, several or self._draft.combine != "product")

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda value: self._on_change(**{name: value})

    # --- models and sizes

    def _choose_models(self, names: list[str]) -> None:
        self._on_change(models=list(names))
        self._show_options()

    def _choose_sizes(self, sizes: list[str]) -> None:
        self._on_change(sizes=list(sizes))
        self._show_options()

    def _show_options(self) -> None:
        draft, options = self._draft, self._options
        known = [model.name for model in options.models] if options else []
        names = {name: model_name(name) for name in dict.fromkeys([*known, *draft.models])}
        self._picker.offer(names, list(draft.models))
        default = (options.default_model if options else None) or ""
        _placehold(self._models, model_name(default) if not draft.models else "")
        native = _sizes(self._native())
        sizes = dict.fromkeys([*native, *draft.sizes])
        self._sizes.set_options(list(sizes), value=list(draft.sizes))
        _placehold(self._sizes, native[0] if native and not draft.sizes else "")
        if options is None:
            self._models.props["hint"] = "The models are shown when ComfyUI answers."
        else:
            self._models.props.pop("hint", None)
        self._models.update()

    def _native(self) -> DefaultsDocument | None:
        if self._options is None:
            return None
        wanted = next(iter(self._draft.models), self._options.default_model)
        models = self._options.models
        return next((model.defaults for model in models if model.name == wanted), None)

    # --- fields

    def _show_axes(self) -> None:
        self._axes.clear()
        with self._axes:
            for place, axis in enumerate(self._draft.axes):
                self._build_axis(place, axis)
        self._more.clear()
        with self._more:
            Text("Add", "label")
            there = {axis.field for axis in self._draft.axes}
            for name in AXES:
                if name not in there:
                    self._build_more(name)

    def _build_more(self, name: str) -> None:
        button(
            AXES[name],
            lambda: self._add(name),
            icon_name="plus",
            classes="btn-small",
        )

    def _build_axis(self, place: int, axis: Axis) -> None:
        label = AXES.get(axis.field, axis.field)
        numbers = axis.field in NUMBERS

        def changed(value: Any) -> None:
            said = {"text": str(value)} if numbers else {"chosen": list(value)}
            axes = list(self._draft.axes)
            axes[place] = axes[place].model_copy(update=said)
            self._on_change(axes=axes)

        with box("axis") as made:
            made.props["data-axis"] = axis.field
            if numbers:
                field = line(label, axis.text, changed, autocomplete="off")
                field.props["placeholder"] = _EXAMPLES[axis.field]
                self.fields.add(axis.field, field)
            else:
                known = self._names_of(axis.field)
                values = list(dict.fromkeys([*known, *axis.chosen]))
                chosen = list(axis.chosen)
                picker = choice(label, values, chosen, changed, several=True, searched=True)
                self.fields.add(axis.field, enter_chooses(picker))
            button(f"Remove {label}", lambda: self._remove(place), icon_name="close", bare=True)

    def _names_of(self, field: str) -> list[str]:
        if self._options is None:
            return []
        return self._options.samplers if field == "sampler" else self._options.schedulers

    def _add(self, name: str) -> None:
        self._put([*self._draft.axes, Axis(field=name)])
        ui.run_javascript(f"easel.toAxis('{name}')")

    def _remove(self, place: int) -> None:
        self.fields.drop(self._draft.axes[place].field)
        self._put([one for at, one in enumerate(self._draft.axes) if at != place])

    def _put(self, axes: list[Axis]) -> None:
        self._on_change(axes=axes)
        self._show_axes()


def _sizes(native: DefaultsDocument | None) -> list[str]:
    if native is None:
        return []
    found = [size_of(ratio, native.width, native.height) for ratio in RATIOS]
    return [f"{width} × {height}" for width, height in found]


def _placehold(field: ui.select, text: str) -> None:
    """Show what is used when nothing is chosen."""
    adorn(field, placeholder=text or None)
