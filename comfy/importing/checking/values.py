"""Values and links of one input, judged as ComfyUI judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfy.importing.checking.near import is_model_file, near_texts
from comfy.importing.cutting import is_link
from comfy.nodes import COMBO, DYNAMIC_COMBO, MATCH_TYPE, Choice, InputSpec, NodeCatalogue
from comfy.nodes.types import fits

_SHOWN_MAX: Final = 80
_CHOICES_SHOWN: Final = 8
_NAME_MAX: Final = 300
"""The most characters of a file's name."""
OPEN_CHOICES: Final = frozenset({"CustomCombo"})
"""Classes whose choices each workflow holds itself."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one input: ComfyUI's error type, and a sentence."""

    code: str
    message: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class AbsentFile:
    """The value is a model's file that is not there."""

    name: str


def fault_of_link(
    value: Any, spec: InputSpec, graph: Mapping[str, Any], catalogue: NodeCatalogue
) -> Fault | None:
    """What is wrong with a list as an input's value; a missing class is told elsewhere."""
    if not is_link(value):
        return Fault("bad_linked_input", "a list here must be a link: a node's id and a slot")
    origin = graph.get(value[0])
    if origin is None:
        return Fault("bad_linked_input", f"it is linked to node {value[0]}, which is not there")
    node_class = catalogue.get(origin["class_type"])
    if node_class is None:
        return None
    if not 0 <= value[1] < len(node_class.outputs):
        message = f"{node_class.name} (node {value[0]}) has no output {value[1]}"
        return Fault("bad_linked_input", message)
    given = node_class.outputs[value[1]].type
    wanted = spec.allowed_types or "*" if spec.type == MATCH_TYPE else spec.type
    if given == MATCH_TYPE or wanted in (COMBO, DYNAMIC_COMBO) or fits(given, wanted):
        return None
    return Fault("return_type_mismatch", f"it takes {wanted}, and is linked to {given}")


def fault_of_value(value: Any, spec: InputSpec, class_type: str) -> Fault | AbsentFile | None:
    """What is wrong with a value that is no link."""
    if isinstance(value, Mapping) and "__value__" in value:
        value = value["__value__"]
    match spec.type:
        case "INT" | "FLOAT" | "BOOLEAN" | "STRING":
            return _fault_of_plain(value, spec)
        case t if t == COMBO:
            return _fault_of_choice(value, spec, class_type)
        case t if t == DYNAMIC_COMBO:
            keys = [branch.key for branch in spec.branches]
            return None if not keys or value in keys else _not_in_list(value, keys)
        case _:
            return None


def _fault_of_plain(value: Any, spec: InputSpec) -> Fault | None:
    try:
        number = _converted(value, spec.type)
    except (TypeError, ValueError, OverflowError):
        return Fault("invalid_input_type", f"{_shown(value)} is no {spec.type}")
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if spec.minimum is not None and number < spec.minimum:
        return Fault("value_smaller_than_min", f"{number} is smaller than {spec.minimum}")
    if spec.maximum is not None and number > spec.maximum:
        return Fault("value_bigger_than_max", f"{number} is larger than {spec.maximum}")
    return None


def _converted(value: Any, kind: str) -> Any:
    """As ComfyUI converts it: "64" is a number, and everything is a text or true."""
    if kind == "INT":
        return int(value)
    if kind == "FLOAT":
        return float(value)
    return value


def _fault_of_choice(value: Any, spec: InputSpec, class_type: str) -> Fault | AbsentFile | None:
    if spec.upload or not spec.choices_known or class_type in OPEN_CHOICES:
        return None
    if isinstance(value, list):  # several of them
        faults = (_fault_of_choice(each, spec, class_type) for each in value)
        return next((fault for fault in faults if fault), None)
    if value in spec.choices:
        return None
    if isinstance(value, str) and 0 < len(value) <= _NAME_MAX and _is_file(value, spec.choices):
        return AbsentFile(value)
    return _not_in_list(value, list(spec.choices))


def _is_file(value: str, choices: tuple[Choice, ...]) -> bool:
    """Whether choices are files: by the value's ending, or the choices'; of none it may be."""
    if is_model_file(value) or not choices:
        return True
    return any(isinstance(choice, str) and is_model_file(choice) for choice in choices[:5])


def _not_in_list(value: Any, choices: list[Choice]) -> Fault:
    texts = [str(choice) for choice in choices]
    near = near_texts(value, texts) if isinstance(value, str) else ()
    if near:
        hint = f"similar: {', '.join(near)}"
    elif len(texts) <= _CHOICES_SHOWN:
        hint = f"there are {', '.join(texts)}" if texts else "there are none"
    else:
        hint = f"there are {len(texts)} others"
    return Fault("value_not_in_list", f"{_shown(value)} is not among the choices; {hint}", near)


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float | None):
        return f"a value of type {type(value).__name__}"
    text = str(value)
    shown = text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
    return f'"{shown}"' if isinstance(value, str) else shown
