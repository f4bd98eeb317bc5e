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
