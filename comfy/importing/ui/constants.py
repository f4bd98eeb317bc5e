"""Nodes of missing classes that hold one value and give it on: constants of packs.

A file does not say the names of their widgets, so the graph could not hold the value. It is
written where it goes instead, as the page does with its own primitives; the pack is not needed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from comfy.importing.ui.mark_nodes import marked_fields
from comfy.importing.ui.nodes import UiNode
from comfy.importing.ui.page_nodes import PAGE_ONLY, is_group_node
from comfy.importing.ui.scopes import Scope, Scopes
from comfy.importing.ui.widgets import CONTROLS
from comfy.nodes import NodeCatalogue

_NAMES: Final = re.compile(
    r"constant|literal|primitive|seed|integer|number|text|string|float|boolean|multiline|prompt"
    r"|^(easy|jw|impact|ttn) ?(int|bool|positive|negative)$|^(int|bool)$",
    re.IGNORECASE,
)
_DOES_MORE: Final = re.compile(
    r"load|file|path|url|read|random|wildcard|generat|translat|enhanc|expan|magic|style|split|pars"
    r"|select|json|math|encod|batch|(?<!multi)line|list|show|display|preview|save|print|console|increment"
    r"|not|invert|negat|revers|upper|lower|convert|build|refin|replace|hash"
    r"|count|queue|date|time|info|token|api|gpt|llm|input|any\b",
    re.IGNORECASE,
)
"""Names of classes that make something else of their value."""
_VALUES_MAX: Final = 4
_OF_NUMBERS: Final = frozenset({"INT", "FLOAT", "NUMBER", "SEED"})


class Constants:
    """Which nodes of one workflow are constants that this ComfyUI does not know."""

    def __init__(self, scopes: Scopes, catalogue: NodeCatalogue) -> None:
        self._scopes = scopes
        self._catalogue = catalogue
        self._known: dict[tuple[tuple[str, ...], str], bool] = {}

    def holds(self, scope: Scope, node: UiNode) -> bool:
        """Whether a node is one: `UiNode.first_value` is then what all its outputs give."""
        key = (scope.path, node.node_id)
        if key not in self._known:
            self._known[key] = self._is_constant(scope, node)
        return self._known[key]

    def _is_constant(self, scope: Scope, node: UiNode) -> bool:
        if self._catalogue.get(node.type) is not None or self._scopes.is_instance(node):
            return False
        if node.type in PAGE_ONLY or is_group_node(node.type) or marked_fields(node.type):
            return False
        if not _NAMES.search(node.type) or _DOES_MORE.search(node.type):
            return False
        if any(socket.link is not None for socket in node.inputs) or not _is_alone(node.values):
            return False
        slots = scope.definition.taken_slots.get(node.node_id, ())
        kinds = [node.outputs[slot].type for slot in slots if slot < len(node.outputs)]
        return bool(kinds) and all(_gives(node.first_value, kind) for kind in kinds)


def _is_alone(values: Any) -> bool:
    """Whether a list holds one value, and beside it only what the page keeps for a seed."""
    if not isinstance(values, list) or not 0 < len(values) <= _VALUES_MAX:
        return False
    first, *rest = values
    if isinstance(first, str):
        return not rest
    return isinstance(first, int | float) and all(one in (None, "", *CONTROLS) for one in rest)


def _gives(value: Any, kind: str) -> bool:
    """Whether an output of that type gives such a value."""
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    if isinstance(value, str):
        return kind == "STRING"
    return kind in _OF_NUMBERS and (isinstance(value, int) or kind != "INT")
