"""How a picture becomes a control image: by ComfyUI's own nodes, and by comfyui_controlnet_aux's.

The inputs of the pack's nodes are all given, although it declares some as optional: several fail
without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from comfy.graph import GraphBuilder, ImageHandle

_RESOLUTION: Final = 1024
"""Pixels of the short side at which the pack's nodes look at a picture."""


@dataclass(frozen=True)
class Preprocessor:
    """A node that makes a control image, with its values."""

    class_type: str
    values: Mapping[str, Any] = MappingProxyType({})


PREPROCESSORS: Final[Mapping[str, Preprocessor]] = MappingProxyType(
    {
        "canny": Preprocessor("Canny", {"low_threshold": 0.3, "high_threshold": 0.7}),
        "depth": Preprocessor(
            "DepthAnythingV2Preprocessor",
            {"ckpt_name": "depth_anything_v2_vitl.pth", "resolution": _RESOLUTION},
        ),
        "pose": Preprocessor(
            "DWPreprocessor",
            {
                "detect_hand": "enable",
                "detect_body": "enable",
                "detect_face": "enable",
                "resolution": _RESOLUTION,
                "bbox_detector": "yolox_l.onnx",
                "pose_estimator": "dw-ll_ucoco_384_bs5.torchscript.pt",
                "scale_stick_for_xinsr_cn": "disable",
            },
        ),
        "lineart": Preprocessor(
            "LineArtPreprocessor", {"coarse": "disable", "resolution": _RESOLUTION}
        ),
        "scribble": Preprocessor(
            "Scribble_PiDiNet_Preprocessor", {"safe": "enable", "resolution": _RESOLUTION}
        ),
        "soft_edge": Preprocessor(
            "PiDiNetPreprocessor", {"safe": "enable", "resolution": _RESOLUTION}
        ),
        "normal": Preprocessor("BAE-NormalMapPreprocessor", {"resolution": _RESOLUTION}),
        "segmentation": Preprocessor(
            "OneFormer-ADE20K-SemSegPreprocessor", {"resolution": _RESOLUTION}
        ),
    }
)
"""By what a request calls them. All but Canny are of the pack comfyui_controlnet_aux
(Fannovel16/comfyui_controlnet_aux, node_wrappers/)."""


def preprocessed(graph: GraphBuilder, image: ImageHandle, name: str) -> ImageHandle:
    """Returns the control image of a picture; the picture itself for "none"."""
    found = PREPROCESSORS.get(name)
    if found is None:
        return image
    return graph.one(ImageHandle, found.class_type, image=image, **found.values)
