"""Graphs fit the ComfyUI that gets them: only inputs that its classes have, and all they need."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from comfy.graph import Graph, Handle, Node
from comfy.nodes import NodeCatalogue
from comfy.workflows.building.fitting import fitted


def graph(**inputs: Any) -> Graph:
    node = Node("Scale", MappingProxyType(inputs))
    return Graph(MappingProxyType({"1": node}), expected_outputs=2, pixels=9)


def catalogue(required: dict[str, Any], optional: dict[str, Any] | None = None) -> NodeCatalogue:
    told = {"input": {"required": required, "optional": optional or {}}, "output": ["IMAGE"]}
    return NodeCatalogue.from_object_info({"Scale": told})


def test_inputs_that_a_class_does_not_have_are_left_out() -> None:
    known = catalogue({"image": ["IMAGE"]}, {"mask": ["MASK"]})
    link, mask = Handle("2", 0), Handle("3", 0)

    found = fitted(graph(image=link, mask=mask, vae=Handle("4", 0), strength=1.0), known)

    assert dict(found.nodes["1"].inputs) == {"image": link, "mask": mask}


def test_what_a_class_requires_and_the_graph_leaves_out_gets_its_default() -> None:
    known = catalogue(
        {
            "image": ["IMAGE"],
            "steps": ["INT", {"default": 1}],
            "exact": ["BOOLEAN", {"default": False}],
            "width": ["INT", {"default": 512}],
        },
        {"pre_cfg": ["BOOLEAN", {"default": True}]},
    )

    found = fitted(graph(image=Handle("2", 0), width=64), known)

    assert found.to_json()["1"]["inputs"] == {
        "image": ["2", 0],
        "width": 64,
        "steps": 1,
        "exact": False,
    }
    assert (found.expected_outputs, found.pixels) == (2, 9)


def test_what_is_not_known_stays_as_it_is() -> None:
    given = graph(anything=1)

    assert fitted(given, None) is given
    assert fitted(given, NodeCatalogue()) == given
