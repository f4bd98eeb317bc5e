"""A prompt's progress, computed from the messages about its nodes."""

from __future__ import annotations

from collections.abc import Iterable

from comfy.events import Progress
from comfy.graph import Graph
from comfy.messages import ProgressState

_ALMOST = 99.9
"""The highest percentage before the history says that the prompt is done."""


class ProgressMeter:
    """Sums the graph's nodes by weight. Nodes not in the graph have no weight."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._done: set[str] = set()
        self._fraction: dict[str, float] = {}
        self._node: str | None = None
        self._step: tuple[int, int] | None = None
        self._percent = 0.0

    def cached(self, nodes: Iterable[str]) -> None:
        """These nodes are done before they began."""
        self._done.update(node for node in nodes if node in self._graph.nodes)

    def executing(self, node: str) -> None:
        """A node begins; the one before it is done."""
        if node == self._node:
            return
        if self._node is not None:
            self._finish(self._node)
        self._enter(node)

    def executed(self, node: str) -> None:
        """An output node ended."""
        self._finish(node)

    def state(self, state: ProgressState) -> None:
        """ComfyUI's own progress report of all nodes so far."""
        for node_id, node in state.nodes.items():
            if node.finished:
                self._finish(node_id)
            else:
                self._advance(node_id, node.value, node.max)

    def step(self, node: str | None, value: float, maximum: float) -> None:
        """One step of a node, of the executing one when none is named."""
        node = node or self._node
        if node is not None:
            self._advance(node, value, maximum)

    def reading(self) -> Progress:
        """Returns the progress now."""
        self._percent = max(self._percent, self._measure())
        step, steps = self._step or (None, None)
        return self._progress(self._percent, step, steps, len(self._done))

    def completed(self) -> Progress:
        """Returns the progress of a prompt that is done."""
        return self._progress(100.0, None, None, self._graph.node_count)

    def _progress(self, percent: float, step: int | None, steps: int | None, done: int) -> Progress:
        return Progress(
            percent=percent,
            step=step,
            steps=steps,
            node=self._node,
            node_class=self._graph.class_of(self._node) if self._node else None,
            nodes_done=done,
            nodes_total=self._graph.node_count,
        )

    def _enter(self, node: str) -> None:
        if node != self._node:
            self._node, self._step = node, None

    def _advance(self, node: str, value: float, maximum: float) -> None:
        if node in self._done or maximum <= 0:
            return
        self._enter(node)
        self._fraction[node] = min(1.0, max(0.0, value / maximum))
        if maximum > 1:
            self._step = (int(value), int(maximum))

    def _finish(self, node: str) -> None:
        if node in self._graph.nodes:
            self._done.add(node)

    def _measure(self) -> float:
        weighed = sum(
            node.weight * (1.0 if node_id in self._done else self._fraction.get(node_id, 0.0))
            for node_id, node in self._graph.nodes.items()
        )
        return min(_ALMOST, round(100 * weighed / max(1, self._graph.total_weight), 1))
