"""Values of a node's widgets by name, whichever way the page has saved them.

The list ``widgets_values`` has no names: they follow from the order of the class's inputs, and
between them stand values of the page's own (what happens to a seed after each run, the button of
an upload). Files and catalogues come from different versions, so the list is read in several
ways, and the reading that fits best counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfy.importing.ui.mark_nodes import marked_fields
from comfy.importing.ui.nodes import UiNode
from comfy.nodes import (
    AUTOGROW,
    COMBO,
    DYNAMIC_COMBO,
    InputSpec,
    NodeClass,
    live_inputs,
)
from comfy.nodes.live import chosen_inputs

CONTROLS: Final = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
_PRIMITIVE: Final = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", COMBO, DYNAMIC_COMBO})
_OF_THE_PAGE: Final = frozenset(
    {
        "AUDIO_RECORD",
        "AUDIO_UI",
        "AUDIOUPLOAD",
        "BOUNDING_BOX",
        "BOUNDINGBOX",
        "CHART",
        "COLOR",
        "COLORS",
        "COLOR_CORRECT",
        "COMPOSITOR",
        "CURVE",
        "GALLERIA",
        "HISTOGRAM",
        "IMAGECOMPARE",
        "IMAGECROP",
        "IMAGEUPLOAD",
        "LOAD_3D",
        "LOAD_3D_ANIMATION",
        "MARKDOWN",
        "PAINTER",
        "PREVIEW_3D",
        "RANGE",
        "TEXTAREA",
        "WEBCAM",
    }
)
"""Types of inputs for which ComfyUI's page has widgets of its own."""
_NOT_A_VALUE: Final = ("videopreview", "control_after_generate", "upload", "audioUI")
_STACKS: Final = frozenset({"Power Lora Loader (rgthree)"})
"""Classes whose widgets are added on the page, as many as the user wants."""
_DEPTH_MAX: Final = 8


@dataclass
class Widgets:
    """The values of one node's widgets. ``controls`` says what happens to them after each run.

    ``misfits`` and ``left`` tell how well the list fits the names: values of another type, and
    values or names that are left over. ``is_unnamed``: the file does not say what some are.
    """

    values: dict[str, Any] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    misfits: int = 0
    left: int = 0
    is_unnamed: bool = False

    @property
    def fit(self) -> int:
        """How badly the reading fits; 0 is perfect."""
        return 4 * self.misfits + self.left


def has_widget(spec: InputSpec) -> bool:
    """Whether an input has a widget on ComfyUI's page, which owns a place in the list."""
    if spec.force_input or spec.raw_link:
        return False
    is_known = spec.type in _PRIMITIVE or spec.type in _OF_THE_PAGE
    return is_known or bool(spec.widget_type) or spec.socketless


def widget_names(node_class: NodeClass | None) -> tuple[str, ...]:
    """The inputs of a class that have widgets, in their order; none of a class that is missing."""
    specs = node_class.inputs if node_class else ()
    return tuple(spec.name for spec in specs if has_widget(spec))


def read_widgets(node: UiNode, node_class: NodeClass | None) -> Widgets:
    """The values of a node's widgets; of a class that is missing, as far as the file tells."""
    if node.named is not None:
        return _by_names(node.named, node_class)
    if isinstance(node.values, Mapping):
        return _by_keys(node.values)
    if not isinstance(node.values, list) or not node.values:
        return Widgets()
    if node.type in _STACKS:
        return Widgets(dict(_stacked(node.values)))
    marked = marked_fields(node.type) if node_class is None else ()
    if marked:
        return _Reading(node).by_fields(marked)
    by_sockets = _Reading(node).by_sockets(node_class)
    if node_class is None:
        return by_sockets
    readings = [
        _Reading(node).by_class(node_class, uploads=True),
        _Reading(node).by_class(node_class, uploads=False),
        _Reading(node).by_class(node_class, uploads=True, dummies=True),
        by_sockets,
    ]
    return min(readings, key=lambda reading: reading.fit)  # the first of equals


def _by_names(named: Mapping[str, Any], node_class: NodeClass | None) -> Widgets:
    found = Widgets()
    known = {spec.name for spec in live_inputs(node_class.inputs, named)} if node_class else None
    last = ""
    for name, value in named.items():
        if name == "control_after_generate" and value in CONTROLS and last:
            found.controls[last] = value
        if name in _NOT_A_VALUE or (known is not None and name not in known):
            continue
        found.values[name] = value
        last = name
    return found


def _by_keys(values: Mapping[str, Any]) -> Widgets:
    """Packs such as VideoHelperSuite save an object; it may have inputs that no class declares."""
    return Widgets({name: value for name, value in values.items() if name not in _NOT_A_VALUE})


def _stacked(values: list[Any]) -> Iterator[tuple[str, Any]]:
    """A list of objects, each a LoRA with its strength: the inputs are numbered."""
    loras = [value for value in values if isinstance(value, Mapping) and "lora" in value]
    for number, lora in enumerate(loras, 1):
        yield f"lora_{number}", lora


class _Reading:
    """One way through the list of one node."""

    def __init__(self, node: UiNode) -> None:
        self._node = node
        self._list: list[Any] = node.values
        self._at = 0
        self._found = Widgets()

    def by_class(self, node_class: NodeClass, *, uploads: bool, dummies: bool = False) -> Widgets:
        """Read in the order of the class's inputs; ``dummies``: forced inputs own places, too."""
        upload_is_open = False
        for index, spec in enumerate(node_class.inputs):
            self._input(spec, spec.name, dummies, 0)
            upload_is_open = upload_is_open or (uploads and bool(spec.upload))
            after = node_class.inputs[index + 1 : index + 2]
            if upload_is_open and not (after and after[0].required):
                self._upload()
                upload_is_open = False
        return self._end()

    def by_fields(self, names: tuple[str, ...]) -> Widgets:
        """Read in an order that is known; a number may be followed by what happens to it."""
        for name in names[: len(self._list)]:
            if self._at < len(self._list):
                self._found.values[name] = self._list[self._at]
                self._at += 1
                if isinstance(self._found.values[name], int):
                    self._control(name, is_certain=False)
        return self._end()

    def by_sockets(self, node_class: NodeClass | None) -> Widgets:
        """Read in the order of the sockets that the file has for the widgets."""
        known = dict(self._known(node_class))
        for socket in self._node.inputs:
            if not socket.widget:
                continue
            spec = known.get(socket.widget) or InputSpec(socket.widget, socket.type)
            self._value(spec, socket.widget)
            if socket.type == "INT" or spec.control:
                self._control(socket.widget, is_certain=False)
        lost = self._list[self._at :]  # what has no name here
        self._found.misfits += len(lost)
        self._found.is_unnamed = any(one not in (None, "", *CONTROLS) for one in lost)
        return self._found

    def _known(self, node_class: NodeClass | None) -> Iterator[tuple[str, InputSpec]]:
        for spec in node_class.inputs if node_class else ():
            yield spec.name, spec

    def _end(self) -> Widgets:
        self._found.left += len(self._list) - self._at
        return self._found

    def _input(self, spec: InputSpec, name: str, dummies: bool, depth: int) -> None:
        if spec.type == AUTOGROW:
            self._grown(spec, name)
        elif has_widget(spec):
            self._value(spec, name)
            if spec.type == DYNAMIC_COMBO and depth < _DEPTH_MAX:
                for inner in _layout(spec, self._found.values.get(name)):
                    self._input(inner, f"{name}.{inner.name}", dummies, depth + 1)
            elif spec.control:
                self._control(name, is_certain=True)
                if spec.type == COMBO:
                    self._filter()
        elif dummies and spec.force_input and spec.type in _PRIMITIVE:
            self._at += self._at < len(self._list)
            if spec.control:
                self._control("", is_certain=True)

    def _grown(self, spec: InputSpec, name: str) -> None:
        """An autogrow has as many places as the node has sockets for it."""
        each = spec.growth.each if spec.growth else None
        if each is None or not has_widget(each):
            return
        for socket in self._node.inputs:
            if socket.widget and socket.name.startswith(f"{name}."):
                self._value(each, socket.name)

    def _value(self, spec: InputSpec, name: str) -> None:
        if self._at >= len(self._list):
            self._found.left += 1
            return
        value = self._list[self._at]
        self._at += 1
        self._found.values[name] = value
        self._found.misfits += not _is_plausible(spec, value)

    def _control(self, name: str, *, is_certain: bool) -> None:
        value = self._list[self._at] if self._at < len(self._list) else None
        if isinstance(value, str) and value in CONTROLS:
            self._at += 1
            if name:
                self._found.controls[name] = value
        elif is_certain and isinstance(value, bool):  # very old files
            self._at += 1
            if name:
                self._found.controls[name] = "randomize" if value else "fixed"

    def _filter(self) -> None:
        if self._at < len(self._list) and self._list[self._at] in ("", None):
            self._at += 1

    def _upload(self) -> None:
        if self._at < len(self._list) and isinstance(self._list[self._at], str | None):
            self._at += 1


def _layout(spec: InputSpec, key: Any) -> tuple[InputSpec, ...]:
    """The inputs that follow a dynamic combo; of an unknown option, likely as many as of others."""
    if key is None or any(branch.key == key for branch in spec.branches):
        return chosen_inputs(spec, key)
    return spec.branches[0].inputs if spec.branches else ()


def is_unusable(spec: InputSpec, value: Any) -> bool:
    """Whether a value can be no number where one is needed: the input had another type once."""
    if spec.type not in ("INT", "FLOAT") or isinstance(value, int | float):
        return False
    try:
        return not math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return True


def _is_plausible(spec: InputSpec, value: Any) -> bool:
    """Whether a value can be of that input; null can be of any."""
    if value is None:
        return True
    if spec.type == "BOOLEAN":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return spec.type not in ("INT", "FLOAT", "STRING")
    if spec.type in ("INT", "FLOAT"):
        return isinstance(value, int | float) and (spec.type == "FLOAT" or value == int(value))
    if spec.type == "STRING":
        return isinstance(value, str)
    if spec.type == DYNAMIC_COMBO:
        return any(branch.key == value for branch in spec.branches)
    if spec.type == COMBO and spec.choices:
        return any(isinstance(value, type(choice)) for choice in spec.choices[:1])
    return True
