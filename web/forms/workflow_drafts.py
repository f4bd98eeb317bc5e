"""Which workflow a form is for, and the values of each workflow's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from core.requests import DEFAULT_WORKFLOW
from core.workflows.declaration import Input, Role, Workflow
from web.forms.kept_draft import KeptDraft

WORKFLOWS_KEPT: Final = 30
CARRIED: Final[tuple[Role, ...]] = (
    *("prompt", "negative_prompt", "seed", "width", "height", "duration_s"),
    *("init_image", "mask", "reference_image", "control_image"),
)
"""What goes along to another workflow. Steps and the like do not: they are its model's own."""


class InputsDraft(KeptDraft):
    """What was entered for each workflow: only what differs from its defaults."""

    values: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def of(self, workflow: str) -> dict[str, Any]:
        """Returns the values of a workflow's inputs."""
        return self.values.get(workflow, {})

    def put(self, workflow: str, values: Mapping[str, Any]) -> None:
        """Keep a workflow's values; those of the ones used longest ago are forgotten."""
        self.change(values=self._with(workflow, values))

    def set(self, workflow: str, name: str, value: Any) -> None:
        """Keep the value of an input; None leaves it to the workflow."""
        self.change(values=self.having(workflow, name, value))

    def having(self, workflow: str, name: str, value: Any) -> dict[str, dict[str, Any]]:
        """Returns all values with this one of an input; None leaves it to the workflow."""
        own = {**self.of(workflow), name: value}
        return self._with(workflow, {key: one for key, one in own.items() if one is not None})

    def _with(self, workflow: str, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        others = {name: kept for name, kept in self.values.items() if name != workflow}
        return dict([*others.items(), (workflow, dict(values))][-WORKFLOWS_KEPT:])


class WorkflowDraft(InputsDraft):
    """The studio's: the chosen workflow, and what was entered for each."""

    KEY = "workflow-draft"

    chosen: str = DEFAULT_WORKFLOW

    def before(self, workflow: str, values: Mapping[str, Any]) -> WorkflowDraft | None:
        """Returns what these values of a workflow replace; None where nothing else is kept."""
        own = self.of(workflow)
        if not own or own == dict(values):
            return None
        return WorkflowDraft(chosen=workflow, values={workflow: own})


def by_role(workflow: Workflow, values: Mapping[str, Any]) -> dict[Role, Any]:
    """Returns the values that go along to another workflow, by what they mean."""
    found: dict[Role, Any] = {}
    for role in CARRIED:
        one = workflow.of_role(role)
        if one is not None and values.get(one.name) is not None:
            found[role] = values[one.name]
    return found


def carried(workflow: Workflow, roles: Mapping[Role, Any]) -> dict[str, Any]:
    """Returns those of the values that this workflow's inputs can have, by their names."""
    found = {}
    for role, value in roles.items():
        one = workflow.of_role(role)
        if one is not None and _fits(one, value):
            found[one.name] = value
    return found


def _fits(one: Input, value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_above = one.minimum is None or value >= one.minimum
        is_below = one.maximum is None or value <= one.maximum
        is_step = one.multiple_of is None or value % one.multiple_of == 0
        is_number = one.type == "number" or (
            one.type in ("integer", "seed") and isinstance(value, int)
        )
        return is_number and is_above and is_below and is_step
    return one.type in ("text", "longtext") or one.is_upload
