"""A workflow read from a file: the graph, where it came from, what is wrong, what is marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from comfy.importing.findings import Findings, Notice
from comfy.importing.hints import Hints
from comfy.importing.marks import Marks

GraphJson = Mapping[str, Any]
"""A graph in API format: ``{id: {"class_type": …, "inputs": …, "_meta": {"title": …}}}``."""

GraphForm = Literal["api", "ui", "swarm"]
Container = Literal[
    "json", "png", "webp", "jpeg", "tiff", "mp4", "webm", "flac", "ogg", "mp3", "glb"
]


@dataclass(frozen=True)
class Source:
    """Where a graph came from: the form that was read, and the kind of file around it."""

    form: GraphForm
    container: Container


@dataclass(frozen=True)
class DroppedNode:
    """A node of the file that the graph does not contain.

    ``reason`` is "muted", "bypassed", "page_only" (notes, reroutes, primitives), "viewer" (one
    that ComfyUI would refuse), "unused" (it reaches no output), "constant" (its one value stands
    where it goes) or "group_node".
    """

    node_id: str
    class_type: str
    title: str
    reason: str


@dataclass(frozen=True)
class OutputNode:
    """A node of the graph that saves or shows something. ``appended``: the file had none."""

    node_id: str
    class_type: str
    appended: bool = False


@dataclass(frozen=True)
class ImportedGraph:
    """What a file holds, read for one ComfyUI.

    ``graph`` contains only what an output reaches, and no secrets. ``ui`` is the UI form as the
    file has it, secrets left out; None if it has none. ``title`` is the workflow's own, else the
    file's name without its ending. ``hints`` are what the file says of packs and models, for
    ``check_graph`` whenever the catalogue changes.
    """

    graph: GraphJson
    source: Source
    title: str
    outputs: tuple[OutputNode, ...]
    findings: Findings
    dropped: tuple[DroppedNode, ...] = ()
    notices: tuple[Notice, ...] = ()
    marks: Marks = field(default_factory=Marks)
    hints: Hints = field(default_factory=Hints)
    ui: Mapping[str, Any] | None = None
