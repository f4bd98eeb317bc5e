"""From a file's bytes to an imported graph: all steps in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from comfy.errors import WorkflowFileError
from comfy.importing.api import read_api
from comfy.importing.app_mode import read_app_mode
from comfy.importing.checking import check_graph
from comfy.importing.cutting import Cut, cut, fed_by, is_viewer, links_of, reached
from comfy.importing.documents import Found, plain_text
from comfy.importing.files import read_file
from comfy.importing.filling import with_defaults
from comfy.importing.findings import Notice
from comfy.importing.hints import Hints
from comfy.importing.imported import (
    Container,
    DroppedNode,
    GraphForm,
    ImportedGraph,
    OutputNode,
    Source,
)
from comfy.importing.loading import with_load_nodes, without_embedded
from comfy.importing.marks import Marks, NodeMarks, SharedValue
from comfy.importing.paths import with_own_separators
from comfy.importing.saving import append_save_node
from comfy.importing.secrets import keys_of, without_values
from comfy.importing.swarm import filled_placeholders, has_placeholders
from comfy.importing.ui import Conversion, convert
from comfy.nodes import NodeCatalogue
from core.wording import listed

_TITLE_MAX: Final = 200
_NOTICES_MAX: Final = 200


def read_workflow(data: bytes, name: str, catalogue: NodeCatalogue) -> ImportedGraph:
    """Read a workflow from a file of any kind, for a ComfyUI that has these node classes.

    ``name`` is the file's name. Raises WorkflowFileError when the file holds no workflow, a
    malformed one, one with a cycle, or one beyond the bounds.
    """
    file = read_file(data)
    return read_found(file.found, file.container, name, catalogue)


def read_found(
    found: Found, container: Container, name: str, catalogue: NodeCatalogue
) -> ImportedGraph:
    """Read a workflow from the graphs that were found. Raises WorkflowFileError."""
    whole = _whole(found, catalogue)
    _refuse_circles(whole)
    own, notices = with_own_separators(whole.graph, catalogue)
    graph, embedded = without_embedded(own, catalogue)
    live = _live(graph, catalogue, whole)
    opened = whole.conversion.open_inputs if whole.form == "ui" and whole.conversion else ()
    loaded, loads = with_load_nodes(live.graph, catalogue, opened)
    filled, told = with_defaults(loaded, catalogue)
    left, secrets = _without_secrets(filled, whole)
    unnamed = tuple(_unnamed(whole, left))
    told = [
        *whole.notices,
        *unnamed,
        *notices,
        *live.notices,
        *embedded,
        *loads,
        *told,
        *secrets.notices,
    ]
    shared = whole.conversion.shared_values(left) if whole.conversion else ()
    return ImportedGraph(
        graph=left,
        source=Source(whole.form, container),
        title=_title(found.title, name),
        outputs=live.outputs,
        findings=check_graph(left, catalogue, whole.hints),
        dropped=_dropped(whole, live),
        notices=_notices(told, left),
        marks=_marks(found, whole, left, shared),
        hints=whole.hints,
        ui=None if found.ui is None else without_values(found.ui, secrets.values),
    )


@dataclass(frozen=True)
class _Whole:
    """The graph before the cut. ``conversion`` is that of the UI form, where there is one."""

    form: GraphForm
    graph: Mapping[str, Any]
    marks: Mapping[str, NodeMarks]
    hints: Hints
    conversion: Conversion | None
    notices: tuple[Notice, ...] = ()


def _whole(found: Found, catalogue: NodeCatalogue) -> _Whole:
    if found.api is None or (found.ui is not None and has_placeholders(found.api)):
        return _from_ui(found, catalogue)
    told = found.api
    notices: tuple[Notice, ...] = ()
    form: GraphForm = "api"
    if has_placeholders(told):
        told, form = filled_placeholders(told, found.swarm or {}), "swarm"
    api = read_api(told, catalogue)
    conversion = None
    if found.ui is not None:
        try:
            conversion = convert(found.ui, catalogue)
        except WorkflowFileError as error:
            message = f"the workflow beside the graph cannot be read: {error}"
            notices = (Notice("unreadable_form", message),)
    marks = dict(api.marks)
    for node_id, mark in (conversion.marks if conversion else {}).items():
        twin = api.graph.get(node_id)
        if twin and conversion and twin["class_type"] == conversion.graph[node_id]["class_type"]:
            marks[node_id] = mark
    hints = conversion.hints if conversion else Hints()
    return _Whole(form, api.graph, marks, hints, conversion, notices)


def _from_ui(found: Found, catalogue: NodeCatalogue) -> _Whole:
    if found.ui is None:
        raise WorkflowFileError(
            "no_workflow",
            "the file holds the parameters of an image (SwarmUI's), and no workflow",
        )
    conversion = convert(found.ui, catalogue)
    converted = Notice("converted", "the workflow was converted from the form of ComfyUI's page")
    return _Whole(
        "ui",
        conversion.graph,
        conversion.marks,
        conversion.hints,
        conversion,
        (converted, *conversion.notices),
    )


def _refuse_circles(whole: _Whole) -> None:
    """A link that leads in a circle through page-only nodes leads nowhere."""
    if whole.form == "ui" and whole.conversion and whole.conversion.cycles:
        place = min(whole.conversion.cycles)
        raise WorkflowFileError(
            "cycle",
            f"the links into {place.input} lead in a circle",
            f"node {place.node_id}",
        )


@dataclass(frozen=True)
class _Live:
    """What outputs reach, with a save node where there was no output."""

    graph: Mapping[str, Any]
    outputs: tuple[OutputNode, ...]
    dropped: tuple[DroppedNode, ...]
    notices: tuple[Notice, ...] = ()


def _live(graph: Mapping[str, Any], catalogue: NodeCatalogue, whole: _Whole) -> _Live:
    found = cut(graph, catalogue)
    useless = _broken_viewers(found, catalogue)
    if useless:
        found = cut(graph, catalogue, without=useless)
    if found.outputs:
        return _Live(found.graph, found.outputs, found.dropped)
    shown = whole.conversion.open_outputs if whole.form == "ui" and whole.conversion else ()
    taken = {link[0] for node in graph.values() for link in links_of(node)}
    rest = {key: node for key, node in graph.items() if key not in useless or key in taken}
    saved = append_save_node(rest, catalogue, shown)
    if saved is None and useless:  # at least what they lack is told
        found = cut(graph, catalogue)
        return _Live(found.graph, found.outputs, found.dropped)
    if saved is None:
        raise _no_output(whole)
    again = cut(saved.graph, catalogue, without=useless)
    source = saved.graph[saved.source.node_id]["_meta"]["title"]
    message = f'the workflow saves nothing: {saved.class_type} was added after "{source}"'
    notice = Notice("save_node_appended", message, saved.node_id)
    dropped = tuple(
        DroppedNode(each.node_id, each.class_type, each.title, "viewer")
        if each.node_id in useless
        else each
        for each in found.dropped
        if each.node_id not in again.graph
    )
    outputs = tuple(
        OutputNode(each.node_id, each.class_type, appended=each.node_id == saved.node_id)
        for each in again.outputs
    )
    return _Live(again.graph, outputs, dropped, (notice,))


def _no_output(whole: _Whole) -> WorkflowFileError:
    dropped = whole.conversion.dropped if whole.conversion else ()
    are_off = any(each.reason in ("muted", "bypassed") for each in dropped)
    why = (
        "its output nodes are muted or bypassed: switch them on"
        if are_off
        else "it has no result that a node could be added for: add a save node"
    )
    message = f"the workflow saves nothing, and {why} in ComfyUI, save it, and import it again"
    return WorkflowFileError("no_output", message)


def _broken_viewers(found: Cut, catalogue: NodeCatalogue) -> set[str]:
    """Viewers that ComfyUI would refuse, as far as the workflow is of use without them.

    Beside outputs that save something, that is each viewer whose fault is its own branch's. Where
    viewers are all there is, or what saves lacks node classes itself, it is only those that are
    at fault themselves: what they show may be the result that matters.
    """
    viewers = {each.node_id for each in found.outputs if is_viewer(each.class_type)}
    if not viewers:
        return set()
    graph, _ = with_defaults(found.graph, catalogue)
    findings = check_graph(graph, catalogue)
    broken = {problem.node_id for problem in findings.problems}
    missing = {node_id for each in findings.missing_classes for node_id in each.node_ids}
    broken |= missing
    rest = [each.node_id for each in found.outputs if each.node_id not in viewers]
    saved = reached(found.graph, rest)
    if not rest or missing & saved:
        return viewers & broken
    return viewers & fed_by(found.graph, broken - saved)


def _unnamed(whole: _Whole, graph: Mapping[str, Any]) -> Iterator[Notice]:
    """What to do about values that only a ComfyUI with the missing packs can name."""
    nodes = whole.conversion.unnamed if whole.form == "ui" and whole.conversion else frozenset()
    kept = [node_id for node_id in nodes if node_id in graph]
    told = (whole.graph[node_id]["class_type"] for node_id in kept)
    now = {graph[node_id]["class_type"] for node_id in kept}
    classes = sorted(now.intersection(told))
    if classes:
        message = (
            f"the file does not name the values of {listed(classes)}: install what is missing "
            "in ComfyUI, and import the file again"
        )
        yield Notice("values_without_names", message)


@dataclass
class _Secrets:
    values: set[str] = field(default_factory=set)
    notices: list[Notice] = field(default_factory=list)


def _without_secrets(graph: Mapping[str, Any], whole: _Whole) -> tuple[dict[str, Any], _Secrets]:
    """The graph without keys and tokens; also those in nodes that were cut off are found."""
    secrets = _Secrets()
    for node in whole.graph.values():
        for name, value in node["inputs"].items():
            secrets.values.update(keys_of(name, value))
    if whole.conversion:
        secrets.values |= whole.conversion.secrets
    left: dict[str, Any] = {}
    for node_id, node in graph.items():
        inputs = without_values(node["inputs"], secrets.values)
        left[node_id] = {**node, "inputs": inputs}
        for name, value in node["inputs"].items():
            if inputs[name] != value:
                message = f"{name} of {node['class_type']} held a key or a token: it was left out"
                secrets.notices.append(Notice("secret_left_out", message, node_id, name))
    return left, secrets


def _dropped(whole: _Whole, live: _Live) -> tuple[DroppedNode, ...]:
    converted = whole.conversion.dropped if whole.form == "ui" and whole.conversion else ()
    return (*converted, *live.dropped)


def _notices(notices: list[Notice], graph: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Those that concern nodes which are left, each once."""
    about_whole = {"group_node", "unconnected"}
    kept = [
        notice
        for notice in notices
        if not notice.node_id or notice.node_id in graph or notice.code in about_whole
    ]
    return tuple(dict.fromkeys(kept))[:_NOTICES_MAX]


def _marks(
    found: Found,
    whole: _Whole,
    graph: Mapping[str, Any],
    shared: tuple[SharedValue, ...],
) -> Marks:
    nodes = {node_id: whole.marks.get(node_id, NodeMarks()) for node_id in graph}
    return Marks(
        app=read_app_mode(found.ui, graph, shared) if found.ui is not None else None,
        shared=shared,
        nodes=nodes,
        parameters=without_values(found.swarm or {}, ()),
    )


def _title(told: str, name: str) -> str:
    bare = PurePosixPath(name.replace("\\", "/")).name
    stem = (
        bare.removesuffix(".json").removesuffix(".app")
        if bare.endswith(".json")
        else (PurePosixPath(bare).stem)
    )
    return plain_text(told or stem or "workflow")[:_TITLE_MAX]
