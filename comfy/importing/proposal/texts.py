"""Prompts: the texts that a sampler's positive and negative conditioning comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.marked_nodes import value_field
from comfy.importing.proposal.wiring import ANY_TYPES, Link, Wiring
from core.workflows.declaration import Role

Sign = Literal["positive", "negative"]

_DEPTH_MAX: Final = 60
_WORDS: Final = 4
_POSITIVE: Final = re.compile(
    r"(^|_)(positive|pos)($|_)|^cond_?[12]$|^text_embeds$|^prompt_embeds$"
)
_NEGATIVE: Final = re.compile(r"(^|_)(negative|neg)($|_)|negative")
_PROMPT_FIELDS: Final = re.compile(
    r"(^|[_.])(prompt|text|tags|lyrics|caption|description|instruction|query|question|populated_text"
    r"|wildcard_text|text_[gl]|clip_[lg]|t5xxl|llama|string|value|on_true|on_false"
    r"|positive|negative|pos|neg)s?(_?\d+)?$"
)
_MAIN_FIELDS: Final = re.compile(r"prompt|^text|tags|caption|^positive|description")
_NOT_PROMPTS: Final = re.compile(
    r"delimiter|separator|^find$|regex|pattern|expression|filename|prefix$|^key$|sigmas|path|^url"
    r"|_url$|^model|indices|shader|code|folder|directory|format|^id$|^name$|_name$|title|language"
    r"|api_key|token|json_string|script|negative_ids|^bboxes|layers$|editor_state|^mask$|(^|_)use_"
)
_SYSTEM_FIELDS: Final = re.compile(r"system|instruction|template|f_string")
_SYSTEM_TITLES: Final = re.compile(
    r"system|instruct|template|expan|enhanc|trigger|prefix|suffix|style", re.IGNORECASE
)
_SYSTEM_TEXTS: Final = re.compile(
    r"^\W*(you are |you're |your task|act as |<s>|<\|im_start\|>|\[system|# ?role|系统|你是"
    r"|you will be )",
    re.IGNORECASE,
)
_FILES: Final = re.compile(r"file ?name|prefix|folder|path", re.IGNORECASE)
_SHOWS: Final = re.compile(r"^(show|preview|display|note)|show ?text|displaytext", re.IGNORECASE)
_STOPS: Final = re.compile(r"zero ?out", re.IGNORECASE)
_CARRIES_TEXT: Final = re.compile(r"COND|STRING|EMBED|TEXT|GUIDER|PIPE|PROMPT")
_NO_TEXT_COMES: Final = re.compile(
    r"model|clip|vae|image|latent|mask|samples|pixels|noise|sampler|sigmas|audio|video|control"
    r"|width|height|seed|steps|switch|bool|unet|lora|^cfg|frames|^fps|index|select"
)


@dataclass
class _Reach:
    """The texts that each sign comes from, in the order in which they were reached."""

    signs: dict[Place, set[Sign]] = field(default_factory=dict)
    seen: set[tuple[str, Sign]] = field(default_factory=set)

    def add(self, place: Place, sign: Sign) -> None:
        self.signs.setdefault(place, set()).add(sign)


def texts(wiring: Wiring) -> Iterator[Candidate]:
    """The prompt, the negative prompt, and further texts, most important first."""
    reach = _reached(wiring)
    only = [place for place, signs in reach.signs.items() if signs == {"positive"}]
    both = [place for place, signs in reach.signs.items() if len(signs) > 1]
    has_negative = {"negative"} in reach.signs.values()
    # A text that feeds both signs takes the part that no text has for itself.
    positive = [*only, *both] if has_negative or not only else only
    known = frozenset(positive)
    negative = [place for place in reach.signs if place not in known]
    named = [one for one in _named(wiring) if one not in reach.signs]
    negative += [one for one in named if _is_negative(wiring, one)]
    others = [one for one in named if not _is_negative(wiring, one)]
    if not any(not _is_system(wiring, one) for one in positive):
        positive, others = [*positive, *_main(wiring, others)], []
    yield from _prompts(wiring, positive)
    yield from _negatives(wiring, negative)
    for place in others:
        if not _FILES.search(wiring.title(place.node_id)):
            yield Candidate((place,), name=_name(wiring, place), type="longtext", advanced=True)


def is_text(wiring: Wiring, place: Place) -> bool:
    """Whether a field holds a text of the sort that prompts are."""
    value, name = wiring.value(place), place.input.lower()
    if not isinstance(value, str) or wiring.link(place) or _NOT_PROMPTS.search(name):
        return False
    if _SHOWS.search(wiring.class_type(place.node_id)):
        return False
    marked = value_field(wiring.class_type(place.node_id))
    if marked is not None:
        return place.input == marked
    spec = wiring.spec(place)
    if spec is None or spec.type in ANY_TYPES:
        is_known = wiring.node_class(place.node_id) is not None
        if not is_known and _is_prose(value):
            return True
        return bool(_PROMPT_FIELDS.search(name)) and (is_known or not _is_file(value))
    is_long = spec.multiline or spec.dynamic_prompts or bool(_PROMPT_FIELDS.search(name))
    return spec.type == "STRING" and is_long


def _is_prose(value: str) -> bool:
    """Whether somebody wrote it as a sentence or a list of words, in any script."""
    text = value.strip()
    is_written = len(text.split()) > _WORDS or (len(text) > 2 * _WORDS and not text[:20].isascii())
    return is_written and not re.match(r"[\[{<]", text) and not _is_file(text)


def _is_file(value: str) -> bool:
    return bool(re.search(r"\.\w{2,11}$", value)) and " " not in value.strip()


def _reached(wiring: Wiring) -> _Reach:
    reach = _Reach()
    for place in wiring.all_places():
        sign = _sign_of_start(wiring, place)
        link = wiring.link(place)
        if sign and link:
            _follow(wiring, link, sign, reach, 0)
        elif sign and is_text(wiring, place):
            reach.add(place, sign)
    return reach


def _sign_of_start(wiring: Wiring, place: Place) -> Sign | None:
    name = place.input.lower()
    if _NEGATIVE.search(name):
        return "negative"
    if _POSITIVE.search(name):
        return "positive"
    guides = "guider" in wiring.class_type(place.node_id).lower()
    return "positive" if name == "conditioning" and guides else None


def _follow(wiring: Wiring, link: Link, sign: Sign, reach: _Reach, depth: int) -> None:
    output = wiring.output_name(link)
    sign = "negative" if output == "negative" else "positive" if output == "positive" else sign
    stops = _STOPS.search(wiring.class_type(link.node_id))
    if stops or depth > _DEPTH_MAX or (link.node_id, sign) in reach.seen:
        return
    reach.seen.add((link.node_id, sign))
    places = tuple(wiring.places(link.node_id))
    names = [place.input.lower() for place in places]
    is_split = any(_NEGATIVE.search(name) for name in names)
    for place in places:
        name = place.input.lower()
        own: Sign = "negative" if _NEGATIVE.search(name) else "positive"
        # A node with a field for each sign gives each at its own output.
        if is_split and own != sign and _is_signed(name):
            continue
        inner = wiring.link(place)
        if inner is None:
            if is_text(wiring, place):
                reach.add(place, own if is_split and _is_signed(name) else sign)
        elif _may_carry_text(wiring, place):
            _follow(wiring, inner, sign, reach, depth + 1)


def _is_signed(name: str) -> bool:
    return bool(_NEGATIVE.search(name) or _POSITIVE.search(name) or name in ("prompt", "text"))


def _may_carry_text(wiring: Wiring, place: Place) -> bool:
    carried = wiring.carried(place)
    if carried:
        return bool(_CARRIES_TEXT.search(carried))
    return not _NO_TEXT_COMES.search(place.input.lower()) or bool(_sign_of_start(wiring, place))


def _named(wiring: Wiring) -> Iterator[Place]:
    """Texts by the names of their fields, wherever they go; primitives that feed one too."""
    for place in wiring.all_places():
        if is_text(wiring, place) and _PROMPT_FIELDS.search(place.input.lower()):
            yield place


def _main(wiring: Wiring, places: list[Place]) -> list[Place]:
    """The texts most likely to be prompts: of those fields that say so, if there are any."""
    plain = [one for one in places if not _is_system(wiring, one)] or places
    return [one for one in plain if _says_prompt(wiring, one)] or plain


def _says_prompt(wiring: Wiring, place: Place) -> bool:
    if _MAIN_FIELDS.search(place.input.lower()) or "prompt" in wiring.title(place.node_id).lower():
        return True
    takers = wiring.takers(place.node_id)
    return any(_MAIN_FIELDS.search(taker.input.lower()) for taker in takers)


def _is_negative(wiring: Wiring, place: Place) -> bool:
    says = f"{place.input} {wiring.title(place.node_id)}".lower()
    return "negative" in says and "positive" not in says


def _is_system(wiring: Wiring, place: Place) -> bool:
    """Whether a text instructs a language model, rather than saying what shall be seen."""
    if _SYSTEM_FIELDS.search(place.input.lower()):
        return True
    title = wiring.title(place.node_id)
    if _SYSTEM_TITLES.search(title) and "user" not in title.lower():
        return True
    return bool(_SYSTEM_TEXTS.match(str(wiring.value(place))))


def _is_fragment(wiring: Wiring, place: Place) -> bool:
    """Whether a text is joined to another one."""
    return any(
        one != place and wiring.carried(one) == "STRING" and wiring.link(one)
        for one in wiring.places(place.node_id)
        if not one.input.startswith("on_")
    )


def _prompts(wiring: Wiring, places: list[Place]) -> Iterator[Candidate]:
    groups = _by_value(wiring, places)
    ranked = sorted(groups, key=lambda group: _rank(wiring, group[0]))
    for index, group in enumerate(ranked):
        found = Candidate(group, name=_name(wiring, group[0]), type="longtext")
        if index == 0 and not _SYSTEM_FIELDS.search(group[0].input.lower()):
            yield replace(found, role="prompt")
        else:
            is_minor = any(_rank(wiring, group[0])[:4])
            yield replace(found, advanced=is_minor)


def _rank(wiring: Wiring, place: Place) -> tuple[bool, bool, bool, bool, bool]:
    is_second = place.input.lower().endswith("lyrics")
    is_empty = not str(wiring.value(place)).strip()
    is_hidden = wiring.is_inside(place.node_id) and place not in wiring.shown
    is_system, is_fragment = _is_system(wiring, place), _is_fragment(wiring, place)
    return (is_system, is_hidden, is_fragment, is_empty, is_second)


def _negatives(wiring: Wiring, places: list[Place]) -> Iterator[Candidate]:
    groups = _by_value(wiring, places)
    ranked = sorted(groups, key=lambda group: _rank(wiring, group[0])[:3])
    for index, group in enumerate(ranked):
        role: Role | None = "negative_prompt" if index == 0 else None
        yield Candidate(
            group, role=role, name="negative_prompt", type="longtext", advanced=index > 0
        )


def _by_value(wiring: Wiring, places: list[Place]) -> list[tuple[Place, ...]]:
    """The places grouped by their texts: one text in two encoders is one prompt.

    Empty texts are the same in fields of one name only.
    """
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in dict.fromkeys(places):
        text = str(wiring.value(place)).strip()
        groups.setdefault((text, "" if text else place.input), []).append(place)
    return [tuple(group) for group in groups.values()]


def _name(wiring: Wiring, place: Place) -> str:
    """A name from the field, or from the node's title where the field says nothing."""
    field_name = place.input.rpartition(".")[2]
    if field_name in ("tags", "lyrics") or _SYSTEM_FIELDS.search(field_name):
        return field_name
    return wiring.title(place.node_id) or ("prompt" if _says_prompt(wiring, place) else field_name)
