"""How nodes look on ComfyUI's page: titles, groups, colours, renamed inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfy.importing.marks import NodeMarks
from comfy.importing.ui.nodes import UiNode
from comfy.importing.ui.scopes import Definition, Scope

_GROUPS_MAX: Final = 200
_Box = tuple[float, float, float, float, str]


class Looks:
    """The marks of nodes; each definition's groups are measured once."""

    def __init__(self) -> None:
        self._groups: dict[str, list[_Box]] = {}

    def of(self, scope: Scope, node: UiNode, title: str, controls: Mapping[str, str]) -> NodeMarks:
        """The marks of one node."""
        return NodeMarks(
            title=title,
            group=self._group(scope.definition, node),
            color=node.color,
            instances=scope.titles,
            labels={socket.name: socket.label for socket in node.inputs if socket.label},
            controls=dict(controls),
            position=node.position,
        )

    def _group(self, definition: Definition, node: UiNode) -> str:
        if node.position is None:
            return ""
        key = definition.definition_id
        if key not in self._groups:
            boxes = (_box(group) for group in definition.groups[:_GROUPS_MAX])
            self._groups[key] = sorted(
                (box for box in boxes if box), key=lambda box: box[2] * box[3]
            )
        x, y = node.position
        for left, top, width, height, title in self._groups[key]:
            if left <= x <= left + width and top <= y <= top + height:
                return title
        return ""


def _box(group: Mapping[str, Any]) -> _Box | None:
    title = group.get("title")
    match group.get("bounding"):
        case [
            int() | float() as left,
            int() | float() as top,
            int() | float() as width,
            int() | float() as height,
            *_,
        ] if isinstance(title, str):
            return float(left), float(top), float(width), float(height), title
        case _:
            return None
