"""A save node for graphs without an output: at the first result that nothing takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.importing.cutting import links_of
from comfy.importing.defaults import default_of, literal
from comfy.nodes import NodeCatalogue, NodeClass, live_inputs
from comfy.nodes.types import fits

_PREFIX: Final = "filename_prefix"
_SAVERS: Final = (
    ("VIDEO", "SaveVideo"),
    ("IMAGE", "SaveImage"),
    ("AUDIO", "SaveAudio"),
    ("MESH", "SaveGLB"),
    ("FILE_3D", "SaveGLB"),
    ("SVG", "SaveSVGNode"),
    ("SPLAT", "SaveGaussianSplat"),
    ("MASK", "MaskPreview"),
    ("STRING", "SaveText"),
    ("STRING", "PreviewAny"),
)
"""Types of results, those that a user wants first, and which class saves them."""
_ASIDE: Final = ("MASK", "STRING")
"""Types that nodes give along with what is taken."""


@dataclass(frozen=True)
class OpenOutput:
    """An output that nothing takes: of a node of the graph."""

    type: str
    node_id: str
    slot: int


@dataclass(frozen=True)
class Appended:
    """The graph with the save node, whose id and class these are."""

    graph: Mapping[str, Any]
    node_id: str
    class_type: str
    source: OpenOutput


def append_save_node(
    graph: Mapping[str, Any],
    catalogue: NodeCatalogue,
    preferred: tuple[OpenOutput, ...] = (),
) -> Appended | None:
    """Save the first result; ``preferred`` are those that the author shows. None: there is none."""
    found = (*preferred, *open_outputs(graph, catalogue))
    loaders = {node_id for node_id, node in graph.items() if _is_loader(node, catalogue)}
    for kind, class_type in _SAVERS:
        node_class = catalogue.get(class_type)
        if node_class is None:
            continue
        for output in found:
            if output.node_id in loaders:
                continue
            name = _fitting_input(node_class, kind, output)
            if name:
                return _appended(graph, node_class, name, output)
    return None


def open_outputs(graph: Mapping[str, Any], catalogue: NodeCatalogue) -> Iterator[OpenOutput]:
    """The outputs that nothing takes; those of nodes that nothing takes anything of come first."""
    taken = {(link[0], link[1]) for node in graph.values() for link in links_of(node)}
    touched = {node_id for node_id, _ in taken}
    found = [
        OpenOutput(output.type, node_id, slot)
        for node_id, node in graph.items()
        if (node_class := catalogue.get(node["class_type"]))
        for slot, output in enumerate(node_class.outputs)
        if (node_id, slot) not in taken
    ]
    yield from (each for each in found if each.node_id not in touched)
    aside = (each for each in found if each.node_id in touched and each.type not in _ASIDE)
    yield from aside


def _is_loader(node: Mapping[str, Any], catalogue: NodeCatalogue) -> bool:
    """Whether it gives back an uploaded file: saving that is no use."""
    node_class = catalogue.get(node["class_type"])
    return node_class is not None and any(spec.upload for spec in node_class.inputs)


def _fitting_input(node_class: NodeClass, kind: str, output: OpenOutput) -> str | None:
    is_kind = output.type == kind or (kind == "FILE_3D" and output.type.startswith("FILE_3D"))
    if not is_kind:
        return None
    return next((spec.name for spec in node_class.inputs if fits(output.type, spec.type)), None)


def _appended(
    graph: Mapping[str, Any], node_class: NodeClass, name: str, output: OpenOutput
) -> Appended:
    inputs: dict[str, Any] = {name: [output.node_id, output.slot]}
    for spec in live_inputs(node_class.inputs, inputs):
        if spec.name not in inputs and spec.required:
            default = default_of(spec)
            if default is not None:
                inputs[spec.name] = literal(default)
    if node_class.input(_PREFIX):
        inputs[_PREFIX] = "ComfyUI"
    node_id = free_id(graph)
    node = {
        "class_type": node_class.name,
        "inputs": inputs,
        "_meta": {"title": node_class.label},
    }
    return Appended({**graph, node_id: node}, node_id, node_class.name, output)


def free_id(graph: Mapping[str, Any]) -> str:
    """An id that no node of the graph has."""
    numbers = (int(node_id) for node_id in graph if node_id.isdecimal() and len(node_id) < 16)
    return str(max(numbers, default=0) + 1)
