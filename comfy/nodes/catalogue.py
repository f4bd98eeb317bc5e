"""All node classes of a ComfyUI, as ``GET /object_info`` tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Self

from comfy.catalogue import CATALOGUE_CLASSES
from comfy.nodes.classes import NodeClass
from comfy.nodes.inputs import AUTOGROW, COMBO, DYNAMIC_COMBO, Choice, InputSpec
from comfy.nodes.reading import read_class
from comfy.nodes.writing import class_to_json

MODEL_FILES: Final = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx", ".pkl"),
    *(".engine", ".torchscript"),
)
"""How the names of model files end."""


@dataclass(frozen=True)
class NodeCatalogue:
    """The node classes of a ComfyUI by name; frozen, and safe to share."""

    classes: Mapping[str, NodeClass] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_object_info(cls, info: object) -> Self:
        """Read ``GET /object_info``. What is malformed is left out; nothing is raised."""
        if not isinstance(info, Mapping):
            return cls()
        read = (read_class(name, told) for name, told in info.items())
        return cls(MappingProxyType({found.name: found for found in read if found}))

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The reverse of ``to_json``; what another version wrote and is unknown is left out."""
        return cls.from_object_info(data)

    def to_json(self) -> dict[str, Any]:
        """The catalogue in the shape of ``GET /object_info``: what is used here, without texts."""
        return {name: class_to_json(found) for name, found in self.classes.items()}

    @classmethod
    def union(cls, catalogues: Iterable[NodeCatalogue]) -> Self:
        """What any of several ComfyUIs has; of a class that several have, the first counts.

        The choices of its combos are those of all of them.
        """
        merged: dict[str, NodeClass] = {}
        for catalogue in catalogues:
            for name, found in catalogue.classes.items():
                merged[name] = _with_choices_of(merged[name], found) if name in merged else found
        return cls(MappingProxyType(merged))

    @cached_property
    def paid(self) -> frozenset[str]:
        """The names of the classes that call paid services."""
        return frozenset(name for name, found in self.classes.items() if found.is_paid)

    @cached_property
    def file_choices(self) -> frozenset[str]:
        """The names of model files that its classes offer, and whatever else model loaders do."""
        return frozenset(
            choice
            for name, found in self.classes.items()
            for choice in _choices_of(found.inputs)
            if name in CATALOGUE_CLASSES or choice.lower().endswith(MODEL_FILES)
        )

    def get(self, class_type: str) -> NodeClass | None:
        """The class of that name, None if the ComfyUI does not have it."""
        return self.classes.get(class_type)

    def input(self, class_type: str, name: str) -> InputSpec | None:
        """An input of a class; ``name`` may be dotted, for a dynamic combo's or an autogrow's.

        Of several options that have it, the first counts.
        """
        found = self.classes.get(class_type)
        return _within(found.inputs, name) if found else None

    def choices(self, class_type: str, name: str) -> tuple[Choice, ...]:
        """The choices of one input, empty if it is none or has none."""
        spec = self.input(class_type, name)
        return spec.choices if spec else ()


def _choices_of(inputs: Iterable[InputSpec]) -> Iterator[str]:
    """Yields the texts that inputs offer, but for files that can be brought."""
    for spec in inputs:
        if spec.type == COMBO and not spec.upload:
            yield from (choice for choice in spec.choices if isinstance(choice, str))
        for branch in spec.branches:
            yield from _choices_of(branch.inputs)
        if spec.growth is not None:
            yield from _choices_of((spec.growth.each,))


def _within(inputs: Iterable[InputSpec], name: str) -> InputSpec | None:
    head, _, rest = name.partition(".")
    for spec in inputs:
        if spec.name == name:
            return spec
        if spec.name == head and rest:
            return _below(spec, rest)
    return None


def _below(spec: InputSpec, name: str) -> InputSpec | None:
    if spec.type == AUTOGROW and spec.growth:
        return replace(spec.growth.each, name=name) if name in spec.growth.all_names else None
    if spec.type == DYNAMIC_COMBO:
        found = (_within(branch.inputs, name) for branch in spec.branches)
        return next((below for below in found if below), None)
    return None


def _with_choices_of(first: NodeClass, other: NodeClass) -> NodeClass:
    inputs = tuple(_merged(spec, other.input(spec.name)) for spec in first.inputs)
    return first if inputs == first.inputs else replace(first, inputs=inputs)


def _merged(spec: InputSpec, other: InputSpec | None) -> InputSpec:
    if other is None or spec.type != other.type:
        return spec
    if spec.type == COMBO and set(other.choices) - set(spec.choices):
        return replace(spec, choices=tuple(dict.fromkeys(spec.choices + other.choices)))
    return spec
