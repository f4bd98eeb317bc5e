"""What an artefact is, in a few words."""

from __future__ import annotations

from store.values import Artefact


def caption(artefact: Artefact) -> str:
    """Returns what it is, in a few words: "video, 832×480, 5.1 s, seed 7"."""
    said: list[str] = [] if artefact.kind == "image" else [artefact.kind]
    if artefact.width is not None:
        said.append(f"{artefact.width}×{artefact.height}")
    if artefact.duration_s is not None:
        said.append(f"{artefact.duration_s:.1f} s")
    if artefact.seed is not None:
        said.append(f"seed {artefact.seed}")
    return ", ".join(said) or artefact.kind
