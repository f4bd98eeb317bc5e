"""The values of a group node, shared out to the nodes inside.

Its list is that of the nodes inside, one after another, without widgets that it did not show. Which
those are depends on the version that has saved the file, so the way that fits best counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.importing.ui.nodes import read_nodes
from comfy.importing.ui.widgets import read_widgets
from comfy.nodes import NodeClass


@dataclass(frozen=True)
class HeldValues:
    """What a node inside holds itself: its list, and for each place the name of its widget.

    A name is empty where it is not known. ``hidden`` are widgets that the group node does not
    show, ``fed`` those that a node inside feeds, ``converted`` those with a socket.
    """

    told: Any
    names: tuple[str, ...]
    hidden: frozenset[str]
    fed: frozenset[str]
    converted: frozenset[str]

    @property
    def ways(self) -> tuple[frozenset[str], ...]:
        """What the group node may have left out, the likelier first."""
        hidden, fed, converted = self.hidden, self.fed, self.converted
        return frozenset(), hidden, fed, hidden | fed, converted, hidden | converted

    def kept(self, left_out: frozenset[str]) -> list[int]:
        """The places of values that the group node has, if it leaves out these."""
        return [at for at, name in enumerate(self.names) if not name or name not in left_out]


def places(inner: Mapping[str, Any], node_class: NodeClass | None) -> tuple[str, ...]:
    """The names of the widgets for each place in a node's list, as far as they are certain."""
    told = inner.get("widgets_values")
    count = len(told) if isinstance(told, list) else 0
    node = next(read_nodes([{**inner, "id": 0}]), None)
    if node is None or node_class is None or count == 0 or node.named is not None:
        return ("",) * count
    widgets = read_widgets(node, node_class)
    names = [name for name in widgets.values for _ in range(2 if name in widgets.controls else 1)]
    if len(names) > count or widgets.misfits:
        return ("",) * count
    return (*names, *[""] * (count - len(names)))


def shared_out(values: Any, nodes: Sequence[HeldValues]) -> list[Any] | None:
    """The values of each node inside; what the group node left out is the node's own.

    None if the list fits in no way.
    """
    own = [one.told for one in nodes]
    if not isinstance(values, list) or not values:
        return None if values else own
    fitting = []
    for ways in zip(*(one.ways for one in nodes), strict=True):
        kept = [one.kept(left_out) for one, left_out in zip(nodes, ways, strict=True)]
        if sum(len(each) for each in kept) == len(values):
            given = iter(values)
            fitting.append([_with(one, each, given) for one, each in zip(own, kept, strict=True)])
    return min(fitting, key=lambda shared: _changed_kinds(own, shared), default=None)


def _with(told: Any, kept: Sequence[int], given: Iterator[Any]) -> Any:
    if not isinstance(told, list):
        return told
    mixed = list(told)
    for at in kept:
        mixed[at] = next(given)
    return mixed


def _changed_kinds(own: Sequence[Any], shared: Sequence[Any]) -> int:
    """How many values became something else, such as a text where a number was."""
    return sum(
        _kind(before) != _kind(after)
        for held, given in zip(own, shared, strict=True)
        if isinstance(held, list)
        for before, after in zip(held, given, strict=True)
    )


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)
