"""The order in which a graph's nodes run: ComfyUI's UX-friendly pick of the ready ones."""

from collections.abc import Callable
from typing import Any

from .cache import links


class Order:
    """Yields nodes whose inputs are ready, those near an output first.

    Cached nodes are left out, with their ancestors; outputs are always in.
    """

    def __init__(
        self,
        graph: dict[str, Any],
        outputs: list[str],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._graph = graph
        self._is_output = is_output
        self._waiting: dict[str, int] = {}
        self._feeds: dict[str, dict[str, None]] = {}
        todo = list(reversed(outputs))
        while todo:
            node_id = todo.pop()
            if node_id in self._waiting:
                continue
            sources = dict.fromkeys(source for _, source, _ in links(graph, node_id))
            needed = [source for source in sources if not is_cached(source)]
            self._waiting[node_id] = len(needed)
            for source in needed:
                self._feeds.setdefault(source, {})[node_id] = None
                todo.append(source)

    def next(self) -> str | None:
        """The next node, None when all are done."""
        ready = [node_id for node_id, count in self._waiting.items() if count == 0]
        if not ready:
            return None
        for reaches in (self._is_output, self._feeds_output, self._feeds_feeder):
            for node_id in ready:
                if reaches(node_id):
                    return node_id
        return ready[0]

    def done(self, node_id: str) -> None:
        """Note that a node has run."""
        del self._waiting[node_id]
        for fed in self._feeds.get(node_id, ()):
            self._waiting[fed] -= 1

    def _feeds_output(self, node_id: str) -> bool:
        return any(self._is_output(fed) for fed in self._feeds.get(node_id, ()))

    def _feeds_feeder(self, node_id: str) -> bool:
        return any(self._feeds_output(fed) for fed in self._feeds.get(node_id, ()))
