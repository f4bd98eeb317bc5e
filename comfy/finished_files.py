"""Finished files by their names, after ComfyUI lost its history.

Every save node of a prompt writes under the prompt's own prefix, where ComfyUI counts from 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from comfy.client import ComfyClient
from comfy.graph import Graph
from comfy.messages import OutputFile
from comfy.outputs import is_whole
from core.ids import OUTPUT_SUBFOLDER, output_filename

PICTURE_ENDINGS: Final = ("_.png",)
"""What the names end with that SaveImage gives."""


async def find_by_name(
    client: ComfyClient, prompt_id: str, graph: Graph
) -> tuple[OutputFile, ...] | None:
    """Returns the prompt's finished files, if it is certain that these are all, and each is whole.

    The last is looked at first: while it is missing (the usual case), one small request is enough.
    A file more than the graph saves shows that it was executed twice, and the first of them may
    have been left by the one that was broken off. Raises TransientComfyError.
    """
    if graph.expected_outputs is not None:
        return await _counted(client, prompt_id, graph, graph.expected_outputs, PICTURE_ENDINGS)
    if (saver := graph.saver) is None:
        return None
    found = await _counted(client, prompt_id, graph, saver.count, saver.endings)
    return found and tuple(replace(file, node=saver.node) for file in found)


def named(prompt_id: str, number: int, ending: str = PICTURE_ENDINGS[0]) -> OutputFile:
    """Returns the ``number``-th (from 1) file that a prompt's save nodes write."""
    return OutputFile(output_filename(prompt_id, number, ending), OUTPUT_SUBFOLDER, "output")


async def _counted(
    client: ComfyClient, prompt_id: str, graph: Graph, count: int, endings: tuple[str, ...]
) -> tuple[OutputFile, ...] | None:
    found: list[OutputFile] = []
    for number in range(count, 0, -1):
        file = await _whole(client, prompt_id, graph, number, endings)
        if file is None:
            return None
        found.append(file)
    if await _whole(client, prompt_id, graph, count + 1, endings) is not None:
        return None
    return tuple(reversed(found)) or None


async def _whole(
    client: ComfyClient, prompt_id: str, graph: Graph, number: int, endings: tuple[str, ...]
) -> OutputFile | None:
    for ending in endings:
        file = named(prompt_id, number, ending)
        if await is_whole(client, file, graph.pixels):
            return file
    return None
