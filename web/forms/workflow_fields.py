"""The fields of any workflow in the order of a form, made from its declaration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import groupby
from typing import Any, Final

from nicegui import ui

from core.workflows.declaration import Input, Role, Workflow
from web.forms.known_models import KnownModels
from web.forms.seed_field import SeedField
from web.forms.situation import Situation
from web.forms.size_field import SizeField
from web.forms.workflow_inputs import InputFields, Offered, build_heading
from web.parts.elements import adorn, box, show_if
from web.parts.fields import Fields, Fold, folded

_FIRST: Final[tuple[Role, ...]] = ("prompt", "negative_prompt")
PARTS: Final[tuple[Role, ...]] = ("vae", "text_encoder")
"""What is loaded beside a model, and belongs to its family."""


class WorkflowFields:
    """Prompts first, then files, size and seed, the rest by group, advanced ones folded.

    ``values`` are those that differ from the defaults; ``on_value`` gets an input's name and what
    is kept of its value, None for what the workflow has by itself. ``without`` are inputs that
    the form shows in another way; ``say`` puts a word into the prompt if that is one of them.
    ``advanced_in``: where advanced ones go instead of a fold of their own.
    """

    def __init__(
        self,
        workflow: Workflow,
        values: Mapping[str, Any],
        on_value: Callable[[str, Any], None],
        offered: Offered,
        fields: Fields,
        without: Collection[str] = (),
        say: Callable[[str], None] | None = None,
        advanced_in: ui.element | None = None,
    ) -> None:
        self._workflow = workflow
        self._values = dict(values)
        self._on_value = on_value
        self._models = offered.models
        self._inputs = InputFields(fields, offered, self._situation(), say or self._sayer(without))
        self._shown = [one for one in workflow.inputs if one.name not in without]
        self._advanced: Fold | None = None
        self._advanced_in = advanced_in
        self._seed: SeedField | None = None
        self._around: dict[str, ui.element] = {}
        self._build()

    def refuse(self, errors: Mapping[str, str]) -> dict[str, str]:
        """Show what is wrong at the fields. Returns what has no field here."""
        advanced = {one.name for one in self._shown if one.advanced}
        if self._advanced is not None and {path.split(".")[0] for path in errors} & advanced:
            adorn(self._advanced.root, open=True)
        return self._inputs.refuse(errors)

    def check(self, without: Collection[str] = ()) -> None:
        """Raises ProblemError when what is in a field cannot be read; not of inputs ``without``."""
        self._inputs.check(without)

    def hide(self, names: Collection[str]) -> None:
        """Hide the fields of these inputs, and show the others'. Width and height stay."""
        for name, made in self._around.items():
            show_if(made, name not in names)

    def follow(self, values: Mapping[str, Any]) -> None:
        """Let the fields follow the values of inputs that the form shows in another way."""
        self._values |= values
        self._suit()

    def know(self, models: KnownModels | None) -> None:
        """Let the fields follow what is known of model files by now."""
        self._models = models
        self._suit()

    def unheard(self, name: str) -> str:
        """Returns why an input changes nothing as the form stands; an empty text if it does."""
        return self._inputs.situation.unheard(name)

    def used_seed(self, seed: int | None) -> None:
        """Note the seed of what was created from the form."""
        if self._seed is not None:
            self._seed.used(seed)

    def _situation(self) -> Situation:
        return Situation(self._workflow, dict(self._values), self._models)

    def _sayer(self, without: Collection[str]) -> Callable[[str], None] | None:
        """Returns what puts a word into the prompt, if that is a field here."""
        one = self._workflow.of_role("prompt")
        if one is None or one.name in without:
            return None

        def say(word: str) -> None:
            made = self._inputs.fields.made(one.name)
            if made is not None:
                made.value = with_word(str(made.value or ""), word)

        return say

    def _of_role(self, role: Role) -> Input | None:
        return next((one for one in self._shown if one.role == role), None)

    def _build(self) -> None:
        first = [one for role in _FIRST if (one := self._of_role(role)) is not None]
        files = [one for one in self._shown if one.is_upload and not one.advanced]
        if self._workflow.graph is None:  # its author is Easel: the order is as it is meant
            first = [one for one in first if not one.advanced]
        for one in (*first, *files):
            self._build_one(one)
        told = {one.name for one in (*first, *files)}
        if self._workflow.graph is not None:
            told |= self._build_size() | self._build_seed()
        rest = [one for one in self._shown if one.name not in told]
        self._build_groups([one for one in rest if not one.advanced])
        advanced = [one for one in rest if one.advanced]
        if advanced and self._advanced_in is None:
            self._advanced = folded("Advanced")
            with self._advanced:
                self._build_groups(advanced)
        elif advanced and self._advanced_in is not None:
            with self._advanced_in:
                self._build_groups(advanced)

    def _build_size(self) -> set[str]:
        """Returns the names of the inputs that are one field."""
        width, height = self._of_role("width"), self._of_role("height")
        if width is None or height is None:
            return set()
        made = SizeField(width, height, self._values, self._changed, self._inputs.fields)
        self._inputs.when_suited(width.name, made.suit)
        return {width.name, height.name}

    def _build_seed(self) -> set[str]:
        one = self._of_role("seed")
        if one is None:
            return set()
        value = self._values.get(one.name, one.default)
        self._seed = SeedField(one, value, self._setter(one), self._inputs.fields)
        return {one.name}

    def _build_groups(self, inputs: list[Input]) -> None:
        for group, members in self._grouped(inputs):
            if group is None or (self._workflow.graph is None and len(members) == 1):
                self._build_each(members)
            elif {"width", "height"} <= {one.role for one in members}:
                self._build_each(members)  # one field, with a heading of its own
            else:
                with build_heading(group):
                    self._build_each(members)

    def _grouped(self, inputs: list[Input]) -> list[tuple[str | None, list[Input]]]:
        """Returns what belongs together. Easel's own workflows keep their order."""
        if self._workflow.graph is None:
            return [(group, list(run)) for group, run in groupby(inputs, key=lambda one: one.group)]
        groups = dict.fromkeys(one.group for one in inputs)
        return [(group, [one for one in inputs if one.group == group]) for group in groups]

    def _build_each(self, inputs: list[Input]) -> None:
        told: set[str] = set()
        for one in inputs:
            if one.name in told:
                continue
            if one.role == "width":
                told |= self._build_size()
            elif one.role == "seed":
                told |= self._build_seed()
            if one.name not in told:
                self._build_one(one)

    def _build_one(self, one: Input) -> None:
        self._around[one.name] = box("around")
        self._fill(one)

    def _fill(self, one: Input) -> None:
        self._inputs.forget(one.name)
        self._around[one.name].clear()
        with self._around[one.name]:
            self._inputs.build(one, self._values.get(one.name), self._setter(one))

    def _setter(self, one: Input) -> Callable[[Any], None]:
        return lambda value: self._changed(one.name, value)

    def _changed(self, name: str, value: Any) -> None:
        one = self._workflow.by_name[name]
        kept = entered(one, value)
        self._values[name] = kept
        self._on_value(name, kept)
        if one.type not in ("text", "longtext"):
            self._suit()

    def _suit(self) -> None:
        """Let the fields follow the form; what belongs to a family before is taken away."""
        before = self._inputs.situation.family
        self._inputs.suit(self._situation())
        family = self._inputs.situation.family
        if family is not None and before is not None and family != before:
            self._drop_parts()

    def _drop_parts(self) -> None:
        """Take away the files that go with a model of another family only."""
        for one in self._shown:
            if one.role in PARTS and self._values.get(one.name) is not None:
                self._changed(one.name, None)
                self._fill(one)


def with_word(prompt: str, word: str) -> str:
    """Returns a prompt with a word that it does not have yet at its end."""
    parts = [part.strip().casefold() for part in prompt.split(",")]
    if word.strip().casefold() in parts:
        return prompt
    before = prompt.rstrip(" ,\n")
    return f"{before}, {word}" if before else word


def entered(one: Input, value: Any) -> Any:
    """Returns what is kept of a value: None for what the workflow has by itself."""
    is_same = type(value) is type(one.default) and value == one.default
    return None if is_same or (value in ("", []) and not one.default) else value
