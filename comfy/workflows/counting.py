"""What a graph of an imported workflow saves, where its number of files is certain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from comfy.graph import Saver

PREFIX: Final = "filename_prefix"
_BATCH: Final = "batch_size"
_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "SaveImage": ("_.png",),
    "SaveImageAdvanced": ("_.png", ".png", "_.webp", ".webp", "_.jpg", ".jpg"),
    "SaveText": (".txt", "_.txt", ".md", ".json"),
}
"""What the names end with that these nodes give: images, which decode only if they are whole, and
texts, which are written at once. Some versions write an underscore after the number, some do not.
A video or a sound is written for seconds, and its beginning does not show whether it was finished.
"""
_COUNTED: Final = frozenset(
    {
        "BasicGuider",
        "BasicScheduler",
        "CFGGuider",
        "CLIPLoader",
        "CLIPSetLastLayer",
        "CLIPTextEncode",
        "CLIPTextEncodeFlux",
        "CLIPTextEncodeSD3",
        "CLIPTextEncodeSDXL",
        "CLIPTextEncodeSDXLRefiner",
        "CheckpointLoaderSimple",
        "ConditioningCombine",
        "ConditioningConcat",
        "ConditioningSetTimestepRange",
        "ConditioningZeroOut",
        "DualCLIPLoader",
        "EmptyImage",
        "EmptyLatentImage",
        "EmptySD3LatentImage",
        "FluxGuidance",
        "ImageInvert",
        "ImageScale",
        "ImageScaleBy",
        "ImageScaleToTotalPixels",
        "ImageUpscaleWithModel",
        "KSampler",
        "KSamplerAdvanced",
        "KSamplerSelect",
        "KarrasScheduler",
        "LatentUpscale",
        "LatentUpscaleBy",
        "LoraLoader",
        "LoraLoaderModelOnly",
        "ModelSamplingAuraFlow",
        "ModelSamplingFlux",
        "ModelSamplingSD3",
        "QuadrupleCLIPLoader",
        "RandomNoise",
        "SamplerCustom",
        "SamplerCustomAdvanced",
        "TripleCLIPLoader",
        "UNETLoader",
        "UpscaleModelLoader",
        "VAEDecode",
        "VAEDecodeTiled",
        "VAEEncode",
        "VAELoader",
    }
)
"""Classes of ComfyUI itself that give as many images as they are given, or as ``batch_size`` says.
A node that is not among them may multiply images, or be carried out once for each entry of a list.
"""


def saver_of(graph: Mapping[str, Any]) -> Saver | None:
    """Returns the only node of a graph (API format) that saves, with the number of its files.

    None where the number is not certain: then a part of the files could be taken for all of them.
    """
    saving = [name for name, node in graph.items() if PREFIX in node.get("inputs", {})]
    if len(saving) != 1:
        return None
    classes = {name: node.get("class_type", "") for name, node in graph.items()}
    endings = _ENDINGS.get(classes.pop(saving[0]))
    if endings is None or not _COUNTED.issuperset(classes.values()):
        return None
    sizes = [node["inputs"][_BATCH] for node in graph.values() if _BATCH in node.get("inputs", {})]
    if not all(isinstance(one, int) and one > 0 for one in sizes) or len(sizes) > 1:
        return None
    return Saver(saving[0], endings, sizes[0] if sizes else 1)
