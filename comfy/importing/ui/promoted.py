"""Values that the instance of a subgraph holds for the widgets inside.

ComfyUI's page has kept them in three ways: by the names of the subgraph's inputs
(``widgets_values_named``), in the order of the inputs that feed a widget, and before that in
the order of ``properties.proxyWidgets``: pairs of an inner node's id and its widget's name, with
the id -1 for an input of the subgraph. A null says that the inner widget's own value counts.
"""

from __future__ import annotations

from typing import Any

from comfy.importing.ui.nodes import UiNode
from comfy.importing.ui.scopes import Scope


def held_value(scope: Scope, index: int) -> Any:
    """What the instance holds for its subgraph's input of that number; None: nothing."""
    host = scope.host
    if host is None or index >= len(scope.definition.inputs):
        return None
    name = scope.definition.inputs[index].name
    outer = override(scope.parent, host, name) if scope.parent else None
    if outer is not None:
        return outer
    if host.named is not None:
        return host.named.get(name)
    if host.proxies:
        target = scope.definition.targets[index]
        own = host.proxies.get((target[0].node_id, target[1].widget)) if target else None
        return own if own is not None else host.proxies.get(("-1", name))
    place = scope.definition.value_places.get(index)
    values = host.values
    if place is None or not isinstance(values, list) or place >= len(values):
        return None
    return values[place]


def override(scope: Scope, node: UiNode, widget: str) -> Any:
    """What the instances around hold for a widget that has no input of the subgraph; or None."""
    if scope.host is None or (node.node_id, widget) not in scope.host.proxies:
        return None
    outer = override(scope.parent, scope.host, widget) if scope.parent else None
    return outer if outer is not None else scope.host.proxies[(node.node_id, widget)]
