"""A typed builder for ComfyUI workflows: wiring is ordinary Python, mistakes are type errors.

>>> graph = GraphBuilder()
>>> model, clip, vae = graph.checkpoint_loader("sd15.safetensors")
>>> text = graph.clip_text_encode(clip, "a red fox")

Handing ``clip`` where a model is wanted does not pass mypy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any, Final, TypeVar

from core.workflows.limits import SIZE_MAX

STEP_WEIGHT: Final = 4
"""Weight of one sampler step in a graph's progress; any other node weighs 1."""
_MAYBE_ANIMATED: Final = "artefact:"
"""How references to what Easel made begin; what is uploaded is one picture always."""


@dataclass(frozen=True)
class Handle:
    """One output slot of one node, to be passed to another node's input."""

    node_id: str
    slot: int


class ModelHandle(Handle):
    """A diffusion model (``MODEL``)."""


class ClipHandle(Handle):
    """A text encoder (``CLIP``)."""


class VaeHandle(Handle):
    """An image encoder and decoder (``VAE``)."""


class ConditioningHandle(Handle):
    """An encoded text (``CONDITIONING``)."""


class LatentHandle(Handle):
    """A picture in the model's latent space (``LATENT``)."""


class ImageHandle(Handle):
    """A batch of pictures (``IMAGE``)."""


class MaskHandle(Handle):
    """A mask (``MASK``); white, 1, is what is to be changed."""


_H = TypeVar("_H", bound=Handle)


Input = str | int | float | bool | Handle


@dataclass(frozen=True)
class Node:
    """One node: its class and its inputs, where a ``Handle`` or a list ``[id, slot]`` is a link.

    ``title`` is what its author calls it; ComfyUI's replacing of old nodes reads it.
    """

    class_type: str
    inputs: Mapping[str, Any]
    title: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The node in API format; a link is ``[node_id, slot]``."""
        inputs = {
            name: [value.node_id, value.slot] if isinstance(value, Handle) else value
            for name, value in self.inputs.items()
        }
        node: dict[str, Any] = {"class_type": self.class_type, "inputs": inputs}
        return node if self.title is None else {**node, "_meta": {"title": self.title}}

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> Node:
        """The reverse of ``to_json``; links stay lists."""
        title = (node.get("_meta") or {}).get("title")
        return cls(node["class_type"], MappingProxyType(dict(node["inputs"])), title)

    @property
    def weight(self) -> int:
        """The node's share of the work: sampler steps dominate, as they do on a GPU."""
        steps = self.inputs.get("steps")
        return steps * STEP_WEIGHT if isinstance(steps, int) and steps > 0 else 1


@dataclass(frozen=True)
class Saver:
    """The only node of a graph that saves: what its files' names end with, and their number."""

    node: str
    endings: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Graph:
    """A finished graph, as ComfyUI takes it (API format). It never changes.

    ``expected_outputs`` is how many files its output nodes save in total, None where that is not
    known; ``pixels`` is the size of each picture. ``paid`` names those of its node classes that
    call paid services. ``saver`` is the node that saves, where it is certain what it saves.
    ``files`` are the places (node, input) that take files: references stand there, and only there.
    """

    nodes: Mapping[str, Node]
    expected_outputs: int | None = 1
    pixels: int = SIZE_MAX * SIZE_MAX
    paid: tuple[str, ...] = ()
    saver: Saver | None = None
    files: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def from_json(
        cls,
        graph: Mapping[str, Mapping[str, Any]],
        saver: Saver | None = None,
        files: Iterable[tuple[str, str]] = (),
    ) -> Graph:
        """Returns a graph in API format, such as an imported workflow's."""
        nodes = {node_id: Node.from_json(node) for node_id, node in graph.items()}
        return cls(
            MappingProxyType(nodes), expected_outputs=None, saver=saver, files=frozenset(files)
        )

    def to_json(self) -> dict[str, Any]:
        """The graph as the ``prompt`` key of ``POST /prompt`` wants it; a fresh copy each time."""
        return {node_id: node.to_json() for node_id, node in self.nodes.items()}

    def class_of(self, node_id: str) -> str | None:
        """The ``class_type`` of a node, or None for a node the graph does not have.

        ComfyUI speaks of such nodes when a node expands into a subgraph.
        """
        node = self.nodes.get(node_id)
        return node.class_type if node else None

    @property
    def node_count(self) -> int:
        """How many nodes the graph has."""
        return len(self.nodes)

    @property
    def total_weight(self) -> int:
        """The sum of all nodes' weights: 100 percent."""
        return sum(node.weight for node in self.nodes.values())


class GraphBuilder:
    """A graph being built. Node ids are "1", "2", … in the order of adding.

    ``saver``: the id of the node that ``save_image`` adds; no other node gets it. None: the next.
    """

    def __init__(self, saver: str | None = None) -> None:
        self._nodes: dict[str, Node] = {}
        self._saver = saver
        self._ids = (str(number) for number in count(1) if str(number) != saver)
        self._shared: dict[tuple[str, tuple[tuple[str, Input], ...]], str] = {}
        self._files: set[tuple[str, str]] = set()

    def add(self, class_type: str, *, outputs: int = 1, **inputs: Input) -> tuple[Handle, ...]:
        """Add a node and get a handle for each of its outputs."""
        node_id = self._add(class_type, **inputs)
        return tuple(Handle(node_id, slot) for slot in range(outputs))

    def one(self, kind: type[_H], class_type: str, **inputs: Input) -> _H:
        """Add a node and get the handle of its first output."""
        return kind(self._add(class_type, **inputs), 0)

    def shared(self, kind: type[_H], class_type: str, **inputs: Input) -> _H:
        """As ``one``; where that was asked for before with the same inputs, it is the same node."""
        key = (class_type, tuple(sorted(inputs.items())))
        if key not in self._shared:
            self._shared[key] = self._add(class_type, **inputs)
        return kind(self._shared[key], 0)

    def build(
        self, *, expected_outputs: int | None = 1, pixels: int = SIZE_MAX * SIZE_MAX
    ) -> Graph:
        """The finished graph."""
        return Graph(
            MappingProxyType(dict(self._nodes)),
            expected_outputs,
            pixels,
            files=frozenset(self._files),
        )

    def load_image(self, reference: str) -> ImageHandle:
        """``LoadImage``: the picture of a file that the request refers to.

        Of an animation it is the first one, as of one that is uploaded: ``LoadImage`` gives all.
        """
        image = self._of_file(self.shared(ImageHandle, "LoadImage", image=reference))
        if not reference.startswith(_MAYBE_ANIMATED):
            return image
        return self.shared(ImageHandle, "ImageFromBatch", image=image, batch_index=0, length=1)

    def load_mask(self, reference: str) -> MaskHandle:
        """``LoadImageMask``: such a file as a mask; white is 1."""
        return self._of_file(
            self.shared(MaskHandle, "LoadImageMask", image=reference, channel="red")
        )

    def _of_file(self, handle: _H) -> _H:
        self._files.add((handle.node_id, "image"))
        return handle

    def checkpoint_loader(self, name: str) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
        """``CheckpointLoaderSimple``: a checkpoint file's model, text encoder and VAE."""
        node_id = self._add("CheckpointLoaderSimple", ckpt_name=name)
        return ModelHandle(node_id, 0), ClipHandle(node_id, 1), VaeHandle(node_id, 2)

    def clip_text_encode(self, clip: ClipHandle, text: str) -> ConditioningHandle:
        """``CLIPTextEncode``: a text encoded for the model."""
        return ConditioningHandle(self._add("CLIPTextEncode", text=text, clip=clip), 0)

    def empty_latent(self, width: int, height: int, batch_size: int = 1) -> LatentHandle:
        """``EmptyLatentImage``: an empty latent, sized in pixels of the picture."""
        node_id = self._add("EmptyLatentImage", width=width, height=height, batch_size=batch_size)
        return LatentHandle(node_id, 0)

    def empty_image(
        self, width: int, height: int, batch_size: int = 1, color: int = 0
    ) -> ImageHandle:
        """``EmptyImage``: pictures of one colour (0xRRGGBB); needs no model."""
        node_id = self._add(
            "EmptyImage", width=width, height=height, batch_size=batch_size, color=color
        )
        return ImageHandle(node_id, 0)

    def ksampler(
        self,
        model: ModelHandle,
        positive: ConditioningHandle,
        negative: ConditioningHandle,
        latent: LatentHandle,
        *,
        seed: int,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        denoise: float = 1.0,
    ) -> LatentHandle:
        """``KSampler``: the sampling itself, step by step."""
        node_id = self._add(
            "KSampler",
            model=model,
            positive=positive,
            negative=negative,
            latent_image=latent,
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name=sampler,
            scheduler=scheduler,
            denoise=denoise,
        )
        return LatentHandle(node_id, 0)

    def vae_decode(self, latent: LatentHandle, vae: VaeHandle) -> ImageHandle:
        """``VAEDecode``: from latent space to pixels."""
        return ImageHandle(self._add("VAEDecode", samples=latent, vae=vae), 0)

    def save_image(self, images: ImageHandle, filename_prefix: str) -> None:
        """``SaveImage``: write the pictures as ``{filename_prefix}_00001_.png`` and so on."""
        node = Node("SaveImage", _frozen({"images": images, "filename_prefix": filename_prefix}))
        self._nodes[self._saver or next(self._ids)] = node

    def _add(self, class_type: str, **inputs: Input) -> str:
        node_id = next(self._ids)
        self._nodes[node_id] = Node(class_type, _frozen(inputs))
        return node_id


def _frozen(inputs: Mapping[str, Input]) -> Mapping[str, Input]:
    return MappingProxyType(dict(inputs))
