"""Finished files by their names, after ComfyUI lost its history.

Every save node of a prompt writes under the prompt's own prefix, where ComfyUI counts from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from comfy.client import ComfyClient
from comfy.graph import Graph, Saver
from comfy.messages import OUTPUTS_MAX, OutputFile
from comfy.outputs import is_whole
from core.artefacts import ArtefactKind, extensions_of
from core.ids import OUTPUT_SUBFOLDER, output_filename

PICTURE_ENDINGS: Final = ("_.png",)
"""What the names end with that SaveImage gives."""
_ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "SaveImage": PICTURE_ENDINGS,
    "SaveAnimatedPNG": PICTURE_ENDINGS,
    "SaveAnimatedWEBP": ("_.webp",),
    "SaveImageAdvanced": ("_.png", ".png", "_.webp", ".webp", "_.jpg", ".jpg", "_.exr", ".exr"),
    "SaveVideo": ("_.mp4", "_.webm", "_.mkv", "_.mov"),
    "SaveWEBM": ("_.webm",),
    "SaveSVGNode": ("_.svg",),
    "SaveAudio": (".flac", "_.flac"),
    "SaveAudioMP3": (".mp3", "_.mp3"),
    "SaveAudioOpus": (".opus", "_.opus"),
    "SaveGLB": ("_.glb", ".glb"),
    "SaveLatent": ("_.latent",),
}
"""By the class of the node; some versions write an underscore after the number, some do not."""


async def find_by_name(
    client: ComfyClient, prompt_id: str, graph: Graph
) -> tuple[OutputFile, ...] | None:
    """Returns the prompt's finished files, if all of them exist and are complete.

    Where the graph says how many there are, the last is looked at first: while it is missing (the
    usual case), one small request is enough. Where it says which nodes save how many at least,
    whatever has the next numbers belongs to them too. Where it says neither, nothing shows that
    none is missing: None. Raises TransientComfyError.
    """
    if graph.expected_outputs is not None:
        return await _counted(client, prompt_id, graph, graph.expected_outputs)
    if not graph.savers:
        return None
    found = await _all(client, prompt_id, graph)
    if len(found) < sum(one.least for one in graph.savers):
        return None
    if not all(_has_saved(one, found) for one in graph.savers):
        return None
    if len(graph.savers) > 1:
        return tuple(found)
    return tuple(replace(file, node=graph.savers[0].node) for file in found)


def named(prompt_id: str, number: int, ending: str = PICTURE_ENDINGS[0]) -> OutputFile:
    """Returns the ``number``-th (from 1) file that a prompt's save nodes write."""
    return OutputFile(output_filename(prompt_id, number, ending), OUTPUT_SUBFOLDER, "output")


def endings_of(saver: Saver) -> tuple[str, ...]:
    """Returns what the names of a node's files may end with, the likely ones first.

    A node that is not known writes any type of its kind, and names of both forms: with an
    underscore after the number, and without. Companions of another kind (the still beside a video)
    are not what it is for.
    """
    return _ENDINGS.get(saver.class_type) or _endings_of_kind(saver.kind)


def _endings_of_kind(kind: ArtefactKind) -> tuple[str, ...]:
    return tuple(f"{mark}.{each}" for each in extensions_of(kind) for mark in ("_", ""))


async def _counted(
    client: ComfyClient, prompt_id: str, graph: Graph, count: int
) -> tuple[OutputFile, ...] | None:
    found: list[OutputFile] = []
    for number in range(count, 0, -1):
        file = named(prompt_id, number)
        if not await is_whole(client, file, graph.pixels):
            return None
        found.append(file)
    return tuple(reversed(found)) or None


async def _all(client: ComfyClient, prompt_id: str, graph: Graph) -> list[OutputFile]:
    """Returns the files of all numbers up to the first that has none.

    One node writes one file for each number. Names without an underscore do not count where
    ComfyUI takes the next number, so that several nodes may have files of the same one.
    """
    endings = tuple(dict.fromkeys(each for one in graph.savers for each in endings_of(one)))
    found: list[OutputFile] = []
    for number in range(1, OUTPUTS_MAX + 1):
        before = len(found)
        for ending in endings:
            file = named(prompt_id, number, ending)
            if await is_whole(client, file, graph.pixels):
                found.append(file)
                if len(graph.savers) == 1:
                    break
        if len(found) == before:
            break
    return found


def _has_saved(saver: Saver, files: Sequence[OutputFile]) -> bool:
    return sum(file.filename.endswith(endings_of(saver)) for file in files) >= saver.least
