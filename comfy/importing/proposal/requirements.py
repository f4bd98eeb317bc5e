"""What a workflow requires of a ComfyUI: node classes, model files, packs, paid services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from comfy.importing.proposal.models import folder_of, is_model
from comfy.importing.proposal.wiring import Wiring
from core.workflows.declaration import ModelFile, NodePack, Requires

_DEPTH_MAX: Final = 6
_MODELS_MAX: Final = 500


def requirements(wiring: Wiring) -> Requires:
    """What the graph needs, with the addresses and packs that the file names."""
    classes = tuple(dict.fromkeys(wiring.class_type(one) for one in wiring.nodes))
    findings = wiring.imported.findings
    missing = {one.class_type: one for one in findings.missing_classes}
    packs = []
    for name in classes:
        known, told = wiring.catalogue.get(name), missing.get(name)
        pack = told.pack if told else known.pack if known else ""
        if pack:
            version = (told.version if told else "")[:100] or None
            packs.append(NodePack(node_class=name[:200], pack=pack[:500], version=version))
    paid = tuple(dict.fromkeys(one.class_type for one in findings.paid_classes))
    return Requires(classes=classes, models=tuple(_models(wiring)), packs=tuple(packs), paid=paid)


def _models(wiring: Wiring) -> Iterator[ModelFile]:
    offered = _offered(wiring.imported.ui)
    offered |= {one.name: (one.folder, one.url) for one in wiring.imported.findings.missing_models}
    seen: set[tuple[str, str]] = set()
    for place in wiring.all_places():
        if not is_model(wiring, place):
            continue
        name = str(wiring.value(place))
        told, url = (
            offered.get(name)
            or offered.get(name.replace("\\", "/").rpartition("/")[2])
            or (
                "",
                "",
            )
        )
        folder = told or folder_of(wiring.class_type(place.node_id), place.input) or place.input
        if (folder, name) in seen or not name or len(name) > 500 or len(seen) >= _MODELS_MAX:
            continue
        seen.add((folder, name))
        yield ModelFile(folder=folder[:200], name=name, url=url[:2000] or None)


def _offered(ui: Any) -> dict[str, tuple[str, str]]:
    """Folder and address of each model that the nodes of a file offer."""
    found: dict[str, tuple[str, str]] = {}
    for node in _nodes(ui, 0):
        properties = node.get("properties")
        told = properties.get("models") if isinstance(properties, Mapping) else None
        for model in told if isinstance(told, list | tuple) else ():
            if isinstance(model, Mapping) and isinstance(model.get("name"), str):
                folder, url = model.get("directory"), model.get("url")
                found[model["name"]] = (
                    folder if isinstance(folder, str) else "",
                    url if isinstance(url, str) and url.startswith("https://") else "",
                )
    return found


def _nodes(ui: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if not isinstance(ui, Mapping) or depth > _DEPTH_MAX:
        return
    nodes, below = ui.get("nodes"), ui.get("definitions")
    yield from (one for one in _listed(nodes) if isinstance(one, Mapping))
    if isinstance(below, Mapping):
        for inner in _listed(below.get("subgraphs")):
            yield from _nodes(inner, depth + 1)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
