"""The seed: one input for every place where chance comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.wiring import Wiring
from comfy.nodes import InputSpec

_SEED: Final = re.compile(r"seed(_?num)?$")
_OTHER_SEEDS: Final = re.compile(r"variation|sub_?seed|batch_seed|seed_mode|use_seed")
_PRIMITIVE: Final = re.compile(r"primitive|constant|literal", re.IGNORECASE)


def seeds(wiring: Wiring) -> Iterator[Candidate]:
    """At most one candidate, with all places. A sampler that adds no noise does not count."""
    fields = [one for one in wiring.all_places() if _is_seed(wiring, one)]
    counting = [one for one in fields if not _adds_no_noise(wiring, one.node_id)] or fields
    found: dict[Place, None] = {}
    specs: list[InputSpec] = []
    for place in counting:
        sources = wiring.sources(place, "INT")
        found |= dict.fromkeys(sources)
        spec = wiring.spec(place)
        if sources and spec is not None:
            specs.append(spec)
    if found:
        yield Candidate(tuple(found), role="seed", name="seed", type="seed", specs=tuple(specs))


def _is_seed(wiring: Wiring, place: Place) -> bool:
    name = place.input.lower()
    spec = wiring.spec(place)
    if spec is not None and spec.type != "INT":
        return False
    if isinstance(wiring.value(place), bool | str) or _OTHER_SEEDS.search(name):
        return False
    if _SEED.search(name):
        return True
    is_primitive = _PRIMITIVE.search(wiring.class_type(place.node_id))
    return spec is not None and spec.control and not is_primitive and "seed" in name


def _adds_no_noise(wiring: Wiring, node_id: str) -> bool:
    return wiring.value(Place(node_id, "add_noise")) in ("disable", False)
