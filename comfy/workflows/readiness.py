"""Whether a ComfyUI can carry out an imported workflow, and what it lacks for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal
from weakref import WeakValueDictionary

from comfy.errors import not_allowed
from comfy.importing import GraphProblem, MissingClass, MissingModel
from comfy.importing.checking import check_graph
from comfy.importing.checking.near import base_name
from comfy.importing.hints import Hints, ModelHint, PackHint
from comfy.nodes import NodeCatalogue
from comfy.workflows.imported import filled
from core.workflows.declaration import Workflow, leaves

_KEPT: Final = 1000
_Version = tuple[str, str]
"""A workflow's name and version."""
State = Literal["ready", "missing_nodes", "missing_models", "needs_attention"]


@dataclass(frozen=True)
class Readiness:
    """What a ComfyUI lacks for a workflow, or would refuse about it.

    ``refused`` are its node classes that call paid services where that is not allowed. The state
    is the gravest: without a node class nothing else can be judged.
    """

    missing_classes: tuple[MissingClass, ...] = ()
    missing_models: tuple[MissingModel, ...] = ()
    problems: tuple[GraphProblem, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The one word for it."""
        if self.missing_classes:
            return "missing_nodes"
        if self.refused:
            return "needs_attention"
        if self.missing_models:
            return "missing_models"
        return "needs_attention" if self.problems else "ready"

    @property
    def names(self) -> tuple[str, ...]:
        """What the state is about: node classes, model files, or sentences."""
        match self.state:
            case "missing_nodes":
                return tuple(one.class_type for one in self.missing_classes)
            case "missing_models":
                return tuple(one.name for one in self.missing_models)
            case "needs_attention":
                paid = (not_allowed(self.refused),) if self.refused else ()
                return (*paid, *map(str, self.problems))
            case _:
                return ()


def readiness(
    workflow: Workflow, catalogue: NodeCatalogue, *, paid_nodes: bool = True
) -> Readiness:
    """Check a workflow against what a ComfyUI has now, as often as its catalogue changes.

    ``paid_nodes``: whether it may call paid services. A built-in workflow is ready: its models are
    looked up for each request. Values that every request must say are not judged.
    """
    if workflow.graph is None:
        return Readiness()
    found = check_graph(filled(workflow, {}, "easel", catalogue), catalogue, _hints(workflow))
    asked = {
        (target.node, target.field)
        for _, one in leaves(workflow.inputs)
        if one.required and one.default is None
        for target in one.targets
    }
    problems = (one for one in found.problems if (one.node_id, one.input) not in asked)
    refused = () if paid_nodes else paid_classes(workflow, catalogue.paid)
    return Readiness(found.missing_classes, found.missing_models, tuple(problems), refused)


def renamed(found: Readiness) -> dict[str, str]:
    """Missing models that are there in another folder or under the same name: what to use."""
    return {
        one.name: one.near[0]
        for one in found.missing_models
        if one.near and base_name(one.near[0]).lower() == base_name(one.name).lower()
    }


def paid_classes(workflow: Workflow, known: Container[str] = ()) -> tuple[str, ...]:
    """The node classes of a workflow that call paid services: as it says, and those ``known``."""
    graph = workflow.graph or {}
    named = (str(node.get("class_type", "")) for node in graph.values())
    return tuple(dict.fromkeys((*workflow.requires.paid, *(one for one in named if one in known))))


def _hints(workflow: Workflow) -> Hints:
    requires = workflow.requires
    return Hints(
        packs={one.node_class: PackHint(one.pack, one.version or "") for one in requires.packs},
        models={one.name: ModelHint(one.folder, one.url or "") for one in requires.models},
    )


class Judge:
    """What is known of a catalogue's workflows, each looked at once. Lives as long as it does.

    A look at a large graph takes seconds: call it in a thread. Several may.
    ``paid_nodes``: whether workflows may call paid services.
    """

    def __init__(self, catalogue: NodeCatalogue, *, paid_nodes: bool) -> None:
        self.catalogue = catalogue
        self._paid_nodes = paid_nodes
        self._known: OrderedDict[_Version, Readiness] = OrderedDict()
        self._looks: WeakValueDictionary[_Version, _Look] = WeakValueDictionary()
        self._keeping = Lock()

    def readiness(self, workflow: Workflow) -> Readiness:
        """Returns whether a workflow can be carried out as it stands."""
        version = (workflow.name, workflow.version)
        with self._keeping:
            found = self._known.get(version)
            look = self._looks.setdefault(version, _Look())
        if found is not None:
            return found
        with look.turn:  # who comes meanwhile for the same version waits for the same answer
            found = self._known.get(version) or readiness(
                workflow, self.catalogue, paid_nodes=self._paid_nodes
            )
            with self._keeping:
                self._known[version] = found
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        return found


class _Look:
    """A look at one version: there as long as somebody waits for it."""

    def __init__(self) -> None:
        self.turn = Lock()
