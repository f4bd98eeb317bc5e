"""What is known when a request is resolved: of the ComfyUIs, of their models, of its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from comfy.catalogue import Catalogue
from comfy.families.models import Models
from comfy.workflows.layout import Box, Size
from comfy.workflows.readiness import Judge
from core.batches.lists import Lists


@dataclass(frozen=True)
class Mask:
    """A mask as graphs take it: white is what is to be changed, any grey a part of it.

    ``reference`` is that of the file; ``box`` has everything that is not black, None if all is.
    """

    reference: str
    size: Size
    box: Box | None


class Pictures(Protocol):
    """Looks at the files that a request refers to; may wait for a disk, so call it in a thread."""

    def size(self, reference: str) -> Size | None:
        """Returns a picture's size in pixels, None for a file that is not there."""
        ...

    def mask(self, reference: str, *, invert: bool) -> Mask | None:
        """Returns a mask with white for what is to be changed, None for a file that is not there.

        Of a picture with transparency, what is transparent is to be changed. ``invert``: the
        client's means the opposite.
        """
        ...


class NoPictures:
    """Knows no files: for requests without any, and for dry runs."""

    def size(self, reference: str) -> Size | None:  # noqa: ARG002
        """Returns None."""
        return None

    def mask(self, reference: str, *, invert: bool) -> Mask | None:  # noqa: ARG002
        """Returns None."""
        return None


@dataclass(frozen=True)
class Known:
    """Everything that ``resolve`` goes by besides the request and its workflow.

    ``catalogue`` is None while no ComfyUI was reached: names are not checked then, ComfyUI
    validates them. ``judge`` knows the node classes. ``default_model``: that of requests which
    name none, None for the first that the ComfyUI has. ``lists`` are those that prompts are drawn
    from; they remember what was read, so one thread at a time has them.
    """

    catalogue: Catalogue | None = None
    judge: Judge | None = None
    models: Models = field(default_factory=Models)
    pictures: Pictures = field(default_factory=NoPictures)
    default_model: str | None = None
    lists: Lists = field(default_factory=lambda: Lists.of({}))
