"""The order in which a graph's nodes run: ComfyUI's UX-friendly pick of the ready ones."""

from collections.abc import Callable
from typing import Any

from .cache import links


class Order:
    """Yields nodes whose inputs are ready, those near an output first.

    Cached nodes are left out, with their ancestors; outputs are always in. What feeds only lazy
    inputs is left out, too, until it is asked for.
    """

    def __init__(
        self,
        graph: dict[str, Any],
        outputs: list[str],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
        is_lazy: Callable[[str, str], bool],
    ) -> None:
        self._graph = graph
        self._is_cached = is_cached
        self._is_output = is_output
        self._is_lazy = is_lazy
        self._done: set[str] = set()
        self._waiting: dict[str, int] = {}
        self._feeds: dict[str, dict[str, None]] = {}
        self._add(list(reversed(outputs)))

    def _add(self, todo: list[str]) -> None:
        while todo:
            node_id = todo.pop()
            if node_id in self._waiting:
                continue
            sources = {
                source: None
                for name, source, _ in links(self._graph, node_id)
                if not self._is_lazy(node_id, name)
            }
            self._waiting[node_id] = 0
            todo += self._wait_for(node_id, list(sources))

    def _wait_for(self, node_id: str, sources: list[str]) -> list[str]:
        """Let a node wait for these nodes; returns those that have to run for it."""
        feeding = [
            source
            for source in sources
            if source not in self._done
            and not self._is_cached(source)
            and node_id not in self._feeds.get(source, ())
        ]
        for source in feeding:
            self._feeds.setdefault(source, {})[node_id] = None
        self._waiting[node_id] += len(feeding)
        return feeding

    def ask_for(self, node_id: str, sources: list[str]) -> bool:
        """A ready node asks for the sources of lazy inputs; whether it has to wait for any."""
        feeding = self._wait_for(node_id, sources)
        self._add(list(feeding))
        return bool(feeding)

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
        self._done.add(node_id)
        for fed in self._feeds.get(node_id, ()):
            self._waiting[fed] -= 1

    def _feeds_output(self, node_id: str) -> bool:
        return any(self._is_output(fed) for fed in self._feeds.get(node_id, ()))

    def _feeds_feeder(self, node_id: str) -> bool:
        return any(self._feeds_output(fed) for fed in self._feeds.get(node_id, ()))
