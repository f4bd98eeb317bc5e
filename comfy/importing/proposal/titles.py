"""Inputs marked by the titles of nodes: ``[input] name``, and ViewComfy's ``VC_BASIC``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.naming import slug
from comfy.importing.proposal.texts import is_text
from comfy.importing.proposal.uploads import kind_of
from comfy.importing.proposal.wiring import Wiring

_MARK: Final = re.compile(r"^\s*\[input\]\s*(.+?)\s*$", re.IGNORECASE)
_VIEW: Final = re.compile(r"^VC_(BASIC|ADV)(?:_(\d+))?[_\s-]*(.*)$", re.IGNORECASE)
_VALUES: Final = ("value", "text", "prompt", "image", "seed", "noise_seed", "choice", "string")


def titled(wiring: Wiring) -> Iterator[Candidate]:
    """What titles mark: one field of a node, or all of ViewComfy's."""
    for node_id in wiring.nodes:
        title = wiring.title(node_id)
        marked, view = _MARK.match(title), _VIEW.match(title)
        literals = [one for one in wiring.places(node_id) if wiring.is_literal(one)]
        if marked:
            place = _meant(wiring, literals, marked[1])
            if place:
                yield Candidate((place,), name=marked[1], label=marked[1], is_named=True)
        elif view:
            for place in literals:
                wish = view[3].strip(" _") if len(literals) == 1 else ""
                advanced = view[1].upper() == "ADV"
                yield Candidate((place,), name=wish or place.input, advanced=advanced)


def _meant(wiring: Wiring, literals: list[Place], name: str) -> Place | None:
    """The field that a title is about: of that name, the only one, a text, a file, a value."""
    wanted = slug(name)
    exact = [one for one in literals if slug(one.input) == wanted]
    texts = [one for one in literals if is_text(wiring, one) or kind_of(wiring, one)]
    plain = [one for one in literals if one.input in _VALUES]
    found = exact or (literals if len(literals) == 1 else []) or texts or plain or literals
    return found[0] if found else None
