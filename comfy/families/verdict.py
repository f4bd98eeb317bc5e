"""What a file's header says that the file is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from comfy.families.models import Trait

Kind = Literal[
    "model", "lora", "controlnet", "model_patch", "text_encoder", "vae", "clip_vision",
    "style_model", "embedding", "upscaler", "unknown",
]  # fmt: skip
"""What a file is used as; the first is a diffusion model, alone or in a checkpoint."""


@dataclass(frozen=True)
class Verdict:
    """``family`` is a row's name for a model, and a base for a LoRA, ControlNet or patch.

    None where it is unknown, or known as one that Easel builds no graphs for: ``detail`` says
    which, and by what. ``others`` are the bases that fit what the header says as well.
    """

    kind: Kind
    family: str | None
    detail: str
    traits: frozenset[Trait] = frozenset()
    others: frozenset[str] = frozenset()


def known(
    kind: Kind, family: str, by: str, *traits: Trait, others: frozenset[str] = frozenset()
) -> Verdict:
    """Returns the verdict for one of Easel's families, known by the tensor ``by``."""
    return Verdict(kind, family, f"{by} in the file's header", frozenset(traits), others)


def foreign(kind: Kind, title: str, by: str) -> Verdict:
    """Returns the verdict for something that has a name, but is none of Easel's families."""
    return Verdict(kind, None, f"{title}, by {by} in the file's header")
