"""ComfyUI's default execution cache: it remembers the previous prompt's nodes, no more."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from .values import Result

Graph = dict[str, Any]


class Cache:
    """Results by key, where a key is the node's class and inputs and its ancestors'."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def get(self, key: str) -> Result | None:
        """The result of an equal node of this or the previous prompt."""
        return self._results.get(key)

    def put(self, key: str, result: Result) -> None:
        """Remember a result."""
        self._results[key] = result

    def keep_only(self, keys: dict[str, str]) -> None:
        """Drop every node that the next prompt does not have."""
        wanted = set(keys.values())
        self._results = {key: value for key, value in self._results.items() if key in wanted}

    def clear(self) -> None:
        """Forget all (POST /free with free_memory)."""
        self._results.clear()


def links(graph: Graph, node_id: str) -> Iterator[tuple[str, str, int]]:
    """(input name, source node id, slot) of a node's linked inputs, in their order."""
    for name, value in graph[node_id].get("inputs", {}).items():
        if is_link(graph, value):
            yield name, value[0], value[1]


def is_link(graph: Graph, value: Any) -> bool:
    """Whether an input value is a link to a node that exists."""
    match value:
        case [str() as source, int()]:
            return source in graph
        case _:
            return False


def graph_keys(graph: Graph, changes: dict[str, Any]) -> dict[str, str]:
    """The cache key of each node of a graph; nodes in a cycle have none.

    Node ids do not matter, nor which prompt asks. `changes` are the nodes' IS_CHANGED values.
    """
    keys: dict[str, str] = {}
    open_nodes: set[str] = set()

    def key_of(node_id: str) -> str | None:
        if node_id in keys or node_id in open_nodes:
            return keys.get(node_id)
        open_nodes.add(node_id)
        inputs = dict(graph[node_id].get("inputs", {}))
        for name, source, slot in links(graph, node_id):
            source_key = key_of(source)
            if source_key is None:
                return None
            inputs[name] = ["link", source_key, slot]
        parts = [graph[node_id]["class_type"], inputs, changes.get(node_id)]
        text = json.dumps(parts, sort_keys=True, default=str)
        keys[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return keys[node_id]

    for node_id in graph:
        key_of(node_id)
    return {node_id: keys[node_id] for node_id in graph if node_id in keys}
