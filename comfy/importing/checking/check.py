"""One look over a graph: what a ComfyUI would refuse, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfy.importing.checking.folders import folder_of
from comfy.importing.checking.near import base_name, near_models
from comfy.importing.checking.values import AbsentFile, Fault, fault_of_link, fault_of_value
from comfy.importing.findings import (
    Findings,
    GraphProblem,
    MissingClass,
    MissingModel,
    PaidClass,
)
from comfy.importing.hints import Hints, ModelHint, PackHint
from comfy.importing.marks import Place
from comfy.nodes import InputSpec, NodeCatalogue, NodeClass, live_inputs

_PROBLEMS_MAX: Final = 200
"""The most problems that are told; a graph with more has none that help."""
_NEAR_LOOKED_FOR: Final = 50
_NONE: Final = Hints()


def check_graph(
    graph: Mapping[str, Any], catalogue: NodeCatalogue, hints: Hints = _NONE
) -> Findings:
    """Check a graph in API form, as often as the catalogue changes. Nothing is raised."""
    check = _Check(graph, catalogue, hints)
    for node_id, node in graph.items():
        check.node(node_id, node)
    return check.findings()


class _Check:
    def __init__(self, graph: Mapping[str, Any], catalogue: NodeCatalogue, hints: Hints) -> None:
        self._graph = graph
        self._catalogue = catalogue
        self._hints = hints
        self._by_name = {base_name(name): hint for name, hint in hints.models.items()}
        self._problems: list[GraphProblem] = []
        self._missing: dict[str, list[str]] = {}
        self._paid: dict[str, list[str]] = {}
        self._files: dict[str, list[Place]] = {}
        self._choices: dict[str, InputSpec] = {}

    def node(self, node_id: str, node: Mapping[str, Any]) -> None:
        node_class = self._catalogue.get(node["class_type"])
        if node_class is None:
            self._missing.setdefault(node["class_type"], []).append(node_id)
            return
        if node_class.is_paid:
            self._paid.setdefault(node_class.name, []).append(node_id)
        for spec in live_inputs(node_class.inputs, node["inputs"]):
            self._input(node_id, node_class, spec, node["inputs"])

    def _input(
        self, node_id: str, node_class: NodeClass, spec: InputSpec, inputs: Mapping[str, Any]
    ) -> None:
        fault: Fault | AbsentFile | None
        if spec.name not in inputs:
            missing = Fault("required_input_missing", f"{spec.type} is required, and missing")
            fault = missing if spec.required else None
        elif isinstance(inputs[spec.name], list):
            fault = fault_of_link(inputs[spec.name], spec, self._graph, self._catalogue)
        else:
            fault = fault_of_value(inputs[spec.name], spec, node_class.name)
        if isinstance(fault, AbsentFile):
            self._files.setdefault(fault.name, []).append(Place(node_id, spec.name))
            self._choices.setdefault(fault.name, spec)
        elif fault and len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(
                GraphProblem(
                    fault.code, node_id, node_class.name, spec.name, fault.message, fault.near
                )
            )

    def findings(self) -> Findings:
        return Findings(
            problems=tuple(self._problems),
            missing_classes=tuple(
                self._missing_class(name, ids) for name, ids in self._missing.items()
            ),
            missing_models=tuple(
                self._missing_model(name, places, index < _NEAR_LOOKED_FOR)
                for index, (name, places) in enumerate(self._files.items())
            ),
            paid_classes=tuple(PaidClass(name, tuple(ids)) for name, ids in self._paid.items()),
        )

    def _missing_class(self, name: str, ids: list[str]) -> MissingClass:
        hint = self._hints.packs.get(name, PackHint(""))
        metas = (self._graph[node_id].get("_meta", {}) for node_id in ids)
        titles = dict.fromkeys(meta["title"] for meta in metas if "title" in meta)
        return MissingClass(name, tuple(ids), tuple(titles), hint.pack, hint.version)

    def _missing_model(self, name: str, places: list[Place], look: bool) -> MissingModel:
        hint = self._by_name.get(base_name(name), ModelHint(""))
        first = places[0]
        class_type = self._graph[first.node_id]["class_type"]
        choices = [choice for choice in self._choices[name].choices if isinstance(choice, str)]
        return MissingModel(
            name,
            tuple(places),
            folder=hint.folder or folder_of(class_type, first.input),
            url=hint.url,
            near=near_models(name, choices) if look else (),
        )
