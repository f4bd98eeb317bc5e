"""Placeholders that stand in a graph's values: ``%prompt%``, ``${seed:0}``, ``PARAM_INT_STEPS``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from comfy.importing.imported import GraphJson
from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.naming import slug
from comfy.nodes import COMBO, DYNAMIC_COMBO, InputSpec, NodeCatalogue, live_inputs
from core.workflows.declaration import Role

_PERCENT: Final = (
    "prompt negative_prompt negative model vae sampler sampler_name scheduler steps scale cfg"
    " cfg_scale denoise clip_skip width height seed batch_size image init_image user_avatar"
    " char_avatar frames length fps frame_rate duration seconds guidance input_image mask"
)
_MARK: Final = re.compile(
    rf"%(?P<percent>{'|'.join(_PERCENT.split())})%"
    r"|(?:%%_COMFYFIXME_)?\$\{(?P<braced>[A-Za-z][\w +-]{0,100})(?::(?P<default>[^{}]*))?\}"
    r"(?:_ENDFIXME_%%)?"
    r"|\{\{\s*(?P<double>[A-Za-z]\w{0,60})\s*\}\}"
    r"|\bPARAM_(?:(?P<type>INT|FLOAT|STR|STRING|BOOL)_)?(?P<param>[A-Z][A-Z0-9_]{0,60})\b"
)
_ALIASES: Final[Mapping[str, Role]] = {
    "negative": "negative_prompt",
    "neg_prompt": "negative_prompt",
    "scale": "cfg",
    "cfg_scale": "cfg",
    "sampler_name": "sampler",
    "checkpoint": "model",
    "ckpt_name": "model",
    "image": "init_image",
    "input_image": "init_image",
    "seconds": "duration_s",
    "duration": "duration_s",
    "frames": "length",
    "frame_rate": "fps",
    "tags": "prompt",
}
_ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}
_RAW: Final = "comfyrawworkflowinput"
"""How SwarmUI's own placeholders begin, for fields that nobody named."""
_TEXT_MAX: Final = 200_000
_PLAIN: Final[Mapping[str, Any]] = {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False, "STRING": ""}


@dataclass(frozen=True)
class Filled:
    """A graph whose placeholders are replaced by defaults, and what they named."""

    graph: GraphJson
    candidates: tuple[Candidate, ...]


def filled(graph: GraphJson, catalogue: NodeCatalogue) -> Filled:
    """Replaces the placeholders of a graph. A name that stands in several fields is one input."""
    result: dict[str, Any] = dict(graph)
    names: dict[str, list[Place]] = {}
    for node_id, node in graph.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping):
            continue
        changed = dict(inputs)
        for field, value in inputs.items():
            mark = (
                _MARK.search(value) if isinstance(value, str) and len(value) < _TEXT_MAX else None
            )
            if mark is None:
                continue
            spec = _spec(catalogue, node, field)
            if _is_other_text(mark, spec):
                continue
            changed[field] = _default(mark, value, spec)
            name = _name(mark)
            if name:
                names.setdefault(name, []).append(Place(str(node_id), field))
        if changed != inputs:
            result[node_id] = {**node, "inputs": changed}
    found = tuple(
        Candidate(tuple(places), role=role_of_name(name), name=name, is_named=True)
        for name, places in names.items()
    )
    return Filled(result, found)


def role_of_name(name: str) -> Role | None:
    """The role that a name says, None if it says none."""
    return _ROLES.get(name) or _ALIASES.get(name)


def _is_other_text(mark: re.Match[str], spec: InputSpec | None) -> bool:
    """Whether braces are part of a template that a node of the graph fills in itself."""
    is_whole = mark[0] == mark.string.strip()
    return bool(mark["double"]) and not is_whole and spec is not None and spec.name == "string"


def _name(mark: re.Match[str]) -> str:
    told = mark["percent"] or mark["braced"] or mark["double"] or mark["param"] or ""
    told = re.split(r"[+-]", told)[0].strip()
    return "" if told.startswith(_RAW) else slug(told)


def _default(mark: re.Match[str], value: str, spec: InputSpec | None) -> Any:
    if mark[0] != value.strip():
        return _MARK.sub(lambda one: one["default"] or "", value).strip(" ,")
    told, kind = mark["default"], spec.type if spec else _type_of(mark)
    if told is not None:
        found = _read(told, kind)
        if found is not None:
            return found
    if spec is not None and spec.default is not None:
        return spec.default
    if spec is not None and spec.type in (COMBO, DYNAMIC_COMBO):
        return spec.choices[0] if spec.choices else ""
    return _PLAIN.get(kind, "")


def _type_of(mark: re.Match[str]) -> str:
    told = {"INT": "INT", "FLOAT": "FLOAT", "BOOL": "BOOLEAN"}.get(mark["type"] or "", "STRING")
    numbers = {"steps": "INT", "seed": "INT", "width": "INT", "height": "INT", "cfg": "FLOAT"}
    return numbers.get(_name(mark), told) if told == "STRING" else told


def _read(told: str, kind: str) -> Any:
    try:
        if kind == "INT":
            return max(0, int(float(told))) if float(told) == -1 else int(float(told))
        if kind == "FLOAT":
            return float(told)
    except (ValueError, OverflowError):
        return None
    return told.strip().lower() == "true" if kind == "BOOLEAN" else told


def _spec(catalogue: NodeCatalogue, node: Mapping[str, Any], field: object) -> InputSpec | None:
    class_type = node.get("class_type")
    found = catalogue.get(class_type) if isinstance(class_type, str) else None
    if found is None:
        return None
    live = live_inputs(found.inputs, node["inputs"])
    return next((spec for spec in live if spec.name == field), None)
