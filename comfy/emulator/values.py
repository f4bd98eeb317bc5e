"""What flows between nodes. No model anywhere: latents are pictures already."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .catalogue import NodeClass
from .faults import OUT_OF_MEMORY
from .folders import Folders
from .pacing import Pacing
from .sampling import Sampling

Inputs = dict[str, Any]
Picture = Image.Image
Pictures = list[Image.Image]
"""IMAGE: a batch of RGB or RGBA pictures; MASK: of grey ones, where white is masked. The frames of
a video are one batch in which few pictures come again and again."""
MOST_PIXELS = 100_000_000
"""Per batch. More is out of memory, as it would be on a graphics card."""
MOST_FRAMES = 20_000
RATE = 44_100
"""Samples a second of every sound."""


@dataclass(frozen=True)
class Model:
    """A loaded file with what was done to it; stands for MODEL, CLIP, VAE and the like."""

    checkpoint: str
    marks: tuple[str, ...] = ()
    """LoRAs, and nodes that changed it."""

    def marked(self, mark: str) -> "Model":
        """This one, changed by one thing more."""
        return Model(self.checkpoint, (*self.marks, mark))


@dataclass(frozen=True)
class Thing:
    """Any other value. `key` says what it depends on beyond its other fields."""

    kind: str
    key: str = ""
    text: str = ""
    """The prompt behind it."""
    negative: str = ""
    model: Model | None = None
    steps: int = 0
    """How many steps these sigmas are."""
    share: float = 1.0
    """How much of the whole way down they are."""


@dataclass(frozen=True)
class Latent:
    """A batch of latents: an empty canvas, or pictures. Sizes are in pixels, `length` in frames,
    `seconds` is how long its sound is, if it has one."""

    width: int
    height: int
    batch_size: int
    pictures: tuple[Picture, ...] = ()
    length: int = 1
    seconds: float | None = None
    mask: Picture | None = None
    """Where sampling changes it: where this is white."""
    model: str = ""
    """The file that it was sampled with."""
    key: str = ""


@dataclass(frozen=True)
class Sound:
    """AUDIO: a melody made of its key."""

    key: str
    seconds: float


@dataclass(frozen=True)
class Clip:
    """VIDEO: frames and maybe sound."""

    pictures: Pictures
    fps: float
    sound: Sound | None = None


@dataclass(frozen=True)
class Run:
    """What a node may reach while it runs."""

    prompt_id: str
    graph: dict[str, Any]
    extra_pnginfo: dict[str, Any] | None
    folders: Folders
    temp_prefix: str
    sampling: Sampling
    pacing: Pacing
    assets: bool
    """Whether each file is an asset, and has an id."""
    progress: Callable[[int, int, bytes | None, int], None]
    """(value, max, picture or None, image type) -> to the client."""
    node_class: NodeClass
    key: str
    """A hash of the class, its inputs and all that they depend on."""


@dataclass(frozen=True)
class Result:
    """Values for the output slots, and what the node shows (its history outputs)."""

    values: tuple[Any, ...] = ()
    shown: dict[str, Any] | None = None


class OutOfMemoryError(Exception):
    """Clients see it as torch.OutOfMemoryError, by its module's name."""

    __module__ = "torch"


def check_memory(width: int, height: int, batch_size: int, length: int = 1) -> None:
    """Raise OutOfMemoryError for more than a graphics card would take."""
    pixels = width * height * batch_size
    if pixels > MOST_PIXELS or batch_size * length > MOST_FRAMES:
        raise OutOfMemoryError(OUT_OF_MEMORY)


def each(pictures: Iterable[Picture], change: Callable[[Picture], Picture]) -> Pictures:
    """The changed pictures; one that comes again is changed once."""
    done: dict[int, Picture] = {}
    changed = []
    for picture in pictures:
        if id(picture) not in done:
            done[id(picture)] = change(picture)
        changed.append(done[id(picture)])
    return changed
