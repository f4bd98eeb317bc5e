"""``GET /object_info`` read into typed values. What is malformed is left out; nothing is raised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.nodes.classes import NodeClass, NodeOutput
from comfy.nodes.inputs import (
    AUTOGROW,
    COMBO,
    DYNAMIC_COMBO,
    Branch,
    Choice,
    Growth,
    InputSpec,
    Number,
)

_DEPTH_MAX: Final = 8
"""How deep dynamic combos may nest; ComfyUI's own reach four."""
_GROWTH_MAX: Final = 1000
_UPLOADS: Final = {
    "image_upload": "image",
    "animated_image_upload": "image",
    "video_upload": "video",
    "audio_upload": "audio",
    "file_upload": "file",
}
_DEFAULT_DEPTH: Final = 4


def read_class(name: object, told: object) -> NodeClass | None:
    """One class as ComfyUI tells it; None if it is none."""
    if not isinstance(name, str) or not isinstance(told, Mapping):
        return None
    return NodeClass(
        name=name,
        label=_text(told.get("display_name")) or name,
        inputs=tuple(_inputs(told.get("input"), told.get("input_order"), 0)),
        outputs=tuple(_outputs(told)),
        output_node=told.get("output_node") is True,
        api_node=told.get("api_node") is True,
        deprecated=told.get("deprecated") is True,
        takes_lists=told.get("is_input_list") is True,
        category=_text(told.get("category")),
        module=_text(told.get("python_module")),
    )


def _outputs(told: Mapping[str, Any]) -> Iterator[NodeOutput]:
    names, lists = _items(told.get("output_name")), _items(told.get("output_is_list"))
    for index, kind in enumerate(_items(told.get("output"))):
        # An output whose type is a list gives one of these choices.
        type_name = kind if isinstance(kind, str) else COMBO
        name = names[index] if index < len(names) and isinstance(names[index], str) else type_name
        yield NodeOutput(type_name, name, index < len(lists) and lists[index] is True)


def _inputs(sections: object, order: object, depth: int) -> Iterator[InputSpec]:
    if not isinstance(sections, Mapping) or depth > _DEPTH_MAX:
        return
    for section in ("required", "optional"):
        specs = sections.get(section)
        if not isinstance(specs, Mapping):
            continue
        told = _items(order.get(section)) if isinstance(order, Mapping) else []
        ordered = {name: None for name in told if isinstance(name, str) and name in specs}
        for name in ordered | dict.fromkeys(specs):
            found = read_input(name, specs[name], section == "required", depth)
            if found:
                yield found


def read_input(name: object, told: object, required: bool, depth: int = 0) -> InputSpec | None:
    """One input as ComfyUI declares it; None if it is no declaration."""
    parts = _items(told)
    if not isinstance(name, str) or not parts:
        return None
    options = parts[1] if len(parts) > 1 and isinstance(parts[1], Mapping) else {}
    if isinstance(parts[0], str):
        kind, choices = parts[0], options.get("options")
    else:
        kind, choices = COMBO, parts[0]
    if kind == COMBO and not isinstance(choices, list | tuple):
        choices = None
    return InputSpec(
        name=name,
        type=kind,
        required=required,
        default=_plain(options.get("default")),
        minimum=_number(options.get("min")),
        maximum=_number(options.get("max")),
        step=_number(options.get("step")),
        choices=_choices(choices) if kind == COMBO else (),
        choices_known=kind != COMBO or (choices is not None and "remote" not in options),
        multiselect=bool(options.get("multiselect") or options.get("multi_select")),
        multiline=bool(options.get("multiline")),
        dynamic_prompts=bool(options.get("dynamicPrompts")),
        force_input=bool(options.get("forceInput")),
        raw_link=bool(options.get("rawLink")),
        lazy=bool(options.get("lazy")),
        hidden=bool(options.get("hidden")),
        advanced=bool(options.get("advanced")),
        socketless=bool(options.get("socketless")),
        control=_is_controlled(name, kind, options),
        upload=next((kind for flag, kind in _UPLOADS.items() if options.get(flag)), ""),
        image_folder=_text(options.get("image_folder")),
        widget_type=_text(options.get("widgetType")),
        label=_text(options.get("display_name")),
        allowed_types=_allowed_types(options.get("template")),
        branches=_branches(options.get("options"), depth) if kind == DYNAMIC_COMBO else (),
        growth=_growth(options.get("template"), depth) if kind == AUTOGROW else None,
    )


def _is_controlled(name: str, kind: str, options: Mapping[str, Any]) -> bool:
    told = options.get("control_after_generate")
    if told is not None:
        return bool(told)
    return kind == "INT" and name in ("seed", "noise_seed")


def _allowed_types(template: object) -> str:
    return _text(template.get("allowed_types")) if isinstance(template, Mapping) else ""


def _branches(options: object, depth: int) -> tuple[Branch, ...]:
    return tuple(
        Branch(option["key"], tuple(_inputs(option.get("inputs"), None, depth + 1)))
        for option in _items(options)
        if isinstance(option, Mapping) and _is_choice(option.get("key"))
    )


def _growth(template: object, depth: int) -> Growth | None:
    if not isinstance(template, Mapping):
        return None
    each = next(_inputs(template.get("input"), None, depth + 1), None)
    if each is None:
        return None
    names = tuple(name for name in _items(template.get("names")) if isinstance(name, str))
    return Growth(
        each=each,
        names=names[:_GROWTH_MAX],
        prefix=_text(template.get("prefix")),
        minimum=_count(template.get("min")),
        maximum=len(names) or _count(template.get("max")),
    )


def _choices(values: object) -> tuple[Choice, ...]:
    return tuple(value for value in _items(values) if _is_choice(value))


def _is_choice(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _plain(value: object, depth: int = 0) -> Any:
    """A default as plain JSON; None for what is none, and for what is nested too deeply."""
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple() if depth < _DEFAULT_DEPTH:
            return [_plain(part, depth + 1) for part in value]
        case Mapping() if depth < _DEFAULT_DEPTH:
            return {str(key): _plain(part, depth + 1) for key, part in value.items()}
        case _:
            return None


def _number(value: object) -> Number | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _count(value: object) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return max(0, min(int(value), _GROWTH_MAX)) if is_count and isinstance(value, int) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
