"""Typed node classes written in the shape of ``GET /object_info``, without texts and defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfy.nodes.classes import NodeClass
from comfy.nodes.inputs import AUTOGROW, COMBO, DYNAMIC_COMBO, Growth, InputSpec


def class_to_json(node_class: NodeClass) -> dict[str, Any]:
    """The class as ``read_class`` reads it."""
    flags = {
        "output_node": node_class.output_node,
        "api_node": node_class.api_node,
        "deprecated": node_class.deprecated,
        "is_input_list": node_class.takes_lists,
    }
    return {
        "input": _sections(node_class.inputs),
        "output": [output.type for output in node_class.outputs],
        "output_name": [output.name for output in node_class.outputs],
        "output_is_list": [output.is_list for output in node_class.outputs],
        "display_name": node_class.label,
        "category": node_class.category,
        "python_module": node_class.module,
        **{name: True for name, is_set in flags.items() if is_set},
    }


def _sections(inputs: Iterable[InputSpec]) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for spec in inputs:
        section = sections.setdefault("required" if spec.required else "optional", {})
        section[spec.name] = _input_to_json(spec)
    return sections


def _input_to_json(spec: InputSpec) -> list[Any]:
    told = {
        "default": spec.default,
        "min": spec.minimum,
        "max": spec.maximum,
        "step": spec.step,
        "multiselect": spec.multiselect,
        "multiline": spec.multiline,
        "dynamicPrompts": spec.dynamic_prompts,
        "forceInput": spec.force_input,
        "rawLink": spec.raw_link,
        "lazy": spec.lazy,
        "hidden": spec.hidden,
        "advanced": spec.advanced,
        "socketless": spec.socketless,
        "image_folder": spec.image_folder,
        "widgetType": spec.widget_type,
        "display_name": spec.label,
    }
    options = {
        name: value
        for name, value in told.items()
        if value is not None and value is not False and value != ""
    }
    if spec.default is not None:  # False and an empty text are defaults that count
        options["default"] = spec.default
    if spec.control or (spec.type == "INT" and spec.name in ("seed", "noise_seed")):
        options["control_after_generate"] = spec.control
    if spec.upload:
        options[f"{spec.upload}_upload"] = True
    options |= _options_of_type(spec)
    return [spec.type, options] if options else [spec.type]


def _options_of_type(spec: InputSpec) -> dict[str, Any]:
    if spec.type == COMBO:
        known = {"options": list(spec.choices)}
        return known if spec.choices_known else {**known, "remote": True}
    if spec.type == DYNAMIC_COMBO:
        return {
            "options": [
                {"key": branch.key, "inputs": _sections(branch.inputs)} for branch in spec.branches
            ]
        }
    if spec.type == AUTOGROW and spec.growth:
        return {"template": _growth_to_json(spec.growth)}
    return {"template": {"allowed_types": spec.allowed_types}} if spec.allowed_types else {}


def _growth_to_json(growth: Growth) -> dict[str, Any]:
    names = {"names": list(growth.names)} if growth.names else {"prefix": growth.prefix}
    return {
        "input": _sections([growth.each]),
        **names,
        "min": growth.minimum,
        "max": growth.maximum,
    }
