"""What a workflow's author has marked in ComfyUI: App mode, promoted values, titles, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, order=True)
class Place:
    """One input of one node of the graph. Inner nodes of subgraphs have ids such as "12:5"."""

    node_id: str
    input: str


@dataclass(frozen=True)
class SharedValue:
    """One value that the author named, and every place of the graph that takes it.

    ``kind`` is "promoted" (an input of a subgraph's instance, in the order of the instance) or
    "primitive" (a primitive node that feeds several widgets). ``node_id`` is the instance's or
    the primitive's, which the graph does not contain; ``name`` the input's name there and
    ``label`` what ComfyUI's page shows. ``value`` is what the file holds. Places that the cut
    removed are not among the targets; a value without targets is left out.
    """

    kind: str
    node_id: str
    node_title: str
    name: str
    label: str
    type: str
    value: Any
    targets: tuple[Place, ...]


@dataclass(frozen=True)
class AppInput:
    """One input of the form in App mode. ``label`` is empty where the author gave none.

    ``node_id`` and ``name`` are what the file says; ``targets`` are the places that it means.
    """

    node_id: str
    name: str
    label: str
    targets: tuple[Place, ...]
    config: Mapping[str, Any] = field(default_factory=_none)


@dataclass(frozen=True)
class AppMode:
    """The form that the author chose: its inputs in order, and the nodes whose outputs it shows.

    ``enabled`` is false where the file holds a form, but does not open with it.
    """

    enabled: bool
    inputs: tuple[AppInput, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class NodeMarks:
    """How one node of the graph looks on ComfyUI's page. Texts are empty where there is nothing.

    ``group`` is the title of the innermost group around it, ``instances`` the titles of the
    subgraphs that it is in, outermost first. ``labels`` are shown names of inputs that were
    renamed, ``controls`` what happens to an input after each run on ComfyUI's page ("fixed",
    "randomize", …), ``meta`` the plain values beside the title in ``_meta`` (Comfy Deploy's order
    and group, for example). ``position`` is where it stands, in the page's units.
    """

    title: str = ""
    group: str = ""
    color: str = ""
    instances: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=_none)
    controls: Mapping[str, str] = field(default_factory=_none)
    meta: Mapping[str, Any] = field(default_factory=_none)
    position: tuple[float, float] | None = None


@dataclass(frozen=True)
class Marks:
    """Everything that helps to propose inputs and outputs. ``nodes`` is keyed by the graph's ids.

    ``parameters`` are Swarm's ``sui_image_params``, as the file holds them.
    """

    app: AppMode | None = None
    shared: tuple[SharedValue, ...] = ()
    nodes: Mapping[str, NodeMarks] = field(default_factory=_none)
    parameters: Mapping[str, Any] = field(default_factory=_none)
