"""The graphs that are sent, of every family and operation: ComfyUI takes them letter by letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from comfy.graph import Graph
from tests.comfy.building.cases import OPERATIONS, cases


class Compact(SingleFileSnapshotExtension):
    """A file of JSON for each operation, in which each node has a line."""

    file_extension = "json"
    _write_mode = WriteMode.TEXT

    def serialize(self, data: Any, **_: Any) -> str:
        return str(data)


def written(graphs: dict[str, Graph]) -> str:
    families = ",\n".join(f'"{name}": {{\n{_nodes(graph)}\n}}' for name, graph in graphs.items())
    return f"{{\n{families}\n}}\n"


def _nodes(graph: Graph) -> str:
    nodes = graph.to_json().items()
    return ",\n".join(
        f'"{node_id}": {{"{node["class_type"]}": {json.dumps(node["inputs"], sort_keys=True)}}}'
        for node_id, node in nodes
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_graphs_of_every_family(operation: str, snapshot: SnapshotAssertion) -> None:
    graphs = {family: case.graph() for family, case in cases(operation)}

    text = written(graphs)

    assert json.loads(text).keys() == graphs.keys()
    assert text == snapshot(extension_class=Compact)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_files_of_a_request_are_known_as_such(operation: str) -> None:
    """Where they stand, ComfyUI's own names for them are put in before a graph is submitted."""
    for family, case in cases(operation):
        graph = case.graph()
        places = {
            (node_id, name)
            for node_id, node in graph.nodes.items()
            for name, value in node.inputs.items()
            if node.class_type.startswith("LoadImage")
            if isinstance(value, str) and value.endswith(".png")
        }
        assert graph.files == places, family
        with_files = {"init_image", "mask", "reference_images", "controls"} & case.values.keys()
        assert bool(places) == bool(with_files), family
