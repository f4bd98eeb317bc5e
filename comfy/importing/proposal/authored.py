"""Inputs that the author chose: App mode, values promoted from subgraphs, shared primitives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from comfy.importing.marks import Place, SharedValue
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.settings import plain_title
from comfy.importing.proposal.wiring import Wiring


def app_inputs(wiring: Wiring) -> Iterator[Candidate]:
    """The form of App mode, in its order."""
    app = wiring.imported.marks.app
    for shown in app.inputs if app else ():
        targets = settable(wiring, shown.targets)
        if targets:
            label = shown.label or _title_of_value(wiring, targets[0])
            yield Candidate(targets, name=label or shown.name, label=label)


def promoted(wiring: Wiring) -> Iterator[Candidate]:
    """What the subgraphs of the root show, in their order; then primitives that feed several."""
    for shared in wiring.imported.marks.shared:
        targets = settable(wiring, shared.targets)
        is_shown = shared.kind != "promoted" or ":" not in shared.node_id
        if targets and is_shown and "control_after_generate" not in shared.name:
            label = _label(shared)
            yield Candidate(targets, name=label or shared.name, label=label)


def settable(wiring: Wiring, places: Iterable[Place]) -> tuple[Place, ...]:
    """The places whose value a request may set; what is linked comes from elsewhere."""
    return tuple(one for one in dict.fromkeys(places) if wiring.is_literal(one))


def _label(shared: SharedValue) -> str:
    if shared.kind == "primitive":
        return "" if shared.node_title in ("", "PrimitiveNode") else plain_title(shared.node_title)
    return "" if shared.label in ("", shared.name) else shared.label


def _title_of_value(wiring: Wiring, place: Place) -> str:
    """The title of a node that holds nothing but a value."""
    is_value = place.input in ("value", "choice")
    return plain_title(wiring.title(place.node_id)) if is_value else ""
