"""What feeds an input: followed through reroutes, subgraphs, bypassed and page-only nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.ui.broadcasts import Broadcasts
from comfy.importing.ui.constants import Constants
from comfy.importing.ui.nodes import BYPASSED, MUTED, Link, UiNode
from comfy.importing.ui.own_values import OwnValues
from comfy.importing.ui.page_nodes import (
    BROADCASTERS,
    GETTERS,
    PAGE_ONLY,
    PRIMITIVE,
    REROUTES,
    SETTERS,
    is_group_node,
)
from comfy.importing.ui.promoted import held_value
from comfy.importing.ui.scopes import INPUT_BORDER, Scope, Scopes
from comfy.nodes.types import fits

_STEPS_MAX: Final = 500_000
"""The most steps over all links of a workflow; a chain of reroutes takes one each."""


@dataclass(frozen=True)
class Origin:
    """Where a user would set a value: at an instance's input, or at a primitive node."""

    kind: str
    node_id: str
    name: str


@dataclass(frozen=True)
class Fed:
    """What feeds an input: another node's output, a value, or nothing that the graph can say.

    ``origin`` is set where the input's value is set elsewhere; then ``is_value`` may be false:
    the widget's own value counts.
    """

    link: tuple[str, int] | None = None
    value: Any = None
    is_value: bool = False
    origin: Origin | None = None
    is_cycle: bool = False


@dataclass(frozen=True)
class _At:
    """One step of the way back: an input or an output of a node."""

    scope: Scope
    node: UiNode
    slot: int
    is_output: bool


class Links:
    """Resolves the links of one workflow. Its steps are counted over all of them."""

    def __init__(
        self, scopes: Scopes, broadcasts: Broadcasts, own: OwnValues, constants: Constants
    ) -> None:
        self._scopes = scopes
        self._broadcasts = broadcasts
        self._own = own
        self._constants = constants
        self._left = _STEPS_MAX

    def fed(self, scope: Scope, node: UiNode, slot: int) -> Fed:
        """What feeds an input of a node. Raises WorkflowFileError beyond the bounds."""
        return _Way(self, node.inputs[slot].type).back(_At(scope, node, slot, is_output=False))

    def given(self, scope: Scope, node: UiNode, slot: int) -> Fed:
        """What an output of a node stands for. Raises WorkflowFileError beyond the bounds."""
        return _Way(self, node.outputs[slot].type).back(_At(scope, node, slot, is_output=True))

    def count_step(self) -> None:
        """Count one step. Raises WorkflowFileError when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise WorkflowFileError(
                "too_large", "the links take too many ways through the workflow"
            )

    @property
    def scopes(self) -> Scopes:
        """The workflow's scopes."""
        return self._scopes

    @property
    def broadcasts(self) -> Broadcasts:
        """Links that the file keeps apart."""
        return self._broadcasts

    @property
    def own(self) -> OwnValues:
        """The values that nodes hold themselves."""
        return self._own

    @property
    def constants(self) -> Constants:
        """Nodes that give one value on."""
        return self._constants


class _Way:
    """The way back from one input. ``held`` are values of instances, for when it ends nowhere."""

    def __init__(self, links: Links, wanted: str) -> None:
        self._links = links
        self._wanted = wanted
        self._held: list[Any] = []
        self._origin: Origin | None = None
        self._border: tuple[Scope, int] | None = None

    def back(self, at: _At) -> Fed:
        seen: set[tuple[tuple[str, ...], str, bool, int]] = set()
        step: _At | Fed = at
        while isinstance(step, _At):
            self._links.count_step()
            key = (step.scope.path, step.node.node_id, step.is_output, step.slot)
            if key in seen:
                return Fed(is_cycle=True)
            seen.add(key)
            step = self._from_output(step) if step.is_output else self._from_input(step)
        return step

    def _nothing(self) -> Fed:
        """The way ends: the outermost instance that holds a value decides."""
        if self._held:
            return Fed(value=self._held[-1], is_value=True, origin=self._origin)
        value = self._links.own.promoted(*self._border) if self._border else None
        return Fed(value=value, is_value=value is not None, origin=self._origin)

    def _from_input(self, at: _At) -> _At | Fed:
        link_id = at.node.inputs[at.slot].link
        link = at.scope.definition.links.get(link_id) if link_id is not None else None
        if link is None:
            link = self._links.broadcasts.link_to(at.scope, at.node, at.slot)
        return self._over(at.scope, link) if link else self._nothing()

    def _over(self, scope: Scope, link: Link) -> _At | Fed:
        if link.origin_id == INPUT_BORDER and scope.host is not None:
            return self._through_border(scope, link.origin_slot)
        node = scope.definition.nodes.get(link.origin_id)
        return _At(scope, node, link.origin_slot, is_output=True) if node else self._nothing()

    def _through_border(self, scope: Scope, index: int) -> _At | Fed:
        host, parent = scope.host, scope.parent
        if host is None or parent is None or index >= len(scope.definition.inputs):
            return self._nothing()
        border = scope.definition.inputs[index]
        self._origin = Origin("promoted", scope.host_id, border.name)
        self._border = (scope, index)
        value = held_value(scope, index)
        if value is not None:
            self._held.append(value)
        slot = host.input_named(border.name)
        if slot is None:
            return self._nothing()
        return _At(parent, host, slot, is_output=False)

    def _from_output(self, at: _At) -> _At | Fed:
        node = at.node
        if node.type in REROUTES:
            return self._input(at, 0)
        if node.type == PRIMITIVE:
            return self._primitive(at)
        if node.type in SETTERS:
            return self._input(at, 0)
        if node.type in GETTERS:
            return self._get(at)
        if node.type in BROADCASTERS or node.type in PAGE_ONLY or is_group_node(node.type):
            return self._nothing()
        if node.mode == BYPASSED:
            return self._bypass(at)
        if node.mode == MUTED:
            return self._nothing()
        if self._links.constants.holds(at.scope, node):
            return self._primitive(at)
        inner = self._links.scopes.inside(at.scope, node)
        if inner:
            return self._inside(inner, at.slot)
        return Fed(link=(at.scope.id_of(node), at.slot))

    def _input(self, at: _At, slot: int) -> _At | Fed:
        if slot >= len(at.node.inputs):
            return self._nothing()
        return _At(at.scope, at.node, slot, is_output=False)

    def _primitive(self, at: _At) -> Fed:
        value = at.node.first_value
        origin = Origin("primitive", at.scope.id_of(at.node), "value")
        return Fed(value=value, is_value=value is not None, origin=origin)

    def _get(self, at: _At) -> _At | Fed:
        name = at.node.first_value
        scope: Scope | None = at.scope
        while scope and isinstance(name, str):
            setter = scope.definition.setters.get(name)
            if setter and setter.inputs:
                return _At(scope, setter, 0, is_output=False)
            scope = scope.parent
        return self._nothing()

    def _bypass(self, at: _At) -> _At | Fed:
        """The input that a bypassed node's output is wired to."""
        inputs, outputs = at.node.inputs, at.node.outputs
        given = outputs[at.slot].type if at.slot < len(outputs) else "*"
        same = inputs[at.slot].type if at.slot < len(inputs) else None
        if self._wanted == "*":
            return self._input(at, at.slot if same is not None else 0)
        if same is not None and fits(same, given) and fits(same, self._wanted):
            return self._input(at, at.slot)
        exact = (slot for slot, each in enumerate(inputs) if each.type == self._wanted)
        fitting = (
            slot
            for slot, each in enumerate(inputs)
            if fits(each.type, given) and fits(each.type, self._wanted)
        )
        slot = next(exact, next(fitting, None))
        return self._nothing() if slot is None else self._input(at, slot)

    def _inside(self, inner: Scope, slot: int) -> _At | Fed:
        outputs = inner.definition.outputs
        for link_id in outputs[slot].links if slot < len(outputs) else ():
            link = inner.definition.links.get(link_id)
            if link:
                return self._over(inner, link)
        return self._nothing()
