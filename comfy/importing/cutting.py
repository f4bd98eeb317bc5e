"""The part of a graph that its outputs reach. ComfyUI refuses unknown classes even outside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.imported import DroppedNode, OutputNode
from comfy.nodes import NodeCatalogue

_SAVERS: Final = re.compile(r"save|combine|export|output|return|websocket|upload", re.IGNORECASE)
_PREFIX: Final = "filename_prefix"
_VIEWERS: Final = re.compile(r"preview|show|display|compare|viewer|debug|inspect", re.IGNORECASE)


@dataclass(frozen=True)
class Cut:
    """What is left of a graph, its outputs, and what fell away."""

    graph: Mapping[str, Any]
    outputs: tuple[OutputNode, ...]
    dropped: tuple[DroppedNode, ...]


def cut(graph: Mapping[str, Any], catalogue: NodeCatalogue, without: Iterable[str] = ()) -> Cut:
    """The part that output nodes reach; outputs in ``without`` do not count.

    Raises WorkflowFileError for nodes that feed themselves.
    """
    ends = _ends(graph, catalogue)
    viewers = set(without)
    kept = [node_id for node_id in ends if node_id not in viewers]
    live = reached(graph, kept)
    used = {link[0] for node_id in live for link in links_of(graph[node_id])}
    outputs = tuple(
        OutputNode(node_id, graph[node_id]["class_type"])
        for node_id in kept
        if node_id not in used or _SAVERS.search(graph[node_id]["class_type"])
    )
    dropped = tuple(
        DroppedNode(
            node_id,
            node["class_type"],
            node["_meta"]["title"],
            "viewer" if node_id in viewers else "unused",
        )
        for node_id, node in graph.items()
        if node_id not in live
    )
    left = {node_id: node for node_id, node in graph.items() if node_id in live}
    return Cut(left, outputs, dropped)


def _ends(graph: Mapping[str, Any], catalogue: NodeCatalogue) -> list[str]:
    """The output nodes. Of a class that is missing, its name and its links tell."""
    consumed = {link[0] for node in graph.values() for link in links_of(node)}
    used = {
        link[0]
        for node in graph.values()
        if not is_viewer(node["class_type"])
        for link in links_of(node)
    }
    known: list[str] = []
    savers: list[str] = []
    viewers: list[str] = []
    others: list[str] = []
    for node_id, node in graph.items():
        node_class = catalogue.get(node["class_type"])
        if node_class is not None:
            if node_class.output_node:
                known.append(node_id)
            continue
        name = node["class_type"]
        if _SAVERS.search(name):
            # A viewer may show the file that was saved, and another node send it on.
            if node_id not in used or _PREFIX in node["inputs"]:
                savers.append(node_id)
        elif node_id not in consumed:
            (viewers if is_viewer(name) else others).append(node_id)
    return (known + savers) or viewers or others


def is_viewer(class_type: str) -> bool:
    """Whether a class, by its name, only shows something on the page."""
    return bool(_VIEWERS.search(class_type)) and not _SAVERS.search(class_type)


def links_of(node: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The links among a node's inputs."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value


def is_link(value: Any) -> bool:
    """Whether an input's value is a link: a node's id and a slot."""
    match value:
        case [str(), int() as slot]:
            return not isinstance(slot, bool)
        case _:
            return False


def fed_by(graph: Mapping[str, Any], sources: Iterable[str]) -> set[str]:
    """Nodes, and everything that they feed."""
    takers: dict[str, list[str]] = {}
    for node_id, node in graph.items():
        for link in links_of(node):
            takers.setdefault(link[0], []).append(node_id)
    found: set[str] = set()
    pending = list(sources)
    while pending:
        node_id = pending.pop()
        if node_id not in found:
            found.add(node_id)
            pending.extend(takers.get(node_id, ()))
    return found


def reached(graph: Mapping[str, Any], ends: Iterable[str]) -> set[str]:
    """Nodes, and everything that feeds them. Raises WorkflowFileError for a cycle."""
    done: set[str] = set()
    on_way: dict[str, None] = {}
    for end in ends:
        pending = [(end, False)]
        while pending:
            node_id, is_left = pending.pop()
            if is_left:
                del on_way[node_id]
                done.add(node_id)
            elif node_id in on_way:
                raise _cycle(graph, [*on_way, node_id])
            elif node_id not in done and node_id in graph:
                on_way[node_id] = None
                pending.append((node_id, True))
                pending.extend((link[0], False) for link in links_of(graph[node_id]))
    return done


def _cycle(graph: Mapping[str, Any], way: list[str]) -> WorkflowFileError:
    nodes = way[way.index(way[-1]) :]
    shown = nodes if len(nodes) <= 8 else [*nodes[:4], "…", *nodes[-3:]]
    names = " ← ".join(
        f"{node_id} ({graph[node_id]['class_type']})" if node_id in graph else node_id
        for node_id in shown
    )
    return WorkflowFileError("cycle", f"the nodes feed themselves: {names}", f"node {way[-1]}")
