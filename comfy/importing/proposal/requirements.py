"""What a workflow requires of a ComfyUI: node classes, model files, packs, paid services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from comfy.importing.checking.near import base_name
from comfy.importing.hints import ModelHint
from comfy.importing.proposal.models import folder_of, is_model
from comfy.importing.proposal.wiring import Wiring
from core.workflows.declaration import ModelFile, NodePack, Requires

_MODELS_MAX: Final = 500
_NAME_MAX: Final = 500
_UNKNOWN: Final = ModelHint("")


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
    hints = wiring.imported.hints.models
    by_name = {base_name(name): hint for name, hint in hints.items()}
    seen: set[tuple[str, str]] = set()
    for place in wiring.all_places():
        if not is_model(wiring, place):
            continue
        name = str(wiring.value(place))
        told = by_name.get(base_name(name), _UNKNOWN)
        folder = told.folder or folder_of(wiring.class_type(place.node_id), place.input)
        key = (folder or place.input, name)
        if key in seen or not name or len(name) > _NAME_MAX or len(seen) >= _MODELS_MAX:
            continue
        seen.add(key)
        yield ModelFile(folder=key[0][:200], name=name, url=told.url[:2000] or None)
