"""What else a user may want to set: switches, titled primitives, fields of paid nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.numbers import role_of_title
from comfy.importing.proposal.wiring import Wiring

_PRIMITIVE: Final = re.compile(
    r"^(Primitive(Int|Float|Boolean|String|StringMultiline)?|CustomCombo|INTConstant|FloatConstant"
    r"|BOOLConstant|StringConstant\w*)$"
)
_WRAPPED: Final = re.compile(
    r"^(?:int|float|boolean|string|text(?: string)?|primitive|switch)\s*\((.+)\)$", re.IGNORECASE
)
_NOT_SETTINGS: Final = re.compile(r"seed|control_after|filename|api_key|token|password|secret")


def settings(wiring: Wiring) -> Iterator[Candidate]:
    """Primitives that have a title or switch something, and every field of a paid node."""
    for node_id in wiring.nodes:
        class_type, found = wiring.class_type(node_id), wiring.node_class(node_id)
        if _PRIMITIVE.search(class_type):
            yield from _primitive(wiring, node_id)
        elif found is not None and found.api_node:
            for place in wiring.places(node_id):
                if wiring.is_literal(place) and not _NOT_SETTINGS.search(place.input.lower()):
                    yield Candidate((place,), name=place.input.rpartition(".")[2], advanced=True)


def _primitive(wiring: Wiring, node_id: str) -> Iterator[Candidate]:
    title = plain_title(wiring.title(node_id)) or _switched(wiring, node_id)
    place = Place(node_id, "choice" if wiring.class_type(node_id) == "CustomCombo" else "value")
    if not title or not wiring.is_literal(place):
        return
    is_switch = isinstance(wiring.value(place), bool)
    role = None if is_switch else role_of_title(title)
    options = tuple(
        str(wiring.value(one))
        for one in wiring.places(node_id)
        if re.fullmatch(r"option_?\d+", one.input) and wiring.value(one)
    )
    yield Candidate(
        (place,),
        role=role,
        name=role or title,
        label=title,
        choices=options if place.input == "choice" else (),
        type="choice" if place.input == "choice" and options else None,
        advanced=not is_switch and role is None,
    )


def _switched(wiring: Wiring, node_id: str) -> str:
    """What a primitive without a title chooses between: the title of the switch that it sets."""
    takers = [one for one in wiring.takers(node_id) if one.input == "switch"]
    titles = (wiring.title(one.node_id) for one in takers)
    return next((title for title in titles if title), "switch") if takers else ""


def plain_title(title: str) -> str:
    """A title without the type around it: "Steps" of "Int (Steps)"."""
    wrapped = _WRAPPED.match(title.strip())
    return (wrapped[1] if wrapped else title).strip()
