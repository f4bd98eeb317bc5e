"""App mode: the form that an author has chosen on ComfyUI's page, in ``extra.linearData``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from comfy.importing.cutting import is_link
from comfy.importing.marks import AppInput, AppMode, Place, SharedValue
from comfy.importing.secrets import without_values

_ENTRIES_MAX: Final = 500


def read_app_mode(
    workflow: Mapping[str, Any], graph: Mapping[str, Any], shared: Iterable[SharedValue]
) -> AppMode | None:
    """The form of a workflow in UI form, its entries led to places of the graph; or None."""
    extra = workflow.get("extra")
    data = extra.get("linearData") if isinstance(extra, dict) else None
    if not isinstance(extra, dict) or not isinstance(data, dict):
        return None
    reader = _Reader(workflow, graph, shared)
    inputs, outputs = data.get("inputs"), data.get("outputs")
    found = AppMode(
        enabled=extra.get("linearMode") is True,
        inputs=tuple(reader.inputs(inputs if isinstance(inputs, list) else [])),
        outputs=tuple(
            reader.path(str(node_id))
            for node_id in (outputs if isinstance(outputs, list) else [])[:_ENTRIES_MAX]
            if isinstance(node_id, str | int)
        ),
    )
    return found if found.inputs or found.outputs else None


class _Reader:
    def __init__(
        self,
        workflow: Mapping[str, Any],
        graph: Mapping[str, Any],
        shared: Iterable[SharedValue],
    ) -> None:
        self._root_id = workflow.get("id")
        self._graph = graph
        self._by_name: dict[tuple[str, str], SharedValue] = {}
        self._by_place: dict[Place, SharedValue] = {}
        for value in shared:
            self._by_name.setdefault((value.node_id, value.name), value)
            self._by_name.setdefault((value.node_id, value.label), value)
            for place in value.targets:
                self._by_place.setdefault(place, value)

    def inputs(self, entries: list[Any]) -> Iterator[AppInput]:
        """The entries: a node's id, its widget's name, and perhaps more."""
        for entry in entries[:_ENTRIES_MAX]:
            match entry:
                case [int() | str() as node_id, str() as name, *rest]:
                    config = rest[0] if rest and isinstance(rest[0], dict) else {}
                    yield self._input(str(node_id), name, config)

    def _input(self, told: str, name: str, config: dict[str, Any]) -> AppInput:
        node_id = self.path(told, name)
        label = config.get("label") or config.get("name") or config.get("title")
        return AppInput(
            node_id=node_id,
            name=name,
            label=label if isinstance(label, str) else "",
            targets=self._targets(node_id, name),
            config=without_values(config, ()),
        )

    def _targets(self, node_id: str, name: str) -> tuple[Place, ...]:
        value = self._by_name.get((node_id, name)) or self._by_place.get(Place(node_id, name))
        if value:
            return value.targets
        node = self._graph.get(node_id)
        if node and name in node["inputs"] and not is_link(node["inputs"][name]):
            return (Place(node_id, name),)
        primitive = self._by_name.get((node_id, "value"))  # its widget has the target's name
        return primitive.targets if primitive else ()

    def path(self, told: str, name: str = "") -> str:
        """The id in API format; the newest files write ``root:node:name``, percent-encoded."""
        parts = [unquote(part) for part in told.split(":")]
        if len(parts) > 1 and parts[0] == self._root_id:
            parts = parts[1:]
        if len(parts) > 1 and name and parts[-1] == name:
            parts = parts[:-1]
        return ":".join(parts)
