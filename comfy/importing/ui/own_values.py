"""The values that nodes hold themselves, each node's read once."""

from __future__ import annotations

from typing import Any

from comfy.importing.ui.nodes import UiNode
from comfy.importing.ui.promoted import held_value, override
from comfy.importing.ui.scopes import Scope, Scopes
from comfy.importing.ui.widgets import Widgets, read_widgets
from comfy.nodes import NodeCatalogue


class OwnValues:
    """Widgets of all nodes of one workflow."""

    def __init__(self, scopes: Scopes, catalogue: NodeCatalogue) -> None:
        self._scopes = scopes
        self._catalogue = catalogue
        self._read: dict[tuple[tuple[str, ...], str], Widgets] = {}

    def of(self, scope: Scope, node: UiNode) -> Widgets:
        """The node's widgets, with what the instances around hold for them."""
        key = (scope.path, node.node_id)
        if key not in self._read:
            widgets = read_widgets(node, self._catalogue.get(node.type))
            if scope.host is not None:
                for name in widgets.values:
                    value = override(scope, node, name)
                    if value is not None:
                        widgets.values[name] = value
            self._read[key] = widgets
        return self._read[key]

    def promoted(self, scope: Scope, index: int) -> Any:
        """The value of a subgraph's input that the instance holds no value for.

        It is that of the first widget inside that the input feeds, and counts for everything else
        that it feeds, too. None if there is no such widget.
        """
        while True:
            target = scope.definition.targets[index]
            if target is None:
                return None
            node, socket = target
            inner = self._scopes.inside(scope, node)
            if inner is None:
                return self.of(scope, node).values.get(socket.widget)
            found = inner.definition.index_of(socket.name)
            if found is None:
                return None
            held = held_value(inner, found)
            if held is not None:
                return held
            scope, index = inner, found  # one level deeper
