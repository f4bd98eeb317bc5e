"""Load nodes for what a request uploads: open inputs, and pictures that stood in the graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from comfy.importing.cutting import is_link, links_of
from comfy.importing.defaults import default_of, literal
from comfy.importing.findings import Notice
from comfy.importing.marks import Place
from comfy.importing.saving import free_id
from comfy.nodes import NodeCatalogue, NodeClass, live_inputs

_LOADERS: Final = (("IMAGE", "LoadImage"), ("VIDEO", "LoadVideo"), ("AUDIO", "LoadAudio"))


_LOADERS_MAX: Final = 50
_EMBEDS: Final = re.compile(r"load ?image.*(base64|b64)", re.IGNORECASE)
"""Classes whose picture is a text in the graph itself, which no request can upload."""
_PICTURE: Final = "LoadImage"
_PLACEHOLDER_MAX: Final = 200


@dataclass(frozen=True)
class OpenInput:
    """An input of a subgraph at the root that nothing feeds, and the places that need it."""

    type: str
    label: str
    places: tuple[Place, ...]


def with_load_nodes(
    graph: Mapping[str, Any], catalogue: NodeCatalogue, found: Iterable[OpenInput]
) -> tuple[Mapping[str, Any], list[Notice]]:
    """The graph with a load node for each open input that a node of it requires."""
    notices = []
    for each in islice(found, _LOADERS_MAX):
        places = [place for place in each.places if _is_needed(place, graph, catalogue)]
        loader = _loader(each.type, catalogue)
        if not places or loader is None:
            continue
        node_class, slot = loader
        node_id = free_id(graph)
        graph = {
            **{key: _fed(key, node, places, [node_id, slot]) for key, node in graph.items()},
            node_id: _node(node_class, each.label),
        }
        message = f'nothing feeds "{each.label}": {node_class.name} was added in front of it'
        notices.append(Notice("load_node_appended", message, node_id))
    return graph, notices


def without_embedded(
    graph: Mapping[str, Any], catalogue: NodeCatalogue
) -> tuple[Mapping[str, Any], list[Notice]]:
    """The graph with ComfyUI's own load node wherever a picture is a text in the graph.

    Both give a picture and its mask. A picture that another node gives as a text stays.
    """
    node_class = catalogue.get(_PICTURE)
    slots: dict[str, set[int]] = {}
    for node in graph.values():
        for origin, slot in links_of(node):
            slots.setdefault(origin, set()).add(slot)
    changed: dict[str, Any] = {}
    notices = []
    for node_id, node in graph.items():
        is_text = _EMBEDS.search(node["class_type"]) and not any(
            is_link(value) for value in node["inputs"].values()
        )
        given = len(node_class.outputs) if node_class else 0
        if node_class is None or not is_text or max(slots.get(node_id, {0})) >= given:
            continue
        changed[node_id] = _in_place(node, node_class)
        message = f"{_PICTURE} takes the place of a node that holds its image as a text" + (
            "" if _placeholder(node) else ": the image itself is not kept, and is to be uploaded"
        )
        notices.append(Notice("load_node_appended", message, node_id))
    return ({**graph, **changed} if changed else graph), notices


def _in_place(node: Mapping[str, Any], node_class: NodeClass) -> dict[str, Any]:
    """The load node; what a placeholder named keeps its name."""
    title = node["_meta"]["title"]
    made = _node(node_class, node_class.label if re.search("base64|b64", title.lower()) else title)
    held = _placeholder(node)
    if held:
        field = next((spec.name for spec in node_class.inputs if spec.upload), None)
        if field is not None:
            made["inputs"][field] = held
    return made


def _placeholder(node: Mapping[str, Any]) -> str:
    """What another program would have put its picture in place of; empty if it is a picture."""
    held = next((one for one in node["inputs"].values() if isinstance(one, str)), "")
    is_short = len(held) <= _PLACEHOLDER_MAX
    return held if is_short and re.search(r"[%{}]|^PARAM_", held) else ""


def _is_needed(place: Place, graph: Mapping[str, Any], catalogue: NodeCatalogue) -> bool:
    node = graph.get(place.node_id)
    node_class = catalogue.get(node["class_type"]) if node else None
    if node is None or node_class is None or place.input in node["inputs"]:
        return False
    specs = live_inputs(node_class.inputs, node["inputs"])
    return any(spec.name == place.input and spec.required for spec in specs)


def _loader(kind: str, catalogue: NodeCatalogue) -> tuple[NodeClass, int] | None:
    """The class that loads such a file, and the output that gives it."""
    parts = kind.split(",")
    for wanted, class_type in _LOADERS:
        node_class = catalogue.get(class_type)
        for slot, output in enumerate(node_class.outputs if node_class else ()):
            if node_class and output.type in parts and (wanted in parts or output.type != wanted):
                return node_class, slot
    return None


def _fed(
    node_id: str, node: Mapping[str, Any], places: list[Place], link: list[Any]
) -> Mapping[str, Any]:
    names = [place.input for place in places if place.node_id == node_id]
    return {**node, "inputs": {**node["inputs"], **dict.fromkeys(names, link)}} if names else node


def _node(node_class: NodeClass, label: str) -> dict[str, Any]:
    """The file is not known yet: its field is empty, and an upload takes its place."""
    inputs: dict[str, Any] = {}
    for spec in live_inputs(node_class.inputs, inputs):
        value = "" if spec.upload else default_of(spec)
        if spec.required and value is not None:
            inputs[spec.name] = literal(value)
    return {"class_type": node_class.name, "inputs": inputs, "_meta": {"title": label}}
