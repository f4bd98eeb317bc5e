"""Graphs in API form, as ComfyUI exports and posts them: read, and rid of what is no input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.documents import check_node_count
from comfy.importing.marks import NodeMarks
from comfy.nodes import NodeCatalogue, NodeClass
from core.wording import listed

_NOT_INPUTS: Final = frozenset(
    {
        "audioUI",
        "choose file to upload",
        "choose audio file to upload",
        "choose video to upload",
        "control_after_generate",
        "is_changed",
        "upload",
        "video-preview",
        "videopreview",
    }
)
"""Values of the page's own, which older versions of it put among the inputs."""
_META_MAX: Final = 200
"""The most characters of a text that is kept from ``_meta``."""


@dataclass(frozen=True)
class ApiGraph:
    """A graph in API form, whole, and how its nodes are marked."""

    graph: dict[str, Any]
    marks: Mapping[str, NodeMarks]


def read_api(told: Mapping[str, Any], catalogue: NodeCatalogue) -> ApiGraph:
    """Read a graph. What is no node is left out.

    Raises WorkflowFileError beyond the bounds, and for nodes in use that do not say their class.
    """
    check_node_count(len(told), "")
    _refuse_unnamed(told)
    graph: dict[str, Any] = {}
    marks: dict[str, NodeMarks] = {}
    for node_id, node in told.items():
        class_type = node.get("class_type") if isinstance(node, dict) else None
        if not isinstance(class_type, str) or not class_type:
            continue
        node_class = catalogue.get(class_type)
        meta = node.get("_meta")
        title = _title(meta, node_class, class_type)
        graph[node_id] = {
            "class_type": class_type,
            "inputs": dict(_inputs(node.get("inputs"), node_class)),
            "_meta": {"title": title},
        }
        marks[node_id] = NodeMarks(title=title, meta=_meta(meta))
    return ApiGraph(graph, marks)


def _refuse_unnamed(told: Mapping[str, Any]) -> None:
    """Some tools write nodes of packs that they do not know without their classes."""
    nodes = [(key, node) for key, node in told.items() if isinstance(node, dict)]
    unnamed = {key for key, node in nodes if "inputs" in node and not node.get("class_type")}
    used = {link for _, node in nodes for link in _origins(node.get("inputs"))} if unnamed else ()
    missing = sorted(unnamed.intersection(used))
    if missing:
        raise WorkflowFileError(
            "malformed",
            f'the nodes {listed(missing)} have no "class_type": open the workflow '
            "in a ComfyUI that has all its packs, and export it again",
            f"node {missing[0]}",
        )


def _origins(inputs: Any) -> Iterator[str]:
    """The ids that a node's links name."""
    for value in inputs.values() if isinstance(inputs, dict) else ():
        match _link(value) if isinstance(value, list) else value:
            case [str() as origin, int()]:
                yield origin


def _inputs(told: Any, node_class: NodeClass | None) -> dict[str, Any]:
    inputs = {}
    for name, value in (told if isinstance(told, dict) else {}).items():
        is_declared = node_class is not None and node_class.input(name) is not None
        if is_declared or name not in _NOT_INPUTS:
            inputs[name] = _link(value) if isinstance(value, list) else value
    return inputs


def _link(value: list[Any]) -> list[Any]:
    match value:
        case [int() | str() as node_id, int() as slot]:
            return [str(node_id), slot]
        case _:
            return value


def _title(meta: Any, node_class: NodeClass | None, class_type: str) -> str:
    title = meta.get("title") if isinstance(meta, dict) else None
    if isinstance(title, str) and title.strip():
        return title
    return node_class.label if node_class else class_type


def _meta(meta: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in (meta if isinstance(meta, dict) else {}).items()
        if name != "title"
        and (
            isinstance(value, int | float | bool)
            or (isinstance(value, str) and len(value) <= _META_MAX)
        )
    }
