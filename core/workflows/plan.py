"""What is known of a generation when it is accepted; stored with it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from core.notices import Notice
from core.workflows.declaration import Workflow


class Plan(BaseModel):
    """How a request will be carried out.

    ``roles`` gives the name of the input that has each role; where it is empty, inputs are named
    as their roles. ``outputs`` is how many artefacts are
    expected; None where only ComfyUI knows: then its success is the end, and one without any
    artefact a failure. ``cost`` is the work in megapixel-steps. ``models`` (by ComfyUI folder) and
    ``classes`` are what a ComfyUI must have; ``model`` is the one that it loads first. ``version``
    is that of the workflow; empty for one that an earlier version of Easel accepted. ``files`` are
    the references (``upload:<id>``, ``artefact:<id>``) at inputs that take files, and only there.
    ``recipe`` is what the graph of a built-in workflow is made from besides the values; empty for
    an imported one, and for one that an earlier version accepted. ``notices`` are what it gets in
    another way than it asked for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = ""
    roles: dict[str, str] = {}
    outputs: int | None = None
    cost: float = 0.0
    model: str | None = None
    models: dict[str, tuple[str, ...]] = {}
    classes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    recipe: dict[str, Any] = {}
    notices: tuple[Notice, ...] = ()

    @classmethod
    def of(cls, workflow: Workflow, **known: Any) -> Self:
        """Returns a plan for a workflow."""
        roles = {} if all(k == v for k, v in workflow.roles.items()) else dict(workflow.roles)
        return cls(version=workflow.version, roles=roles, **known)

    def input_of(self, role: str) -> str | None:
        """Returns the name of the input that has the role, None if none has it."""
        return self.roles.get(role) if self.roles else role
