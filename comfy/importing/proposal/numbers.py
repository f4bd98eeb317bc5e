"""Numbers and choices with a role: steps, CFG, sampler, length, frames per second, …"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.wiring import Wiring
from comfy.nodes import COMBO
from core.workflows.declaration import InputType, Role


@dataclass(frozen=True)
class _Rule:
    role: Role
    fields: str
    kind: str
    classes: str = ""
    advanced: bool = False


_LATENT: Final = r"Latent|Video|Embeds|I2V|T2V|img2vid|Audio|Camera|Conditioning"
_RULES: Final = (
    _Rule("steps", r"^steps$", "INT", r"^(?!.*(FaceDetailer|Detailer|Upscale))"),
    _Rule("cfg", r"^cfg$", "FLOAT"),
    _Rule("guidance", r"^guidance$|^flux_guidance$", "FLOAT"),
    _Rule("sampler", r"^sampler_name$|^sampler$", COMBO, advanced=True),
    _Rule("scheduler", r"^scheduler$", COMBO, advanced=True),
    _Rule("denoise", r"^denoise$|^denoise_strength$", "FLOAT", advanced=True),
    _Rule("length", r"^(length|num_frames|video_frames|frames_number|frames)$", "INT", _LATENT),
    _Rule("fps", r"^(fps|frame_rate)$", "FLOAT"),
    _Rule("duration_s", r"^(seconds|duration|seconds_total)$", "FLOAT"),
    _Rule("batch_size", r"^batch_size$", "INT", advanced=True),
)
_TITLES: Final[tuple[tuple[Role, str], ...]] = (
    ("fps", r"\bfps\b|frame ?rate"),
    ("duration_s", r"duration|seconds"),
    ("length", r"^(video )?length|(number of|num) frames|^frames$"),
)


def numbers(wiring: Wiring) -> Iterator[Candidate]:
    """Each role's value first, then its other values; equal values are one."""
    for rule in _RULES:
        yield from _of_rule(wiring, rule)


def role_of_title(title: str) -> Role | None:
    """What a primitive means by its title."""
    return next((role for role, words in _TITLES if re.search(words, title.lower())), None)


def _of_rule(wiring: Wiring, rule: _Rule) -> Iterator[Candidate]:
    groups: dict[object, dict[Place, None]] = {}
    alternatives: dict[Place, None] = {}
    specs = []
    for place in wiring.all_places():
        if not _fits(wiring, place, rule):
            continue
        sources = _sources(wiring, place, rule.kind)
        if len(sources) > 1:
            alternatives |= dict.fromkeys(sources)
        elif sources:
            groups.setdefault(_key(wiring.value(sources[0])), {})[sources[0]] = None
            spec = wiring.spec(place)
            if spec is not None and sources[0] != place:
                specs.append(spec)
    for index, places in enumerate(groups.values()):
        yield Candidate(
            tuple(places),
            role=rule.role if index == 0 else None,
            name=rule.role,
            type=_type(wiring, next(iter(places)), rule.kind),
            advanced=rule.advanced or index > 0,
            specs=tuple(specs) if index == 0 else (),
        )
    for place in alternatives:
        name = wiring.title(place.node_id) or rule.role
        yield Candidate((place,), name=name, advanced=True)


def _fits(wiring: Wiring, place: Place, rule: _Rule) -> bool:
    if not re.search(rule.fields, place.input.lower()):
        return False
    return bool(re.search(rule.classes, wiring.class_type(place.node_id)))


def _sources(wiring: Wiring, place: Place, kind: str) -> tuple[Place, ...]:
    if kind != COMBO:
        return wiring.sources(place, kind)
    return (place,) if isinstance(wiring.value(place), str) and wiring.is_literal(place) else ()


def _type(wiring: Wiring, place: Place, kind: str) -> InputType | None:
    """What a value of 8 is where nobody knows the class: a number, if others have 8.0 there."""
    return "number" if kind == "FLOAT" and wiring.spec(place) is None else None


def _key(value: object) -> object:
    """Numbers that look the same are: 16.000000000000004 is 16."""
    return round(value, 9) if isinstance(value, int | float) else value
