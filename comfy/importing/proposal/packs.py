"""Inputs marked with nodes of Comfy Deploy, comfy-pack, SwarmUI and Krita."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.marked_nodes import DEPLOY, KRITA, PACK, SWARM, value_field
from comfy.importing.proposal.wiring import Wiring
from core.workflows.declaration import InputType, Role

_DEPLOY_TYPES: Final[dict[str, InputType]] = {
    "Text": "longtext",
    "Number": "number",
    "NumberInt": "integer",
    "NumberSlider": "number",
    "NumberSliderInt": "integer",
    "Boolean": "boolean",
    "Seed": "seed",
    "Enum": "choice",
    "Image": "image",
    "ImageAlpha": "image",
    "Video": "video",
    "Audio": "audio",
    "File": "file",
}
_SWARM_TYPES: Final[dict[str, InputType]] = {
    "Text": "text",
    "Integer": "integer",
    "Float": "number",
    "Boolean": "boolean",
    "Dropdown": "choice",
    "Image": "image",
}
_KRITA_TYPES: Final[dict[str, InputType]] = {
    "number": "number",
    "number (integer)": "integer",
    "toggle": "boolean",
    "text": "longtext",
    "prompt (positive)": "longtext",
    "prompt (negative)": "longtext",
}
_KRITA_ROLES: Final[dict[str, Role]] = {
    "prompt (positive)": "prompt",
    "prompt (negative)": "negative_prompt",
}
_NUMBERED: Final = re.compile(r"^\s*\d+\s*[.)]\s*")


def marked_by_packs(wiring: Wiring) -> Iterator[Candidate]:
    """One candidate for each marking node, in the order that the author gave."""
    found = []
    for index, node_id in enumerate(wiring.nodes):
        candidate = _candidate(wiring, node_id)
        if candidate is not None and candidate.targets:
            found.append((_order(wiring, node_id), index, candidate))
    found.sort(key=lambda one: one[:2])
    return (candidate for _, _, candidate in found)


def _candidate(wiring: Wiring, node_id: str) -> Candidate | None:
    class_type, inputs = wiring.class_type(node_id), wiring.nodes[node_id]
    field = value_field(class_type)
    if field is None:
        return None
    place = Place(node_id, field)
    targets = (place,) if wiring.is_literal(place) else _feeding(wiring, place)
    deployed, swarm, packed = (
        DEPLOY.match(class_type),
        SWARM.match(class_type),
        PACK.match(class_type),
    )
    if deployed:
        return _deployed(wiring, node_id, inputs, targets, deployed["kind"])
    if swarm:
        return _of_swarm(wiring, inputs, targets, swarm["kind"])
    if packed:
        title = wiring.title(node_id)
        return Candidate(targets, name=title or packed["kind"], is_named=bool(title))
    return _of_krita(wiring, node_id, inputs, targets) if class_type == KRITA else None


def _feeding(wiring: Wiring, place: Place) -> tuple[Place, ...]:
    """The field of the node before, where a marking node only passes something on."""
    link = wiring.link(place)
    places = tuple(wiring.places(link.node_id)) if link else ()
    own = tuple(one for one in places if wiring.is_literal(one))
    return own if len(own) == 1 else ()


def _deployed(
    wiring: Wiring, node_id: str, inputs: Mapping[str, Any], targets: tuple[Place, ...], kind: str
) -> Candidate:
    named = _text(inputs.get("input_id"))
    meta = wiring.marks(node_id).meta
    return Candidate(
        targets,
        role="seed" if kind == "Seed" else None,
        name=named or kind,
        is_named=bool(named),
        label=_text(inputs.get("display_name")),
        help=_text(inputs.get("description")),
        group=_text(meta.get("cd_input_group")),
        type=_DEPLOY_TYPES.get(kind),
        minimum=_number(inputs.get("min_value")),
        maximum=_number(inputs.get("max_value")),
        choices=_options(inputs.get("options")) if kind == "Enum" else (),
    )


def _of_swarm(
    wiring: Wiring, inputs: Mapping[str, Any], targets: tuple[Place, ...], kind: str
) -> Candidate:
    link = inputs.get("group")
    above = link[0] if isinstance(link, list | tuple) and link else None
    group = wiring.nodes.get(above, {}) if isinstance(above, str) else {}
    title, name = _text(inputs.get("title")), _text(inputs.get("raw_id"))
    view = _text(inputs.get("view_type"))
    is_seed = view == "seed"
    return Candidate(
        targets,
        role="seed" if is_seed else None,
        name=name or title or kind,
        is_named=bool(name or title),
        label=title,
        help=_text(inputs.get("description")),
        group=_text(group.get("title")),
        advanced=inputs.get("is_advanced") is True,
        type="seed" if is_seed else "longtext" if view == "prompt" else _SWARM_TYPES.get(kind),
        minimum=_number(inputs.get("min")),
        maximum=_number(inputs.get("max")),
        choices=_options(inputs.get("values")) if kind == "Dropdown" else (),
    )


def _of_krita(
    wiring: Wiring, node_id: str, inputs: Mapping[str, Any], targets: tuple[Place, ...]
) -> Candidate:
    group, _, name = _text(inputs.get("name")).rpartition("/")
    label, kind = _NUMBERED.sub("", name), _text(inputs.get("type"))
    is_number = kind.startswith("number")
    taker = next(iter(wiring.takers(node_id)), None)
    spec = wiring.spec(taker) if taker else None
    choices = tuple(str(one) for one in spec.choices) if spec and kind in ("choice", "auto") else ()
    return Candidate(
        targets,
        role=_KRITA_ROLES.get(kind),
        name=label,
        is_named=bool(label),
        label=label,
        group=_NUMBERED.sub("", group),
        type="choice" if choices else _KRITA_TYPES.get(kind),
        minimum=_number(inputs.get("min")) if is_number else None,
        maximum=_number(inputs.get("max")) if is_number else None,
        choices=choices,
    )


def _order(wiring: Wiring, node_id: str) -> float:
    inputs, meta = wiring.nodes[node_id], wiring.marks(node_id).meta
    told = _number(meta.get("cd_input_order"))
    if told is None:
        told = _number(inputs.get("order_priority"))
    if told is None and wiring.class_type(node_id) == KRITA:
        numbers = re.findall(r"(?:^|/)\s*(\d{1,4})\s*[.)]", _text(inputs.get("name")))
        told = sum(float(number) / 10_000**power for power, number in enumerate(numbers))
    return told or 0.0


def _options(told: object) -> tuple[str, ...]:
    """Choices as a list, as JSON, or one on each line or between commas."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            told = re.split(r"[\n,]", str(told))
    values = told if isinstance(told, list | tuple) else ()
    return tuple(text for one in values if (text := str(one).strip()))


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(float(value)) < 2**53 else None  # type: ignore[arg-type]
