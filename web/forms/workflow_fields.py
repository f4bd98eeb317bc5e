"""The fields of any workflow in the order of a form, made from its declaration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from nicegui import ui

from core.workflows.declaration import Input, Role, Workflow
from web.forms.seed_field import SeedField
from web.forms.size_field import SizeField
from web.forms.workflow_inputs import InputFields, Offered, build_group
from web.parts.elements import adorn, box, show_if
from web.parts.fields import Fields, Fold, folded

_FIRST: Final[tuple[Role, ...]] = ("prompt", "negative_prompt")


class WorkflowFields:
    """Prompts first, then files, size and seed, the rest by group, advanced ones folded.

    ``values`` are those that differ from the defaults; ``on_value`` gets an input's name and what
    is kept of its value, None for what the workflow has by itself. ``without`` are inputs that
    the form shows in another way.
    """

    def __init__(
        self,
        workflow: Workflow,
        values: Mapping[str, Any],
        on_value: Callable[[str, Any], None],
        offered: Offered,
        fields: Fields,
        without: Collection[str] = (),
    ) -> None:
        self._values = dict(values)
        self._on_value = on_value
        self._inputs = InputFields(fields, offered)
        self._shown = [one for one in workflow.inputs if one.name not in without]
        self._advanced: Fold | None = None
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

    def used_seed(self, seed: int | None) -> None:
        """Note the seed of what was created from the form."""
        if self._seed is not None:
            self._seed.used(seed)

    def _of_role(self, role: Role) -> Input | None:
        return next((one for one in self._shown if one.role == role), None)

    def _build(self) -> None:
        first = [one for role in _FIRST if (one := self._of_role(role)) is not None]
        files = [one for one in self._shown if one.is_upload and not one.advanced]
        for one in (*first, *files):
            self._build_one(one)
        told = {one.name for one in (*first, *files)} | self._build_size() | self._build_seed()
        rest = [one for one in self._shown if one.name not in told]
        self._build_groups([one for one in rest if not one.advanced])
        if advanced := [one for one in rest if one.advanced]:
            self._advanced = folded("Advanced")
            with self._advanced:
                self._build_groups(advanced)

    def _build_size(self) -> set[str]:
        """Returns the names of the inputs that are one field."""
        width, height = self._of_role("width"), self._of_role("height")
        if width is None or height is None:
            return set()
        SizeField(width, height, self._values, self._changed, self._inputs.fields)
        return {width.name, height.name}

    def _build_seed(self) -> set[str]:
        one = self._of_role("seed")
        if one is None:
            return set()
        value = self._values.get(one.name, one.default)
        self._seed = SeedField(one, value, self._setter(one), self._inputs.fields)
        return {one.name}

    def _build_groups(self, inputs: list[Input]) -> None:
        for group in dict.fromkeys(one.group for one in inputs):
            members = [one for one in inputs if one.group == group]
            if group is None:
                for one in members:
                    self._build_one(one)
                continue
            with build_group(group):
                for one in members:
                    self._build_one(one)

    def _build_one(self, one: Input) -> None:
        with box("around") as self._around[one.name]:
            self._inputs.build(one, self._values.get(one.name), self._setter(one))

    def _setter(self, one: Input) -> Callable[[Any], None]:
        return lambda value: self._changed(one.name, value)

    def _changed(self, name: str, value: Any) -> None:
        one = next(each for each in self._shown if each.name == name)
        self._on_value(name, entered(one, value))


def entered(one: Input, value: Any) -> Any:
    """Returns what is kept of a value: None for what the workflow has by itself."""
    is_same = type(value) is type(one.default) and value == one.default
    return None if is_same or (value == "" and not one.default) else value
