"""What a file says of packs and models: whom to ask for what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from comfy.importing.documents import mappings

_URL_MAX: Final = 2_000
_NAME_MAX: Final = 300


@dataclass(frozen=True)
class PackHint:
    """The pack of a node class: its name in ComfyUI's registry or its repository."""

    pack: str
    version: str = ""


@dataclass(frozen=True)
class ModelHint:
    """Where a model is from, and the folder it belongs into. Nothing is ever fetched from there."""

    folder: str
    url: str = ""


@dataclass(frozen=True)
class Hints:
    """All hints of one file: of packs by node class, of models by file name."""

    packs: Mapping[str, PackHint] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[str, ModelHint] = field(default_factory=lambda: MappingProxyType({}))


def read_hints(nodes: Iterable[tuple[str, Mapping[str, Any]]]) -> Hints:
    """Read the ``properties`` of nodes, given with their classes."""
    packs: dict[str, PackHint] = {}
    models: dict[str, ModelHint] = {}
    for class_type, properties in nodes:
        pack = _text(properties.get("cnr_id")) or _text(properties.get("aux_id"))
        if pack:
            packs.setdefault(class_type, PackHint(pack, _text(properties.get("ver"))))
        for model in mappings(properties.get("models")):
            name = _text(model.get("name"))
            if name:
                hint = ModelHint(_text(model.get("directory")), _url(model.get("url")))
                models.setdefault(name, hint)
    return Hints(MappingProxyType(packs), MappingProxyType(models))


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= _NAME_MAX else ""


def _url(value: Any) -> str:
    is_web = isinstance(value, str) and value.startswith(("https://", "http://"))
    return str(value) if is_web and len(value) <= _URL_MAX else ""
