"""No file makes the import raise anything but its own error, whatever is in it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfy.errors import WorkflowFileError
from comfy.importing import check_graph, read_workflow
from comfy.nodes import NodeCatalogue
from tests.comfy.importing.test_files import png
from tests.comfy.importing.workflows import (
    API,
    CATALOGUE,
    OBJECT_INFO,
    UI,
    load,
    node,
    save,
    scale,
    ui,
)
from tests.comfy.importing.workflows import socket as ui_socket

SUBGRAPH: dict[str, Any] = ui(
    [
        load(),
        node(
            5,
            "sub",
            [300],
            [ui_socket("image", "IMAGE", 1), ui_socket("width", "INT", widget=True)],
            ["IMAGE"],
            properties={"proxyWidgets": [["2", "width"], ["-1", "image"]]},
        ),
        node(7, "PrimitiveNode", [1, "fixed"], None, ["INT"]),
        node(8, "SetNode", ["a"], [ui_socket("*", "*", 3)], ["*"]),
        node(9, "GetNode", ["a"], None, ["*"]),
        node(10, "Anything Everywhere", [], [ui_socket("anything", "*", 4)]),
        node(11, "Reroute", None, [ui_socket("", "*", 5)], ["*"], pos=[1, 2]),
        save(2),
    ],
    [
        [1, 1, 0, 5, 0, "IMAGE"],
        [2, 5, 0, 99, 0, "IMAGE"],
        [3, 7, 0, 8, 0, "INT"],
        [4, 1, 0, 10, 0, "IMAGE"],
        [5, 9, 0, 11, 0, "IMAGE"],
    ],
    definitions={
        "subgraphs": [
            {
                "id": "sub",
                "name": "Sub",
                "nodes": [scale(1, width_link=2)],
                "links": [
                    {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 2, "target_slot": 0},
                    {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 1},
                    {"id": 3, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0},
                ],
                "inputs": [
                    {"name": "image", "type": "IMAGE", "linkIds": [1]},
                    {"name": "width", "type": "INT", "linkIds": [2], "label": "Side"},
                ],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [3]}],
            }
        ]
    },
    groups=[{"title": "G", "bounding": [0, 0, 9, 9]}],
    extra={"linearMode": True, "linearData": {"inputs": [["5", "width"]], "outputs": [99]}},
)
_SPICE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 12),
    st.just(10**400),
    st.floats(),
    st.sampled_from(["sub", "5", "-10", "image", "width", "Reroute", "Scale", "SaveImage", "*"]),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just([["2", "width"]]),
    st.just({"name": "width"}),
    st.lists(st.integers(-20, 12), max_size=6),
).map(copy.deepcopy)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of a document."""
    found = [path] if path else []
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Put a value at a place, if the place is still there."""
    for key in path[:-1]:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return
    key = path[-1]
    is_in_list = isinstance(document, list) and isinstance(key, int) and key < len(document)
    if is_in_list or (isinstance(document, dict) and key in document):
        document[key] = value


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A document with a few parts replaced by something else."""
    changed = copy.deepcopy(document)
    for path in draw(st.lists(st.sampled_from(places(document)), min_size=1, max_size=6)):
        replaced(changed, path, draw(_SPICE))
    return changed


def survives(data: bytes, catalogue: NodeCatalogue = CATALOGUE) -> None:
    """The file is read, or refused by the room's own error; what is read can be stored."""
    try:
        imported = read_workflow(data, "some.json", catalogue)
    except WorkflowFileError:
        return
    stored = json.loads(json.dumps([imported.graph, imported.ui], allow_nan=False))
    json.dumps(stored, ensure_ascii=False).encode()
    assert check_graph(stored[0], catalogue, imported.hints) == imported.findings
    assert {output.node_id for output in imported.outputs} <= set(imported.graph)
    for shared in imported.marks.shared:
        for place in shared.targets:
            assert place.input in imported.graph[place.node_id]["inputs"]


@given(mutated(SUBGRAPH))
@settings(max_examples=150)
def test_mutated_workflows_with_subgraphs(document: Any) -> None:
    survives(json.dumps(document).encode())


@given(mutated(UI))
def test_mutated_workflows(document: Any) -> None:
    survives(json.dumps(document).encode())


@given(mutated(API))
@settings(max_examples=150)
def test_mutated_graphs(document: Any) -> None:
    survives(json.dumps(document).encode())


@given(mutated(OBJECT_INFO))
def test_mutated_catalogues(info: Any) -> None:
    for document in (API, UI, SUBGRAPH):
        survives(json.dumps(document).encode(), NodeCatalogue.from_object_info(info))


_KEYS = st.sampled_from(
    ["nodes", "links", "id", "type", "inputs", "class_type", "prompt", "workflow", "extra", "1"]
)
_ANY = st.recursive(
    _SPICE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner),
    max_leaves=40,
)


@given(_ANY)
@settings(max_examples=150)
def test_any_document(document: Any) -> None:
    survives(json.dumps(document).encode())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    survives(data)


_STARTS = st.sampled_from(
    [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe1",
        b"RIFF\0\0\0\0WEBPEXIF",
        b"\x1a\x45\xdf\xa3",
        b"fLaC",
        b"OggS",
        b"ID3\x04",
        b"glTF\2\0\0\0\0\0\0\0",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
        b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x40moov",
    ]
)


@given(_STARTS, st.binary(max_size=300))
@settings(max_examples=150)
def test_any_media(start: bytes, rest: bytes) -> None:
    survives(start + rest)


@given(st.data())
def test_pictures_with_flipped_bytes(data: st.DataObject) -> None:
    picture = bytearray(png(prompt=json.dumps(API), workflow=json.dumps(UI)))
    for place in data.draw(st.lists(st.integers(0, len(picture) - 1), max_size=8)):
        picture[place] = data.draw(st.integers(0, 255))

    survives(bytes(picture))
