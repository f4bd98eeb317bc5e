"""Outputs: what the nodes at the end of a graph give, one of them primary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from comfy.importing.imported import OutputNode
from comfy.importing.marks import Place
from comfy.importing.proposal.naming import Names
from comfy.importing.proposal.wiring import Wiring
from core.artefacts import ArtefactKind
from core.workflows.declaration import Output

_KINDS: Final[tuple[tuple[str, ArtefactKind], ...]] = (
    (r"AnimatedWEBP|AnimatedPNG|SaveGIF|AnimateDiffCombine", "animation"),
    (r"Video|WEBM|Movie", "video"),
    (r"Audio|Music|Sound|Speech", "audio"),
    (r"GLB|3D|Mesh|Splat|PointCloud|Model$", "model3d"),
    (r"SVG", "image"),
    (r"Latent", "file"),
    (r"Text|PreviewAny|String|Json|Display", "text"),
    (r"Image|Mask|Picture|Compar|Canvas|Krita|ETN_", "image"),
)
_TYPES: Final[dict[str, ArtefactKind]] = {
    "IMAGE": "image",
    "MASK": "image",
    "VIDEO": "video",
    "VHS_FILENAMES": "video",
    "AUDIO": "audio",
    "MESH": "model3d",
    "TRIMESH": "model3d",
    "SVG": "image",
    "STRING": "text",
    "LATENT": "file",
}
_NOTHING: Final = re.compile(
    r"(Checkpoint|CLIP|VAE|Model|LoRA|Lora)Save$|^(Save|LoraSave|Train)(LoRA|TrainingDataset)"
    r"|^LoraSave$|LossGraph|ModelSave|CheckpointSave|ImageOnlyCheckpointSave|PurgeVRAM|FreeMemory"
    r"|EmptyCache|PlaySound|Notif|Unload"
)
_VIEWS: Final = re.compile(r"preview|show|display|compar|view|^Text ?To ?Console", re.IGNORECASE)
_COMPARES: Final = re.compile(r"compar", re.IGNORECASE)
_STITCHES: Final = re.compile(r"stitch", re.IGNORECASE)
_SEED: Final = re.compile(r"seed$")
_MARK: Final = re.compile(r"^\s*\[output\]\s*(.+)$", re.IGNORECASE)
_ORDER: Final[tuple[ArtefactKind, ...]] = (
    "video", "model3d", "audio", "animation", "image", "text", "file",
)  # fmt: skip


def outputs(wiring: Wiring) -> tuple[Output, ...]:
    """What the graph gives. Viewers are optional, unless nothing is saved."""
    found = [output for node in wiring.imported.outputs if (output := _output(wiring, node))]
    found = [one for one in found if _takes(wiring, one)] or found
    if found and all(one.optional for one in found):
        sure = _shown(wiring, found)
        found = [one.model_copy(update={"optional": one.node not in sure}) for one in found]
    first = _primary(wiring, found)
    names = Names()
    ordered = sorted(found, key=lambda one: (one.node != first, one.optional))
    return tuple(
        one.model_copy(
            update={"name": names.take(one.name, one.kind), "primary": one.node == first}
        )
        for one in ordered
    )


def _output(wiring: Wiring, node: OutputNode) -> Output | None:
    class_type = node.class_type
    if node.node_id not in wiring.nodes or _NOTHING.search(class_type):
        return None
    kind = kind_of_node(wiring, node.node_id)
    views = bool(_VIEWS.search(class_type)) or wiring.value(Place(node.node_id, "save_output")) is (
        False
    )
    if class_type == "PreviewAny" and wiring.takers(node.node_id):
        return None
    name = _name(wiring, node.node_id) or kind.replace("model3d", "model")
    return Output(node=node.node_id, kind=kind, name=name, optional=views)


def _takes(wiring: Wiring, output: Output) -> bool:
    """Whether there is something to save: a node of no known kind that takes nothing only makes."""
    is_linked = any(wiring.link(place) for place in wiring.places(output.node))
    return is_linked or output.kind != "file"


def _shown(wiring: Wiring, viewers: Sequence[Output]) -> frozenset[str]:
    """The viewers that stand for the result where nothing is saved: what has a seed made it.

    A control picture or a mask on its way there is none, nor is a comparison of the result with
    another picture, unless that is all there is.
    """
    nodes = [one.node for one in viewers]
    made = [node for node in nodes if _is_made(wiring, node)] or nodes
    alone = [node for node in made if not _COMPARES.search(wiring.class_type(node))]
    return frozenset(alone or made)


def _is_made(wiring: Wiring, node_id: str) -> bool:
    return any(
        _SEED.search(place.input.lower())
        for above in wiring.above(node_id)
        for place in wiring.places(above)
    )


def kind_of_node(wiring: Wiring, node_id: str) -> ArtefactKind:
    """The kind of artefact that a node saves: by its class, else by what it takes."""
    class_type = wiring.class_type(node_id)
    told = str(wiring.value(Place(node_id, "format")) or "")
    if "VideoCombine" in class_type:
        return "animation" if told.startswith("image/") else "video"
    by_class = next((kind for words, kind in _KINDS if re.search(words, class_type)), None)
    if by_class is not None and by_class != "text":
        return by_class
    taken = (wiring.carried(one) for one in wiring.places(node_id) if wiring.link(one))
    by_type = next((_TYPES[one] for one in taken if one in _TYPES), None)
    return by_class or by_type or "file"


def _name(wiring: Wiring, node_id: str) -> str:
    title = wiring.title(node_id)
    marked = _MARK.match(title)
    named = wiring.value(Place(node_id, "output_id"))
    if isinstance(named, str) and named.strip():
        return named
    if marked:
        return marked[1]
    if wiring.class_type(node_id).startswith("CPackOutput"):
        return title
    is_plain = re.match(r"\[|(save|preview) ?(image|video|audio)?\b", title.lower())
    return "" if is_plain else title


def _primary(wiring: Wiring, found: Sequence[Output]) -> str:
    """The node of the primary output: shown in App mode, saved, of the richest kind, deepest.

    A result that is stitched beside what it was made from comes after the result itself.
    """
    app = wiring.imported.marks.app
    shown = app.outputs if app else ()
    ranked = sorted(
        found,
        key=lambda one: (
            one.node not in shown,
            one.optional,
            _ORDER.index(one.kind),
            _is_stitched(wiring, one.node),
            -wiring.heights.get(one.node, 0),
        ),
    )
    return ranked[0].node if ranked else ""


def _is_stitched(wiring: Wiring, node_id: str) -> bool:
    """Whether a picture that the graph makes is put beside a given one on the way to a node."""
    for stitching in wiring.above(node_id):
        if _STITCHES.search(wiring.class_type(stitching)):
            made = {_is_painted(wiring, one) for one in _pictures(wiring, stitching)}
            if made == {True, False}:
                return True
    return False


def _is_painted(wiring: Wiring, node_id: str) -> bool:
    """Whether a latent or a seed is among what a picture is made of, not only of its size."""
    seen: dict[str, None] = {node_id: None}
    waiting = [node_id]
    while waiting:
        node = waiting.pop()
        for place in wiring.places(node):
            if _SEED.search(place.input.lower()) or wiring.carried(place) == "LATENT":
                return True
        above = [one for one in _pictures(wiring, node) if one not in seen]
        seen.update(dict.fromkeys(above))
        waiting.extend(above)
    return False


def _pictures(wiring: Wiring, node_id: str) -> list[str]:
    """The nodes whose pictures a node takes."""
    links = (wiring.link(one) for one in wiring.places(node_id) if _is_picture(wiring, one))
    return [link.node_id for link in links if link]


def _is_picture(wiring: Wiring, place: Place) -> bool:
    """Whether a picture comes in at a field, or what may be one: a missing class does not say."""
    return wiring.carried(place) in ("IMAGE", "VIDEO", "")
