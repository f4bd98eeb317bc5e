"""How a picture becomes a control image: by ComfyUI's own nodes, and by comfyui_controlnet_aux's.

The inputs of the pack's nodes are all given, although it declares some as optional: several fail
without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from comfy.graph import GraphBuilder, ImageHandle, MaskHandle
from comfy.workflows.layout import Size

_STEP: Final = 64
_SMALLEST: Final = 512
"""The short side at which the pack's nodes look at a picture is a multiple of 64, 512 at least."""


@dataclass(frozen=True)
class Preprocessor:
    """A node that makes a control image, with its values.

    ``has_resolution``: it takes the short side at which it looks at the picture.
    """

    class_type: str
    values: tuple[tuple[str, str | float], ...] = ()
    has_resolution: bool = True


PREPROCESSORS: Final[Mapping[str, Preprocessor]] = MappingProxyType(
    {
        "canny": Preprocessor(
            "Canny", (("low_threshold", 0.3), ("high_threshold", 0.7)), has_resolution=False
        ),
        "depth": Preprocessor(
            "DepthAnythingV2Preprocessor", (("ckpt_name", "depth_anything_v2_vitl.pth"),)
        ),
        "pose": Preprocessor(
            "DWPreprocessor",
            (
                ("detect_hand", "enable"),
                ("detect_body", "enable"),
                ("detect_face", "enable"),
                ("bbox_detector", "yolox_l.onnx"),
                ("pose_estimator", "dw-ll_ucoco_384_bs5.torchscript.pt"),
                ("scale_stick_for_xinsr_cn", "disable"),
            ),
        ),
        "lineart": Preprocessor("LineArtPreprocessor", (("coarse", "disable"),)),
        "scribble": Preprocessor("Scribble_PiDiNet_Preprocessor", (("safe", "enable"),)),
        "soft_edge": Preprocessor("PiDiNetPreprocessor", (("safe", "enable"),)),
        "normal": Preprocessor("BAE-NormalMapPreprocessor"),
        "segmentation": Preprocessor("OneFormer-ADE20K-SemSegPreprocessor"),
    }
)
"""By what a request calls them. All but Canny are of the pack comfyui_controlnet_aux
(Fannovel16/comfyui_controlnet_aux, node_wrappers/)."""


def preprocessed(graph: GraphBuilder, image: ImageHandle, name: str, size: Size) -> ImageHandle:
    """Returns the control image of a picture for a graph that samples at ``size``.

    The picture itself for "none".
    """
    found = PREPROCESSORS.get(name)
    if found is None:
        return image
    values: dict[str, Any] = dict(found.values)
    if found.has_resolution:
        values["resolution"] = max(_SMALLEST, _STEP * round(min(size) / _STEP))
    return graph.shared(ImageHandle, found.class_type, image=image, **values)


def with_hole(
    graph: GraphBuilder, image: ImageHandle, mask: MaskHandle, *, is_black: bool
) -> ImageHandle:
    """Returns the control image of a ControlNet that fills in what is masked in it.

    Those of SD 1.5 want -1 there, which ComfyUI's own nodes cannot make; those of SDXL black.
    """
    return graph.shared(
        ImageHandle,
        "InpaintPreprocessor",
        image=image,
        mask=mask,
        black_pixel_for_xinsir_cn=is_black,
    )
