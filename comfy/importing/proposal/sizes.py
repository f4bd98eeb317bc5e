"""Width and height: where latents get their size from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from comfy.importing.marks import Place
from comfy.importing.proposal.candidate import Candidate
from comfy.importing.proposal.wiring import Wiring
from comfy.nodes import COMBO, InputSpec
from core.workflows.declaration import Role

_FIELDS: Final = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
_MAKES_LATENTS: Final = re.compile(r"Latent|ToVideo|Empty\w*Embeds|I2V|T2V|VideoEncode|HyVideo")
_CHANGES_LATENTS: Final = re.compile(r"Upscale|Crop|Composite|Rotate|Resize|Scale")
_FOLLOWS: Final = re.compile(r"^(ModelSamplingFlux|Flux2Scheduler|Ideogram4Scheduler)$")
"""Classes that must be told the same size as the latent."""
_OF_PICTURES: Final = re.compile(r"size|scale|image|picture|dimension", re.IGNORECASE)
_PICTURES: Final = ("image", "images", "pixels", "input", "image1")
_STEPS_MAX: Final = 8
_SHAPE: Final = re.compile(r"aspect|ratio|resolution|dimension|orientation|^size$|megapixel|preset")

_Pair = tuple[tuple[Place, ...], tuple[Place, ...]]


def sizes(wiring: Wiring) -> Iterator[Candidate]:
    """Width and height of the first size, then those of other sizes, then what a node computes."""
    pairs = _by_value(wiring, list(_pairs(wiring))) or list(_titled(wiring))
    for index, (width, height) in enumerate(pairs):
        yield from _sides(wiring, width, height, is_first=index == 0)
    yield from _shapes(wiring, has_size=bool(pairs))


def _sides(
    wiring: Wiring, width: tuple[Place, ...], height: tuple[Place, ...], is_first: bool
) -> Iterator[Candidate]:
    sides: tuple[tuple[Role, tuple[Place, ...]], ...] = (("width", width), ("height", height))
    for role, places in sides:
        if places:
            yield Candidate(
                places + (_following(wiring, places, role) if is_first else ()),
                role=role if is_first else None,
                name=role,
                type="integer",
                specs=_arrivals(wiring, places, role),
                advanced=not is_first,
            )


def _pairs(wiring: Wiring) -> Iterator[_Pair]:
    for node_id in wiring.nodes:
        for width, height in _FIELDS:
            fields = Place(node_id, width), Place(node_id, height)
            if _is_size(wiring, *fields):
                widths, heights = (wiring.sources(one, "INT") for one in fields)
                if not widths and not heights:
                    widths, heights = _measured(wiring, *fields)
                yield from _paired(widths, heights)


def _measured(wiring: Wiring, width: Place, height: Place) -> _Pair:
    """The size that a picture is made or brought to, where a latent gets that picture's."""
    for node_id in _pictured(wiring, width, height):
        sides = Place(node_id, "width"), Place(node_id, "height")
        if all(_is_side(wiring, side) for side in sides):
            return (sides[0],), (sides[1],)
    return (), ()


def _pictured(wiring: Wiring, width: Place, height: Place) -> Iterator[str]:
    """The nodes that measure a picture, and make or change it, where a latent gets its size."""
    links = wiring.link(width), wiring.link(height)
    node_id = links[0].node_id if links[0] and links[1] else ""
    if links[1] and links[1].node_id != node_id:
        return
    for _ in range(_STEPS_MAX):
        if not _OF_PICTURES.search(wiring.class_type(node_id)):
            return
        yield node_id
        pictures = (Place(node_id, name) for name in _PICTURES)
        link = next((link for one in pictures if (link := wiring.link(one))), None)
        node_id = link.node_id if link else ""


def _is_side(wiring: Wiring, place: Place) -> bool:
    value = wiring.value(place)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _paired(widths: tuple[Place, ...], heights: tuple[Place, ...]) -> Iterator[_Pair]:
    """One pair for each branch of a switch."""
    for index in range(max(len(widths), len(heights))):
        yield widths[index : index + 1], heights[index : index + 1]


def _is_size(wiring: Wiring, width: Place, height: Place) -> bool:
    fields = wiring.nodes[width.node_id]
    if width.input not in fields or height.input not in fields:
        return False
    class_type, found = wiring.class_type(width.node_id), wiring.node_class(width.node_id)
    takes_latent = any(
        wiring.carried(one) == "LATENT" and wiring.link(one) for one in wiring.places(width.node_id)
    )
    if _CHANGES_LATENTS.search(class_type) and takes_latent:
        return False
    if width.input.startswith("empty_latent"):
        return True
    if found is None:
        makes = not takes_latent and any(
            taker.input in ("latent_image", "latent") for taker in wiring.takers(width.node_id)
        )
    else:
        makes = any(output.type == "LATENT" for output in found.outputs)
    is_paid = found is not None and found.api_node
    return makes or is_paid or bool(_MAKES_LATENTS.search(class_type))


def _titled(wiring: Wiring) -> Iterator[_Pair]:
    """Two primitives that are called width and height, wherever they go."""
    found: dict[str, Place] = {}
    for node_id in wiring.nodes:
        place, title = Place(node_id, "value"), wiring.title(node_id).lower()
        value = wiring.value(place)
        if title in ("width", "height") and isinstance(value, int) and wiring.is_literal(place):
            found.setdefault(title, place)
    if len(found) == 2:
        yield (found["width"],), (found["height"],)


def _by_value(wiring: Wiring, pairs: list[_Pair]) -> list[_Pair]:
    """Pairs that hold the same size are one; others stay apart."""
    groups: dict[object, _Pair] = {}
    for width, height in pairs:
        key = tuple(wiring.value(one) for one in (*width[:1], *height[:1]))
        before = groups.get(key, ((), ()))
        groups[key] = (
            tuple(dict.fromkeys((*before[0], *width))),
            tuple(dict.fromkeys((*before[1], *height))),
        )
    return list(groups.values())


def _following(wiring: Wiring, places: tuple[Place, ...], side: str) -> tuple[Place, ...]:
    wanted = {wiring.value(one) for one in places}
    return tuple(
        place
        for place in wiring.all_places()
        if place.input == side
        and _FOLLOWS.search(wiring.class_type(place.node_id))
        and wiring.is_literal(place)
        and wiring.value(place) in wanted
    )


def _arrivals(wiring: Wiring, places: tuple[Place, ...], side: str) -> tuple[InputSpec, ...]:
    """What the fields say that a size goes to directly."""
    takers = (taker for one in places for taker in wiring.takers(one.node_id))
    specs = (wiring.spec(taker) for taker in takers if taker.input.endswith(side))
    return tuple(spec for spec in specs if spec is not None)


def _shapes(wiring: Wiring, has_size: bool) -> Iterator[Candidate]:
    """Choices such as an aspect ratio, of nodes that give a size or make a latent by one."""
    for node_id in _shaping(wiring):
        for place in wiring.places(node_id):
            name = place.input.rpartition(".")[2].lower()
            if wiring.is_literal(place) and _SHAPE.search(name):
                yield Candidate((place,), name=name, advanced=has_size)
    for place in _scaled(wiring):
        yield Candidate((place,), name="megapixels", advanced=has_size)


def _scaled(wiring: Wiring) -> Mapping[Place, None]:
    """The pixels that a picture is scaled to, where a latent gets that picture's size."""
    pairs = (
        (Place(node_id, width), Place(node_id, height))
        for node_id in wiring.nodes
        for width, height in _FIELDS
    )
    nodes = (one for pair in pairs if _is_size(wiring, *pair) for one in _pictured(wiring, *pair))
    return {
        place: None
        for node_id in nodes
        for place in wiring.places(node_id)
        if place.input.rpartition(".")[2] == "megapixels" and wiring.is_literal(place)
    }


def _shaping(wiring: Wiring) -> Mapping[str, None]:
    found: dict[str, None] = {}
    for node_id in wiring.nodes:
        for pair in _FIELDS:
            fields = Place(node_id, pair[0]), Place(node_id, pair[1])
            link = wiring.link(fields[0])
            if link and _is_size(wiring, *fields) and _has_shape(wiring, link.node_id):
                found[link.node_id] = None
        gives = _makes_latent(wiring, node_id) or _gives_size(wiring, node_id)
        if gives and _has_shape(wiring, node_id):
            found[node_id] = None
    return found


def _has_shape(wiring: Wiring, node_id: str) -> bool:
    specs = ((one, wiring.spec(one)) for one in wiring.places(node_id) if wiring.is_literal(one))
    return any(
        _SHAPE.search(one.input.lower()) and (spec is None or spec.type == COMBO)
        for one, spec in specs
    )


def _makes_latent(wiring: Wiring, node_id: str) -> bool:
    found = wiring.node_class(node_id)
    if found is None or not any(output.type == "LATENT" for output in found.outputs):
        return False
    return not any(wiring.carried(one) == "LATENT" for one in wiring.places(node_id))


def _gives_size(wiring: Wiring, node_id: str) -> bool:
    """Whether a node does nothing but choose a size."""
    found = wiring.node_class(node_id)
    given = [output.type for output in found.outputs] if found else []
    return given == ["INT", "INT"] and all(wiring.is_literal(one) for one in wiring.places(node_id))
