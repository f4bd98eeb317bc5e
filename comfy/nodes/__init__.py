"""The node classes of a ComfyUI: what they take and give, as ``GET /object_info`` tells it."""

from comfy.nodes.catalogue import NodeCatalogue
from comfy.nodes.classes import NodeClass, NodeOutput
from comfy.nodes.inputs import (
    AUTOGROW,
    COMBO,
    DYNAMIC_COMBO,
    MATCH_TYPE,
    Branch,
    Choice,
    Growth,
    InputSpec,
)
from comfy.nodes.live import live_inputs
from comfy.nodes.packing import packed, unpacked

__all__ = [
    "AUTOGROW",
    "COMBO",
    "DYNAMIC_COMBO",
    "MATCH_TYPE",
    "Branch",
    "Choice",
    "Growth",
    "InputSpec",
    "NodeCatalogue",
    "NodeClass",
    "NodeOutput",
    "live_inputs",
    "packed",
    "unpacked",
]
