"""Files that a graph loads: pictures, masks, videos, sounds, models in three dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.wiring import ANY_TYPES, Wiring
from comfy.nodes import COMBO
from core.workflows.declaration import InputType, Role

_LOADS: Final = re.compile(r"load|upload", re.IGNORECASE)
_KINDS: Final[tuple[tuple[str, InputType], ...]] = (
    ("mask", "mask"),
    ("video", "video"),
    ("audio", "audio"),
    ("image", "image"),
    ("3d|mesh|glb", "model3d"),
)
_FIELDS: Final = re.compile(r"^(image|images|video|audio|file|mask|model_file|audio_file|media)$")
_ELSEWHERE: Final = re.compile(r"path|url|folder|dir|base64|fromstring|http", re.IGNORECASE)
_DEPTH_MAX: Final = 8
_BREADTH_MAX: Final = 200
_TELLING: Final = re.compile(
    r"start|end|first|last|refer|ref_|control|face|pose|style|driv|source|target|background"
    r"|subject|character|product|mask|left|right|front|back|cloth|person|human|garment|model_image"
)
_INIT: Final = re.compile(r"^(start_image|first_frame|first_image|init_image|start_frame)$")
_CONTROL: Final = re.compile(r"control|canny|depth_image|pose|lineart|scribble")
_REFERENCE: Final = re.compile(
    r"reference|ipadapter|clipvision|style_?model|redux|pulid|instantid|photomaker|textencode",
    re.IGNORECASE,
)
_REFERENCE_FIELDS: Final = re.compile(r"^ref|reference|^images?[._]?(image)?_?\d+$")


def uploads(wiring: Wiring) -> Iterator[Candidate]:
    """One candidate for each loaded file, in the graph's order."""
    has_init = False
    for place in wiring.all_places():
        kind = kind_of(wiring, place)
        if kind is None:
            continue
        ends = _ends(wiring, place.node_id)
        role = _role(wiring, kind, ends)
        if role == "init_image" and has_init:
            role = None
        has_init = has_init or role == "init_image"
        name = _name(wiring, place, kind, ends)
        yield Candidate((place,), role=role, name=name, type=kind)


def kind_of(wiring: Wiring, place: Place) -> InputType | None:
    """The kind of file that a field takes, None if it takes none."""
    if wiring.link(place) or not isinstance(wiring.value(place), str):
        return None
    spec, class_type = wiring.spec(place), wiring.class_type(place.node_id)
    if spec is not None and spec.type != COMBO and spec.type not in ANY_TYPES:
        return None
    if spec is not None and spec.upload:
        return _kind(wiring, place, f"{spec.upload} {place.input}")
    is_known = spec is not None and spec.type == COMBO
    loads = _LOADS.search(class_type) and _FIELDS.search(place.input.lower())
    if not loads or (not is_known and _ELSEWHERE.search(class_type)):
        return None
    return _kind(wiring, place, place.input)


def _kind(wiring: Wiring, place: Place, told: str) -> InputType:
    class_type = wiring.class_type(place.node_id)
    if _gives_mask_only(wiring, place.node_id) or "LoadImageMask" in class_type:
        return "mask"
    says = told.lower()
    for words, kind in _KINDS:
        if re.search(words, says):
            return kind
    low = class_type.lower()
    return next((kind for words, kind in _KINDS if re.search(words, low)), "file")


def _gives_mask_only(wiring: Wiring, node_id: str) -> bool:
    """Whether of a loaded picture only the mask is used."""
    found = wiring.node_class(node_id)
    types = [output.type for output in found.outputs] if found else ["IMAGE", "MASK"]
    links = [wiring.link(taker) for taker in wiring.takers(node_id)]
    used = {types[link.slot] for link in links if link and 0 <= link.slot < len(types)}
    return used == {"MASK"} and "IMAGE" in types


def _ends(wiring: Wiring, node_id: str) -> tuple[Place, ...]:
    """Where a file goes, nearest first, past nodes that only change it."""
    found: dict[Place, None] = {}
    ways = [(node_id, 0)]
    seen = {node_id}
    for current, depth in ways:
        if len(found) > _BREADTH_MAX:
            break
        for taker in wiring.takers(current):
            found[taker] = None
            goes_on = _passes_on(wiring, taker) and depth < _DEPTH_MAX
            if goes_on and taker.node_id not in seen and len(ways) < _BREADTH_MAX:
                seen.add(taker.node_id)
                ways.append((taker.node_id, depth + 1))
    return tuple(found)


def _passes_on(wiring: Wiring, taker: Place) -> bool:
    if "sampler" in wiring.class_type(taker.node_id).lower():
        return False
    found = wiring.node_class(taker.node_id)
    given = {output.type for output in found.outputs} if found else {"IMAGE"}
    return bool(given & {"IMAGE", "MASK", "LATENT", *ANY_TYPES}) and "CONDITIONING" not in given


def _role(wiring: Wiring, kind: InputType, ends: tuple[Place, ...]) -> Role | None:
    if kind == "mask":
        return "mask"
    if kind != "image":
        return None
    if any(_is_init(wiring, end) for end in ends):
        return "init_image"
    if any(_says(wiring, end, _CONTROL) for end in ends):
        return "control_image"
    is_reference = any(
        _REFERENCE.search(wiring.class_type(end.node_id)) or _REFERENCE_FIELDS.search(end.input)
        for end in ends
    )
    if is_reference:
        return "reference_image"
    return None if any(end.input in ("end_image", "last_frame") for end in ends) else "init_image"


def _is_init(wiring: Wiring, end: Place) -> bool:
    if _INIT.search(end.input):
        return True
    class_type = wiring.class_type(end.node_id)
    is_latent = end.input in ("latent_image", "latent") and "sampler" in class_type.lower()
    to_video = re.search(r"ToVideo|I2V|img2vid", class_type) and end.input in ("image", "images")
    return is_latent or bool(to_video)


def _says(wiring: Wiring, end: Place, words: re.Pattern[str]) -> bool:
    told = f"{wiring.class_type(end.node_id)} {end.input}".lower()
    return bool(words.search(told))


def _name(wiring: Wiring, place: Place, kind: InputType, ends: tuple[Place, ...]) -> str:
    title = wiring.title(place.node_id)
    if title and not re.fullmatch(
        r"(load|upload)\s+(an? )?(image|video|audio|mask)", title.lower()
    ):
        return title
    others = [word for word in ("mask", "audio", "video") if word != kind]
    told = next(
        (
            end.input
            for end in ends
            if _TELLING.search(end.input.lower()) and not any(one in end.input for one in others)
        ),
        "",
    )
    plain = {"model3d": "model_3d"}.get(kind, str(kind))
    return plain if kind == "mask" else told.rpartition(".")[2] or plain
